// SPDX-License-Identifier: GPL-2.0-only
/*
 * update [-t TESTS] SET [OPTION OF load-kernel...] [: OPTION...]...
 *
 * Runs the tests of SET, or those whose names match one of the patterns in
 * TESTS (also in the environment), through one kernel after another, and
 * reports in the last one.
 *
 * Between two kernels it calls load-kernel, which knows where the next image
 * is and sees to it that this program goes on there, with -s STAGE. What comes after a
 * colon is for the next jump, and so on.
 * Notes go from one kernel to the next in a file of the working directory,
 * which has to survive: had they to cross a live update themselves, nobody
 * could tell what went wrong when nothing crosses.
 */
#include <fcntl.h>
#include <fnmatch.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kselftest.h"
#include "lib/handover.h"
#include "update.h"

#define NOTES		"update.notes"
#define MAX_TESTS	160
#define TIMEOUT		60

/* What crosses: the notes of all tests of the set, and how the jump went */
static struct notes {
	unsigned int jumps_refused;
	unsigned int first_point;
	struct note note[MAX_TESTS];
} *notes;

static struct runner {
	const struct update_test *test;
	pid_t pid;
	int command, done;
} runners[MAX_TESTS];

static unsigned int nr_runners, stage, stages;
static const struct update_test *current_test;
static struct note *current_note;
static const char *only;

void test_fail(const char *file, int line, const char *format, ...)
{
	char text[200];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	snprintf(current_note->failure, sizeof(current_note->failure),
		 "stage %u, %s:%d: %s", stage, file, line, text);
	_exit(1);
}

void test_skip(const char *why)
{
	snprintf(current_note->skip, sizeof(current_note->skip), "%s", why);
	_exit(0);
}

void need_memcg(void)
{
	if (!memcg_exists())
		test_skip("no memory cgroups");
}

void need_swap(void)
{
	if (access("/proc/swaps", F_OK))
		test_skip("no swap");
}

const void *test_data(void)
{
	return current_test->data;
}

const char *session_name(const struct note *note, const char *suffix)
{
	static char name[LIVEUPDATE_SESSION_NAME_LENGTH];

	snprintf(name, sizeof(name), "%s%s%s", note->test, *suffix ? "/" : "",
		 suffix);
	return name;
}

int session_new(const struct note *note, const char *suffix)
{
	return OK(luo_session_new(session_name(note, suffix)));
}

int session_claim(const struct note *note, const char *suffix)
{
	return OK(luo_session_claim(session_name(note, suffix)));
}

void check_handover_lost(void)
{
	struct liveupdate_ioctl_get_info info;

	OK(luo_info_now(&info));
	CHECK_EQ(0, info.incoming_sessions);
	CHECK_EQ(1, info.quarantined);
}

void check_text(const char *path, const char *want)
{
	char have[256];

	OK(text_read(path, have, sizeof(have)));
	if (strcmp(want, have))
		test_fail(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", path,
			  have, want);
}

