// SPDX-License-Identifier: GPL-2.0-only
/*
 * races [-t SECONDS] [-s SEED]
 *
 * Goes through two live updates. In the first two kernels, threads do all that
 * can be done to sessions, against each other and against reboot(KEXEC), which a
 * mock refuses. Then they end, and all has to be as it was. They start again, and
 * while they are at work the mock lets a jump succeed: what crosses has to be whole.
 *
 * In the second kernel they have what came, too. The third one checks everything.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kselftest.h"
#include "races.h"

#define STAGES		3
#define KEPT_SESSIONS	12
#define KEPT_FILES	4
/* Free memory is never exactly the same */
#define FREE_NOISE_KIB	8192

static unsigned int seconds = 20, stage;
static uint64_t seed;
/* Shared with the processes that are started */
static atomic_bool *failed;

uint64_t luck_next(struct luck *luck)
{
	uint64_t x = luck->state += 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 31)) * 0xd6e8feb86659fd93ULL;
	x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ULL;
	return x ^ (x >> 32);
}

unsigned int luck_below(struct luck *luck, unsigned int limit)
{
	return luck_next(luck) % limit;
}

void race_fail(const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (!atomic_exchange(failed, true))
		ksft_print_msg("seed %lu, kernel %u: %s\n", seed, stage, text);
}

bool race_failed(void)
{
	return atomic_load(failed);
}

/* ---- Files that their token describes ---- */

static void mock_name(char name[32], uint64_t token)
{
	snprintf(name, 32, "m%lx", token);
}

static size_t memfd_size(uint64_t token)
{
	return (token >> 8) % (96 * KIB) + 1;
}

static bool is_mock(uint64_t token)
{
	return token % 4 == 0;
}

int file_new(uint64_t token)
{
	char name[32];

	if (!is_mock(token))
		return memfd_filled("race", 0, memfd_size(token), token);
	mock_name(name, token);
	return mock_file(name);
}

int file_check(int fd, const char *compatible, uint64_t token)
{
	struct stat st;
	char name[32];

	if (is_mock(token) != !strcmp(compatible, "mock-file-v1"))
		return -EMEDIUMTYPE;
	mock_name(name, token);
	if (is_mock(token))
		return mock_file_is(fd, name);
	if (fstat(fd, &st) || st.st_size != memfd_size(token))
		return -EFBIG;
	return content_check(fd, 0, st.st_size, token);
}

/* All files of a session that came */
int session_check(int session)
{
	struct liveupdate_session_next_file next = { .size = sizeof(next) };
	int err, fd;

	while (!(err = luo_ioctl(session, LIVEUPDATE_SESSION_NEXT_FILE, &next))) {
		fd = luo_restore(session, next.token);
		if (fd < 0)
			return fd;
		err = file_check(fd, (char *)next.compatible, next.token);
		close(fd);
		if (err)
			return err;
	}
	return err == -ENOENT ? 0 : err;
}

/* ---- What has to be there in the last kernel ---- */

static uint64_t kept_token(unsigned int s, unsigned int f)
{
	struct luck luck = { seed + 1000 * s + f };

	return luck_next(&luck);
}

static int keep(int dev, unsigned int s)
{
	char name[32];
	int session, fd, err = 0;

	snprintf(name, sizeof(name), KEPT "%u", s);
	session = luo_create(dev, name);
	for (unsigned int f = 0; f < KEPT_FILES && !err; f++) {
		fd = file_new(kept_token(s, f));
		err = luo_preserve(session, fd, kept_token(s, f));
		close(fd);
	}
	return err;
}

static int check_kept(int dev, unsigned int s)
{
	char name[32];
	int session, fd, err;

	snprintf(name, sizeof(name), KEPT "%u", s);
	session = luo_retrieve(dev, name);
	if (session < 0)
		return session;
	err = session_check(session);
	for (unsigned int f = 0; f < KEPT_FILES && !err; f++) {
		fd = luo_restore(session, kept_token(s, f));
		err = fd < 0 ? fd : 0;
		close(fd);
	}
	close(session);
	return err;
}

static void keep_all(int dev)
{
	for (unsigned int s = 0; s < KEPT_SESSIONS; s++)
		if (keep(dev, s))
			race_fail("session %u cannot be kept", s);
}

static void check_all_kept(int dev)
{
	for (unsigned int s = 0; s < KEPT_SESSIONS; s++) {
		int err = check_kept(dev, s);

		if (err)
			race_fail("kept session %u: %s", s, strerror(-err));
	}
}

/* ---- How things are when nobody does anything ---- */

static struct census take_census(int dev)
{
	struct census census;

	/* Descriptors on their way, and objects that are freed later */
	usleep(500 * 1000);
	if (census_take(dev, &census))
		race_fail("GET_INFO");
	return census;
}

/* Sessions that came can be finished by now */
static void check_census(struct census before, const struct census *now)
{
	const char *what;

	before.info.incoming_sessions = now->info.incoming_sessions;
	before.info.incoming_files = now->info.incoming_files;
	what = census_differs(&before, now);
	if (what)
		race_fail("not as before: %s", what);
}

