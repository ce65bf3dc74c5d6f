// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench [-t] [-b SECONDS] [-k IMAGE] CASE:N...
 *
 * Measures what live updates cost, on this kernel or on mainline: the numbers
 * that both have mean the same, and what mainline does not know it refuses. Each
 * case that needs it goes through a live update of its own, to IMAGE.
 *
 * A result is a line
 *
 *	bench CASE:N MEASURE N VALUE UNIT
 *
 * with a UNIT of us or bytes. "us+" tells that this was given up after so long,
 * see -b, which is 25 seconds by default, and so is it for larger numbers of this
 * case that come after. What cannot be done has "-" for a
 * value, and an errno for a unit. With -t, all is TAP.
 *
 * The exit status is not 0 when something went wrong: a file that came back
 * with other content, say.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define NOTE		"bench.note"
#define MAX_FILES	400000

/* What goes from one case to the next, and from one kernel to the next */
static struct {
	uint64_t reboot_at;
	uint64_t counter_hz;
	uint64_t tests;
} note;

/* How the program was called */
static struct {
	bool tap;
	bool after;
	bool goes_on;
	const char *budget;
	const char *image;
	const char *cases;
} option = { .budget = "25", .image = "/build/bzImage-b" };

static struct {
	uint64_t counter;
	uint64_t us;
} started;

/* What was given up */
static struct {
	const char *measure;
	uint64_t us;
} over;

/* What runs on through a kexec, unlike the kernel's clocks */
static uint64_t counter(void)
{
#ifdef __x86_64__
	return __builtin_ia32_rdtsc();
#else
	return 0;
#endif
}

void bench_fail(const char *what, long long err)
{
	printf("%s%s: %s\n", option.tap ? "Bail out! " : "bench: ", what,
	       strerror(-err));
	exit(1);
}

static void result(const char *measure, uint64_t n, const char *value,
		   const char *unit)
{
	const char *skip = "";

	note.tests++;
	if (!strcmp(value, "-"))
		skip = "SKIP ";
	if (!option.tap)
		printf("bench %s %s %llu %s %s\n", option.cases, measure,
		       (unsigned long long)n, value, unit);
	else
		printf("ok %llu %.*s_%s # %s%s %s\n",
		       (unsigned long long)note.tests,
		       (int)strcspn(option.cases, ":"), option.cases, measure,
		       skip, value, unit);
	fflush(stdout);
}

static void number(const char *measure, uint64_t n, int64_t value,
		   const char *unit)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)value);
	result(measure, n, text, unit);
}

void bench_time(const char *measure, uint64_t n, uint64_t us)
{
	number(measure, n, us, "us");
}

void bench_bytes(const char *measure, uint64_t n, int64_t bytes)
{
	number(measure, n, bytes, "bytes");
}

void bench_cannot(const char *measure, uint64_t n, int err)
{
	result(measure, n, "-", strerrorname_np(-err));
}

bool bench_over(const char *measure, uint64_t n, uint64_t start)
{
	uint64_t us = now_us() - start;

	if (us / 1000000 < strtoull(option.budget, NULL, 10))
		return false;
	number(measure, n, us, "us+");
	over.measure = measure;
	over.us = us;
	return true;
}

static uint64_t away_at(uint64_t at)
{
	if (!note.counter_hz || at < note.reboot_at)
		bench_fail("no counter that goes on", -ENODEV);
	return (double)(at - note.reboot_at) * 1000000 / note.counter_hz;
}

uint64_t bench_away(void)
{
	return away_at(counter());
}

uint64_t bench_away_start(void)
{
	return away_at(started.counter);
}

/*
 * When the kernel printed the first line that begins so, in microseconds of its
 * own clock, which begins with the kernel
 */
static uint64_t printed_at(int kmsg, const char *line)
{
	char record[2048], *text;
	ssize_t len;

	NEED_SYS(lseek(kmsg, 0, SEEK_SET));
	while ((len = read(kmsg, record, sizeof(record) - 1)) > 0) {
		record[len] = '\0';
		text = strchr(record, ';');
		if (text && !strncmp(text + 1, line, strlen(line)))
			return strtoull(strchr(strchr(record, ',') + 1, ',') + 1,
					NULL, 10);
	}
	bench_fail(line, -errno);
}

