// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: going from state to state
 *
 * A transition is a row of steps, each with its counterpart. A step that fails
 * has undone itself; those before it are undone in reverse.
 */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/cleanup.h>
#include <linux/errno.h>
#include <linux/jiffies.h>
#include <linux/kexec.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/workqueue.h>
#include <trace/events/liveupdate.h>

#include "luo_internal.h"

/* How long a jump waits for modules that files of the previous kernel need */
#define MODPROBE_SECONDS	10

/**
 * struct luo_step - a step of a transition
 * @name:  of what is called in it
 * @phase: what it is
 * @enter: do it; when this fails nothing is done
 * @leave: undo it
 */
struct luo_step {
	const char *name;
	enum liveupdate_phase phase;
	int (*enter)(struct luo *luo);
	void (*leave)(struct luo *luo);
};

static void no_undo(struct luo *luo)
{
}

static int carry_flbs(struct luo *luo)
{
	return luo_flbs_carry(luo, luo_sessions_unknown(luo));
}

/* Whether the previous kernel left something that only another kernel can take up */
static bool something_unknown(struct luo *luo)
{
	return luo_subsystems_unknown(luo) || luo_flbs_unknown(luo) ||
	       luo_handover_unknown(luo);
}

/*
 * Whether somebody has to say that the update is over. What is not known here goes on
 * until then; all else that is in no session is taken up or can be ended by now.
 */
static bool something_left(struct luo *luo)
{
	return luo_sessions_unfinished(luo) || something_unknown(luo);
}

/*
 * An image that was loaded in another way than by kexec_file_load() is started
 * without a handover: everything in sessions would be lost.
 */
static int check_image(struct luo *luo)
{
	bool nothing = !luo->sessions[LIVEUPDATE_OUTGOING].count &&
		       !something_left(luo) && !luo_subsystems_hand_over(luo);

	/* A rehearsal of what comes behind is worth it before an image is loaded, too */
	if (nothing || !kexec_image || kexec_image->kho.fdt)
		return 0;

	if (!luo->rehearsals.under_way)
		pr_err("the loaded kernel takes no handover, and there is something to hand over: load it with kexec_file_load()\n");

	return -EOPNOTSUPP;
}

/* Whoever is called before can still restore some of it */
static int keep_memory(struct luo *luo)
{
	return luo_sessions_unknown(luo) || something_unknown(luo) ?
	       luo_handover_keep(luo) : 0;
}

/* Files may need subsystems, so they come first, here and below */
static const struct luo_step prepare_steps[] = {
	{ "sessions", LIVEUPDATE_PHASE_PREPARE,
	  luo_sessions_prepare, luo_sessions_cancel },
	{ "subsystems", LIVEUPDATE_PHASE_PREPARE,
	  luo_subsystems_prepare, luo_subsystems_cancel },
};

/*
 * The last step is the point of no return: the handover is complete, and all that
 * is left to do is to jump.
 */
static const struct luo_step freeze_steps[] = {
	{ "subsystems", LIVEUPDATE_PHASE_CARRY,
	  luo_subsystems_check_carry, no_undo },
	{ "sessions", LIVEUPDATE_PHASE_CARRY,
	  luo_sessions_carry, luo_sessions_uncarry },
	{ "flbs", LIVEUPDATE_PHASE_CARRY,
	  carry_flbs, luo_flbs_uncarry },
	{ "sessions", LIVEUPDATE_PHASE_FREEZE,
	  luo_sessions_freeze, luo_sessions_unfreeze },
	{ "subsystems", LIVEUPDATE_PHASE_FREEZE,
	  luo_subsystems_freeze, luo_subsystems_unfreeze },
	{ "image", LIVEUPDATE_PHASE_HANDOVER, check_image, no_undo },
	{ "memory", LIVEUPDATE_PHASE_HANDOVER,
	  keep_memory, luo_handover_unkeep },
	{ "handover", LIVEUPDATE_PHASE_HANDOVER,
	  luo_handover_write, luo_handover_clear },
};

/* The times of what is done, and of what is rehearsed, do not mix */
static u64 *phase_time(struct luo *luo, enum liveupdate_phase phase)
{
	return luo->rehearsals.under_way ? &luo->rehearsals.phase_ns[phase] :
					   &luo->phase_ns[phase];
}

static int enter_step(struct luo *luo, const struct luo_step *step)
{
	u64 *time = phase_time(luo, step->phase);
	u64 start = ktime_get_ns();
	struct luo_call call;
	int err;

	luo_call_start(&call, luo, step->phase, LUO_CALL_STEP, step->name, 0);
	err = luo_call_end(&call, step->enter(luo));
	WRITE_ONCE(*time, *time + ktime_get_ns() - start);

	return err;
}

