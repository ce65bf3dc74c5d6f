/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is looked at before an image is loaded that memory will be handed over to.
 */
#ifndef KHO_LOAD_H
#define KHO_LOAD_H

#include <linux/types.h>

struct kho_radix_tree;
struct kimage;

/**
 * struct kho_memory - what is known of this kernel's memory
 * @any: whether this kernel has any memory in a range
 * @unpreserved: whether nothing can be preserved in any of a range
 * @room: the size of the largest piece of memory that a crash kernel can have, if no more
 *        is preserved than now
 *
 * Ranges are from the first to the last byte. Sizes are in bytes.
 */
struct kho_memory {
	bool (*any)(u64 start, u64 last);
	bool (*unpreserved)(u64 start, u64 last);
	u64 (*room)(const struct kho_memory *memory);
};

/* kho_cmdline.c */
int kho_cmdline_check(char *text, const struct kho_memory *memory);

/* kho_image.c */
bool kho_image_release(const void *file, size_t size, char *release, size_t room);

/* kho_room.c */
u64 kho_room_find(struct kho_radix_tree *tree, u64 align);

/* kho_broken.c */
int kho_areas_make(struct kimage *image);
int kho_check_broken(struct kimage *image);

/* kho_load.c */
int kho_load_check(const struct kimage *image, struct kho_radix_tree *tree);

#endif /* KHO_LOAD_H */
