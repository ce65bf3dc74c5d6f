// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: what rehearsals found
 */

#include <linux/cleanup.h>
#include <linux/sysfs.h>
#include <trace/events/liveupdate.h>

#include "luo_internal.h"

static const char * const image_names[] = {
	[LIVEUPDATE_IMAGE_NONE]		= "none",
	[LIVEUPDATE_IMAGE_PLAIN]	= "plain",
	[LIVEUPDATE_IMAGE_HANDOVER]	= "handover",
	[LIVEUPDATE_IMAGE_RETURNS]	= "returns",
};

/**
 * luo_rehearsals_init - there was none
 * @rehearsals: zero
 */
void luo_rehearsals_init(struct luo_rehearsals *rehearsals)
{
	spin_lock_init(&rehearsals->failure.lock);
	spin_lock_init(&rehearsals->lock);
	rehearsals->failure.closed = true;
}

/**
 * luo_rehearsals_note - remember what a rehearsal found, and trace it
 * @rehearsals: of the orchestrator
 * @result:     what it found
 *
 * Context: Any task context.
 */
void luo_rehearsals_note(struct luo_rehearsals *rehearsals,
			 const struct liveupdate_ioctl_rehearse *result)
{
	u64 us = result->prepare_us + result->carry_us + result->freeze_us +
		 result->handover_us;

	trace_liveupdate_rehearsal(-(int)result->error, result->participant,
				   result->phase, us * NSEC_PER_USEC);
	guard(spinlock)(&rehearsals->lock);
	rehearsals->last = *result;
	rehearsals->done = true;
}

static int rehearsal_show_error(const struct liveupdate_ioctl_rehearse *last, char *buf)
{
	if (!last->error)
		return sysfs_emit(buf, "error 0\n");

	return sysfs_emit(buf, "error %u %s %s\n", last->error,
			  luo_phase_name(last->phase), last->participant);
}

/**
 * luo_rehearsals_show - write what the last rehearsal found
 * @rehearsals: of the orchestrator
 * @buf:        of a file of sysfs
 *
 * Context: Any task context.
 * Return: number of bytes.
 */
int luo_rehearsals_show(struct luo_rehearsals *rehearsals, char *buf)
{
	const struct liveupdate_ioctl_rehearse *last = &rehearsals->last;
	int len;

	guard(spinlock)(&rehearsals->lock);
	if (!rehearsals->done)
		return sysfs_emit(buf, "none\n");

	len = rehearsal_show_error(last, buf);
	len += sysfs_emit_at(buf, len, "image %s%s%s\n",
			     image_names[last->image],
			     last->release[0] ? " " : "", last->release);

	return len + sysfs_emit_at(buf, len,
				   "prepare %llu\ncarry %llu\nfreeze %llu\nhandover %llu\nundo %llu\nbytes %llu\n",
				   last->prepare_us, last->carry_us,
				   last->freeze_us, last->handover_us,
				   last->undo_us, last->bytes);
}
