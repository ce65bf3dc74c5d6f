/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A handover and the memory that it refers to, as one row of bytes: the input of
 * the fuzzer. Any bytes are an image.
 */
#ifndef _LIVEUPDATE_TEST_IMAGE_H
#define _LIVEUPDATE_TEST_IMAGE_H

#include "memory.h"

/**
 * struct image_page - a page of an image
 * @preserved: 0 if it is not, otherwise 1 more than its node
 * @order:     of what is preserved there
 * @length:    bytes of it that are in the image; the rest is zero
 */
struct image_page {
	u8 preserved;
	u8 order;
	u16 length;
};

/**
 * struct image - what an image begins with; the root and the pages follow
 * @checksums: not 0: they are checked; otherwise each is 0
 * @zero:      to fill the place
 * @root:      bytes of the root
 * @pages:     of memory
 */
struct image {
	u8 checksums;
	u8 zero;
	u16 root;
	struct image_page pages[MEMORY_PAGES];
};

#define IMAGE_MAX	(sizeof(struct image) + (MEMORY_PAGES + 1) * PAGE_SIZE)

void *image_load(const u8 *data, size_t left, size_t *size);
size_t image_save(u8 *data, bool checksums, const void *root, size_t size);

#endif /* _LIVEUPDATE_TEST_IMAGE_H */
