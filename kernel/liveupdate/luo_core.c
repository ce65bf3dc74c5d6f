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

#include <linux/atomic.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/kexec_handover.h>
#include <linux/kstrtox.h>
#include <linux/limits.h>
#include <linux/string.h>
#include <linux/sysctl.h>
#include <linux/workqueue.h>

#include "luo_internal.h"

static struct luo instance;

/* Cleared at boot if LUO cannot work, and never changed after */
static bool enabled __ro_after_init;

/* Before that there is nothing to register with */
static bool started __ro_after_init;

static int __init parse_liveupdate(char *value)
{
	return kstrtobool(value ?: "1", &enabled);
}
early_param("liveupdate", parse_liveupdate);

/* What to do about a handover that is damaged */
static bool panic_on_error __initdata;

static int __init parse_on_error(char *value)
{
	if (!value || (strcmp(value, "panic") && strcmp(value, "quarantine")))
		return -EINVAL;

	panic_on_error = !strcmp(value, "panic");
	return 0;
}
early_param("liveupdate_on_error", parse_on_error);

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
	init_waitqueue_head(&luo->wait);
	luo_callers_init(&luo->callers);
	INIT_WORK(&luo->left_over, luo_transition_left_over);
	spin_lock_init(&luo->failure.lock);
	spin_lock_init(&luo->quarantine.lock);
	luo->failure.closed = true;
	luo_rehearsals_init(&luo->rehearsals);
	INIT_LIST_HEAD(&luo->subsystems);
	xa_init(&luo->taken);
	luo_handlers_init(&luo->handlers);
	luo->limits = (struct luo_limits){
		.sessions = INT_MAX,
		.files = INT_MAX,
	};

	err = luo_files_init(&luo->files);
	if (err)
		return err;
	err = luo_sessions_init(&luo->sessions[LIVEUPDATE_OUTGOING]);
	if (err)
		goto destroy_files;
	err = luo_sessions_init(&luo->sessions[LIVEUPDATE_INCOMING]);
	if (err)
		goto destroy_outgoing;

	luo->state = LIVEUPDATE_STATE_NORMAL;
	return 0;

destroy_outgoing:
	luo_sessions_destroy(&luo->sessions[LIVEUPDATE_OUTGOING]);
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
	cancel_work_sync(&luo->left_over);
	luo_flbs_destroy(luo);
	luo_sessions_destroy(&luo->sessions[LIVEUPDATE_INCOMING]);
	luo_sessions_destroy(&luo->sessions[LIVEUPDATE_OUTGOING]);
	luo_files_destroy(&luo->files);
	xa_destroy(&luo->taken);
}

/* A handover that cannot be used is reported; the kernel works on without */
static void __init receive(struct luo *luo)
{
	int err = luo_handover_receive(luo);

	if (err == -ENOENT)
		return;
	if (err == -EPROTONOSUPPORT) {
		pr_warn("handover is of version '%s', which this kernel does not know: it is kept for one that does\n",
			luo->unknown.compatible);
		return;
	}
	if (err) {
		luo_quarantine_add(luo, err, "handover");
		return;
	}

	luo->number = luo->root.number;
	luo_clock_start(luo);
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

	started = true;
	instance.quarantine.panic = panic_on_error;
	/* What it is in the end is known when sessions are received */
	instance.state = LIVEUPDATE_STATE_UNDEFINED;
	receive(&instance);
	return 0;
}
early_initcall(luo_early_init);

/**
 * luo_limit_check - whether one more is allowed
 * @limit: one of struct luo_limits
 * @count: how many there are
 *
 * Context: Any.
 * Return: 0 or -ENOSPC.
 */
int luo_limit_check(const int *limit, u64 count)
{
	return count < (u64)READ_ONCE(*limit) ? 0 : -ENOSPC;
}

/*
 * Memory is charged to whoever makes the kernel take it. What is left to limit is
 * the time that a live update takes, and the files that a session keeps open for a
 * process beyond its RLIMIT_NOFILE.
 */
static const struct ctl_table limits_table[] = {
	{
		.procname	= "max_sessions",
		.data		= &instance.limits.sessions,
		.maxlen		= sizeof(instance.limits.sessions),
		.mode		= 0644,
		.proc_handler	= proc_dointvec_minmax,
		.extra1		= SYSCTL_ZERO,
	},
	{
		.procname	= "max_session_files",
		.data		= &instance.limits.files,
		.maxlen		= sizeof(instance.limits.files),
		.mode		= 0644,
		.proc_handler	= proc_dointvec_minmax,
		.extra1		= SYSCTL_ZERO,
	},
};

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

	err = luo_handover_setup(&instance) ?:
	      luo_sysfs_register(&instance) ?:
	      luo_chardev_register(&instance);
	if (err) {
		pr_err("off, cannot start: %pe\n", ERR_PTR(err));
		enabled = false;
		return err;
	}

	register_sysctl_init("kernel/liveupdate", limits_table);
	luo_debugfs_register(&instance);
	return 0;
}
late_initcall(luo_late_init);

