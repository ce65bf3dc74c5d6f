// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: where the handover meets Kexec Handover
 *
 * The outgoing root is known to KHO from boot on, and empty until a live update
 * writes it. So there is nothing left to allocate for it when one comes, and a
 * plain kexec hands over an empty one.
 */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/minmax.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/utsname.h>

#include "luo_internal.h"

/**
 * luo_items_add - add an item
 * @items:      to add to
 * @compatible: of the item
 * @data:       likewise
 * @count:      likewise
 *
 * Context: May sleep.
 * Return: 0 or -ENOMEM.
 */
int luo_items_add(struct luo_items *items, const char *compatible, u64 data,
		  u64 count)
{
	unsigned int room = max(2 * items->room, 8);
	struct luo_item *more;

	if (items->nr == items->room) {
		more = krealloc_array(items->items, room, sizeof(*more),
				      GFP_KERNEL);
		if (!more)
			return -ENOMEM;
		items->items = more;
		items->room = room;
	}

	more = &items->items[items->nr++];
	strscpy_pad(more->compatible, compatible);
	more->data = data;
	more->count = count;

	return 0;
}

/**
 * luo_items_free - free all items
 * @items: the items
 */
void luo_items_free(struct luo_items *items)
{
	kfree(items->items);
	*items = (struct luo_items){};
}

static void root_start(const struct luo *luo, struct luo_root *root)
{
	memset(root, 0, sizeof(*root));
	root->number = luo->number + 1;
	strscpy(root->release, init_utsname()->release);
}

/* Make the outgoing root an empty one. It takes far less than a page: tests see to it */
static void clear_root(struct luo *luo)
{
	struct luo_root root;

	root_start(luo, &root);
	luo_root_encode(luo->fdt, luo->fdt_size, &root);
}

/* Have a tree of @size bytes instead of the one that there is, if any */
static int set_tree(struct luo *luo, size_t size)
{
	void *fdt = kho_alloc_preserve(size), *old = luo->fdt;
	size_t old_size = luo->fdt_size;
	int err;

	if (IS_ERR(fdt))
		return PTR_ERR(fdt);

	if (old)
		kho_remove_subtree(old);
	luo->fdt = fdt;
	luo->fdt_size = size;
	clear_root(luo);
	err = kho_add_subtree(LUO_FDT_SUBTREE, fdt, size);
	if (!err) {
		kho_unpreserve_free(old);
		return 0;
	}

	luo->fdt = old;
	luo->fdt_size = old_size;
	kho_unpreserve_free(fdt);
	if (old && kho_add_subtree(LUO_FDT_SUBTREE, old, old_size))
		pr_err("KHO has lost the handover, there can be no live update\n");
	return err;
}

/**
 * luo_handover_setup - get memory for the outgoing root and tell KHO of it
 * @luo: the orchestrator
 *
 * Context: Process context, at boot.
 * Return: 0, -ENOMEM, or what kho_add_subtree() fails with.
 */
int luo_handover_setup(struct luo *luo)
{
	return set_tree(luo, LUO_FDT_SIZE);
}

/**
 * luo_handover_receive - read the root that the previous kernel handed over
 * @luo: the orchestrator; its @root is filled, and empty if this fails
 *
 * The root's memory is taken out of KHO, so that no record can claim it, and never
 * given back: it is looked at for as long as the kernel runs, also by KHO's debugfs.
 * That of a root of a version that is not known stays there, to go on.
 *
 * Context: Process context, at boot.
 * Return: 0, -ENOENT when there is none, -EUCLEAN when it cannot be used,
 * -EPROTONOSUPPORT when its version is not known, and it is kept.
 */
int luo_handover_receive(struct luo *luo)
{
	phys_addr_t phys;
	int order, err;
	size_t size;

	err = kho_retrieve_subtree(LUO_FDT_SUBTREE, &phys, &size);
	if (err)
		return err == -ENOENT ? err : -EUCLEAN;

	/* Pages, as it can be on more than one node */
	order = kho_preserved_whole(phys);
	if (order < 0 || order > MAX_PAGE_ORDER || size > PAGE_SIZE << order)
		return -EUCLEAN;

	err = luo_root_decode(phys_to_virt(phys), size, &luo->root);
	if (err == -EPROTONOSUPPORT) {
		luo_root_version(phys_to_virt(phys), &luo->unknown);
		luo->unknown.data = phys;
		luo->unknown.count = size;
		return err;
	}
	if (!kho_try_restore_pages(phys, order)) {
		luo->root = (struct luo_root){};
		return -EUCLEAN;
	}
	if (!err)
		luo->received = phys_to_virt(phys);

	return err;
}

/* Go to the next root that came from a kernel before the previous one */
static bool root_next_unknown(struct luo *luo, int *cursor,
			      struct luo_item *item)
{
	return luo->received && luo_item_next(luo->received, LUO_FDT_UNKNOWN,
					      cursor, item);
}

