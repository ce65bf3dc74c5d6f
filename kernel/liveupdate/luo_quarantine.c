// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: what came damaged
 *
 * Memory that belongs to it stays reserved, and is neither read nor freed. What it
 * was and what is wrong with it is logged, and kept for user space to see.
 */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/cleanup.h>
#include <linux/ctype.h>
#include <linux/panic.h>
#include <linux/sprintf.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "luo_internal.h"

/**
 * luo_make_one_line - keep a text from looking like several lines
 * @text: with names that users, or the previous kernel, chose
 */
void luo_make_one_line(char *text)
{
	for (; *text; text++) {
		if (iscntrl(*text))
			*text = '?';
	}
}

static void keep(struct luo_quarantine *quarantine, const char *what, int err)
{
	struct luo_damage *damage;

	guard(spinlock)(&quarantine->lock);
	damage = &quarantine->damages[quarantine->count % LUO_DAMAGES_KEPT];
	damage->err = err;
	strscpy(damage->what, what);
	WRITE_ONCE(quarantine->count, quarantine->count + 1);
}

/**
 * luo_quarantine_add - put something of the handover into quarantine
 * @luo: the orchestrator
 * @err: what is wrong with it, a negative errno
 * @fmt: what it is, as for printf()
 *
 * Panics instead if the kernel was booted with liveupdate_on_error=panic.
 *
 * Context: Any task context.
 */
void luo_quarantine_add(struct luo *luo, int err, const char *fmt, ...)
{
	char what[LIVEUPDATE_PARTICIPANT_LENGTH];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	luo_make_one_line(what);

	if (luo->quarantine.panic)
		panic("liveupdate: %s is damaged: %pe", what, ERR_PTR(err));

	/* The number of all, and the last ones, are in sysfs */
	pr_err_ratelimited("%s is quarantined: %pe\n", what, ERR_PTR(err));
	keep(&luo->quarantine, what, err);
}

/**
 * luo_quarantine_last - tell what was put into quarantine last
 * @luo:  the orchestrator
 * @what: set to what it was, has room for %LIVEUPDATE_PARTICIPANT_LENGTH bytes
 *
 * Context: Any task context.
 * Return: what is wrong with it, a positive errno, or 0 when there is nothing.
 */
int luo_quarantine_last(struct luo *luo, char *what)
{
	struct luo_quarantine *quarantine = &luo->quarantine;
	const struct luo_damage none = {}, *last = &none;

	guard(spinlock)(&quarantine->lock);
	if (quarantine->count)
		last = &quarantine->damages[(quarantine->count - 1) %
					    LUO_DAMAGES_KEPT];
	strscpy_pad(what, last->what, LIVEUPDATE_PARTICIPANT_LENGTH);

	return -last->err;
}

/**
 * luo_quarantine_show - list what was put into quarantine last, in order
 * @luo: the orchestrator
 * @buf: of sysfs
 *
 * Context: Any task context.
 * Return: length of the text.
 */
int luo_quarantine_show(struct luo *luo, char *buf)
{
	struct luo_quarantine *quarantine = &luo->quarantine;
	const struct luo_damage *damage;
	u64 i = 0;
	int len = 0;

	guard(spinlock)(&quarantine->lock);
	if (quarantine->count > LUO_DAMAGES_KEPT)
		i = quarantine->count - LUO_DAMAGES_KEPT;
	for (; i < quarantine->count; i++) {
		damage = &quarantine->damages[i % LUO_DAMAGES_KEPT];
		len += sysfs_emit_at(buf, len, "%d %s\n", -damage->err,
				     damage->what);
	}

	return len;
}
