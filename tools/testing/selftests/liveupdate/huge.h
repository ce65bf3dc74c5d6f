/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memfds of huge pages, and the pool that their pages are of.
 */
#ifndef HUGE_H
#define HUGE_H

#include <stdint.h>

struct note;

struct pool {
	long nr, free, reserved, surplus;
};

/* Each is of pages of so many bytes */
struct pool pool_now(uint64_t size);
void pool_resize(uint64_t size, long nr);
void check_pool(int line, uint64_t size, const struct pool *before,
		const struct pool *change);

/* The pool is as before, but for so many pages: all, free, reserved, surplus */
#define CHECK_POOL(_size, _before, ...)					\
	check_pool(__LINE__, _size, _before, &(struct pool){ __VA_ARGS__ })

/* A page of a file; nothing is reserved for the mapping */
char *huge_map(int fd, uint64_t page_size, uint64_t index);

/* Pages of 2 MiB */
int huge_memfd(unsigned int flags, uint64_t size);
int huge_filled(unsigned int flags, uint64_t pages, uint64_t seed);

#endif /* HUGE_H */