static void leave_steps(struct luo *luo, const struct luo_step *steps, int n)
{
	while (n--)
		steps[n].leave(luo);
}

static int enter_steps(struct luo *luo, const struct luo_step *steps, int n)
{
	int i, err;

	for (i = 0; i < n; i++)
		WRITE_ONCE(*phase_time(luo, steps[i].phase), 0);

	for (i = 0; i < n; i++) {
		err = enter_step(luo, &steps[i]);
		if (err) {
			leave_steps(luo, steps, i);
			return err;
		}
	}

	return 0;
}

static void set_state(struct luo *luo, enum liveupdate_state state, u64 start)
{
	enum liveupdate_state old = luo->state;

	lockdep_assert_held_write(&luo->transition);
	WRITE_ONCE(luo->state, state);
	/* Who knows of the change, see note_changes(), sees the state, too */
	smp_store_release(&luo->changes, luo->changes + 1);
	trace_liveupdate_state(old, state);
	pr_info("%s -> %s in %llu us\n", luo_state_name(old),
		luo_state_name(state),
		div_u64(ktime_get_ns() - start, NSEC_PER_USEC));
	wake_up_interruptible(&luo->wait);
	luo_sysfs_changed(luo);
}

static int next_state(struct luo *luo, enum liveupdate_event event)
{
	return luo_state_next(luo->state, event, luo->updated);
}

/* ---- One function per event ---- */

static int prepare(struct luo *luo)
{
	u64 start = ktime_get_ns();
	int next, err;

	next = next_state(luo, LIVEUPDATE_EVENT_PREPARE);
	if (next < 0)
		return next;

	err = enter_steps(luo, prepare_steps, ARRAY_SIZE(prepare_steps));
	if (!err)
		set_state(luo, next, start);

	return err;
}

static int finish(struct luo *luo)
{
	u64 start = ktime_get_ns();
	int next, err;

	next = next_state(luo, LIVEUPDATE_EVENT_FINISH);
	if (next < 0)
		return next;
	err = luo_sessions_can_finish(luo);
	if (err)
		return err;

	luo_sessions_discard(luo);
	luo_flbs_finish_all(luo);
	luo_subsystems_finish(luo);
	luo->updated = false;
	luo->settled = false;
	WRITE_ONCE(luo->phase_ns[LIVEUPDATE_PHASE_FINISH],
		   ktime_get_ns() - start);
	set_state(luo, next, start);
	return 0;
}

static int cancel(struct luo *luo)
{
	u64 start = ktime_get_ns();
	int next;

	next = next_state(luo, LIVEUPDATE_EVENT_CANCEL);
	if (next < 0)
		return next;

	leave_steps(luo, prepare_steps, ARRAY_SIZE(prepare_steps));
	set_state(luo, next, start);
	/* The last session was finished while the next update was prepared */
	if (luo->settled)
		finish(luo);

	return 0;
}

static int freeze(struct luo *luo)
{
	u64 start = ktime_get_ns();
	int next, err;

	next = next_state(luo, LIVEUPDATE_EVENT_FREEZE);
	if (next < 0)
		return next;

	err = enter_steps(luo, freeze_steps, ARRAY_SIZE(freeze_steps));
	if (!err)
		set_state(luo, next, start);

	return err;
}

/* What fails from here until watch_failures(failure, false) is remembered */
static void watch_failures(struct luo_failure *failure, bool watch)
{
	guard(spinlock)(&failure->lock);
	failure->closed = !watch;
}

/* Whether the previous kernel left something that has to be finished */
static bool something_came(struct luo *luo)
{
	struct luo_item item;
	int subsystem = 0, flb = 0;

	return luo_sessions_unfinished(luo) || luo_handover_unknown(luo) ||
	       (luo->received &&
		(luo_item_next(luo->received, LUO_FDT_SUBSYSTEMS, &subsystem,
			       &item) ||
		 luo_item_next(luo->received, LUO_FDT_FLBS, &flb, &item)));
}

/* Finish the update if nothing is left */
static void update_settle(struct luo *luo)
{
	if (something_left(luo))
		return;
	if (luo->state == LIVEUPDATE_STATE_UPDATED)
		finish(luo);
	else
		luo->settled = luo->updated;
}

/*
 * The same where no session was finished. What a subsystem could not take up is not
 * lost then: it can be registered again.
 */
static void update_settle_rest(struct luo *luo)
{
	if (luo->updated && !luo_subsystems_failed(luo))
		update_settle(luo);
}

