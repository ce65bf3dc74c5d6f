// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: going from state to state
 *
 * A transition is a row of steps, each with its counterpart. A step that fails
 * has undone itself; those before it are undone in reverse.
 */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/errno.h>
#include <linux/kexec.h>

#include "luo_internal.h"

/**
 * struct luo_step - a step of a transition
 * @name:  for the log
 * @enter: do it; when this fails nothing is done
 * @leave: undo it
 */
struct luo_step {
	const char *name;
	int (*enter)(struct luo *luo);
	void (*leave)(struct luo *luo);
};

/*
 * The last step is the point of no return: the handover is complete, and all
 * that is left to do is to jump.
 */
static const struct luo_step freeze_steps[] = {
	{ "carry",	luo_sessions_carry,	luo_sessions_uncarry },
	{ "freeze",	luo_sessions_freeze,	luo_sessions_unfreeze },
	{ "handover",	luo_handover_write,	luo_handover_clear },
};

static int enter_steps(struct luo *luo, const struct luo_step *steps, int n)
{
	int i, err;

	for (i = 0; i < n; i++) {
		err = steps[i].enter(luo);
		if (!err)
			continue;

		pr_err("live update called off, step '%s' failed: %pe\n",
		       steps[i].name, ERR_PTR(err));
		while (i--)
			steps[i].leave(luo);
		return err;
	}

	return 0;
}

static int change_state(struct luo *luo, enum luo_event event)
{
	int next;

	lockdep_assert_held_write(&luo->transition);
	next = luo_state_next(luo->state, event, luo_sessions_unfinished(luo));
	if (next < 0)
		return next;

	pr_debug("%s -> %s\n", luo_state_name(luo->state),
		 luo_state_name(next));
	luo->state = next;
	return 0;
}

/**
 * luo_transition_settle - go back to rest if the last incoming session is gone
 * @luo: the orchestrator
 *
 * Context: Process context, takes luo.transition.
 */
void luo_transition_settle(struct luo *luo)
{
	/* Hold up the others only when it looks like the last one */
	if (luo_sessions_unfinished(luo))
		return;

	guard(rwsem_write)(&luo->transition);
	if (luo->state == LIVEUPDATE_STATE_UPDATED &&
	    !luo_sessions_unfinished(luo))
		change_state(luo, LUO_EVENT_FINISH);
}

/*
 * An image that was loaded in another way than by kexec_file_load() is started
 * without a handover: everything in sessions would be lost.
 */
static int check_image(struct luo *luo)
{
	bool nothing = !luo->sessions[LUO_OUTGOING].count &&
		       !luo_sessions_unfinished(luo);

	if (nothing || (kexec_image && kexec_image->kho.fdt))
		return 0;

	pr_err("the loaded kernel takes no handover, but there are sessions: load it with kexec_file_load()\n");
	return -EOPNOTSUPP;
}

static int freeze(struct luo *luo)
{
	int err;

	err = change_state(luo, LUO_EVENT_FREEZE);
	if (err)
		return err;

	err = enter_steps(luo, freeze_steps, ARRAY_SIZE(freeze_steps));
	if (err)
		change_state(luo, LUO_EVENT_UNFREEZE);

	return err;
}

/**
 * luo_transition_reboot - freeze everything, a kexec is next
 * @luo: the orchestrator
 *
 * What nobody prepared is prepared here.
 *
 * Context: Process context, takes luo.transition. It waits for commands that are
 * being carried out, but these never wait for user space.
 * Return: 0, and from here on nothing can fail, and nothing in a session can
 * change; -EOPNOTSUPP when the image cannot take over; or what a step fails
 * with, and everything is as before.
 */
int luo_transition_reboot(struct luo *luo)
{
	bool prepare;
	int err;

	guard(rwsem_write)(&luo->transition);
	err = check_image(luo);
	if (err)
		return err;

	prepare = luo->state != LIVEUPDATE_STATE_PREPARED;
	if (prepare)
		err = change_state(luo, LUO_EVENT_PREPARE);
	if (!err)
		err = freeze(luo);
	if (err && prepare)
		change_state(luo, LUO_EVENT_CANCEL);

	return err;
}