/* Where the time went, from reboot(2) on */
void bench_stages(const char *kernel, const char *init, uint64_t n)
{
	int kmsg = NEED_SYS(open("/dev/kmsg", O_RDWR | O_CLOEXEC | O_NONBLOCK));
	uint64_t began;

	NEED_SYS(write(kmsg, "bench: now\n", 11));
	began = bench_away() - printed_at(kmsg, "bench: now");
	bench_time(kernel, n, began);
	bench_time(init, n, began + printed_at(kmsg, "Run /init"));
	close(kmsg);
}

static void note_save(void)
{
	int fd = NEED_SYS(open(NOTE, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));

	if (write(fd, &note, sizeof(note)) != sizeof(note) || fsync(fd))
		bench_fail(NOTE, -errno);
	close(fd);
}

static void note_load(void)
{
	int fd = NEED_SYS(open(NOTE, O_RDONLY | O_CLOEXEC));

	if (read(fd, &note, sizeof(note)) != sizeof(note))
		bench_fail(NOTE, -EIO);
	close(fd);
}

/* CASE:N */
static const struct bench_case *find(const char *text, uint64_t *n)
{
	size_t length = strcspn(text, ":");

	for (unsigned int i = 0; i < bench_nr_cases; i++) {
		const char *name = bench_cases[i].name;

		if (text[length] && strlen(name) == length &&
		    !strncmp(name, text, length)) {
			*n = strtoull(text + length + 1, NULL, 10);
			return &bench_cases[i];
		}
	}
	bench_fail(text, -EINVAL);
}

/* The program's own command line, to go on with @cases */
static char **again(char *how, char *program, char **cases)
{
	static char *argv[64];
	unsigned int n = 0;

	argv[n++] = "load-kernel";
	argv[n++] = "-k";
	argv[n++] = (char *)option.image;
	argv[n++] = program;
	argv[n++] = how;
	if (option.tap)
		argv[n++] = "-t";
	argv[n++] = "-b";
	argv[n++] = (char *)option.budget;
	argv[n++] = "-k";
	argv[n++] = (char *)option.image;
	while (*cases && n < ARRAY_SIZE(argv) - 1)
		argv[n++] = *cases++;
	argv[n] = NULL;
	return argv;
}

/* What was given up is not tried with more */
static char **skip(const struct bench_case *c, uint64_t n, char **cases)
{
	uint64_t larger;

	while (over.measure && *cases && find(*cases, &larger) == c &&
	       larger > n) {
		option.cases = *cases++;
		number(over.measure, larger, over.us, "us+");
	}
	return cases;
}

/* A program that starts anew has nothing of the last case left */
static void go_on(char *program, char **cases)
{
	if (!*cases) {
		if (option.tap)
			printf("1..%llu\n", (unsigned long long)note.tests);
		exit(0);
	}
	note_save();
	execvp(program, again("-c", program, cases) + 3);
	bench_fail(program, -errno);
}

static void jump(void)
{
	uint64_t us = now_us() - started.us;

	text_write("/dev/kmsg", "bench: reboot\n");
	note.counter_hz = (double)(counter() - started.counter) * 1000000 / us;
	note.reboot_at = counter();
	note_save();
	/* Writing took time */
	note.reboot_at = counter();
	note_save();
	bench_fail("reboot", kexec_jump());
}

static void run(const struct bench_case *c, uint64_t n, char *program,
		char **cases)
{
	if (option.after) {
		c->after(n);
		return;
	}
	if (c->after)
		NEED(kexec_load(again("-a", program, cases)));
	if (c->before(n) && c->after)
		jump();
}

static void parse(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "+acb:k:t")) != -1) {
		switch (c) {
		case 'a':
			option.after = true;
			break;
		case 'c':
			option.goes_on = true;
			break;
		case 'b':
			option.budget = optarg;
			break;
		case 'k':
			option.image = optarg;
			break;
		case 't':
			option.tap = true;
			break;
		default:
			exit(2);
		}
	}
	option.cases = argv[optind];
}

int main(int argc, char **argv)
{
	const struct bench_case *c;
	uint64_t n;

	started.counter = counter();
	started.us = now_us();
	parse(argc, argv);
	if (!option.cases)
		bench_fail("no case", -EINVAL);
	c = find(option.cases, &n);
	if (option.after || option.goes_on)
		note_load();
	NEED(setup_system());
	NEED(fd_limit(MAX_FILES));
	run(c, n, argv[0], argv + optind);
	go_on(argv[0], skip(c, n, argv + optind + 1));
}