/* ---- Who sends them ---- */

static void transition_entered(struct luo *luo, struct luo_caller *caller)
{
	luo_caller_enter(&luo->callers, caller);
	luo->in_transition = true;
	luo->waited = (struct liveupdate_waited){ .until = jiffies };
}

static void transition_enter(struct luo *luo, struct luo_caller *caller)
{
	down_write(&luo->transition);
	transition_entered(luo, caller);
}

/* The same for who can be killed meanwhile */
static int transition_try_enter(struct luo *luo, struct luo_caller *caller)
{
	int err = down_write_killable(&luo->transition);

	if (!err)
		transition_entered(luo, caller);

	return err;
}

static void transition_leave(struct luo *luo, struct luo_caller *caller)
{
	luo->in_transition = false;
	luo_caller_leave(&luo->callers, caller);
	up_write(&luo->transition);
}

/**
 * luo_transition_boot - take up what the previous kernel left
 * @luo: the orchestrator
 *
 * Context: Process context, at boot, takes luo.transition.
 */
void luo_transition_boot(struct luo *luo)
{
	u64 start = ktime_get_ns();
	struct luo_caller caller;

	transition_enter(luo, &caller);
	luo_handover_receive_sessions(luo);
	luo->updated = something_came(luo);
	watch_failures(&luo->failure, true);
	luo_subsystems_boot(luo);
	watch_failures(&luo->failure, false);
	luo->ready = true;
	WRITE_ONCE(luo->phase_ns[LIVEUPDATE_PHASE_BOOT], ktime_get_ns() - start);
	luo->state = luo_state_at_rest(luo->updated);
	update_settle_rest(luo);
	transition_leave(luo, &caller);
}

/**
 * luo_transition_settle - finish the update if its last session is finished
 * @luo: the orchestrator
 *
 * What came for subsystems and FLBs that are not here yet keeps it from that. A task
 * that is killed while it waits for others leaves it to a worker.
 *
 * Context: Process context, takes luo.transition.
 */
void luo_transition_settle(struct luo *luo)
{
	struct luo_caller caller;

	/* Hold up the others only when it looks like the last one */
	if (luo_sessions_unfinished(luo))
		return;
	if (transition_try_enter(luo, &caller)) {
		WRITE_ONCE(luo->unsettled, true);
		queue_work(system_dfl_wq, &luo->left_over);
		return;
	}

	update_settle(luo);
	transition_leave(luo, &caller);
}

/**
 * luo_transition_settle_later - finish the update if nothing is left of it
 * @luo: the orchestrator, to which something came
 *
 * For those who take up what came and is in no session.
 *
 * Context: Any; it does not wait.
 */
void luo_transition_settle_later(struct luo *luo)
{
	if (luo->received && !READ_ONCE(luo->finished))
		queue_work(system_dfl_wq, &luo->left_over);
}

/**
 * luo_transition_left_over - do what tasks had no time to wait for
 * @work: luo.left_over
 *
 * Sessions whose descriptor is closed end here, and the update does if who finished
 * its last session could not see to it, or what is in no session was its last.
 *
 * Context: Process context, takes luo.transition.
 */
void luo_transition_left_over(struct work_struct *work)
{
	struct luo *luo = container_of(work, struct luo, left_over);
	struct luo_caller caller;

	transition_enter(luo, &caller);
	/* A kexec that is under way can still be called off, which ends them, too */
	if (luo->state != LIVEUPDATE_STATE_FROZEN)
		luo_sessions_drop_closed(luo);
	if (xchg(&luo->unsettled, false))
		update_settle(luo);
	else
		update_settle_rest(luo);
	transition_leave(luo, &caller);
}

/*
 * A file that the previous kernel left can neither be carried nor freed without
 * its handler, which may be in a module that nobody has needed so far.
 */
static int want_handlers(struct luo *luo, struct luo_wanted *wanted)
{
	int err;

	ACQUIRE(rwsem_write_kill, lock)(&luo->transition);
	err = ACQUIRE_ERR(rwsem_write_kill, &lock);
	return err ?: luo_sessions_want_handlers(luo, wanted);
}

static int request_handlers(struct luo *luo, unsigned long timeout)
{
	struct luo_wanted *wanted __free(kfree) = kzalloc_obj(*wanted);
	int err;

	if (!wanted)
		return -ENOMEM;

	err = want_handlers(luo, wanted);
	return err ?: luo_wanted_request(wanted, timeout);
}