/* Last, as subsystems register in initcalls */
static int __init luo_boot(void)
{
	if (!enabled)
		return 0;

	luo_transition_boot(&instance);
	luo_clock_init(&instance);
	return 0;
}
late_initcall_sync(luo_boot);

/* Whether kernel code can take part: 0, or why it cannot */
static int luo_check_started(void)
{
	if (!enabled)
		return -EOPNOTSUPP;

	return started ? 0 : -EAGAIN;
}

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
	if (!enabled)
		return LIVEUPDATE_STATE_UNDEFINED;
	/* Who is called in a rehearsal finds all as it will be then */
	if (READ_ONCE(instance.rehearsals.prepared) &&
	    luo_caller_is_current(&instance.callers))
		return LIVEUPDATE_STATE_PREPARED;

	return READ_ONCE(instance.state);
}
EXPORT_SYMBOL_GPL(liveupdate_state);

/**
 * liveupdate_reboot - freeze all that is to survive the kexec that is next
 *
 * Context: Process context, in reboot(LINUX_REBOOT_CMD_KEXEC), with the kexec
 * lock held.
 * Return: 0; when live update is off see kho_check_jump(), otherwise
 * luo_transition_reboot(). If it fails the kexec must not take place.
 */
int liveupdate_reboot(void)
{
	return enabled ? luo_transition_reboot(&instance) : kho_check_jump();
}

/**
 * liveupdate_count_wait - count that somebody is about to wait
 * @waited: of the transition
 * @time:   how long, in jiffies
 *
 * Context: Any.
 * Return: true, or false when there was %LIVEUPDATE_WAIT_MAX of that already: do not
 * wait.
 */
bool liveupdate_count_wait(struct liveupdate_waited *waited, unsigned int time)
{
	unsigned long now = jiffies, until = READ_ONCE(waited->until);

	if (atomic_read(&waited->sum) >= LIVEUPDATE_WAIT_MAX)
		return false;
	if (time_after_eq(now, until) &&
	    cmpxchg(&waited->until, until, now + time) == until)
		atomic_add(time, &waited->sum);

	return true;
}
EXPORT_SYMBOL_GPL(liveupdate_count_wait);

/**
 * liveupdate_register_file_handler - take charge of a type of files
 * @handler: what to call; must stay until it is unregistered
 *
 * Context: May sleep. From early initcalls on.
 * Return: 0; -EOPNOTSUPP when live update is off; -EAGAIN before the orchestrator
 * has started, which it does in an early initcall; -EINVAL when a callback that
 * has to be there is not, or the compatible string is empty, not terminated or not
 * printable; -EEXIST when there is a handler with the same string; -ENOMEM; -EBUSY
 * when strings with the same hash are too many, which are 256.
 */
int liveupdate_register_file_handler(struct liveupdate_file_handler *handler)
{
	return luo_check_started() ?:
	       luo_handler_add(&instance.handlers, handler);
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
	if (!luo_check_started())
		luo_handler_del(&instance.handlers, handler);
}
EXPORT_SYMBOL_GPL(liveupdate_unregister_file_handler);

/**
 * liveupdate_register_flb - have files of a handler need an FLB
 * @handler: the handler, registered
 * @flb:     the FLB; it may be registered for other handlers, too
 *
 * Context: May sleep.
 * Return: 0; -EOPNOTSUPP when live update is off; -EAGAIN before it has started;
 * -EINVAL when a callback is missing, the compatible string is empty, not terminated
 * or not printable, or the handler is not registered; -EEXIST when the FLB is
 * registered for this handler, or another FLB has the same string; -EBUSY while a file
 * of the handler is preserved, without the FLB, or a kexec is under way; -ENOMEM.
 */
int liveupdate_register_flb(struct liveupdate_file_handler *handler,
			    struct liveupdate_flb *flb)
{
	int err = luo_check_started() ?: luo_flb_add(&instance, handler, flb);

	if (!err)
		luo_transition_settle_later(&instance);

	return err;
}
EXPORT_SYMBOL_GPL(liveupdate_register_flb);

/**
 * liveupdate_unregister_flb - undo liveupdate_register_flb()
 * @handler: the handler, which no session has a file of
 * @flb:     the FLB
 *
 * Context: May sleep.
 */
void liveupdate_unregister_flb(struct liveupdate_file_handler *handler,
			       struct liveupdate_flb *flb)
{
	if (!luo_check_started())
		luo_flb_del(&instance, handler, flb);
}
EXPORT_SYMBOL_GPL(liveupdate_unregister_flb);

