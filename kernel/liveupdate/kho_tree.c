// SPDX-License-Identifier: GPL-2.0
/*
 * Kexec Handover: checking where the tree of the previous kernel leads
 *
 * Each subtree is a blob somewhere in memory, of which the tree has the address and
 * the size. Many follow them: the kernel itself, early and late, whoever registered
 * a subtree before, and debugfs. So they are checked once, before anybody does.
 */

#define pr_fmt(fmt) "KHO: " fmt

#include <linux/init.h>
#include <linux/kho/abi/kexec_handover.h>
#include <linux/libfdt.h>
#include <linux/printk.h>
#include <linux/string.h>
#include <linux/types.h>

#include "kexec_handover_internal.h"

/**
 * kho_tree_number - read a number of KHO's tree
 * @fdt:    the tree, of good shape
 * @node:   offset of a node
 * @name:   of the property, of 64 bits in the byte order of this machine
 * @number: to fill
 *
 * Context: Any.
 * Return: false when there is no such number.
 */
bool kho_tree_number(const void *fdt, int node, const char *name, u64 *number)
{
	const void *property;
	int len;

	/* It is not aligned */
	property = fdt_getprop(fdt, node, name, &len);
	if (!property || len != sizeof(*number))
		return false;

	memcpy(number, property, sizeof(*number));
	return true;
}

static bool __init subtree_ok(const void *fdt, int node)
{
	u64 phys, size;

	return kho_tree_number(fdt, node, KHO_SUB_TREE_PROP_NAME, &phys) &&
	       kho_tree_number(fdt, node, KHO_SUB_TREE_SIZE_PROP_NAME, &size) &&
	       kho_in_memory(phys, size);
}

/**
 * kho_tree_check - see to it that all addresses in the tree can be followed
 * @fdt: the tree of the previous kernel, of good shape
 *
 * Subtrees that are not where the previous kernel preserved memory lose their
 * address, so that there are some of that name still, and none that can be read.
 *
 * Context: As kho_in_memory(), before anybody restores preserved memory.
 */
void __init kho_tree_check(void *fdt)
{
	int node;

	fdt_for_each_subnode(node, fdt, 0) {
		if (subtree_ok(fdt, node))
			continue;
		pr_err("subtree '%s' is not in memory that was preserved, and is not looked at\n",
		       fdt_get_name(fdt, node, NULL));
		fdt_nop_property(fdt, node, KHO_SUB_TREE_PROP_NAME);
	}
}
