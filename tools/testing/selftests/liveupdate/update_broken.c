// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that the next kernel would start in is broken. The set is "broken".
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "area.h"
#include "update.h"

#define PAGE		4096UL
#define SCRATCH_PHYS	"/sys/kernel/debug/kho/out/scratch_phys"
#define SCRATCH_LEN	"/sys/kernel/debug/kho/out/scratch_len"
#define AREAS_MAX	30

static unsigned int numbers_of(const char *path, uint64_t *numbers)
{
	char text[1024], *at = text;
	unsigned int nr = 0;

	OK(text_read(path, text, sizeof(text)));
	while (*at && nr < AREAS_MAX) {
		numbers[nr++] = strtoull(at, &at, 16);
		at += strspn(at, "\n");
	}
	return nr;
}

/* Memory that is free, as most of scratch is */
static void frame_break(uint64_t frame)
{
	char pfn[32];

	snprintf(pfn, sizeof(pfn), "%#lx", (unsigned long)frame);
	OK(text_write("/sys/kernel/debug/hwpoison/corrupt-pfn", pfn));
}

/*
 * Break the last block of each area, where a kernel is loaded to first. It is loaded to
 * other memory. What breaks then is noticed, until another kernel is loaded.
 */
static void broken_before(struct note *note)
{
	uint64_t start[AREAS_MAX], size[AREAS_MAX];
	unsigned int nr = numbers_of(SCRATCH_PHYS, start), broken = 0;

	if (access("/sys/kernel/debug/hwpoison/corrupt-pfn", F_OK))
		test_skip("no way to make memory look broken");
	CHECK_EQ(nr, numbers_of(SCRATCH_LEN, size));
	OK(luo_preserve(session_new(note, ""),
			OK(memfd_filled("intact", 0, MIB, 5)), 1));
	for (unsigned int i = 0; i < nr; i++) {
		if (!size[i])
			continue;
		note->value[broken] = (start[i] + size[i]) / PAGE - 7;
		frame_break(note->value[broken++]);
	}
	OK(kernel_load_with(""));

	note->value[broken] = start[0] / PAGE + 7;
	frame_break(note->value[broken]);
	CHECK_EQ(-EHWPOISON, jump_once());
	CHECK_EQ(1, times_logged("has an uncorrected error, and the next kernel needs it"));
	kernel_unload();
}

/* It has not started in any of them */
static void broken_after(struct note *note)
{
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));

	for (unsigned int i = 0; note->value[i]; i++) {
		const struct area page = { note->value[i] * PAGE, PAGE };

		CHECK(!area_in_scratch(&page));
	}
	OK(content_check(fd, 0, MIB, 5));
	OK(luo_finish(session));
}

UPDATE_TEST(broken, broken_memory_is_left_out,
	    .stage = { broken_before, broken_after });
