// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fills a memcached with items that can be checked, and checks them.
 *
 *	cache_client load PORT ITEMS
 *	cache_client verify PORT ITEMS
 *
 * Every value follows from the number of its item: its length, 1 to 3 KiB, and
 * all its bytes. It speaks memcached's text protocol over TCP, with many
 * requests under way at a time.
 *
 * "load" prints "stored=ITEMS bytes=BYTES"; "verify" prints "hits=N misses=N
 * wrong=N", and leaves the file $MARKS/first-hit at its first right answer.
 * Exit status: 0, all items stored or right; 1, some not; 2, no such service.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/types.h>

#define BATCH		100
#define VALUE_MIN	1024
#define VALUE_SPAN	2048
#define VALUE_MAX	(VALUE_MIN + VALUE_SPAN)
#define CONNECT_TRIES	600

struct totals {
	unsigned long hits;
	unsigned long misses;
	unsigned long wrong;
	unsigned long bytes;
};

static noreturn void die(const char *what)
{
	fprintf(stderr, "cache_client: %s\n", what);
	exit(2);
}

/* A bijection that spreads neighbours far apart */
static __u64 mix(__u64 x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static size_t make_value(unsigned long item, char *value)
{
	size_t i, len = VALUE_MIN + mix(item) % VALUE_SPAN;
	__u64 word = mix(~item);

	for (i = 0; i < len; i += sizeof(word)) {
		word = word * 6364136223846793005 + 1442695040888963407;
		memcpy(value + i, &word, sizeof(word));
	}
	return len;
}

static int connect_once(int port)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && !connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	close(fd);
	return -1;
}

/* The service may still be on its way up. */
static int connect_to(int port)
{
	struct timespec pause = { .tv_nsec = 100 * 1000 * 1000 };
	int i, fd;

	for (i = 0; i < CONNECT_TRIES; i++) {
		fd = connect_once(port);
		if (fd >= 0)
			return fd;
		nanosleep(&pause, NULL);
	}
	die("no memcached answers");
}

static void show_progress(const char *what, unsigned long done,
			  unsigned long all)
{
	if (done % (all / 20 + 1) < BATCH)
		fprintf(stderr, "progress: %s, %lu %%\n", what,
			done * 100 / all);
}

static void first_hit(void)
{
	const char *folder = getenv("MARKS");
	char path[256];
	int fd;

	if (!folder)
		return;
	snprintf(path, sizeof(path), "%s/first-hit", folder);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, "hit\n", 4) != 4)
		die("cannot note the first hit");
	close(fd);
}

/* Sends one batch of sets; memcached answers each with a line. */
static unsigned long set_batch(FILE *in, FILE *out, unsigned long from,
			       unsigned long to, struct totals *sum)
{
	char value[VALUE_MAX + sizeof(__u64)], line[64];
	unsigned long i, stored = 0;
	size_t len;

	for (i = from; i < to; i++) {
		len = make_value(i, value);
		fprintf(out, "set item:%lu 0 0 %zu\r\n", i, len);
		fwrite(value, 1, len, out);
		fputs("\r\n", out);
		sum->bytes += len;
	}
	if (fflush(out))
		die("the connection broke");
	for (i = from; i < to; i++) {
		if (!fgets(line, sizeof(line), in))
			die("the connection broke");
		stored += !strcmp(line, "STORED\r\n");
	}
	return stored;
}

/*
 * One VALUE of a reply; @line is its head. memcached answers in the order of
 * the request: @next is the first item that may come, and moves on.
 */
static void check_value(FILE *in, const char *line, struct totals *sum,
			unsigned long *next, unsigned long to)
{
	char value[VALUE_MAX + sizeof(__u64)], *got;
	unsigned long item;
	size_t len;

	if (sscanf(line, "VALUE item:%lu %*u %zu", &item, &len) != 2)
		die("memcached answers nonsense");
	got = malloc(len + 2);
	if (!got || fread(got, 1, len + 2, in) != len + 2)
		die("the connection broke");
	if (item >= *next && item < to && len == make_value(item, value) &&
	    !memcmp(got, value, len)) {
		*next = item + 1;
		if (!sum->hits++)
			first_hit();
	} else {
		sum->wrong++;
	}
	free(got);
}

/* Asks for a batch of items at once; what is not there is not in the reply. */
static void get_batch(FILE *in, FILE *out, unsigned long from,
		      unsigned long to, struct totals *sum)
{
	unsigned long i, next = from, before = sum->hits + sum->wrong;
	char line[128];

	fputs("get", out);
	for (i = from; i < to; i++)
		fprintf(out, " item:%lu", i);
	fputs("\r\n", out);
	if (fflush(out))
		die("the connection broke");

	for (;;) {
		if (!fgets(line, sizeof(line), in))
			die("the connection broke");
		if (!strcmp(line, "END\r\n"))
			break;
		check_value(in, line, sum, &next, to);
	}
	i = sum->hits + sum->wrong - before;
	if (i > to - from)
		die("memcached answers more than it was asked");
	sum->misses += to - from - i;
}

static int load(FILE *in, FILE *out, unsigned long items)
{
	unsigned long i, end, stored = 0;
	struct totals sum = { 0 };

	for (i = 0; i < items; i = end) {
		end = i + BATCH < items ? i + BATCH : items;
		stored += set_batch(in, out, i, end, &sum);
		show_progress("loading items", end, items);
	}
	printf("stored=%lu bytes=%lu\n", stored, sum.bytes);
	return stored != items;
}

static int verify(FILE *in, FILE *out, unsigned long items)
{
	struct totals sum = { 0 };
	unsigned long i, end;

	for (i = 0; i < items; i = end) {
		end = i + BATCH < items ? i + BATCH : items;
		get_batch(in, out, i, end, &sum);
		show_progress("reading items back", end, items);
	}
	printf("hits=%lu misses=%lu wrong=%lu\n", sum.hits, sum.misses,
	       sum.wrong);
	return sum.hits != items;
}

int main(int argc, char **argv)
{
	unsigned long items;
	FILE *in, *out;
	int fd;

	if (argc != 4)
		die("usage: cache_client load|verify PORT ITEMS");
	items = strtoul(argv[3], NULL, 10);
	fd = connect_to(atoi(argv[2]));
	in = fdopen(fd, "r");
	out = fdopen(dup(fd), "w");
	if (!in || !out || !items)
		die("nothing to do");
	if (!strcmp(argv[1], "load"))
		return load(in, out, items);
	if (!strcmp(argv[1], "verify"))
		return verify(in, out, items);
	die("load or verify?");
}
