/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints of the Live Update Orchestrator
 *
 * What each event guarantees is written with it. Times are in nanoseconds,
 * results are 0 or a negative errno.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM liveupdate

#if !defined(_TRACE_LIVEUPDATE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_LIVEUPDATE_H

#include <linux/tracepoint.h>
#include <linux/types.h>

/**
 * liveupdate_state - the state has changed
 * @from: of enum liveupdate_state
 * @to:   likewise
 *
 * One for each change, in order: nothing of the next transition comes before it.
 */
TRACE_EVENT(liveupdate_state,
	    TP_PROTO(unsigned int from, unsigned int to),
	    TP_ARGS(from, to),
	    TP_STRUCT__entry(__field(unsigned int, from)
			     __field(unsigned int, to)),
	    TP_fast_assign(__entry->from = from;
			   __entry->to = to;),
	    TP_printk("from=%u to=%u", __entry->from, __entry->to)
);

/**
 * liveupdate_call - a participant was called
 * @who:      as in struct liveupdate_ioctl_get_info
 * @phase:    of enum liveupdate_phase
 * @duration: of the call
 * @err:      its result
 *
 * One for each call, when it has returned. Calls for files of different sessions
 * can be under way at the same time.
 */
TRACE_EVENT(liveupdate_call,
	    TP_PROTO(const char *who, unsigned int phase, u64 duration, int err),
	    TP_ARGS(who, phase, duration, err),
	    TP_STRUCT__entry(__string(who, who)
			     __field(unsigned int, phase)
			     __field(u64, duration)
			     __field(int, err)),
	    TP_fast_assign(__assign_str(who);
			   __entry->phase = phase;
			   __entry->duration = duration;
			   __entry->err = err;),
	    TP_printk("who=\"%s\" phase=%u duration=%llu err=%d",
		      __get_str(who), __entry->phase, __entry->duration,
		      __entry->err)
);

/**
 * liveupdate_rehearsal - a jump was rehearsed
 * @err:  why reboot(2) would refuse, or 0
 * @who:  would, as in struct liveupdate_ioctl_get_info
 * @phase: of enum liveupdate_phase: in what
 * @duration: of the jump, without taking it back
 *
 * One for each rehearsal, behind the calls of participants that belong to it.
 */
TRACE_EVENT(liveupdate_rehearsal,
	    TP_PROTO(int err, const char *who, unsigned int phase, u64 duration),
	    TP_ARGS(err, who, phase, duration),
	    TP_STRUCT__entry(__field(int, err)
			     __string(who, who)
			     __field(unsigned int, phase)
			     __field(u64, duration)),
	    TP_fast_assign(__entry->err = err;
			   __assign_str(who);
			   __entry->phase = phase;
			   __entry->duration = duration;),
	    TP_printk("err=%d who=\"%s\" phase=%u duration=%llu", __entry->err,
		      __get_str(who), __entry->phase, __entry->duration)
);

/**
 * liveupdate_session - a session has changed hands
 * @name:      of the session, escaped as in struct liveupdate_ioctl_get_info
 * @direction: of enum liveupdate_direction
 * @state:     of enum liveupdate_session_state: the new one
 *
 * Comes when a session is made, received, claimed, put back, finished or
 * quarantined, after it was done, and when one is closed.
 */
TRACE_EVENT(liveupdate_session,
	    TP_PROTO(const char *name, unsigned int direction, unsigned int state),
	    TP_ARGS(name, direction, state),
	    TP_STRUCT__entry(__string(name, name)
			     __field(unsigned int, direction)
			     __field(unsigned int, state)),
	    TP_fast_assign(__assign_str(name);
			   __entry->direction = direction;
			   __entry->state = state;),
	    TP_printk("name=\"%s\" direction=%u state=%u", __get_str(name),
		      __entry->direction, __entry->state)
);

/**
 * liveupdate_file - something was done with a file of a session
 * @session: name of the session, escaped likewise
 * @token:   of the file
 * @phase:   of enum liveupdate_phase: PREPARE when it was preserved, CANCEL when
 *           it was given back, RETRIEVE, FINISH
 * @err:     the result
 */
TRACE_EVENT(liveupdate_file,
	    TP_PROTO(const char *session, u64 token, unsigned int phase, int err),
	    TP_ARGS(session, token, phase, err),
	    TP_STRUCT__entry(__string(session, session)
			     __field(u64, token)
			     __field(unsigned int, phase)
			     __field(int, err)),
	    TP_fast_assign(__assign_str(session);
			   __entry->token = token;
			   __entry->phase = phase;
			   __entry->err = err;),
	    TP_printk("session=\"%s\" token=%llu phase=%u err=%d",
		      __get_str(session), __entry->token, __entry->phase,
		      __entry->err)
);

#endif /* _TRACE_LIVEUPDATE_H */

#include <trace/define_trace.h>
