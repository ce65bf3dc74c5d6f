// SPDX-License-Identifier: GPL-2.0
/*
 * Images. See image.h.
 */

#include "image.h"

/* Up to @wanted bytes of what is left, but no more than @most */
static size_t cut(const u8 **data, size_t *left, void *to, size_t wanted,
		  size_t most)
{
	size_t size = min(min(wanted, most), *left);

	if (size)
		memcpy(to, *data, size);
	*data += size;
	*left -= size;
	return size;
}

/**
 * image_load - fill the memory from an image
 * @data: the image
 * @left: bytes of it
 * @size: takes the bytes of the root
 *
 * Return: the root, to be freed.
 */
void *image_load(const u8 *data, size_t left, size_t *size)
{
	struct image image = {};
	void *root;
	int page;

	cut(&data, &left, &image, sizeof(image), sizeof(image));
	memory_reset(image.checksums);

	*size = min(left, image.root);
	/* No byte more than there are, so that reading beyond them is seen */
	root = malloc(*size);
	must(root);
	cut(&data, &left, root, *size, *size);

	for (page = 0; page < MEMORY_PAGES; page++) {
		if (!image.pages[page].preserved)
			continue;
		memory_set_node(page, image.pages[page].preserved - 1);
		cut(&data, &left,
		    memory_preserve(page, image.pages[page].order % 12),
		    image.pages[page].length, PAGE_SIZE);
	}

	return root;
}

static size_t length_of(const u8 *page)
{
	size_t length = PAGE_SIZE;

	while (length && !page[length - 1])
		length--;

	return length;
}

/**
 * image_save - make an image of the memory
 * @data:      where to, of %IMAGE_MAX bytes
 * @checksums: whether they are to be checked
 * @root:      of the handover
 * @size:      bytes of it, at most a page
 *
 * Return: bytes of the image.
 */
size_t image_save(u8 *data, bool checksums, const void *root, size_t size)
{
	struct image image = { .checksums = checksums, .root = size };
	u8 *end = data + sizeof(image);
	int page;

	must(size <= PAGE_SIZE);
	memcpy(end, root, size);
	end += size;
	for (page = 0; page < MEMORY_PAGES; page++) {
		if (!memory_is_preserved(page))
			continue;
		image.pages[page].preserved = 1 + memory_node(page);
		image.pages[page].order = memory_order(page);
		image.pages[page].length = length_of(memory_look(page));
		memcpy(end, memory_look(page), image.pages[page].length);
		end += image.pages[page].length;
	}
	memcpy(data, &image, sizeof(image));

	return end - data;
}