/**
 * luo_handover_unknown - whether a root of a version that is not known came
 * @luo: the orchestrator
 *
 * Context: Process context, luo.transition held.
 * Return: true if one did, from whichever kernel, and the update is not finished.
 */
bool luo_handover_unknown(struct luo *luo)
{
	struct luo_item item;
	int cursor = 0;

	return !luo->finished &&
	       (luo->unknown.count || root_next_unknown(luo, &cursor, &item));
}

static int root_add_unknown(struct luo *luo, struct luo_items *items)
{
	struct luo_item item;
	int cursor = 0;
	int err = 0;

	if (luo->finished)
		return 0;

	if (luo->unknown.count)
		err = luo_items_add(items, luo->unknown.compatible,
				    luo->unknown.data, luo->unknown.count);
	while (!err && root_next_unknown(luo, &cursor, &item))
		err = luo_items_add(items, item.compatible, item.data,
				    item.count);

	return err;
}

/**
 * luo_handover_keep - let memory go on that belongs to what is not known
 * @luo: the orchestrator, with all carried that can be
 *
 * Nobody knows which memory it is, so all goes on that nobody has restored.
 *
 * Context: Process context, luo.transition held for writing.
 * Return: 0 or -ENOMEM.
 */
int luo_handover_keep(struct luo *luo)
{
	lockdep_assert_held_write(&luo->transition);
	return kho_preserve_unrestored();
}

/**
 * luo_handover_unkeep - undo luo_handover_keep(), if it was done
 * @luo: the orchestrator
 *
 * Context: Process context, luo.transition held for writing.
 */
void luo_handover_unkeep(struct luo *luo)
{
	lockdep_assert_held_write(&luo->transition);
	kho_unpreserve_unrestored();
}

/**
 * luo_handover_receive_sessions - make sessions of the records in the handover
 * @luo: the orchestrator, with a root
 *
 * A record that cannot be used is quarantined, and so is the whole chain when
 * its shape is wrong.
 *
 * Context: Process context, at boot.
 */
void luo_handover_receive_sessions(struct luo *luo)
{
	struct luo_chain chain = LUO_CHAIN(luo->root.sessions,
					   luo->root.nr_sessions,
					   struct luo_session_ser);
	const struct luo_session_ser *ser;
	struct luo_chain_it it;
	int err;

	err = luo_chain_take(&chain);
	if (err) {
		luo_quarantine_add(luo, err, "list of %llu sessions",
				   chain.count);
		return;
	}

	luo_chain_start(&it, &chain);
	while ((ser = luo_chain_next(&it))) {
		err = luo_session_receive(luo, ser);
		if (err)
			luo_quarantine_add(luo, err, "session %.*s",
					   (int)sizeof(ser->name), ser->name);
	}
	luo_chain_free(&chain);
}

static u64 root_bytes(const struct luo_root *root)
{
	return luo_root_size(root) +
	       root->nr_sessions * sizeof(struct luo_session_ser) +
	       root->nr_files * sizeof(struct luo_file_ser);
}

/**
 * luo_handover_write - write the handover, with all that is in sessions now
 * @luo: the orchestrator, frozen
 *
 * Context: Process context, luo.transition held for writing.
 * Return: 0, -ENOMEM, -ENOSPC; -E2BIG when there is more than a root can have;
 * -EADDRNOTAVAIL when the next kernel is not told of memory that anybody, not only the
 * orchestrator, hands over to it; -EHWPOISON when memory that it is to start in is
 * broken.
 */
int luo_handover_write(struct luo *luo)
{
	struct luo_root root;
	int err;

	lockdep_assert_held_write(&luo->transition);
	root_start(luo, &root);
	root.reboot_at = luo->reboot_at;
	err = luo_sessions_encode(luo, &root) ?:
	      luo_subsystems_encode(luo, &root.subsystems) ?:
	      luo_flbs_encode(luo, &root.flbs) ?:
	      root_add_unknown(luo, &root.unknown);
	if (!err && luo_root_size(&root) > luo->fdt_size)
		err = set_tree(luo, luo_root_size(&root));
	if (!err) {
		luo->handover_bytes = root_bytes(&root);
		luo_clock_stamp(&root);
		err = luo_root_encode(luo->fdt, luo->fdt_size, &root) ?:
		      kho_check_jump();
	}
	if (err)
		luo_handover_clear(luo);
	luo_items_free(&root.subsystems);
	luo_items_free(&root.flbs);
	luo_items_free(&root.unknown);

	return err;
}

/**
 * luo_handover_clear - undo luo_handover_write()
 * @luo: the orchestrator
 *
 * The outgoing root is an empty one then. It stays as large as it has become.
 *
 * Context: Process context, luo.transition held for writing.
 */
void luo_handover_clear(struct luo *luo)
{
	clear_root(luo);
	luo_sessions_unencode(luo);
}