static int carry_out(struct luo *luo, enum liveupdate_event event)
{
	switch (event) {
	case LIVEUPDATE_EVENT_PREPARE:
		return prepare(luo);
	case LIVEUPDATE_EVENT_CANCEL:
		return cancel(luo);
	case LIVEUPDATE_EVENT_FINISH:
		return finish(luo);
	default:
		return -EINVAL;
	}
}

/**
 * luo_transition_event - carry out an event of user space
 * @luo:   the orchestrator
 * @event: the event
 *
 * Context: Process context, takes luo.transition.
 * Return: 0; -EINVAL when there is no such event, it may not come now, or is for
 * reboot(2) only; -EBUSY when somebody has a session that is not finished, or a file
 * cannot be; -ENOMEM; -EINTR when killed; or what a participant fails with. All is
 * as before then.
 */
int luo_transition_event(struct luo *luo, enum liveupdate_event event)
{
	struct luo_caller caller;
	int err = 0;

	/* It cannot be undone, so all that can fail comes first */
	if (event == LIVEUPDATE_EVENT_FINISH)
		err = request_handlers(luo, MAX_SCHEDULE_TIMEOUT);
	err = err ?: transition_try_enter(luo, &caller);
	if (err)
		return err;

	watch_failures(&luo->failure, true);
	err = carry_out(luo, event);
	watch_failures(&luo->failure, false);
	transition_leave(luo, &caller);

	return err;
}

static void note_reboot(struct luo *luo)
{
	struct luo_root now = {};

	luo_clock_stamp(&now);
	luo->reboot_at = now.reboot_at;
}

/* Prepare if nobody did, and freeze; or be as before */
static int reboot(struct luo *luo)
{
	bool prepared = luo->state == LIVEUPDATE_STATE_PREPARED;
	int err;

	/* Others can have their names by now */
	luo_sessions_drop_closed(luo);
	if (!prepared) {
		err = prepare(luo);
		if (err)
			return err;
	}

	err = freeze(luo);
	if (err && !prepared)
		cancel(luo);

	return err;
}

/**
 * luo_transition_reboot - freeze everything, a kexec is next
 * @luo: the orchestrator
 *
 * What nobody prepared is prepared here.
 *
 * Context: Process context, takes luo.transition. It waits for commands that are
 * being carried out, but these never wait for user space. Where a file of the
 * previous kernel lacks its handler, it first waits for modprobe, ten seconds at
 * most.
 * Return: 0, and from here on nothing can fail, and nothing in a session can
 * change; -EOPNOTSUPP when the image cannot take over; -EINTR when killed; or what
 * a step fails with, and everything is as before.
 */
int luo_transition_reboot(struct luo *luo)
{
	struct luo_caller caller;
	int err;

	/* What comes of another failure here, carrying the files tells */
	err = request_handlers(luo, MODPROBE_SECONDS * HZ);
	if (err != -EINTR)
		err = transition_try_enter(luo, &caller);
	if (err)
		return err;

	note_reboot(luo);
	watch_failures(&luo->failure, true);
	err = reboot(luo);
	watch_failures(&luo->failure, false);
	transition_leave(luo, &caller);

	return err;
}

/* ---- The same as a rehearsal ---- */

static int check_loaded(struct luo *luo)
{
	return kexec_image ? 0 : -EINVAL;
}

/* What reboot(2) refuses before it comes to the others */
static const struct luo_step loaded_step = {
	"image", LIVEUPDATE_PHASE_HANDOVER, check_loaded, no_undo
};

/* With @nr of the freeze steps entered, enter those that look at the image, and undo all */
static int rehearse_image(struct luo *luo, int nr,
			  struct liveupdate_ioctl_rehearse *result)
{
	int all = ARRAY_SIZE(freeze_steps), err;

	result->image = luo_image_loaded(result->release,
					 sizeof(result->release));
	/* It does not come to a live update */
	if (result->image == LIVEUPDATE_IMAGE_RETURNS)
		return 0;

	err = enter_steps(luo, freeze_steps + nr, all - nr);
	if (err)
		return err;

	result->bytes = luo->handover_bytes;
	err = enter_step(luo, &loaded_step);
	leave_steps(luo, freeze_steps + nr, all - nr);

	return err;
}

static int rehearse_freeze(struct luo *luo,
			   struct liveupdate_ioctl_rehearse *result, bool *busy)
{
	int nr = 0, err;

	while (freeze_steps[nr].phase != LIVEUPDATE_PHASE_HANDOVER)
		nr++;
	err = enter_steps(luo, freeze_steps, nr);
	if (err)
		return err;

	*busy = !luo_image_try_hold();
	if (!*busy) {
		err = rehearse_image(luo, nr, result);
		luo_image_let_go();
	}
	leave_steps(luo, freeze_steps, nr);

