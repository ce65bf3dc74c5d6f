// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: the instance, its boot, and what the rest of the
 * kernel calls
 */

/**
 * DOC: Live Update Orchestrator
 *
 * A live update starts a new kernel by kexec without stopping the machine's
 * work for longer than that takes: state that was put into sessions is there
 * again when the new kernel runs. The orchestrator keeps the sessions, asks file
 * handlers to save and to restore what is in them, and hands over a description
 * of it all. Memory crosses by Kexec Handover (KHO).
 *
 * It is off unless the kernel is booted with ``liveupdate=1`` (or ``on``,
 * ``yes``, ...), and cannot work without KHO.
 */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/errno.h>
#include <linux/export.h>
#include <linux/init.h>
#include <linux/kexec_handover.h>
#include <linux/kstrtox.h>

#include "luo_internal.h"

static struct luo instance;

/* Cleared at boot if LUO cannot work, and never changed after */
static bool enabled __ro_after_init;

static int __init parse_liveupdate(char *value)
{
	return kstrtobool(value ?: "1", &enabled);
}
early_param("liveupdate", parse_liveupdate);

/**
 * luo_init - make an orchestrator that knows of no session and no handler
 * @luo: where to; zero
 *
 * Context: May sleep.
 * Return: 0 or -ENOMEM.
 */
int luo_init(struct luo *luo)
{
	int err;

	init_rwsem(&luo->transition);
	luo_handlers_init(&luo->handlers);

	err = luo_files_init(&luo->files);
	if (err)
		return err;
	err = luo_sessions_init(&luo->sessions[LUO_OUTGOING]);
	if (err)
		goto destroy_files;
	err = luo_sessions_init(&luo->sessions[LUO_INCOMING]);
	if (err)
		goto destroy_outgoing;

	luo->state = LIVEUPDATE_STATE_NORMAL;
	return 0;

destroy_outgoing:
	luo_sessions_destroy(&luo->sessions[LUO_OUTGOING]);
destroy_files:
	luo_files_destroy(&luo->files);
	return err;
}

/**
 * luo_destroy - free what luo_init() made
 * @luo: the orchestrator, without sessions
 */
void luo_destroy(struct luo *luo)
{
	luo_sessions_destroy(&luo->sessions[LUO_INCOMING]);
	luo_sessions_destroy(&luo->sessions[LUO_OUTGOING]);
	luo_files_destroy(&luo->files);
}

/* A handover that cannot be used is reported; the kernel works on without */
static void __init receive(struct luo *luo)
{
	int err = luo_handover_receive(luo);

	if (err == -ENOENT)
		return;
	if (err) {
		pr_err("what the previous kernel handed over is quarantined: %pe\n",
		       ERR_PTR(err));
		luo->quarantined++;
		return;
	}

	luo->number = luo->root.number;
	pr_info("live update %llu, from %s, with %llu sessions\n",
		luo->number, luo->root.release, luo->root.nr_sessions);
}

/* Early, so that handlers can register from any initcall on */
static int __init luo_early_init(void)
{
	int err;

	if (enabled && !kho_is_enabled()) {
		pr_warn("off, as Kexec Handover is\n");
		enabled = false;
	}
	if (!enabled)
		return 0;

	err = luo_init(&instance);
	if (err) {
		pr_err("off, out of memory\n");
		enabled = false;
		return err;
	}

	/* What it is in the end is known when sessions are received */
	instance.state = LIVEUPDATE_STATE_UNDEFINED;
	receive(&instance);
	return 0;
}
early_initcall(luo_early_init);

/* Late, as the outgoing half of KHO and devices have to be there */
static int __init luo_late_init(void)
{
	int err;

	/* KHO may have failed to start since then */
	if (enabled && !kho_is_enabled()) {
		pr_err("off, as Kexec Handover has failed\n");
		enabled = false;
	}
	if (!enabled)
		return 0;

	luo_handover_receive_sessions(&instance);
	instance.state = luo_state_at_rest(luo_sessions_unfinished(&instance));

	err = luo_handover_setup(&instance);
	if (!err)
		err = luo_chardev_register(&instance);
	if (err) {
		pr_err("off, cannot start: %pe\n", ERR_PTR(err));
		enabled = false;
	}

	return err;
}
late_initcall(luo_late_init);

/**
 * liveupdate_enabled - whether live update is on
 *
 * Context: Any, once early parameters are parsed. Before early initcalls are
 * through it can be that it is asked for, and still turns out not to work.
 * Return: true if it is.
 */
bool liveupdate_enabled(void)
{
	return enabled;
}
EXPORT_SYMBOL_GPL(liveupdate_enabled);

/**
 * liveupdate_state - where the system is in a live update
 *
 * The answer can be outdated when it arrives, unless the caller knows otherwise.
 *
 * Context: Any.
 * Return: the state; %LIVEUPDATE_STATE_UNDEFINED when live update is off.
 */
enum liveupdate_state liveupdate_state(void)
{
	return enabled ? READ_ONCE(instance.state) : LIVEUPDATE_STATE_UNDEFINED;
}
EXPORT_SYMBOL_GPL(liveupdate_state);

/**
 * liveupdate_reboot - freeze all that is to survive the kexec that is next
 *
 * Context: Process context, in reboot(LINUX_REBOOT_CMD_KEXEC), with the kexec
 * lock held.
 * Return: 0, also when live update is off; otherwise see
 * luo_transition_reboot(), and the kexec must not take place.
 */
int liveupdate_reboot(void)
{
	return enabled ? luo_transition_reboot(&instance) : 0;
}

/**
 * liveupdate_register_file_handler - take charge of a type of files
 * @handler: what to call; must stay until it is unregistered
 *
 * Context: May sleep. From early initcalls on.
 * Return: 0; -EOPNOTSUPP when live update is off; -EINVAL when a callback that
 * has to be there is not, or the compatible string is empty or not terminated;
 * -EEXIST when there is a handler with the same string.
 */
int liveupdate_register_file_handler(struct liveupdate_file_handler *handler)
{
	if (!enabled)
		return -EOPNOTSUPP;

	return luo_handler_add(&instance.handlers, handler);
}
EXPORT_SYMBOL_GPL(liveupdate_register_file_handler);

/**
 * liveupdate_unregister_file_handler - undo liveupdate_register_file_handler()
 * @handler: a handler that was registered, and that no session has a file of
 *
 * Context: May sleep.
 */
void liveupdate_unregister_file_handler(struct liveupdate_file_handler *handler)
{
	if (enabled)
		luo_handler_del(&instance.handlers, handler);
}
EXPORT_SYMBOL_GPL(liveupdate_unregister_file_handler);
