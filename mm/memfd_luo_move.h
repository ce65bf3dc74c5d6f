/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Live update of memfds: bringing pages to where they can stay, small ones and, for a
 * part, huge ones
 */
#ifndef _MM_MEMFD_LUO_MOVE_H
#define _MM_MEMFD_LUO_MOVE_H

#include <linux/types.h>

struct file;
struct folio;
struct liveupdate_waited;

/**
 * struct memfd_luo_patience - with those who use pages that have to move
 * @until:  when they have had their time, in jiffies, or 0 while none was met
 * @in_all: it is for all pages together, as the jump waits
 * @spent:  jiffies that were waited for them in all
 * @waited: the same of all files in a transition, or NULL
 */
struct memfd_luo_patience {
	unsigned long until;
	bool in_all;
	unsigned int spent;
	struct liveupdate_waited *waited;
};

/* Those of a page have let go: others get time of their own */
static inline void memfd_luo_renew_patience(struct memfd_luo_patience *patience)
{
	if (!patience->in_all)
		patience->until = 0;
}

int memfd_luo_make_room(unsigned long nr);
int memfd_luo_await_use(struct memfd_luo_patience *patience);
bool memfd_luo_can_stay(const struct folio *folio, unsigned long *block);
int memfd_luo_settle(struct file *file, pgoff_t start, pgoff_t limit,
		     struct memfd_luo_patience *patience);

#endif /* _MM_MEMFD_LUO_MOVE_H */