/* What came is in files by now, where it is not finished: only a leak takes more */
static void check_memory(long before)
{
	long taken = before - memory_free_kib();

	ksft_print_msg("%ld KiB less are free\n", taken);
	if (taken > FREE_NOISE_KIB)
		race_fail("%ld KiB are missing", taken);
}

/* ---- Stages ---- */

/* Two results for each race, so that the next does not hide what came before */
static void report(const char *what)
{
	ksft_test_result(!race_failed(), "kernel_%u_%s\n", stage, what);
	atomic_store(failed, false);
}

static void race_and_stop(int dev)
{
	struct census before = take_census(dev), now;
	long free = memory_free_kib();

	races_start(dev, seed + stage);
	for (unsigned int i = 0; i < seconds && !race_failed(); i++)
		sleep(1);
	races_stop();
	races_report();
	if (!races_refused())
		race_fail("no jump was refused");
	report("races");

	now = take_census(dev);
	check_census(before, &now);
	check_memory(free);
	report("all_is_as_before");
}

static int load_kernel(const char *program)
{
	char command[256];

	snprintf(command, sizeof(command),
		 "load-kernel %s -t %u -s %lu -k %u >/dev/null", program, seconds,
		 seed, stage + 1);
	return system(command);
}

/* The threads go on with what they do until the kernel is gone */
static void race_and_jump(int dev)
{
	races_start(dev, seed + stage + 50);
	sleep(1);
	if (race_failed())
		return;
	races_leave();
	if (mock_steer("clear"))
		race_fail("the mock cannot be told");
	sleep(60);
	race_fail("the jump did not take place");
}

/* Whoever has a session that came keeps the update from being finished */
static int hold_one(int dev)
{
	return stage ? luo_retrieve(dev, "kept held") : luo_create(dev, "kept held");
}

static void run(const char *program, int dev)
{
	ksft_print_header();
	ksft_set_plan(2);
	ksft_print_msg("seed %lu\n", seed);
	if (mock_load("mock-a freeze fail 130"))
		ksft_exit_fail_msg("no mocks\n");
	if (load_kernel(program))
		ksft_exit_fail_msg("load-kernel failed\n");
	if (hold_one(dev) < 0)
		ksft_exit_fail_msg("no session to hold\n");
	if (stage)
		check_all_kept(dev);
	race_and_stop(dev);
	if (ksft_get_fail_cnt())
		ksft_finished();
	if (!stage)
		keep_all(dev);
	fflush(stdout);
	race_and_jump(dev);
	ksft_exit_fail();
}

static void finish_all(int dev)
{
	struct liveupdate_ioctl_next_session next = {
		.size = sizeof(next),
		.direction = LIVEUPDATE_INCOMING,
	};
	unsigned int sessions = 0;
	int session, err;

	while (!luo_ioctl(dev, LIVEUPDATE_IOCTL_NEXT_SESSION, &next)) {
		session = luo_retrieve(dev, (char *)next.name);
		err = session < 0 ? session : session_check(session);
		if (err)
			race_fail("\"%s\": %s", next.name, strerror(-err));
		if (luo_finish(session))
			race_fail("\"%s\" cannot be finished", next.name);
		close(session);
		sessions++;
	}
	ksft_print_msg("%u sessions crossed\n", sessions);
}

static void check_end(int dev)
{
	struct liveupdate_ioctl_get_info info;

	if (luo_info(dev, &info) || info.state != LIVEUPDATE_STATE_NORMAL ||
	    info.incoming_sessions || info.incoming_files || info.quarantined)
		race_fail("%llu sessions, %llu files are left in state %u",
			  info.incoming_sessions, info.incoming_files,
			  info.state);
	if (mock_get("mock-x-incoming") != -ENODATA ||
	    mock_get("mock-y-incoming") != -ENODATA)
		race_fail("an FLB is not finished");
	if (mock_unload())
		race_fail("somebody still has the mocks");
}

static void check_last(int dev)
{
	ksft_print_header();
	ksft_set_plan(3);
	if (mock_load(""))
		ksft_exit_fail_msg("no mocks\n");
	check_all_kept(dev);
	report("kept_is_whole");
	finish_all(dev);
	report("all_is_whole");
	check_end(dev);
	report("nothing_is_left");
	ksft_finished();
}

static void parse(int argc, char **argv)
{
	int option;

	if (getrandom(&seed, sizeof(seed), 0) < 0)
		ksft_exit_fail_msg("no seed\n");
	seed %= 1000000;
	while ((option = getopt(argc, argv, "t:s:k:")) != -1) {
		if (option == 't')
			seconds = strtoul(optarg, NULL, 10);
		else if (option == 's')
			seed = strtoul(optarg, NULL, 10);
		else if (option == 'k')
			stage = strtoul(optarg, NULL, 10);
		else
			ksft_exit_fail_msg("usage: races [-t SECONDS] [-s SEED]\n");
	}
}

int main(int argc, char **argv)
{
	int dev;

	setvbuf(stdout, NULL, _IOLBF, 0);
	failed = mmap(NULL, sizeof(*failed), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	parse(argc, argv);
	dev = setup_system() ? -1 : luo_open();
	if (dev < 0)
		ksft_exit_fail_msg("this system cannot run the tests\n");
	fd_limit(65536);
	if (stage + 1 < STAGES)
		run(argv[0], dev);
	check_last(dev);
}
