// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: /dev/liveupdate
 *
 * One process at a time has it open for writing: there is one agent that conducts
 * updates. Any number of others can have it open beside, to read: they ask how
 * things are, and change nothing. Sessions do not depend on the device being open.
 */

#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "luo_internal.h"

/**
 * struct luo_opener - whoever has the device open
 * @luo:    the orchestrator
 * @writes: it is the one that can change things
 * @seen:   the luo.changes that it knows of
 */
struct luo_opener {
	struct luo *luo;
	bool writes;
	u64 seen;
};

/* Give user space the session, or put it back to where it came from */
static int session_to_file(struct luo_ucmd *ucmd, struct luo_session *session)
{
	struct file *file;

	if (IS_ERR(session))
		return PTR_ERR(session);

	file = luo_session_fd_open(session);
	if (IS_ERR(file)) {
		luo_session_release(session);
		return PTR_ERR(file);
	}

	ucmd->file = file;
	return 0;
}

static int create_session(struct luo_ucmd *ucmd)
{
	const struct liveupdate_ioctl_create_session *arg = ucmd->arg;

	return session_to_file(ucmd, luo_session_create(ucmd->luo, arg->name));
}

static int retrieve_session(struct luo_ucmd *ucmd)
{
	const struct liveupdate_ioctl_retrieve_session *arg = ucmd->arg;

	return session_to_file(ucmd, luo_session_claim(ucmd->luo, arg->name));
}

/* Threads that share a descriptor can do so at the same time */
static void note_changes(struct luo_opener *opener)
{
	/* Pairs with set_state() of transitions */
	WRITE_ONCE(opener->seen, smp_load_acquire(&opener->luo->changes));
}

static int get_info(struct luo_ucmd *ucmd)
{
	struct liveupdate_ioctl_get_info *arg = ucmd->arg;
	struct luo *luo = ucmd->luo;

	if (arg->reserved)
		return -EINVAL;

	scoped_guard(spinlock, &luo->failure.lock) {
		arg->last_errno = -luo->failure.err;
		arg->last_phase = luo->failure.phase;
		strscpy_pad(arg->last_participant, luo->failure.who,
			    sizeof(arg->last_participant));
	}
	note_changes(ucmd->opener);
	arg->state = READ_ONCE(luo->state);
	arg->number = luo->number;
	arg->quarantined = READ_ONCE(luo->quarantine.count);
	arg->quarantine_errno = luo_quarantine_last(luo,
						    arg->quarantine_what);
	arg->features = LIVEUPDATE_FEATURE_EVENTS | LIVEUPDATE_FEATURE_WALK |
			LIVEUPDATE_FEATURE_UNPRESERVE |
			LIVEUPDATE_FEATURE_CARRY |
			LIVEUPDATE_FEATURE_BATCH | LIVEUPDATE_FEATURE_ANNOUNCE |
			LIVEUPDATE_FEATURE_READERS | LIVEUPDATE_FEATURE_REHEARSE;
	luo_sessions_count(luo, LIVEUPDATE_OUTGOING, &arg->outgoing_sessions,
			   &arg->outgoing_files);
	luo_sessions_count(luo, LIVEUPDATE_INCOMING, &arg->incoming_sessions,
			   &arg->incoming_files);

	return 0;
}

static int set_event(struct luo_ucmd *ucmd)
{
	const struct liveupdate_ioctl_set_event *arg = ucmd->arg;

	if (arg->event > LIVEUPDATE_EVENT_CANCEL)
		return -EINVAL;

	return luo_transition_event(ucmd->luo, arg->event);
}

static int next_session(struct luo_ucmd *ucmd)
{
	return luo_session_next(ucmd->luo, ucmd->arg);
}

static int rehearse(struct luo_ucmd *ucmd)
{
	return luo_transition_rehearse(ucmd->luo, ucmd->arg);
}

