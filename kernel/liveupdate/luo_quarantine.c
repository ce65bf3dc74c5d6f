// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: what came damaged
 *
 * Memory that belongs to it stays reserved, and is neither read nor freed. What it
 * was and what is wrong with it is logged, and kept for user space to see.
 */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/cleanup.h>
#include <linux/panic.h>
#include <linux/sprintf.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "luo_internal.h"

/**
 * luo_escape - make a text that shows as what it is
 * @to:   where to; it has its NUL when this returns
 * @size: bytes there, not 0
 * @text: with names that users, or the previous kernel, chose
 *
 * What is not printable ASCII, the backslash and the quotation mark become \xHH. So
 * a name can look neither like several lines nor like another name. What does not fit
 * is left out, and no escape is cut in two.
 *
 * Return: @to.
 */
const char *luo_escape(char *to, size_t size, const char *text)
{
	char *at = to, *end = to + size - 1;

	for (; *text; text++) {
		bool plain = *text >= ' ' && *text <= '~' && *text != '\\' &&
			     *text != '"';

		if (end - at < (plain ? 1 : LUO_ESCAPE_LENGTH))
			break;
		if (plain)
			*at++ = *text;
		else
			at += sprintf(at, "\\x%02x", (u8)*text);
	}
	*at = '\0';

	return to;
}

/* What nobody but the previous kernel can have made: damage, and names given twice */
static bool error_is_damage(int err)
{
	return err == -EUCLEAN || err == -EEXIST;
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
 * Panics instead if the kernel was booted with liveupdate_on_error=panic, and it is
 * damaged. What failed for another reason is no damage: it is logged, and no more.
 *
 * Context: Any task context.
 */
void luo_quarantine_add(struct luo *luo, int err, const char *fmt, ...)
{
	char text[LIVEUPDATE_PARTICIPANT_LENGTH];
	char what[LIVEUPDATE_PARTICIPANT_LENGTH];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	luo_escape(what, sizeof(what), text);

	if (!error_is_damage(err)) {
		pr_err_ratelimited("%s cannot be restored: %pe\n", what, ERR_PTR(err));
		return;
	}
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
