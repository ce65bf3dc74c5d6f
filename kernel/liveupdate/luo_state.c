// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: the table of states and events
 *
 * Nothing else decides which event may come when. There is no state here, so
 * that the table can be tested by itself.
 */

#include <linux/array_size.h>
#include <linux/errno.h>
#include <linux/liveupdate.h>
#include <linux/types.h>

#include "luo_internal.h"

static const char * const state_names[] = {
	[LIVEUPDATE_STATE_UNDEFINED]	= "undefined",
	[LIVEUPDATE_STATE_NORMAL]	= "normal",
	[LIVEUPDATE_STATE_PREPARED]	= "prepared",
	[LIVEUPDATE_STATE_FROZEN]	= "frozen",
	[LIVEUPDATE_STATE_UPDATED]	= "updated",
};

/**
 * luo_state_name - name of a state, as shown to users
 * @state: the state
 *
 * Return: the name, also for values that are no state.
 */
const char *luo_state_name(enum liveupdate_state state)
{
	return state < ARRAY_SIZE(state_names) ? state_names[state] : "invalid";
}

/**
 * luo_state_at_rest - the state while no update is being prepared
 * @incoming: whether sessions of the previous kernel are still unfinished
 *
 * Return: the state.
 */
enum liveupdate_state luo_state_at_rest(bool incoming)
{
	return incoming ? LIVEUPDATE_STATE_UPDATED : LIVEUPDATE_STATE_NORMAL;
}

/**
 * luo_state_next - the state that an event leads to
 * @state:    the state now
 * @event:    the event
 * @incoming: whether sessions of the previous kernel are still unfinished
 *
 * An update can be prepared while sessions of the one before are unfinished:
 * they go on to the next kernel. Cancelling it leads back to where it came from.
 *
 * Return: the new state, or -EINVAL when the event may not come in this state.
 */
int luo_state_next(enum liveupdate_state state, enum liveupdate_event event,
		   bool incoming)
{
	switch (event) {
	case LIVEUPDATE_EVENT_PREPARE:
		if (state == LIVEUPDATE_STATE_NORMAL ||
		    state == LIVEUPDATE_STATE_UPDATED)
			return LIVEUPDATE_STATE_PREPARED;
		break;
	case LIVEUPDATE_EVENT_FREEZE:
		if (state == LIVEUPDATE_STATE_PREPARED)
			return LIVEUPDATE_STATE_FROZEN;
		break;
	case LIVEUPDATE_EVENT_FINISH:
		if (state == LIVEUPDATE_STATE_UPDATED)
			return LIVEUPDATE_STATE_NORMAL;
		break;
	case LIVEUPDATE_EVENT_CANCEL:
		if (state == LIVEUPDATE_STATE_PREPARED)
			return luo_state_at_rest(incoming);
		break;
	}

	return -EINVAL;
}
