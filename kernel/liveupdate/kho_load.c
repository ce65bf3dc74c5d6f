// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether an image can be loaded that memory will be handed over to.
 */

#define pr_fmt(fmt) "KHO: " fmt

#include <linux/cc_platform.h>
#include <linux/cleanup.h>
#include <linux/cma.h>
#include <linux/container_of.h>
#include <linux/crash_reserve.h>
#include <linux/dma-map-ops.h>
#include <linux/ioport.h>
#include <linux/kexec.h>
#include <linux/limits.h>
#include <linux/slab.h>

#include "kexec_handover_internal.h"
#include "kho_load.h"

/* Memory that an earlier mem= hides from this kernel is none of its resources */
static bool memory_any(u64 start, u64 last)
{
	return region_intersects(start, last - start + 1,
				 IORESOURCE_SYSTEM_RAM,
				 IORES_DESC_NONE) != REGION_DISJOINT;
}

static bool range_within(u64 start, u64 last, u64 phys, u64 size)
{
	return size && start >= phys && last <= phys + (size - 1);
}

static bool memory_is_for_crash(u64 start, u64 last)
{
#ifdef CONFIG_CRASH_RESERVE
	return crashk_res.end &&
	       range_within(start, last, crashk_res.start,
			    resource_size(&crashk_res));
#else
	return false;
#endif
}

/* Whatever is to be preserved is moved out of there */
static bool memory_is_for_devices(u64 start, u64 last)
{
#ifdef CONFIG_DMA_CMA
	struct cma *cma = dev_get_cma_area(NULL);

	return cma && range_within(start, last, cma_get_base(cma),
				   cma_get_size(cma));
#else
	return false;
#endif
}

static bool memory_unpreserved(u64 start, u64 last)
{
	for (unsigned int i = 0; i < kho_scratch_cnt; i++)
		if (range_within(start, last, kho_scratch[i].addr,
				 kho_scratch[i].size))
			return true;

	return memory_is_for_crash(start, last) ||
	       memory_is_for_devices(start, last);
}

/* A load, for which it is known where it can look for what is preserved */
struct load {
	struct kho_memory memory;
	struct kho_radix_tree *tree;
};

static u64 load_room(const struct kho_memory *memory)
{
#ifdef CONFIG_CRASH_RESERVE
	const struct load *load = container_of(memory, struct load, memory);

	return kho_room_find(load->tree, CRASH_ALIGN);
#else
	return U64_MAX;
#endif
}

static int load_check_cmdline(const struct kimage *image,
			      struct kho_radix_tree *tree)
{
	const struct load load = {
		.memory = {
			.any = memory_any,
			.unpreserved = memory_unpreserved,
			.room = load_room,
		},
		.tree = tree,
	};
	char *text __free(kfree) = NULL;

	if (!image->cmdline_buf)
		return 0;

	text = kstrdup(image->cmdline_buf, GFP_KERNEL);
	if (!text)
		return -ENOMEM;

	return kho_cmdline_check(text, &load.memory);
}

/**
 * kho_load_check - see whether an image can take over what will be handed over
 * @image: the image, of which the command line is known
 * @tree: the memory map
 *
 * Why it cannot is told in the log.
 *
 * Context: Process context, with the lock of kexec. May take the lock of @tree.
 * Return: 0; -EOPNOTSUPP with encrypted memory, as the next kernel reads the list of
 * scratch areas before it decrypts anything; -EINVAL when the command line asks for
 * memory that may be preserved; -ENOMEM.
 */
int kho_load_check(const struct kimage *image, struct kho_radix_tree *tree)
{
	if (cc_platform_has(CC_ATTR_HOST_MEM_ENCRYPT)) {
		pr_err("not loaded: memory is encrypted, boot with mem_encrypt=off, or with kho=off\n");
		return -EOPNOTSUPP;
	}

	return load_check_cmdline(image, tree);
}
