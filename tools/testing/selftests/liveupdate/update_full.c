// SPDX-License-Identifier: GPL-2.0-only
/*
 * Set "full": nearly all memory is preserved, so that each next kernel has little
 * more than its scratch memory, and every word of it is compared: also after that
 * kernel has used up all that it had left.
 *
 * The files stay with their session through all kernels. The lists of tests may run
 * this set with any machine and any command line.
 */
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "update.h"

#define PAGE		4096UL
#define KERNELS		4

/* What the files are, in the note */
struct load {
	uint64_t count;
	uint64_t size[31];
};

static_assert(sizeof(struct load) <= sizeof(((struct note *)0)->value),
	      "a note holds a load");

/* Of the memory that can be pinned, this kernel keeps some to load the next one */
static uint64_t spare(unsigned long present)
{
	return present * PAGE / 32 + 32 * MIB + memory_kept();
}

static uint64_t memory_to_take(void)
{
	unsigned long free, present;

	OK(memory_pinnable(&free, &present));
	return free * PAGE > spare(present) ?
	       (free * PAGE - spare(present)) / PAGE * PAGE : 0;
}

/* Announced, as pages that land in scratch memory would have to move out again */
static void take(int session, uint64_t size, unsigned int token)
{
	int fd = SYS(memfd_create("full", 0));

	OK(luo_announce(session, fd, token));
	SYS(ftruncate(fd, size));
	OK(words_fill(fd, 0, size, token));
	OK(luo_preserve(session, fd, token));
	close(fd);
}

/* One file has half of the memory, and the others a sixteenth each, or what is left */
static void fill(struct note *note)
{
	struct load *load = (struct load *)note->value;
	uint64_t total = memory_to_take(), sum = 0, left = total;
	int session = session_new(note, "");

	CHECK_BETWEEN(256 * MIB, total, LONG_MAX);
	while (left >= MIB && load->count < ARRAY_SIZE(load->size)) {
		uint64_t size = load->count ? total / 16 / PAGE * PAGE :
					      total / 2 / PAGE * PAGE;

		if (size > left)
			size = left;
		take(session, size, load->count);
		load->size[load->count++] = size;
		sum += size;
		left = memory_to_take();
	}
	CHECK_BETWEEN(total / 20 * 19, sum, LONG_MAX);
	snprintf(note->text, sizeof(note->text), "%lu of %lu MiB are preserved;",
		 (unsigned long)(sum / MIB),
		 (unsigned long)meminfo_kib("MemTotal") / 1024);
}

static void check_files(const struct load *load, const int *fds)
{
	for (unsigned int i = 0; i < load->count; i++) {
		struct words_wrong wrong = {};
		int err = words_check(fds[i], 0, load->size[i], i, &wrong);

		if (wrong.count)
			test_fail(__FILE__, __LINE__,
				  "%llu words of file %u are wrong, 0x%llx is the first: 0x%llx",
				  (unsigned long long)wrong.count, i,
				  (unsigned long long)wrong.offset,
				  (unsigned long long)wrong.have);
		OK(err);
	}
}

/* What is preserved, but free to this kernel, is written to */
static void use_up_the_rest(struct note *note)
{
	uint64_t free = meminfo_kib("MemFree") * KIB;
	uint64_t used = OK(memory_use_up(~(uint64_t)note->stage));
	size_t len = strlen(note->text);

	CHECK_BETWEEN(free / 4 * 3, used, LONG_MAX);
	snprintf(note->text + len, sizeof(note->text) - len,
		 " %lu MiB used up", (unsigned long)(used / MIB));
}

static void check(struct note *note)
{
	const struct load *load = (const struct load *)note->value;
	int session = session_claim(note, ""), fds[ARRAY_SIZE(load->size)];

	for (unsigned int i = 0; i < load->count; i++)
		fds[i] = OK(luo_restore(session, i));
	check_files(load, fds);
	use_up_the_rest(note);
	check_files(load, fds);
	if (note->stage == KERNELS - 1)
		OK(luo_finish(session));
}

UPDATE_TEST(full, full_every_word, .stage = { fill, check, check, check },
	    .timeout = 400);
