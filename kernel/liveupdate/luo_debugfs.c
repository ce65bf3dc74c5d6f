// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: everything that it knows, in debugfs
 *
 * /sys/kernel/debug/liveupdate/outgoing and incoming list sessions and their
 * files, FLBs and subsystems. For people, not for programs: the format can change.
 */

#include <linux/cleanup.h>
#include <linux/debugfs.h>
#include <linux/list_private.h>
#include <linux/seq_file.h>

#include "luo_internal.h"

static void show_file(struct seq_file *m, const struct luo_file *lf)
{
	seq_printf(m, "  file %llu %s%s%s status %d in %#llx out %#llx\n",
		   lf->token, lf->compatible,
		   lf->handler ? "" : " (no handler)",
		   lf->carried ? " (carried)" : "", lf->status, lf->in.data,
		   lf->out.data);
}

static void show_session(struct seq_file *m, struct luo_session *session)
{
	char name[LUO_SHOWN_LENGTH];
	struct luo_file *lf;

	guard(mutex)(&session->lock);
	seq_printf(m, "session \"%s\" state %u files %llu, %llu not decoded\n",
		   luo_escape(name, sizeof(name), session->name),
		   session->state, session->nr_files, session->received.count);
	list_for_each_entry(lf, &session->files, list)
		show_file(m, lf);
}

/* Nobody makes or ends sessions meanwhile, as that takes the lock for reading */
static int show_sessions(struct seq_file *m, struct luo *luo,
			 enum liveupdate_direction direction)
{
	struct luo_session *session;
	int err;

	ACQUIRE(rwsem_write_kill, lock)(&luo->transition);
	err = ACQUIRE_ERR(rwsem_write_kill, &lock);
	if (err)
		return err;

	list_for_each_entry(session, &luo->sessions[direction].list, list)
		show_session(m, session);

	return 0;
}

static int show_flbs(struct seq_file *m, struct luo *luo)
{
	struct luo_flb *flb = NULL;
	int err;

	while ((flb = luo_flb_next(luo, flb))) {
		ACQUIRE(mutex_kill, lock)(&flb->out_lock);
		err = ACQUIRE_ERR(mutex_kill, &lock);
		if (err)
			return err;
		seq_printf(m, "flb %s files %llu users %llu data %#llx\n",
			   flb->compatible, flb->out.files, flb->out.users,
			   flb->out.data);
	}

	return 0;
}

static int show_subsystems(struct seq_file *m, struct luo *luo)
{
	struct liveupdate_subsystem *subsystem;
	int err;

	ACQUIRE(rwsem_write_kill, lock)(&luo->transition);
	err = ACQUIRE_ERR(rwsem_write_kill, &lock);
	if (err)
		return err;

	list_private_for_each_entry(subsystem, &luo->subsystems, list)
		seq_printf(m, "subsystem %s data %#llx\n", subsystem->name,
			   ACCESS_PRIVATE(subsystem, word).data);

	return 0;
}

static int outgoing_show(struct seq_file *m, void *unused)
{
	struct luo *luo = m->private;

	return show_sessions(m, luo, LIVEUPDATE_OUTGOING) ?:
	       show_flbs(m, luo) ?: show_subsystems(m, luo);
}
DEFINE_SHOW_ATTRIBUTE(outgoing);

static void show_items(struct seq_file *m, const struct luo *luo,
		       const char *parent)
{
	struct luo_item item;
	int cursor = 0;

	while (luo->received &&
	       luo_item_next(luo->received, parent, &cursor, &item))
		seq_printf(m, "%s \"%s\" data %#llx count %llu\n", parent,
			   item.compatible, item.data, item.count);
}

static int incoming_show(struct seq_file *m, void *unused)
{
	struct luo *luo = m->private;
	int err;

	err = show_sessions(m, luo, LIVEUPDATE_INCOMING);
	if (err)
		return err;

	show_items(m, luo, LUO_FDT_FLBS);
	show_items(m, luo, LUO_FDT_SUBSYSTEMS);

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(incoming);

/**
 * luo_debugfs_register - make the folder; that it fails is of no consequence
 * @luo: the orchestrator
 *
 * Context: Process context, at boot.
 */
void __init luo_debugfs_register(struct luo *luo)
{
	struct dentry *dir = debugfs_create_dir("liveupdate", NULL);

	debugfs_create_file("outgoing", 0400, dir, luo, &outgoing_fops);
	debugfs_create_file("incoming", 0400, dir, luo, &incoming_fops);
}
