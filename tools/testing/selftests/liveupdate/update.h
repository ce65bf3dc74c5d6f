/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tests that live through live updates.
 *
 * A test has one function per kernel. Each runs in a process of its own,
 * which stays, with all that it has open, until the next kernel is there; what
 * it must remember goes into its note. The tests of one set go through the
 * same kernels together, because a kernel takes its time to boot.
 */
#ifndef UPDATE_H
#define UPDATE_H

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/luo_lib.h"

#define UPDATE_STAGES	32

/* What a test knows of its earlier stages */
struct note {
	const char *test;
	unsigned int stage;
	char failure[256];
	char skip[128];
	uint64_t value[32];
	/* Printed with the result */
	char text[512];
};

struct update_test {
	const char *name;
	const char *set;
	/* One function for each kernel */
	void (*stage[UPDATE_STAGES])(struct note *note);
	/* In each kernel, after the next one has been loaded */
	void (*late[UPDATE_STAGES])(struct note *note);
	/* In the test's first kernel, when the handover is complete */
	void (*frozen)(struct note *note);
	/* For tests that share their functions */
	const void *data;
	unsigned int timeout;
};

/* The linker knows where the section with all tests starts and ends */
extern const struct update_test *const __start_update_tests[];
extern const struct update_test *const __stop_update_tests[];

/* UPDATE_TEST(set, name, .stage = { ... }) */
#define UPDATE_TEST(_set, _name, ...)					\
	static const struct update_test update_test_##_name = {		\
		.name = #_name, .set = #_set, __VA_ARGS__		\
	};								\
	static const struct update_test *const update_ptr_##_name	\
	__attribute__((used, no_reorder, section("update_tests"))) =	\
	&update_test_##_name

void __attribute__((noreturn, format(printf, 3, 4)))
test_fail(const char *file, int line, const char *format, ...);
void __attribute__((noreturn)) test_skip(const char *why);

#define CHECK(cond)							\
do {									\
	if (!(cond))							\
		test_fail(__FILE__, __LINE__, "not so: %s", #cond);	\
} while (0)

#define CHECK_EQ(want, have)						\
do {									\
	long long _want = (long long)(want);				\
	long long _have = (long long)(have);				\
									\
	if (_want != _have)						\
		test_fail(__FILE__, __LINE__, "%s is %lld, not %lld",	\
			  #have, _have, _want);				\
} while (0)

#define CHECK_BETWEEN(low, have, high)					\
do {									\
	long long _have = (long long)(have);				\
									\
	if (_have < (low) || _have > (high))				\
		test_fail(__FILE__, __LINE__,				\
			  "%s is %lld, not between %s and %s", #have,	\
			  _have, #low, #high);				\
} while (0)

/* Skip the test on a kernel that is built without these */
void need_memcg(void);
void need_swap(void);

/* The value of a call that returns a negative errno when it fails */
#define OK(call)							\
({									\
	long long _ret = (long long)(call);				\
									\
	if (_ret < 0)							\
		test_fail(__FILE__, __LINE__, "%s: %s", #call,		\
			  strerror(-_ret));				\
	_ret;								\
})

/* The value of a call that returns -1 and sets errno when it fails */
#define SYS(call)							\
({									\
	long long _ret = (long long)(call);				\
									\
	if (_ret == -1)							\
		test_fail(__FILE__, __LINE__, "%s: %s", #call,		\
			  strerror(errno));				\
	_ret;								\
})

/* The data of the test that runs */
const void *test_data(void);

/* Sessions are named after their test, so that no two tests meet */
const char *session_name(const struct note *note, const char *suffix);
int session_new(const struct note *note, const char *suffix);
int session_claim(const struct note *note, const char *suffix);

/* Nothing came from the previous kernel, and GET_INFO tells that something should have */
void check_handover_lost(void);

/* Of files in /sys and the like, which have one line */
void check_text(const char *path, const char *want);
long number_in(const char *path);

/* Bytes that the kernel never lets go: more where there are transparent huge pages */
uint64_t memory_kept(void);

/* How many lines of the kernel's log have it */
unsigned int times_logged(const char *what);

/* Of a page that is mapped */
uint64_t pfn_of(const void *address);

/* A kernel that is loaded with such a command line, and nobody jumps to */
int kernel_load_with(const char *words);
void kernel_unload(void);

/* A jump that has to fail, and a rehearsal before that says so, or without one */
int try_jump(void);
int jump_once(void);
/* The same with so much memory, in bytes of slab and in pages */
int try_jump_with(unsigned long space);
int try_jump_without(unsigned int nth, int *err);

/* How often the sets "refused" and "failing" had their jumps fail */
unsigned int jumps_refused(void);

/* In them, allocations before the @nth were all made to fail already */
void sweep_jump_from(unsigned int nth);

/* All of a file that must be the same after the update */
struct snapshot {
	uint64_t size, blocks, mode, uid, gid, seals, position, flags;
	uint64_t map, content;
	char link[128];
};

void snapshot_take(int fd, struct snapshot *snap);
void snapshot_compare(const struct snapshot *want, const struct snapshot *have);
static_assert(sizeof(struct snapshot) <
	      sizeof(((struct note *)0)->value), "a note holds a snapshot");

#endif /* UPDATE_H */