	return err;
}

/* All that reboot() does, and back. @busy: somebody else is about to use the image */
static int rehearse_all(struct luo *luo,
			struct liveupdate_ioctl_rehearse *result, bool *busy)
{
	bool prepared = luo->state == LIVEUPDATE_STATE_PREPARED;
	int err;

	luo_sessions_drop_closed(luo);
	if (!prepared) {
		err = enter_steps(luo, prepare_steps, ARRAY_SIZE(prepare_steps));
		if (err)
			return err;
	}

	WRITE_ONCE(luo->rehearsals.prepared, true);
	err = rehearse_freeze(luo, result, busy);
	WRITE_ONCE(luo->rehearsals.prepared, false);
	if (!prepared)
		leave_steps(luo, prepare_steps, ARRAY_SIZE(prepare_steps));

	return err;
}

static u64 rehearsed_us(const struct luo *luo, enum liveupdate_phase phase)
{
	return div_u64(luo->rehearsals.phase_ns[phase], NSEC_PER_USEC);
}

static void rehearsal_times(const struct luo *luo, u64 ns,
			    struct liveupdate_ioctl_rehearse *result)
{
	result->prepare_us = rehearsed_us(luo, LIVEUPDATE_PHASE_PREPARE);
	result->carry_us = rehearsed_us(luo, LIVEUPDATE_PHASE_CARRY);
	result->freeze_us = rehearsed_us(luo, LIVEUPDATE_PHASE_FREEZE);
	result->handover_us = rehearsed_us(luo, LIVEUPDATE_PHASE_HANDOVER);
	for (int i = 0; i <= LIVEUPDATE_PHASE_HANDOVER; i++)
		ns -= min(luo->rehearsals.phase_ns[i], ns);
	result->undo_us = div_u64(ns, NSEC_PER_USEC);
}

static void rehearsal_failure(struct luo *luo, int err,
			      struct liveupdate_ioctl_rehearse *result)
{
	struct luo_failure *failure = &luo->rehearsals.failure;

	guard(spinlock)(&failure->lock);
	result->error = -err;
	result->phase = failure->phase;
	strscpy_pad(result->participant, failure->who,
		    sizeof(result->participant));
}

/* Between transition_enter() and transition_leave() */
static int rehearse(struct luo *luo, struct liveupdate_ioctl_rehearse *result)
{
	struct luo_rehearsals *rehearsals = &luo->rehearsals;
	u64 start = ktime_get_ns();
	bool busy = false;
	int err;

	if (luo->state != LIVEUPDATE_STATE_NORMAL &&
	    luo->state != LIVEUPDATE_STATE_PREPARED &&
	    luo->state != LIVEUPDATE_STATE_UPDATED)
		return -EBUSY;

	memset(rehearsals->phase_ns, 0, sizeof(rehearsals->phase_ns));
	WRITE_ONCE(rehearsals->under_way, true);
	watch_failures(&rehearsals->failure, true);
	err = rehearse_all(luo, result, &busy);
	watch_failures(&rehearsals->failure, false);
	WRITE_ONCE(rehearsals->under_way, false);
	if (busy)
		return -EBUSY;

	rehearsal_times(luo, ktime_get_ns() - start, result);
	/* Somebody can have failed, and nobody been refused on account of it */
	if (err)
		rehearsal_failure(luo, err, result);

	return 0;
}

/**
 * luo_transition_rehearse - find out what luo_transition_reboot() would do
 * @luo:    the orchestrator
 * @result: to fill
 *
 * It is done, and taken back; all is as before then, but that files which came stay
 * retrieved if it could be done.
 *
 * Context: Process context, takes luo.transition. See luo_transition_reboot() for what
 * it waits for.
 * Return: 0, also when the jump would be refused; -EBUSY when an image is being loaded,
 * or a reboot is under way; -ENOMEM; -EINTR when killed before it began.
 */
int luo_transition_rehearse(struct luo *luo,
			    struct liveupdate_ioctl_rehearse *result)
{
	struct luo_caller caller;
	int err;

	*result = (struct liveupdate_ioctl_rehearse){ .size = result->size };
	err = request_handlers(luo, MODPROBE_SECONDS * HZ);
	if (err != -EINTR)
		err = transition_try_enter(luo, &caller);
	if (err)
		return err;

	err = rehearse(luo, result);
	transition_leave(luo, &caller);
	/* The last session that was left may have turned out to be damaged */
	luo_transition_settle_later(luo);
	if (!err)
		luo_rehearsals_note(&luo->rehearsals, result);

	return err;
}
