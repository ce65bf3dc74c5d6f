/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Valid handovers, written by the code that the kernel has for it.
 */
#ifndef _LIVEUPDATE_TEST_HANDOVER_H
#define _LIVEUPDATE_TEST_HANDOVER_H

#include "luo_internal.h"

#define BLOCK_ROOM		(KHO_BLOCK_SIZE - sizeof(struct kho_block_header_ser))
#define FILES_A_BLOCK		(BLOCK_ROOM / sizeof(struct luo_file_ser))
#define SESSIONS_A_BLOCK	(BLOCK_ROOM / sizeof(struct luo_session_ser))
#define EXTENTS_A_BLOCK		(BLOCK_ROOM / sizeof(struct memfd_luo_extent))

/**
 * struct shape - what a handover is to have
 * @items:    subsystems, and as many FLBs
 * @sessions: number of sessions
 * @files:    of the first session; the others have one each, or none
 * @others:   sessions that have one
 * @extents:  of a memfd, which is the first file; each is of one page and has a
 *            hole behind it. No memfd if there are none
 * @near:     of these, so many are in the page of its head, at most
 */
struct shape {
	unsigned int items;
	unsigned int sessions;
	unsigned int files;
	unsigned int others;
	unsigned int extents;
	unsigned int near;
};

/**
 * struct handover - a handover; the pages that it refers to are in memory
 * @fdt:       its root, with nothing behind it
 * @size:      bytes of it
 * @pages:     that are used, from 0 on; those of the sessions' records are last,
 *             those of a memfd first: its content, its extents and its record
 * @records:   page of the first block of these
 */
struct handover {
	void *fdt;
	size_t size;
	unsigned int pages;
	unsigned int records;
};

void handover_make(struct handover *handover, const struct shape *shape);
void handover_free(struct handover *handover);

#endif /* _LIVEUPDATE_TEST_HANDOVER_H */
