/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A handover received, by the code that the kernel has for it. Whatever it holds,
 * the program ends when the code breaks a promise that it makes.
 */
#ifndef _LIVEUPDATE_TEST_RECEIVE_H
#define _LIVEUPDATE_TEST_RECEIVE_H

/**
 * struct received - what was in a handover
 * @err:         of the root
 * @root:        likewise
 * @subsystems:  items that could be read
 * @flbs:        likewise
 * @sessions:    that could be read, with all files that they have
 * @files:       of these, that could be read, memfds with all their extents
 * @pages:       of memfds
 * @quarantined: sessions and files that could not, or 1 for all sessions
 */
struct received {
	int err;
	struct luo_root root;
	u64 subsystems;
	u64 flbs;
	u64 sessions;
	u64 files;
	u64 pages;
	u64 quarantined;
};

void receive(const void *fdt, size_t size, struct received *got);

#endif /* _LIVEUPDATE_TEST_RECEIVE_H */