uint64_t pfn_of(const void *address)
{
	int fd = SYS(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
	long page = sysconf(_SC_PAGESIZE);
	uint64_t entry;

	CHECK_EQ(8, SYS(pread(fd, &entry, 8, (uintptr_t)address / page * 8)));
	close(fd);
	CHECK(entry >> 63);
	return entry & ((1ULL << 55) - 1);
}

long number_in(const char *path)
{
	char text[64];

	OK(text_read(path, text, sizeof(text)));
	return strtol(text, NULL, 10);
}

uint64_t memory_kept(void)
{
	return number_in("/proc/sys/vm/min_free_kbytes") * KIB;
}

/* In the log since the kernel started */
unsigned int times_logged(const char *what)
{
	int fd = SYS(open("/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK));
	unsigned int times = 0;
	char record[8192];
	ssize_t n;

	while ((n = read(fd, record, sizeof(record) - 1)) > 0 ||
	       (n < 0 && errno == EPIPE)) {
		record[n > 0 ? n : 0] = '\0';
		times += !!strstr(record, what);
	}
	close(fd);
	return times;
}

static bool chosen(const struct update_test *test, const char *set)
{
	char patterns[1024], *rest = patterns, *pattern;

	if (strcmp(test->set, set))
		return false;
	if (!only || !*only)
		return true;
	snprintf(patterns, sizeof(patterns), "%s", only);
	while ((pattern = strsep(&rest, " ")))
		if (*pattern && !fnmatch(pattern, test->name, 0))
			return true;
	return false;
}

static void collect(const char *set)
{
	const struct update_test *const *test;

	for (test = __start_update_tests; test < __stop_update_tests; test++) {
		if (!chosen(*test, set))
			continue;
		if (nr_runners == MAX_TESTS)
			ksft_exit_fail_msg("more than %d tests\n", MAX_TESTS);
		runners[nr_runners].test = *test;
		notes->note[nr_runners++].test = (*test)->name;
		for (unsigned int i = 0; i < UPDATE_STAGES; i++)
			if ((*test)->stage[i] && i + 1 > stages)
				stages = i + 1;
	}
	if (!nr_runners)
		ksft_exit_fail_msg("no such test\n");
}

/* A file of another run is no notes: the size tells */
static void load_notes(void)
{
	int fd = open(NOTES, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, notes, sizeof(*notes)) != sizeof(*notes))
		ksft_exit_fail_msg("the earlier stages left no notes\n");
	close(fd);
}

static void save_notes(void)
{
	int fd = open(NOTES, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, notes, sizeof(*notes)) != sizeof(*notes) ||
	    fsync(fd))
		ksft_exit_fail_msg("cannot write %s\n", NOTES);
	close(fd);
}

/* The life of a test in this kernel: its stage, then what it is told to do */
static void live(struct runner *runner, int command, int done, bool stay)
{
	char byte = 0;

	current_note->stage = stage;
	current_test = runner->test;
	if (runner->test->stage[stage])
		runner->test->stage[stage](current_note);
	while (write(done, &byte, 1) == 1 && stay &&
	       read(command, &byte, 1) == 1)
		runner->test->late[stage](current_note);
	if (stay)
		pause();
	_exit(0);
}

static void start(struct runner *runner, struct note *note, bool stay)
{
	int command[2], done[2];

	if (pipe2(command, O_CLOEXEC) || pipe2(done, O_CLOEXEC))
		ksft_exit_fail_msg("no pipe\n");
	current_note = note;
	fflush(stdout);
	runner->pid = fork();
	if (!runner->pid) {
		close(command[1]);
		close(done[0]);
		live(runner, command[0], done[1], stay);
	}
	close(command[0]);
	close(done[1]);
	runner->command = command[1];
	runner->done = done[0];
}

/* Until the test says that it is done, dies, or has had its time */
static void await(struct runner *runner, struct note *note)
{
	struct pollfd p = { .fd = runner->done, .events = POLLIN };
	unsigned int seconds = (runner->test->timeout ?: TIMEOUT) * slower();
	char byte;

	if (poll(&p, 1, seconds * 1000) <= 0) {
		snprintf(note->failure, sizeof(note->failure),
			 "stage %u: timed out after %u s", stage, seconds);
		kill(runner->pid, SIGKILL);
	} else if (read(runner->done, &byte, 1) != 1 && !*note->failure &&
		   !*note->skip) {
		snprintf(note->failure, sizeof(note->failure),
			 "stage %u: died", stage);
	}
}

static void run_stage(bool stay)
{
	for (unsigned int i = 0; i < nr_runners; i++) {
		struct note *note = &notes->note[i];

		if (*note->failure || *note->skip)
			continue;
		start(&runners[i], note, stay);
		await(&runners[i], note);
		if (!stay)
			waitpid(runners[i].pid, NULL, 0);
	}
}

static void run_late(void)
{
	for (unsigned int i = 0; i < nr_runners; i++) {
		struct note *note = &notes->note[i];

		if (!runners[i].test->late[stage] || *note->failure ||
		    *note->skip)
			continue;
		current_note = note;
		if (write(runners[i].command, "", 1) == 1)
			await(&runners[i], note);
	}
}

static int load_kernel(char *program, char *set, char **options)
{
	char number[16];
	char *argv[48];
	int argc = 0;

	snprintf(number, sizeof(number), "%u", stage + 1);
	argv[argc++] = "load-kernel";
	while (*options && strcmp(*options, ":") && argc < 24)
		argv[argc++] = *options++;
	argv[argc++] = program;
	argv[argc++] = "-s";
	argv[argc++] = number;
	if (only) {
		argv[argc++] = "-t";
		argv[argc++] = (char *)only;
	}
	argv[argc++] = set;
	/* The first colon goes */
	while (*options && *++options && argc < 47)
		argv[argc++] = *options;
	argv[argc] = NULL;
	return kexec_load(argv);
}

/* Should the next jump take place, the next kernel reads that the test has failed */
static void expect_refusal(void)
{
	snprintf(current_note->failure, sizeof(current_note->failure),
		 "stage %u: a jump took place that has to fail", stage);
	save_notes();
}

int jump_once(void)
{
	int err;

	expect_refusal();
	err = kexec_jump();
	*current_note->failure = '\0';
	return err;
}

/* What is refused before anything is called is none of a participant's failures */
static void check_same(const struct liveupdate_ioctl_rehearse *rehearsed)
{
	struct liveupdate_ioctl_get_info info;

	OK(luo_info_now(&info));
	if (rehearsed->image != LIVEUPDATE_IMAGE_NONE &&
	    (rehearsed->error != info.last_errno ||
	     rehearsed->phase != info.last_phase ||
	     strcmp((char *)rehearsed->participant,
		    (char *)info.last_participant)))
		test_fail(__FILE__, __LINE__,
			  "rehearsed: %u %u %.80s; refused: %u %u %.80s",
			  rehearsed->error, rehearsed->phase,
			  (char *)rehearsed->participant, info.last_errno,
			  info.last_phase, (char *)info.last_participant);
}

/* A jump that has to be refused, as a rehearsal has said that it would be */
int try_jump(void)
{
	struct liveupdate_ioctl_rehearse rehearsed;
	int err;

	OK(luo_rehearse_now(&rehearsed));
	err = jump_once();
	CHECK_EQ(err, -(int)rehearsed.error);
	check_same(&rehearsed);
	return err;
}

int try_jump_with(unsigned long space)
{
	int err;

	expect_refusal();
	if (fault_exhaust(space))
		return -EIO;
	err = kexec_jump();
	*current_note->failure = '\0';
	return fault_relieve() ? -EIO : err;
}

static int jump_call(void *unused)
{
	return kexec_jump();
}

/* The same without its @nth allocation, see fault_try() */
int try_jump_without(unsigned int nth, int *err)
{
	int hit;

	expect_refusal();
	hit = fault_try(nth, jump_call, NULL, err);
	*current_note->failure = '\0';
	return hit;
}

static struct census how_things_are(void)
{
	int dev = luo_open();
	struct census census;

	if (dev < 0 || census_take(dev, &census))
		ksft_exit_fail_msg("no GET_INFO: %s\n",
				   strerror(dev < 0 ? -dev : 0));
	close(dev);
	return census;
}

/* A jump that was refused has changed nothing */
static void jump_was_refused(const struct census *before, const char *how,
			     unsigned long number)
{
	struct census now = how_things_are();
	const char *changed = census_differs(before, &now);

	notes->jumps_refused++;
	if (changed)
		ksft_exit_fail_msg("jump %s %lu: %s not as before\n", how,
				   number, changed);
}

/*
 * One try to jump with the memory that is given, which may be the last one. Where no
 * test has tried before, it may have retrieved what it then could not carry.
 */
static int jump_with(unsigned long space)
{
	struct census before = how_things_are();
	int err;

	save_notes();
	if (fault_exhaust(space))
		return -EIO;
	err = kexec_jump();
	if (fault_relieve())
		return -EIO;
	if (!notes->first_point)
		before = how_things_are();
	jump_was_refused(&before, "with space", space);
	return err;
}

/* The same with all memory but the @nth allocation */
static int jump_without(unsigned int nth)
{
	struct census before = how_things_are();
	int err;

	save_notes();
	if (fault_try(nth, jump_call, NULL, &err) != 1)
		return err ?: -EIO;
	jump_was_refused(&before, "without allocation", nth);
	return err;
}

/*
 * The sets "refused", "failing" and "unknown_refused" jump with little memory, and then
 * with each allocation on the way failing once, and go on from there, until nothing
 * that fails matters any more and the jump succeeds.
 */
static int jump_refused(void)
{
	int err = fault_arm(0) ?: -ENOMEM;

	for (unsigned long space = 1; err == -ENOMEM && space < 8192; space *= 2)
		err = jump_with(space);
	for (unsigned int nth = notes->first_point ?: 1;
	     err == -ENOMEM && nth < 5000; nth++)
		err = jump_without(nth);
	return err;
}

static bool is_first_stage(const struct update_test *test)
{
	unsigned int first = 0;

	while (!test->stage[first])
		first++;
	return stage == first;
}

static bool has_frozen(const struct runner *runner)
{
	return runner->test->frozen && is_first_stage(runner->test);
}

static bool any_frozen(void)
{
	for (unsigned int i = 0; i < nr_runners; i++)
		if (has_frozen(&runners[i]))
			return true;
	return false;
}

/* In a process of its own, as it may fail; it needs no more than its note */
static void run_frozen_one(const struct runner *runner, struct note *note)
{
	pid_t pid = fork();

	if (!pid) {
		current_note = note;
		current_test = runner->test;
		runner->test->frozen(note);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void run_frozen(void)
{
	for (unsigned int i = 0; i < nr_runners; i++) {
		struct note *note = &notes->note[i];

		if (has_frozen(&runners[i]) && !*note->failure && !*note->skip)
			run_frozen_one(&runners[i], note);
	}
}

/* The kernel waits before the jump; what is done meanwhile is the last of all */
static int jump_held(void)
{
	int status, err = handover_hold();
	pid_t pid;

	if (err)
		return err;
	pid = fork();
	if (!pid)
		_exit(-kexec_jump());
	err = handover_await();
	if (!err) {
		run_frozen();
		save_notes();
	}
	handover_go();
	waitpid(pid, &status, 0);
	return err ?: -WEXITSTATUS(status);
}

void sweep_jump_from(unsigned int nth)
{
	notes->first_point = nth;
}

static bool is_refused(const char *set)
{
	return !strcmp(set, "refused") || !strcmp(set, "failing") ||
	       !strcmp(set, "unknown_refused");
}

static void next_kernel(char *program, char *set, char **options)
{
	int err;

	run_stage(true);
	/* Nothing is loaded: this fails, and everybody goes on */
	if (!stage && kexec_jump() != -EINVAL)
		ksft_exit_fail_msg("a jump to no kernel gave %s\n",
				   strerror(errno));
	if (load_kernel(program, set, options))
		ksft_exit_fail_msg("load-kernel failed\n");
	run_late();
	save_notes();
	if (any_frozen())
		err = jump_held();
	else
		err = is_refused(set) ? jump_refused() : kexec_jump();
	ksft_exit_fail_msg("the jump failed: %s\n", strerror(-err));
}

static void report(void)
{
	ksft_print_header();
	ksft_set_plan(nr_runners);
	for (unsigned int i = 0; i < nr_runners; i++) {
		struct note *note = &notes->note[i];

		if (*note->failure)
			ksft_print_msg("%s: %s\n", note->test, note->failure);
		if (*note->text)
			ksft_print_msg("%s: %s\n", note->test, note->text);
		if (*note->skip)
			ksft_test_result_skip("%s # %s\n", note->test,
					      note->skip);
		else
			ksft_test_result(!*note->failure, "%s\n", note->test);
	}
	ksft_finished();
}

unsigned int jumps_refused(void)
{
	return notes->jumps_refused;
}

static void parse(int argc, char **argv)
{
	int option;

	only = getenv("TESTS");
	while ((option = getopt(argc, argv, "+s:t:")) != -1) {
		if (option == 's')
			stage = atoi(optarg);
		else if (option == 't')
			only = optarg;
		else
			exit(KSFT_FAIL);
	}
	if (optind == argc)
		ksft_exit_fail_msg("usage: %s [-t TESTS] SET [OPTION...]\n",
				   argv[0]);
}

int main(int argc, char **argv)
{
	char *set;

	parse(argc, argv);
	set = argv[optind];
	notes = mmap(NULL, sizeof(*notes), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (notes == MAP_FAILED || setup_system() || fault_setup())
		ksft_exit_fail_msg("this system cannot run the tests\n");
	fd_limit(65536);
	if (stage)
		load_notes();
	collect(set);
	if (stage + 1 < stages)
		next_kernel(argv[0], set, argv + optind + 1);
	run_stage(false);
	report();
}
