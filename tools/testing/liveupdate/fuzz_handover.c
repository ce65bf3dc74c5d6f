// SPDX-License-Identifier: GPL-2.0
/*
 * Receives whatever handover libFuzzer comes up with. An image that ended the
 * program is run again with it as the only argument.
 */

#include "luo_internal.h"
#include "image.h"
#include "receive.h"

int fuzz_one(const u8 *data, size_t length);

int fuzz_one(const u8 *data, size_t length)
{
	struct received got;
	size_t size;
	void *root = image_load(data, length, &size);

	receive(root, size, &got);
	free(root);

	return 0;
}
