/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is looked at before an image is loaded that memory will be handed over to.
 */
#ifndef KHO_LOAD_H
#define KHO_LOAD_H

#include <linux/types.h>

struct kimage;

/**
 * struct kho_memory - what is known of this kernel's memory
 * @any: whether this kernel has any memory in a range
 * @unpreserved: whether nothing can be preserved in any of a range
 *
 * Ranges are from the first to the last byte.
 */
struct kho_memory {
	bool (*any)(u64 start, u64 last);
	bool (*unpreserved)(u64 start, u64 last);
};

/* kho_cmdline.c */
int kho_cmdline_check(char *text, const struct kho_memory *memory);

/* kho_load.c */
int kho_load_check(const struct kimage *image);

#endif /* KHO_LOAD_H */