/**
 * liveupdate_flb_get_incoming - get an object that came from the previous kernel
 * @flb:  the FLB; it may be registered later
 * @objp: set to the object, which stays until liveupdate_flb_put_incoming()
 *
 * Whoever asks first has it retrieved.
 *
 * Context: May sleep. From early initcalls on. The caller may hold a lock that
 * callbacks of other FLBs take, but none that those of this one take.
 * Return: 0; -EOPNOTSUPP when live update is off; -EAGAIN before it has started;
 * -ENODATA when there was no live update, or the FLB is finished; -ENOENT when none
 * came; -ENODEV when its module is going away; -EEXIST when another FLB has its
 * string; -EINVAL as liveupdate_register_flb(); -EBUSY when nobody has retrieved it
 * and a kexec is under way; -ENOMEM; or what the FLB's retrieve fails with, and it can
 * be tried again.
 */
int liveupdate_flb_get_incoming(struct liveupdate_flb *flb, void **objp)
{
	int err = luo_check_started() ?:
		  luo_flb_get_incoming(&instance, flb, objp);

	/* It may have been the last thing that waited for somebody */
	if (!err)
		luo_transition_settle_later(&instance);

	return err;
}
EXPORT_SYMBOL_GPL(liveupdate_flb_get_incoming);

/**
 * liveupdate_flb_put_incoming - undo liveupdate_flb_get_incoming()
 * @flb: the FLB
 *
 * Context: May sleep.
 */
void liveupdate_flb_put_incoming(struct liveupdate_flb *flb)
{
	luo_flb_put_incoming(flb);
}
EXPORT_SYMBOL_GPL(liveupdate_flb_put_incoming);

/**
 * liveupdate_flb_get_outgoing - get an object that goes to the next kernel
 * @flb:  the FLB, registered
 * @objp: set to the object, which stays until liveupdate_flb_put_outgoing()
 *
 * Context: May sleep.
 * Return: 0; -EOPNOTSUPP when live update is off; -ENOENT while no file needs it,
 * or it has no object.
 */
int liveupdate_flb_get_outgoing(struct liveupdate_flb *flb, void **objp)
{
	return enabled ? luo_flb_get_outgoing(flb, objp) : -EOPNOTSUPP;
}
EXPORT_SYMBOL_GPL(liveupdate_flb_get_outgoing);

/**
 * liveupdate_flb_put_outgoing - undo liveupdate_flb_get_outgoing()
 * @flb: the FLB
 *
 * Context: May sleep.
 */
void liveupdate_flb_put_outgoing(struct liveupdate_flb *flb)
{
	luo_flb_put_outgoing(flb);
}
EXPORT_SYMBOL_GPL(liveupdate_flb_put_outgoing);

/**
 * liveupdate_register_subsystem - take part in live updates
 * @subsystem: what to call; must stay until it is unregistered
 *
 * Once the kernel is up, the subsystem is given here what came for it.
 *
 * Context: May sleep. From early initcalls on.
 * Return: 0; -EOPNOTSUPP when live update is off; -EAGAIN before it has started;
 * -EINVAL when it has no operations, or its name is empty, not terminated or not
 * printable; -EBUSY while an update is prepared; -EEXIST when the name is taken;
 * -ENOENT when something that it depends on is not registered; -ELOOP when it depends
 * on itself; -ENODEV when something came for it, and what it depends on could not
 * take up its own; -EDEADLK in a callback of a participant; -EINTR when killed; or
 * what its boot callback fails with.
 */
int liveupdate_register_subsystem(struct liveupdate_subsystem *subsystem)
{
	int err = luo_check_started() ?: luo_subsystem_add(&instance, subsystem);

	if (!err)
		luo_transition_settle_later(&instance);

	return err;
}
EXPORT_SYMBOL_GPL(liveupdate_register_subsystem);

/**
 * liveupdate_unregister_subsystem - undo liveupdate_register_subsystem()
 * @subsystem: a subsystem that was registered
 *
 * What it has prepared is cancelled, and what it was given is finished.
 *
 * Context: May sleep. Not in a callback of a participant: it stays registered then.
 */
void liveupdate_unregister_subsystem(struct liveupdate_subsystem *subsystem)
{
	if (!luo_check_started())
		luo_subsystem_del(&instance, subsystem);
}
EXPORT_SYMBOL_GPL(liveupdate_unregister_subsystem);

/**
 * liveupdate_subsystem_get_data - ask for what came for a subsystem
 * @subsystem: the subsystem, which need not be registered
 * @data:      set to its word
 *
 * Context: Any, from early initcalls on: for what is needed before the subsystem
 * is up.
 * Return: 0; -EOPNOTSUPP when live update is off; -EAGAIN before it has started;
 * -ENOENT when nothing came.
 */
int liveupdate_subsystem_get_data(struct liveupdate_subsystem *subsystem,
				  u64 *data)
{
	return luo_check_started() ?:
	       luo_subsystem_get_data(&instance, subsystem, data);
}
EXPORT_SYMBOL_GPL(liveupdate_subsystem_get_data);
