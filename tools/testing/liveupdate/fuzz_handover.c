// SPDX-License-Identifier: GPL-2.0
/*
 * Receives whatever handover libFuzzer comes up with. An image that ended the
 * program is run again with it as the only argument.
 */

#include "fuzz.h"
#include "handover.h"
#include "image.h"
#include "receive.h"

int fuzz_one(const u8 *data, size_t length)
{
	struct received got;
	size_t size;
	void *root = image_load(data, length, &size);

	receive(root, size, &got);
	free(root);

	return 0;
}

static u64 pick(unsigned int *seed, u64 below)
{
	return below ? (u64)rand_r(seed) % below : 0;
}

/* What a count or an address could be, to lead the reader astray */
static u64 pick_value(unsigned int *seed)
{
	static const u64 edges[] = {
		0, 1, FILES_A_BLOCK, SESSIONS_A_BLOCK, INT64_MAX, U64_MAX,
		U64_MAX / FILES_A_BLOCK * FILES_A_BLOCK,
		U64_MAX - PAGE_SIZE + 1,
	};

	switch (pick(seed, 4)) {
	case 0:
		return MEMORY_PHYS(pick(seed, MEMORY_PAGES + 1));
	case 1:
		return MEMORY_PHYS(pick(seed, MEMORY_PAGES)) + pick(seed, 64);
	case 2:
		return pick(seed, 2 * FILES_A_BLOCK);
	default:
		return edges[pick(seed, ARRAY_SIZE(edges))];
	}
}

static void put_in_root(u8 *root, size_t size, u64 value, unsigned int *seed)
{
	if (size >= sizeof(value))
		fdt64_st(root + pick(seed, size / 4 - 1) * 4, value);
}

/* In the header of a block as often as in all the rest of the page */
static void put_in_page(u8 *page, size_t size, u64 value, unsigned int *seed)
{
	if (pick(seed, 2))
		size = min(size, sizeof(struct kho_block_header_ser));
	if (size >= sizeof(value))
		memcpy(page + pick(seed, size / 8) * 8, &value, sizeof(value));
}

static void put(u8 *data, size_t size, u64 value, unsigned int *seed)
{
	const struct image *image = (const struct image *)data;
	const unsigned int wanted = pick(seed, MEMORY_PAGES + 1);
	size_t at = sizeof(*image), length = image->root;
	unsigned int page;

	for (page = 0; page < wanted; page++) {
		at += length;
		length = image->pages[page].preserved ?
			 image->pages[page].length : 0;
	}
	if (at >= size)
		return;

	length = min(length, size - at);
	if (wanted)
		put_in_page(data + at, length, value, seed);
	else
		put_in_root(data + at, length, value, seed);
}

/*
 * Every other time counts and addresses are changed, up to three to the same
 * value, as one that stands alone is easily found wrong.
 */
size_t fuzz_change(u8 *data, size_t size, size_t most, unsigned int seed)
{
	unsigned int times = 1 + pick(&seed, 3);
	u64 value = pick_value(&seed);

	if (size < sizeof(struct image) || pick(&seed, 2))
		return fuzz_bytes(data, size, most);

	while (times--)
		put(data, size, value, &seed);

	return size;
}
