// SPDX-License-Identifier: GPL-2.0-only
/*
 * Areas of reserve_mem=: one that is there from the first kernel on, and one that the
 * second kernel is the first to have. Nobody else gets their memory, in any kernel:
 * nor does one whose name is that of another up to the "@". And
 * KHO's tree, which tells of them, as dtc reads it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "area.h"
#include "update.h"

#define PAGE		4096UL
#define KHO		"/sys/kernel/debug/kho/"

/* ---- Areas ---- */

static void area_new(struct note *note, const char *name, uint64_t seed)
{
	const struct area area = area_find(name);

	CHECK(!area_in_scratch(&area));
	area_fill(&area, seed);
	note->value[seed] = area.start;
}

static void area_same(const struct note *note, const char *name, uint64_t seed)
{
	const struct area area = area_find(name);

	CHECK_EQ(note->value[seed], area.start);
	CHECK(!area_in_scratch(&area));
	area_check(&area, seed);
}

static void reserve_before(struct note *note)
{
	area_new(note, "cold", 1);
	area_new(note, "small", 2);
	area_new(note, "uneven", 3);
	area_new(note, "twin@7", 5);
	area_new(note, "twin", 6);
}

static void reserve_between(struct note *note)
{
	area_same(note, "cold", 1);
	area_same(note, "small", 2);
	area_same(note, "uneven", 3);
	area_same(note, "twin@7", 5);
	area_same(note, "twin", 6);
	area_new(note, "new", 4);
	OK(memory_use_up(1));
	area_same(note, "new", 4);
}

static void reserve_after(struct note *note)
{
	for (unsigned int i = 0; i < 2; i++) {
		area_same(note, "cold", 1);
		area_same(note, "small", 2);
		area_same(note, "uneven", 3);
		area_same(note, "new", 4);
		area_same(note, "twin@7", 5);
		area_same(note, "twin", 6);
		OK(memory_use_up(2));
	}
	CHECK_EQ(6, times_logged("Revived memory reservation"));
}

UPDATE_TEST(reserve, reserve_mem_is_kept,
	    .stage = { reserve_before, reserve_between, reserve_after },
	    .timeout = 120);

/* ---- The tree, by who knows the format ---- */

static void tree_read_by_dtc(const char *path)
{
	static char text[65536];
	char command[128];
	FILE *dtc;
	size_t n;

	snprintf(command, sizeof(command), "dtc -q -I dtb -O dts %s", path);
	dtc = popen(command, "r");
	CHECK(dtc);
	n = fread(text, 1, sizeof(text) - 1, dtc);
	text[n] = '\0';
	CHECK_EQ(0, pclose(dtc));
	CHECK(strstr(text, "liveupdate {"));
	CHECK(strstr(text, "kexec-metadata {"));
	CHECK(strstr(text, "memblock {"));
	CHECK(strstr(text, "preserved-memory-map = "));
}

/* The size that it tells is its size, also when it is read in pieces */
static void tree_is_whole(const char *path)
{
	int fd = SYS(open(path, O_RDONLY | O_CLOEXEC));
	unsigned char header[8], byte;
	size_t size = 0;

	CHECK_EQ(8, SYS(pread(fd, header, sizeof(header), 0)));
	while (SYS(read(fd, &byte, 1)))
		size++;
	CHECK_EQ(header[4] << 24 | header[5] << 16 | header[6] << 8 | header[7],
		 size);
	close(fd);
}

static void tree_before(struct note *note)
{
	tree_read_by_dtc(KHO "out/fdt");
	tree_is_whole(KHO "out/fdt");
}

static void tree_after(struct note *note)
{
	tree_before(note);
	tree_read_by_dtc(KHO "in/fdt");
	tree_is_whole(KHO "in/fdt");
}

UPDATE_TEST(reserve, tree_is_read_by_dtc, .stage = { tree_before, tree_after });
