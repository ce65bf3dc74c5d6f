/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A few pages of physical memory. What code must not touch is poisoned: pages
 * that nobody preserved or that were given back, and what lies around a page.
 * Addresses without memory lead nowhere. So AddressSanitizer ends the program
 * when an address is trusted that the previous kernel made up.
 */
#ifndef _LIVEUPDATE_TEST_MEMORY_H
#define _LIVEUPDATE_TEST_MEMORY_H

#include <stdlib.h>

#define MEMORY_PAGES	16
/* Where memory begins, and physical address of a page */
#define MEMORY_BASE	0x100000ULL
#define MEMORY_PHYS(_page)	(MEMORY_BASE + (u64)(_page) * PAGE_SIZE)
/* Pages that there are for the kernel, which does not know of the hole before */
#define MEMORY_MAX_PFN	((MEMORY_BASE >> PAGE_SHIFT) + MEMORY_PAGES)

enum memory_state {
	MEMORY_UNUSED,
	MEMORY_PRESERVED,
	/* the tests' own state; a kernel gives it to a page by taking it */
	MEMORY_TAKEN,
};

/* Ends the program, and lets a fuzzer keep the input */
#define must(_condition)						\
	do {								\
		if (!(_condition)) {					\
			fprintf(stderr, "%s:%d: %s() needs: %s\n",	\
				__FILE__, __LINE__, __func__, #_condition); \
			abort();					\
		}							\
	} while (0)

void memory_reset(bool checksums);
void *memory_preserve(unsigned int page, unsigned int order);
bool memory_is_preserved(unsigned int page);
void memory_lose(unsigned int page);
void memory_set_node(unsigned int page, int node);
int memory_node(unsigned int page);
const void *memory_look(unsigned int page);
unsigned int memory_order(unsigned int page);
unsigned int memory_taken(void);
unsigned long memory_asked(void);

#endif /* _LIVEUPDATE_TEST_MEMORY_H */
