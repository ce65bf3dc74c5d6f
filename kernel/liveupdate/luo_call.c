// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: calling participants
 *
 * Whatever a transition calls is called between luo_call_start() and
 * luo_call_end(), which measure it, trace it, and remember who failed.
 */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/ktime.h>
#include <linux/sched.h>
#include <linux/sprintf.h>
#include <linux/string.h>

#define CREATE_TRACE_POINTS
#include <trace/events/liveupdate.h>

#include "luo_internal.h"

static const char * const phase_names[] = {
	[LIVEUPDATE_PHASE_NONE]		= "none",
	[LIVEUPDATE_PHASE_PREPARE]	= "prepare",
	[LIVEUPDATE_PHASE_CARRY]	= "carry",
	[LIVEUPDATE_PHASE_FREEZE]	= "freeze",
	[LIVEUPDATE_PHASE_HANDOVER]	= "handover",
	[LIVEUPDATE_PHASE_UNFREEZE]	= "unfreeze",
	[LIVEUPDATE_PHASE_CANCEL]	= "cancel",
	[LIVEUPDATE_PHASE_BOOT]		= "boot",
	[LIVEUPDATE_PHASE_RETRIEVE]	= "retrieve",
	[LIVEUPDATE_PHASE_FINISH]	= "finish",
};

/**
 * luo_phase_name - name of a phase, as shown to users
 * @phase: the phase
 *
 * Return: the name, also for values that are no phase.
 */
const char *luo_phase_name(enum liveupdate_phase phase)
{
	return phase < ARRAY_SIZE(phase_names) ? phase_names[phase] : "invalid";
}

static void describe(const struct luo_call *call, char *who)
{
	switch (call->kind) {
	case LUO_CALL_STEP:
		snprintf(who, LIVEUPDATE_PARTICIPANT_LENGTH, "step %s",
			 call->name);
		break;
	case LUO_CALL_SUBSYSTEM:
		snprintf(who, LIVEUPDATE_PARTICIPANT_LENGTH, "subsystem %s",
			 call->name);
		break;
	case LUO_CALL_FLB:
		snprintf(who, LIVEUPDATE_PARTICIPANT_LENGTH, "flb %s",
			 call->name);
		break;
	case LUO_CALL_FILE:
		snprintf(who, LIVEUPDATE_PARTICIPANT_LENGTH,
			 "file %llu of session %s", call->token, call->name);
		break;
	}
}

/* The first failure of a transition is the one that others follow from */
static void remember(const struct luo_call *call, const char *who, int err)
{
	bool rehearsal = READ_ONCE(call->luo->rehearsals.under_way);
	struct luo_failure *failure = rehearsal ?
				      &call->luo->rehearsals.failure :
				      &call->luo->failure;

	guard(spinlock)(&failure->lock);
	if (failure->closed)
		return;

	failure->closed = true;
	failure->err = err;
	failure->phase = call->phase;
	strscpy(failure->who, who);
	if (rehearsal)
		pr_warn_ratelimited("rehearsed: %s would fail in %s: %pe\n",
				    who, luo_phase_name(call->phase),
				    ERR_PTR(err));
	else
		pr_err("%s failed in %s: %pe\n", who,
		       luo_phase_name(call->phase), ERR_PTR(err));
}

/**
 * luo_call_start - a participant is about to be called
 * @call: to fill
 * @luo:  the orchestrator
 * @phase: what for
 * @kind: of participant
 * @name: of it; for a file that of its session
 * @token: of a file
 */
void luo_call_start(struct luo_call *call, struct luo *luo,
		    enum liveupdate_phase phase, enum luo_call_kind kind,
		    const char *name, u64 token)
{
	*call = (struct luo_call) {
		.luo = luo,
		.phase = phase,
		.kind = kind,
		.name = name,
		.token = token,
		.start = trace_liveupdate_call_enabled() ? ktime_get_ns() : 0,
	};
}

/* Apart, as a kernel that clears what is on the stack clears all of the names */
static noinline void call_tell(const struct luo_call *call, int err)
{
	char text[LIVEUPDATE_PARTICIPANT_LENGTH];
	char who[LIVEUPDATE_PARTICIPANT_LENGTH];

	describe(call, text);
	luo_escape(who, sizeof(who), text);
	trace_liveupdate_call(who, call->phase,
			      call->start ? ktime_get_ns() - call->start : 0,
			      err);
	if (err)
		remember(call, who, err);
}

/**
 * luo_call_end - a participant has returned
 * @call: what luo_call_start() filled
 * @err:  the result; the first failure of a transition is remembered
 *
 * Context: Any task context, any number at a time.
 * Return: @err.
 */
int luo_call_end(const struct luo_call *call, int err)
{
	if (err || trace_liveupdate_call_enabled())
		call_tell(call, err);

	return err;
}

/**
 * luo_callers_init - make an empty list
 * @callers: the list
 */
void luo_callers_init(struct luo_callers *callers)
{
	spin_lock_init(&callers->lock);
	INIT_LIST_HEAD(&callers->list);
}

/**
 * luo_caller_enter - this task may call participants from here on
 * @callers: all that may
 * @caller:  to fill; must stay until luo_caller_leave()
 *
 * Context: Process context. What the task calls may wait for luo.transition, or be
 * waited for by the task that holds it.
 */
void luo_caller_enter(struct luo_callers *callers, struct luo_caller *caller)
{
	caller->task = current;
	guard(spinlock)(&callers->lock);
	list_add(&caller->list, &callers->list);
}

/**
 * luo_caller_leave - undo luo_caller_enter()
 * @callers: all that may call participants
 * @caller:  this task
 */
void luo_caller_leave(struct luo_callers *callers, struct luo_caller *caller)
{
	guard(spinlock)(&callers->lock);
	list_del(&caller->list);
}

/**
 * luo_caller_is_current - whether this task is in a callback of a participant
 * @callers: all that may call participants
 *
 * Such a task would wait for itself if it took luo.transition.
 *
 * Context: Process context.
 * Return: true if it is one of them.
 */
bool luo_caller_is_current(struct luo_callers *callers)
{
	const struct luo_caller *caller;

	guard(spinlock)(&callers->lock);
	list_for_each_entry(caller, &callers->list, list) {
		if (caller->task == current)
			return true;
	}

	return false;
}
