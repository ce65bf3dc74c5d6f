// SPDX-License-Identifier: GPL-2.0-only
/*
 * Set "pieces": preserved memory in many small pieces. The next kernel reserves
 * each of them when it boots, which may take time as they are many, but no more
 * than that.
 *
 * The time is told by the stamps of the kernel's log. It is told the rate of its
 * clock (tsc_early_khz), as it would not find it out before it has the memory.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "update.h"

#define PAGE	4096UL

/*
 * What is preserved for each boot. Every other page gives pieces of one page
 * each. Runs of different lengths give pieces of all sizes, which KHO does not
 * keep in the order of their addresses.
 */
static const struct load {
	unsigned int mib;
	bool runs;
} loads[] = {
	{ 8, false }, { 64, false }, { 256, false }, { 512, false },
	{ 64, true }, { 512, true },
};

/* Eight times the memory takes 8 times as long, or 64 times if it is quadratic */
#define MUCH_LONGER	22

#define LOADS	ARRAY_SIZE(loads)

/* The same in each kernel */
static uint64_t run_length(const struct load *load, unsigned int i)
{
	return (load->runs ? 1 + i * 2654435761U % 3 : 1) * PAGE;
}

static uint64_t file_size(const struct load *load)
{
	return 2 * load->mib * MIB;
}

/* Of the runs that follow each other in a file, every other one is kept */
static void make_pieces(int fd, const struct load *load)
{
	uint64_t at = 0, len;

	for (unsigned int i = 0; at < file_size(load); i++, at += len) {
		len = run_length(load, i);
		if (i % 2)
			SYS(fallocate(fd, FALLOC_FL_PUNCH_HOLE |
				      FALLOC_FL_KEEP_SIZE, at, len));
	}
}

static void check_pieces(int fd, const struct load *load)
{
	uint64_t at = 0, len;

	for (unsigned int i = 0; at < file_size(load); i++, at += len) {
		len = run_length(load, i);
		if (at + len > file_size(load))
			len = file_size(load) - at;
		OK(i % 2 ? content_check_zero(fd, at, len) :
			   content_check(fd, at, len, load->mib));
	}
}

static void preserve_pieces(struct note *note)
{
	const struct load *load = &loads[note->stage];
	int session = session_new(note, "");
	int fd = OK(memfd_filled("pieces", 0, file_size(load), load->mib));

	make_pieces(fd, load);
	OK(luo_preserve(session, fd, 1));
	close(fd);
}

/* When the line of the log that starts so was written, in microseconds */
static uint64_t logged_at(const char *line)
{
	int fd = SYS(open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
	unsigned long long stamp = 0;
	char record[2048], *text;
	ssize_t len;

	do {
		len = SYS(read(fd, record, sizeof(record) - 1));
		record[len] = '\0';
		text = strchr(record, ';');
	} while (!text || strncmp(text + 1, line, strlen(line)));
	close(fd);
	if (sscanf(record, "%*u,%*u,%llu", &stamp) != 1)
		CHECK(!"a stamp");
	return stamp;
}

/* Between these, what is preserved is reserved, and the rest goes to the allocator */
static uint64_t time_to_reserve(void)
{
	return logged_at("SLUB:") - logged_at("mem auto-init:");
}

static void retrieve_pieces(struct note *note)
{
	const struct load *load = &loads[note->stage - 1];
	int session = session_claim(note, "");
	int fd = OK(luo_restore(session, 1));

	note->value[note->stage - 1] = time_to_reserve();
	check_pieces(fd, load);
	close(fd);
	OK(luo_finish(session));
	close(session);
}

static void next_pieces(struct note *note)
{
	retrieve_pieces(note);
	preserve_pieces(note);
}

static void tell_times(struct note *note)
{
	size_t len = 0;

	for (unsigned int i = 0; i < LOADS; i++)
		len += snprintf(note->text + len, sizeof(note->text) - len,
				"%s%u MiB in %s: %llu ms", i ? ", " : "",
				loads[i].mib, loads[i].runs ? "runs" : "pages",
				(unsigned long long)note->value[i] / 1000);
}

static void check_times(struct note *note)
{
	retrieve_pieces(note);
	tell_times(note);
	CHECK(note->value[0] > 0);
	CHECK(note->value[3] < MUCH_LONGER * note->value[1]);
	CHECK(note->value[5] < MUCH_LONGER * note->value[4]);
}

UPDATE_TEST(pieces, pieces_take_linear_time, .timeout = 300,
	    .stage = { preserve_pieces, next_pieces, next_pieces, next_pieces,
		       next_pieces, next_pieces, check_times });
