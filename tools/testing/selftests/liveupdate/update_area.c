// SPDX-License-Identifier: GPL-2.0-only
/*
 * Areas of reserve_mem=, for those tests that have some. Nobody in user space can map
 * them: they are read and written through the kernel's test double.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "area.h"
#include "lib/handover.h"
#include "update.h"

#define PAGE		4096UL
#define OUT		"/sys/kernel/debug/kho/out/"

/* Numbers of KHO's trees are as the machine has them */
static uint64_t number_of(struct root *tree, const char *name, const char *property)
{
	uint64_t value;
	size_t size;
	void *at = root_property(tree, name, property, &size);

	CHECK(at && size == sizeof(value));
	memcpy(&value, at, sizeof(value));
	return value;
}

/* That which the next kernel is to have */
struct area area_find(const char *name)
{
	int fd = SYS(open(OUT "sub_fdts/memblock", O_RDONLY | O_CLOEXEC));
	static struct root tree;

	tree.size = SYS(read(fd, tree.fdt, sizeof(tree.fdt)));
	close(fd);
	return (struct area) {
		.start = number_of(&tree, name, "start"),
		.size = number_of(&tree, name, "size"),
	};
}

/* One number a line */
static unsigned int numbers_in(const char *path, uint64_t *numbers, unsigned int room)
{
	FILE *file = fopen(path, "re");
	unsigned int nr = 0;

	CHECK(file);
	while (nr < room && fscanf(file, "%lx", &numbers[nr]) == 1)
		nr++;
	fclose(file);
	return nr;
}

bool area_in_scratch(const struct area *area)
{
	uint64_t start[64], size[64];
	unsigned int nr = numbers_in(OUT "scratch_phys", start, 64);

	CHECK_BETWEEN(2, nr, 63);
	CHECK_EQ(nr, numbers_in(OUT "scratch_len", size, 64));
	while (nr--) {
		if (area->start < start[nr] + size[nr] &&
		    area->start + area->size > start[nr])
			return true;
	}
	return false;
}

static uint64_t part_of(const struct area *area, uint64_t done)
{
	return area->size - done < PAGE ? area->size - done : PAGE;
}

void area_fill(const struct area *area, uint64_t seed)
{
	uint64_t words[PAGE / 8];

	for (uint64_t at = 0; at < area->size; at += PAGE) {
		words_write(words, at, sizeof(words), seed);
		OK(memory_write(area->start + at, words, part_of(area, at)));
	}
}

void area_check(const struct area *area, uint64_t seed)
{
	uint64_t words[PAGE / 8], want[PAGE / 8];

	for (uint64_t at = 0; at < area->size; at += PAGE) {
		words_write(want, at, sizeof(want), seed);
		OK(memory_read(area->start + at, words, part_of(area, at)));
		CHECK(!memcmp(want, words, part_of(area, at)));
	}
}