static const struct luo_ucmd_op chardev_ops[] = {
	LUO_UCMD_OP(LIVEUPDATE_IOCTL_CREATE_SESSION,
		    struct liveupdate_ioctl_create_session, name,
		    LUO_UCMD_NEW_FD, create_session),
	LUO_UCMD_OP(LIVEUPDATE_IOCTL_RETRIEVE_SESSION,
		    struct liveupdate_ioctl_retrieve_session, name,
		    LUO_UCMD_NEW_FD, retrieve_session),
	LUO_UCMD_OP(LIVEUPDATE_IOCTL_GET_INFO,
		    struct liveupdate_ioctl_get_info, last_participant,
		    LUO_UCMD_OUTPUT | LUO_UCMD_UNLOCKED | LUO_UCMD_READER,
		    get_info),
	LUO_UCMD_OP(LIVEUPDATE_IOCTL_SET_EVENT,
		    struct liveupdate_ioctl_set_event, event,
		    LUO_UCMD_UNLOCKED, set_event),
	LUO_UCMD_OP(LIVEUPDATE_IOCTL_NEXT_SESSION,
		    struct liveupdate_ioctl_next_session, name,
		    LUO_UCMD_OUTPUT | LUO_UCMD_UNLOCKED | LUO_UCMD_READER,
		    next_session),
	LUO_UCMD_OP(LIVEUPDATE_IOCTL_REHEARSE,
		    struct liveupdate_ioctl_rehearse, release,
		    LUO_UCMD_OUTPUT | LUO_UCMD_UNLOCKED, rehearse),
};

static_assert(sizeof(struct liveupdate_ioctl_create_session) <= LUO_UCMD_MAX_SIZE);
static_assert(sizeof(struct liveupdate_ioctl_retrieve_session) <= LUO_UCMD_MAX_SIZE);
static_assert(sizeof(struct liveupdate_ioctl_get_info) <= LUO_UCMD_MAX_SIZE);
static_assert(sizeof(struct liveupdate_ioctl_next_session) <= LUO_UCMD_MAX_SIZE);
static_assert(sizeof(struct liveupdate_ioctl_rehearse) <= LUO_UCMD_MAX_SIZE);

static int chardev_open(struct inode *inode, struct file *file)
{
	struct luo_opener *opener __free(kfree) = NULL;
	/* The misc device left itself there */
	struct luo *luo = container_of(file->private_data, struct luo,
				       chardev.misc);

	opener = kzalloc_obj(*opener, GFP_KERNEL_ACCOUNT);
	if (!opener)
		return -ENOMEM;

	opener->luo = luo;
	opener->writes = file->f_mode & FMODE_WRITE;
	if (opener->writes &&
	    test_and_set_bit(LUO_CHARDEV_OPEN, &luo->chardev.flags))
		return -EBUSY;

	note_changes(opener);
	file->private_data = no_free_ptr(opener);
	return 0;
}

static int chardev_release(struct inode *inode, struct file *file)
{
	struct luo_opener *opener = file->private_data;

	if (opener->writes)
		clear_bit(LUO_CHARDEV_OPEN, &opener->luo->chardev.flags);
	kfree(opener);

	return 0;
}

static long chardev_ioctl(struct file *file, unsigned int cmd,
			  unsigned long arg)
{
	struct luo_opener *opener = file->private_data;
	struct luo *luo = opener->luo;
	struct luo_ucmd ucmd = {
		.luo = luo,
		.opener = opener,
		.reads_only = !opener->writes,
	};
	long err;

	err = luo_ucmd_run(&ucmd, chardev_ops, ARRAY_SIZE(chardev_ops), cmd,
			   arg);
	/* The last session may just have turned out to be damaged */
	if (err == -EUCLEAN)
		luo_transition_settle(luo);

	return err;
}

/* Changes of state are exceptional: they are neither read nor written */
static __poll_t chardev_poll(struct file *file, struct poll_table_struct *wait)
{
	struct luo_opener *opener = file->private_data;
	struct luo *luo = opener->luo;

	poll_wait(file, &luo->wait, wait);
	return READ_ONCE(luo->changes) != READ_ONCE(opener->seen) ? EPOLLPRI :
								    0;
}

static const struct file_operations chardev_fops = {
	.owner		= THIS_MODULE,
	.open		= chardev_open,
	.release	= chardev_release,
	.poll		= chardev_poll,
	.unlocked_ioctl	= chardev_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
};

/**
 * luo_chardev_register - make the device
 * @luo: the orchestrator, ready
 *
 * Context: Process context, at boot.
 * Return: 0, or what misc_register() fails with.
 */
int luo_chardev_register(struct luo *luo)
{
	luo->chardev.misc = (struct miscdevice) {
		.minor	= MISC_DYNAMIC_MINOR,
		.name	= "liveupdate",
		.mode	= 0600,
		.fops	= &chardev_fops,
	};

	return misc_register(&luo->chardev.misc);
}
