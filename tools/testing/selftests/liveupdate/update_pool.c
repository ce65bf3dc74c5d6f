// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pools of huge pages that the command line asks for, with the same words in each kernel:
 * what is preserved counts towards the next one's, so that no memory is taken twice.
 *
 * The sets: "pool", "pool_nodes" with a number for each node, "pool_hostile", where the
 * numbers that the previous kernel told are damaged, and "pool_list", where struct pages
 * are optimized while others use the lists of huge pages.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "huge.h"
#include "lib/handover.h"
#include "update.h"

#define HUGE		(2 * MIB)
#define HUGE_ORDER	9
#define ASKED		"/proc/sys/vm/nr_hugepages"

static void preserve_pages(struct note *note, const char *suffix, uint64_t pages)
{
	int fd = huge_filled(0, pages, pages);

	OK(luo_preserve(session_new(note, suffix), fd, 1));
	close(fd);
}

static int restore_pages(int session, uint64_t pages)
{
	int fd = OK(luo_restore(session, 1));

	OK(content_check(fd, 0, pages * HUGE, pages));
	return fd;
}

/* ---- Set "pool" ---- */

#define USED	40
#define UNUSED	20
#define ON_TOP	12
#define LAST	8
#define ALL	(USED + UNUSED + ON_TOP + LAST)

static void pool_before(struct note *note)
{
	struct pool pool = pool_now(HUGE);

	CHECK_EQ(number_in(ASKED), pool.nr);
	note->value[0] = pool.nr;
	preserve_pages(note, "used", USED);
	preserve_pages(note, "unused", UNUSED);
	preserve_pages(note, "top", ON_TOP);
	preserve_pages(note, "last", LAST);
}

/* Retrieved pages are those of the pool that are not there, and stay in it */
static void check_used(struct note *note)
{
	int session = session_claim(note, "used"), fd;
	struct pool before = pool_now(HUGE);

	fd = restore_pages(session, USED);
	CHECK_POOL(HUGE, &before, USED, 0, 0, 0);
	OK(luo_finish(session));
	close(session);
	close(fd);
	CHECK_POOL(HUGE, &before, USED, USED, 0, 0);
}

/* So are pages that nobody asks for */
static void check_unused(struct note *note)
{
	int session = session_claim(note, "unused");
	struct pool before = pool_now(HUGE);

	OK(luo_finish(session));
	CHECK_POOL(HUGE, &before, UNUSED, UNUSED, 0, 0);
}

/* The administrator asks for a pool of so many pages at once, and has it already */
static void check_on_top(struct note *note)
{
	int session = session_claim(note, "top"), fd;
	struct pool before = pool_now(HUGE);

	pool_resize(HUGE, before.nr);
	CHECK_EQ(before.nr, number_in(ASKED));
	CHECK_POOL(HUGE, &before, 0, 0, 0, 0);
	fd = restore_pages(session, ON_TOP);
	CHECK_POOL(HUGE, &before, ON_TOP, 0, 0, ON_TOP);
	OK(luo_finish(session));
	close(fd);
	CHECK_POOL(HUGE, &before, 0, 0, 0, 0);
}

static void pool_after(struct note *note)
{
	struct pool pool = pool_now(HUGE);

	CHECK_EQ(note->value[0] - ALL, pool.nr);
	CHECK_EQ(pool.nr, pool.free);
	CHECK_EQ(0, pool.surplus);
	CHECK_EQ(note->value[0], number_in(ASKED));

	/* As sysctl.conf may, with what the command line has asked for */
	pool_resize(HUGE, note->value[0]);
	CHECK_POOL(HUGE, &pool, 0, 0, 0, 0);
	CHECK_EQ(note->value[0], number_in(ASKED));

	check_used(note);
	check_unused(note);
	check_on_top(note);
}

/* What was carried counts as well, and what was freed does not */
static void pool_last(struct note *note)
{
	int session = session_claim(note, "last"), fd;
	struct pool before = pool_now(HUGE);

	CHECK_EQ(note->value[0] - LAST, before.nr);
	CHECK_EQ(note->value[0], number_in(ASKED));
	fd = restore_pages(session, LAST);
	CHECK_POOL(HUGE, &before, LAST, 0, 0, 0);
	OK(luo_finish(session));
	close(fd);
	CHECK_POOL(HUGE, &before, LAST, LAST, 0, 0);
}

UPDATE_TEST(pool, pool_is_taken_once, .timeout = 120,
	    .stage = { pool_before, pool_after, pool_last });

/* ---- Set "pool_nodes" ---- */

#define BIND	2

static long node_pages(unsigned int node)
{
	char path[128];

	snprintf(path, sizeof(path),
		 "/sys/devices/system/node/node%u/hugepages/hugepages-2048kB/nr_hugepages",
		 node);
	return number_in(path);
}

/* From one node only */
static void nodes_before(struct note *note)
{
	unsigned long mask = 1UL << 1;

	for (unsigned int node = 0; node < 2; node++)
		note->value[node] = node_pages(node);
	SYS(syscall(SYS_set_mempolicy, BIND, &mask, 8 * sizeof(mask)));
	preserve_pages(note, "", LAST);
}

