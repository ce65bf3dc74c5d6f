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
#include <linux/string.h>
#include <linux/utsname.h>

#include "luo_internal.h"

static void root_start(const struct luo *luo, struct luo_root *root)
{
	memset(root, 0, sizeof(*root));
	root->number = luo->number + 1;
	strscpy(root->release, init_utsname()->release);
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
	void *fdt = kho_alloc_preserve(LUO_FDT_SIZE);
	int err;

	if (IS_ERR(fdt))
		return PTR_ERR(fdt);

	luo->fdt = fdt;
	luo_handover_clear(luo);
	err = kho_add_subtree(LUO_FDT_SUBTREE, fdt, LUO_FDT_SIZE);
	if (err) {
		luo->fdt = NULL;
		kho_unpreserve_free(fdt);
	}

	return err;
}

/**
 * luo_handover_receive - read the root that the previous kernel handed over
 * @luo: the orchestrator; its @root is filled, and empty if this fails
 *
 * The root's memory is not given back: KHO's debugfs goes on to show it.
 *
 * Context: Process context, at boot.
 * Return: 0, -ENOENT when there is none, -EUCLEAN or -EPROTONOSUPPORT when it
 * cannot be used.
 */
int luo_handover_receive(struct luo *luo)
{
	phys_addr_t phys;
	size_t size;
	int err;

	err = kho_retrieve_subtree(LUO_FDT_SUBTREE, &phys, &size);
	if (err)
		return err == -ENOENT ? err : -EUCLEAN;
	if (size > LUO_FDT_SIZE || kho_preserved_order(phys) < 0)
		return -EUCLEAN;

	return luo_root_decode(phys_to_virt(phys), size, &luo->root);
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
		pr_err("sessions of the previous kernel are quarantined, their records are damaged: %pe\n",
		       ERR_PTR(err));
		luo->quarantined++;
		return;
	}

	luo_chain_start(&it, &chain);
	while ((ser = luo_chain_next(&it))) {
		err = luo_session_receive(luo, ser);
		if (!err)
			continue;
		pr_err("session '%.*s' is quarantined: %pe\n",
		       (int)sizeof(ser->name), ser->name, ERR_PTR(err));
		luo->quarantined++;
	}
	luo_chain_free(&chain);
}

/**
 * luo_handover_write - write the handover, with all that is in sessions now
 * @luo: the orchestrator, frozen
 *
 * Context: Process context, luo.transition held for writing.
 * Return: 0, -ENOMEM, -ENOSPC.
 */
int luo_handover_write(struct luo *luo)
{
	struct luo_root root;
	int err;

	root_start(luo, &root);
	err = luo_sessions_encode(luo, &root);
	if (!err)
		err = luo_root_encode(luo->fdt, LUO_FDT_SIZE, &root);
	if (err)
		luo_handover_clear(luo);

	return err;
}

/**
 * luo_handover_clear - make the outgoing handover an empty one
 * @luo: the orchestrator
 */
void luo_handover_clear(struct luo *luo)
{
	struct luo_root root;

	root_start(luo, &root);
	/* A root takes far less than a page: tests see to it */
	luo_root_encode(luo->fdt, LUO_FDT_SIZE, &root);
}
