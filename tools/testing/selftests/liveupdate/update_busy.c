// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that have to move to be preserved, as they lie in scratch memory, and cannot.
 *
 * The sets: "busy" where somebody uses them for a while, "room" where there is not as
 * much other memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "area.h"
#include "update.h"

#define PAGE		4096UL
#define SEED		13

/* ---- A page in scratch memory ---- */

/* Of the file, at most, and what each of them costs the machine until it is found */
#define PAGES		1024UL
#define STEP		(4 * MIB)

static char *map_page(int fd, unsigned long page)
{
	char *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, page * PAGE);

	CHECK(map != MAP_FAILED);
	SYS(madvise(map, PAGE, MADV_POPULATE_READ));
	return map;
}

static bool page_in_scratch(int fd, unsigned long page)
{
	char *map = map_page(fd, page);
	struct area area = { pfn_of(map) * PAGE, PAGE };

	munmap(map, PAGE);
	return area_in_scratch(&area);
}

/*
 * Fills the file page by page until one lands there, as another file, which is
 * announced, takes all other memory. Returns which one, and gives that memory back.
 */
static unsigned long fill_to_scratch(const struct note *note, int fd)
{
	int session = session_new(note, "other");
	int other = SYS(memfd_create("other", 0));
	unsigned long page = 0;

	OK(luo_announce(session, other, 1));
	for (;; page++) {
		CHECK(page < PAGES);
		OK(words_fill(fd, page * PAGE, PAGE, SEED));
		if (page_in_scratch(fd, page))
			break;
		SYS(fallocate(other, 0, page * STEP, STEP));
	}
	close(session);
	close(other);
	return page;
}

/* ---- Somebody uses it ---- */

static void hold(int fd, unsigned long page, const int *ends)
{
	struct iovec iov = { map_page(fd, page), PAGE };

	CHECK_EQ(PAGE, SYS(vmsplice(ends[1], &iov, 1, 0)));
	munmap(iov.iov_base, PAGE);
}

static void let_go(const int *ends)
{
	char page[PAGE];

	CHECK_EQ(PAGE, SYS(read(ends[0], page, PAGE)));
}

static void *let_go_later(void *ends)
{
	usleep(300000);
	let_go(ends);
	return NULL;
}

static void check_took_a_second(uint64_t start)
{
	CHECK_BETWEEN(900, now_ms() - start, 20000UL * slower());
}

static void check_file(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 1));

	OK(words_check(fd, 0, (note->value[0] + 1) * PAGE, SEED, NULL));
	OK(luo_finish(session));
}

static void preserve_busy(struct note *note)
{
	int session = session_new(note, ""), fd = SYS(memfd_create("busy", 0));
	unsigned long page;
	pthread_t thread;
	uint64_t start;
	int ends[2];

	SYS(ftruncate(fd, PAGES * PAGE));
	page = fill_to_scratch(note, fd);
	note->value[0] = page;
	SYS(pipe(ends));
	hold(fd, page, ends);

	start = now_ms();
	CHECK_EQ(-EBUSY, luo_preserve(session, fd, 1));
	check_took_a_second(start);
	CHECK(luo_has_files(session, 0));
	OK(words_check(fd, 0, (page + 1) * PAGE, SEED, NULL));

	/* Who uses it for less is waited for */
	CHECK_EQ(0, pthread_create(&thread, NULL, let_go_later, ends));
	OK(luo_preserve(session, fd, 1));
	CHECK_EQ(0, pthread_join(thread, NULL));
	CHECK(!page_in_scratch(fd, page));
}

UPDATE_TEST(busy, busy_when_preserved, .stage = { preserve_busy, check_file });

static int late_ends[2];

/* The page comes after its file was preserved */
static void preserve_late(struct note *note)
{
	int session = session_new(note, ""), fd = SYS(memfd_create("late", 0));

	SYS(ftruncate(fd, PAGES * PAGE));
	OK(luo_preserve(session, fd, 1));
	note->value[0] = fill_to_scratch(note, fd);
	SYS(pipe(late_ends));
	hold(fd, note->value[0], late_ends);
}

static void jump_late(struct note *note)
{
	uint64_t start = now_ms();

	CHECK_EQ(-EBUSY, try_jump());
	check_took_a_second(start);
	check_text(LUO_SYSFS "last_failure",
		   "16 freeze file 1 of session busy_at_the_jump");
	let_go(late_ends);
}

UPDATE_TEST(busy, busy_at_the_jump, .stage = { preserve_late, check_file },
	    .late = { jump_late });

/* ---- There is not as much other memory ---- */

/* What the machine keeps free in all, and what is preserved in the end */
#define FREE		(128 * MIB)
#define SMALL		(64 * MIB)

/* Not every kernel counts it, but each tells it */
static unsigned int times_killed(void)
{
	return times_logged("Out of memory: Killed process");
}

/* Of the last 16 MiB, of which a page here and there is looked at */
static bool any_in_scratch(int fd, unsigned long pages)
{
	for (unsigned long i = 1; i < 4096; i += 31)
		if (page_in_scratch(fd, pages - i))
			return true;
	return false;
}

/* Whom the kernel would kill first */
static pid_t bystander(void)
{
	pid_t pid = SYS(fork());

	if (pid)
		return pid;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) ||
	    text_write("/proc/self/oom_score_adj", "1000"))
		_exit(1);
	for (;;)
		pause();
}

static void preserve_too_much(struct note *note)
{
	int session = session_new(note, ""), fd = SYS(memfd_create("much", 0));
	unsigned long free, present;
	long killed = times_killed();
	pid_t pid = bystander();
	uint64_t size = 0;
	int status;

	for (; meminfo_kib("MemFree") * KIB > FREE; size += MIB) {
		SYS(ftruncate(fd, size + MIB));
		OK(words_fill(fd, size, MIB, SEED));
	}
	CHECK(any_in_scratch(fd, size / PAGE));
	CHECK_EQ(killed, times_killed());

	CHECK_EQ(-ENOMEM, luo_preserve(session, fd, 1));
	CHECK_EQ(killed, times_killed());
	CHECK_EQ(0, SYS(waitpid(pid, &status, WNOHANG)));
	CHECK(luo_has_files(session, 0));
	/* The kernel itself has some left to live on */
	OK(memory_pinnable(&free, &present));
	CHECK_BETWEEN((long)present / 128, (long)free, LONG_MAX);
	OK(words_check(fd, 0, size, SEED, NULL));

	SYS(ftruncate(fd, SMALL));
	OK(luo_preserve(session, fd, 1));
	CHECK_EQ(killed, times_killed());
	kill(pid, SIGKILL);
	SYS(waitpid(pid, &status, 0));
	note->value[0] = SMALL / PAGE - 1;
	snprintf(note->text, sizeof(note->text), "%lu MiB were too much",
		 (unsigned long)(size / MIB));
}

UPDATE_TEST(room, room_is_left, .stage = { preserve_too_much, check_file },
	    .timeout = 300);