static void nodes_after(struct note *note)
{
	int session = session_claim(note, ""), fd;

	CHECK_EQ(note->value[0], node_pages(0));
	CHECK_EQ(note->value[1] - LAST, node_pages(1));
	fd = restore_pages(session, LAST);
	OK(luo_finish(session));
	close(fd);
	CHECK_EQ(note->value[0], node_pages(0));
	CHECK_EQ(note->value[1], node_pages(1));
}

UPDATE_TEST(pool_nodes, pool_is_taken_once_per_node,
	    .stage = { nodes_before, nodes_after });

/* ---- Set "pool_hostile" ---- */

static void hostile_before(struct note *note)
{
	note->value[0] = pool_now(HUGE).nr;
	preserve_pages(note, "", LAST);
}

/* More pages than any machine has, in sum and each */
static void hostile_frozen(struct note *note)
{
	struct pool_ser ser;
	uint64_t phys;

	OK(kho_find_subtree("hugetlb-pool", &phys));
	OK(memory_read(phys, &ser, sizeof(ser)));
	CHECK_EQ(1, ser.version);
	ser.entries[0] = (struct pool_entry_ser){ HUGE_ORDER, 0, ~0ULL };
	ser.entries[1] = (struct pool_entry_ser){ HUGE_ORDER, 7, 1ULL << 63 };
	ser.entries[2] = (struct pool_entry_ser){ HUGE_ORDER, ~0U, ~0ULL };
	ser.entries[3] = (struct pool_entry_ser){ ~0U, 0, ~0ULL };
	ser.entries[4] = (struct pool_entry_ser){ 0, 0, ~0ULL };
	ser.nr = 5;
	ser.crc = crc32c(0, ser.entries, 5 * sizeof(ser.entries[0]));
	OK(memory_write(phys, &ser, sizeof(ser)));
}

/* The pool lacks what is preserved, which is no more than there is */
static void hostile_after(struct note *note)
{
	int session = session_claim(note, ""), fd;
	struct pool before = pool_now(HUGE);

	CHECK_EQ(note->value[0] - LAST, before.nr);
	fd = restore_pages(session, LAST);
	OK(luo_finish(session));
	close(fd);
	CHECK_POOL(HUGE, &before, LAST, LAST, 0, 0);
}

UPDATE_TEST(pool_hostile, pool_numbers_are_bounded, .frozen = hostile_frozen,
	    .stage = { hostile_before, hostile_after });

/* ---- Set "pool_list" ---- */

#define FILES	200

static const char *const halves[] = { "one", "two" };

/* A page that begins with something */
static int list_file(unsigned int i)
{
	int fd = huge_memfd(0, HUGE);
	char *map = huge_map(fd, HUGE, 0);

	content_generate(map, 0, KIB, i);
	munmap(map, HUGE);
	return fd;
}

static void list_before(struct note *note)
{
	for (unsigned int half = 0; half < ARRAY_SIZE(halves); half++) {
		int session = session_new(note, halves[half]);

		for (unsigned int i = 0; i < FILES; i++) {
			int fd = list_file(i);

			OK(luo_preserve(session, fd, i));
			close(fd);
		}
	}
}

/* All at once, and then all go, in another order than they came */
static pid_t list_restore(int session)
{
	static int fds[FILES];
	pid_t pid = SYS(fork());

	if (pid)
		return pid;
	OK(fd_limit(FILES + 100));
	for (unsigned int i = 0; i < FILES; i++)
		fds[i] = OK(luo_restore(session, i));
	for (unsigned int i = 0; i < FILES; i++)
		OK(content_check(fds[i], 0, KIB, i));
	for (unsigned int i = 0; i < FILES; i++)
		close(fds[i * 77 % FILES]);
	_exit(0);
}

static pid_t list_use(void)
{
	pid_t pid = SYS(fork());

	if (pid)
		return pid;
	for (;;)
		close(list_file(1));
}

static void list_after(struct note *note)
{
	struct pool before = pool_now(HUGE);
	pid_t restore[ARRAY_SIZE(halves)], use;
	int session[ARRAY_SIZE(halves)], status;

	if (number_in("/proc/sys/vm/hugetlb_optimize_vmemmap") != 1)
		test_skip("hugetlb_free_vmemmap is off");
	for (unsigned int half = 0; half < ARRAY_SIZE(halves); half++)
		session[half] = session_claim(note, halves[half]);
	use = list_use();
	for (unsigned int half = 0; half < ARRAY_SIZE(halves); half++)
		restore[half] = list_restore(session[half]);
	for (unsigned int half = 0; half < ARRAY_SIZE(halves); half++) {
		SYS(waitpid(restore[half], &status, 0));
		CHECK(WIFEXITED(status) && !WEXITSTATUS(status));
		OK(luo_finish(session[half]));
	}
	SYS(kill(use, SIGKILL));
	SYS(waitpid(use, &status, 0));
	CHECK_EQ(0, times_logged("list_add corruption"));
	CHECK_EQ(0, times_logged("list_del corruption"));
	CHECK_POOL(HUGE, &before, 2 * FILES, 2 * FILES, 0, 0);
}

UPDATE_TEST(pool_list, pool_lists_stay_whole, .timeout = 180,
	    .stage = { list_before, list_after });
