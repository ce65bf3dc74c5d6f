// SPDX-License-Identifier: GPL-2.0
/*
 * Live update of memfds of huge pages
 *
 * The file handler. The format of what crosses is in include/linux/kho/abi/hugetlb.h;
 * what these memfds have in common with others, in memfd_luo_attrs.c.
 */

/**
 * DOC: Live update of memfds of huge pages
 *
 * A memfd made with ``MFD_HUGETLB`` crosses as other memfds do, with its content,
 * size, name, seals, permission bits, owner, group and security label, and its
 * descriptor with position, access mode and status flags; and with the pages that it
 * has reserved.
 * Its pages stay where they are in memory, on their node, and huge. Holes stay
 * holes.
 *
 * While it is in a session its pages are pinned. It can be read and mapped as
 * before, written through mappings, and holes can be filled; what is written until
 * the kexec crosses. Truncation, fallocate() of any kind, and mapping more of it
 * than its size for writing are refused with EPERM.
 *
 * In the next kernel its pages count towards the pool that the command line asks for
 * with hugepages=: as many as are preserved are not allocated at boot. Until a file is
 * retrieved, its pages are in no count. Then they are pages of the pool, and stay there
 * when the file goes, as they do when it is finished without having been retrieved.
 *
 * Pages of which the command line does not ask for as many come on top of the pool, as
 * surplus pages, and the overcommit limit is not applied to them. When the file goes, or
 * is finished without having been retrieved, their memory is given back to the system.
 * So do all that come after another number was written to nr_hugepages, as that asks for
 * a pool of so many pages at once. Raising nr_hugepages makes surplus pages part of the
 * pool, without allocating any. What the file has reserved but not used has to be in that
 * kernel's pool.
 *
 * Pages and reservations behind the end of the file are given up.
 */

#define pr_fmt(fmt) "hugetlb_luo: " fmt

#include <linux/crc32.h>
#include <linux/errno.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/io.h>
#include <linux/liveupdate.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <linux/memfd_gate.h>
#include <linux/slab.h>
#include <uapi/linux/memfd.h>

#include "hugetlb_luo.h"
#include "memfd_luo.h"

static struct liveupdate_file_handler hugetlb_luo_handler;

/* ---- Outgoing ---- */

static bool hugetlb_luo_can_preserve(struct liveupdate_file_handler *handler,
				     struct file *file)
{
	/* What is preserved is of the latest version */
	return handler == &hugetlb_luo_handler && is_file_hugepages(file);
}

static unsigned long hugetlb_luo_get_id(struct file *file)
{
	return (unsigned long)file_inode(file);
}

/* Segments of shmget(2) have the operations of IPC, on top of the same inodes */
static bool is_huge_memfd(const struct file *file)
{
	return file_inode(file)->i_sb->s_magic == HUGETLBFS_MAGIC &&
	       memfd_luo_is_memfd(file);
}

/* A file that came without one, in a record that has none, goes on without one */
static int label_get(struct hugetlb_luo_out *out, struct liveupdate_file_op_args *args)
{
	if (args->handler != &hugetlb_luo_handler)
		return 0;

	return memfd_luo_label_get(memfd_luo_label_of(out->ser),
				   file_inode(args->file));
}

static int hugetlb_luo_preserve(struct liveupdate_file_op_args *args)
{
	struct inode *inode = file_inode(args->file);
	struct hugetlb_luo_out *out;
	int err;

	if (!is_huge_memfd(args->file))
		return -EOPNOTSUPP;

	out = kmalloc_obj(*out, GFP_KERNEL_ACCOUNT);
	if (!out)
		return -ENOMEM;
	err = hugetlb_luo_out_init(out, args->file);
	if (err)
		goto free;

	err = hugetlbfs_freeze_size(inode, true);
	if (err)
		goto destroy;
	out->waited = args->waited;
	err = label_get(out, args) ?: hugetlb_luo_keep(out, args->file);
	if (err)
		goto thaw;

	args->private_data = out;
	args->serialized_data = virt_to_phys(out->ser);
	return 0;

thaw:
	hugetlbfs_freeze_size(inode, false);
destroy:
	hugetlb_luo_out_destroy(out);
free:
	kfree(out);
	return err;
}

static void hugetlb_luo_unpreserve(struct liveupdate_file_op_args *args)
{
	struct hugetlb_luo_out *out = args->private_data;

	hugetlb_luo_unkeep(out);
	hugetlbfs_freeze_size(file_inode(args->file), false);
	hugetlb_luo_out_destroy(out);
	kfree(out);
}

static u64 hugetlb_luo_get_bytes(struct liveupdate_file_op_args *args)
{
	const struct hugetlb_luo_out *out = args->private_data;

	return out->pages * huge_page_size(out->h);
}

static struct memfd_gate *gate_of(const struct file *file)
{
	return &HUGETLBFS_I(file_inode(file))->gate;
}

/* What protects the file changes no more, and is written down */
static int keep_attrs(struct hugetlb_luo_out *out, struct liveupdate_file_op_args *args)
{
	struct memfd_gate *gate = gate_of(args->file);
	int err = memfd_gate_hold(gate, MEMFD_HOLD_ALL);

	if (err)
		return err;

	memfd_luo_attrs_get(&out->ser->attrs, args->file);
	err = label_get(out, args);
	if (err)
		memfd_gate_hold(gate, MEMFD_HOLD_NOTHING);

	return err;
}

/*
 * From here on nobody can fill a hole, or change what protects the file, until the
 * kexec or until it is called off.
 */
static int hugetlb_luo_freeze(struct liveupdate_file_op_args *args)
{
	struct inode *inode = file_inode(args->file);
	struct hugetlb_luo_out *out = args->private_data;
	struct hugetlb_luo_ser *ser = out->ser;
	int err;

	hugetlb_freeze_holes(inode, true);
	out->waited = args->waited;
	err = hugetlb_luo_keep_late(out, args->file);
	if (err)
		goto thaw;
	err = keep_attrs(out, args);
	if (err)
		goto unkeep;

	ser->crc = crc32c(0, ser, offsetof(struct hugetlb_luo_ser, crc));
	return 0;

unkeep:
	hugetlb_luo_unkeep_late(out);
thaw:
	hugetlb_freeze_holes(inode, false);
	return err;
}

static void hugetlb_luo_unfreeze(struct liveupdate_file_op_args *args)
{
	memfd_gate_hold(gate_of(args->file), MEMFD_HOLD_NOTHING);
	hugetlb_luo_unkeep_late(args->private_data);
	hugetlb_freeze_holes(file_inode(args->file), false);
}

/* ---- Incoming ---- */

static struct hugetlb_luo_in *incoming_new(u64 phys)
{
	struct hugetlb_luo_in *in;
	int err;

	in = kzalloc_obj(*in, GFP_KERNEL_ACCOUNT);
	if (!in)
		return ERR_PTR(-ENOMEM);

	err = hugetlb_luo_in_init(in, phys);
	if (err) {
		kfree(in);
		return ERR_PTR(err);
	}

	return in;
}

static struct file *new_file(const struct hugetlb_luo_ser *ser)
{
	struct hstate *h = size_to_hstate(hugetlb_luo_page_size(ser));
	struct file *file;
	int err;

	if (!h)
		return ERR_PTR(-EOPNOTSUPP);

	file = memfd_alloc_file(ser->attrs.name,
				MFD_HUGETLB | MFD_ALLOW_SEALING |
				huge_page_shift(h) << MFD_HUGE_SHIFT);
	if (IS_ERR(file))
		return file;

	err = memfd_luo_attrs_set(file, &ser->attrs) ?:
	      memfd_luo_label_set(file_inode(file), memfd_luo_label_of(ser));
	if (err) {
		fput(file);
		return ERR_PTR(err);
	}

	return file;
}

static struct file *restore_file(struct hugetlb_luo_in *in)
{
	struct file *file, *as_was;
	int err;

	file = new_file(in->ser);
	if (IS_ERR(file))
		return file;

	/* Before the pages, as it can fail and needs none */
	as_was = memfd_luo_open_as_was(file, &in->ser->attrs);
	if (IS_ERR(as_was)) {
		fput(file);
		return as_was;
	}

	err = hugetlb_luo_fill(in, file, as_was);
	return err ? ERR_PTR(err) : as_was;
}

static int hugetlb_luo_retrieve(struct liveupdate_file_op_args *args)
{
	struct hugetlb_luo_in *in = args->private_data;
	struct file *file;
	int err;

	if (!in) {
		err = hugetlb_luo_in_try_label(args->serialized_data);
		if (err)
			return err;
		in = incoming_new(args->serialized_data);
		if (IS_ERR(in))
			return PTR_ERR(in);
		args->private_data = in;
	}

	file = restore_file(in);
	if (IS_ERR(file))
		return PTR_ERR(file);

	hugetlb_luo_in_destroy(in);
	kfree(in);
	args->private_data = NULL;
	args->file = file;
	return 0;
}

/* Of what is damaged, memory cannot be told from that of others: it stays reserved */
static void discard_unasked(struct liveupdate_file_op_args *args)
{
	struct hugetlb_luo_in in;

	args->damaged = hugetlb_luo_in_init(&in, args->serialized_data);
	if (args->damaged)
		return;

	hugetlb_luo_discard(&in);
	hugetlb_luo_in_destroy(&in);
}

/*
 * What was retrieved needs nothing more, and what was not, nobody wants. Of what
 * is damaged, memory that could not be taken stays reserved.
 */
static void hugetlb_luo_finish(struct liveupdate_file_op_args *args)
{
	struct hugetlb_luo_in *in = args->private_data;

	if (in) {
		hugetlb_luo_discard(in);
		hugetlb_luo_in_destroy(in);
		kfree(in);
	} else if (!args->retrieve_status) {
		discard_unasked(args);
	}
}

static const struct liveupdate_file_ops hugetlb_luo_ops = {
	.can_preserve		= hugetlb_luo_can_preserve,
	.preserve		= hugetlb_luo_preserve,
	.unpreserve		= hugetlb_luo_unpreserve,
	.freeze			= hugetlb_luo_freeze,
	.unfreeze		= hugetlb_luo_unfreeze,
	.retrieve		= hugetlb_luo_retrieve,
	.finish			= hugetlb_luo_finish,
	.get_id			= hugetlb_luo_get_id,
	.get_bytes		= hugetlb_luo_get_bytes,
	.owner			= THIS_MODULE,
	.retrieve_can_retry	= true,
};

static struct liveupdate_file_handler hugetlb_luo_handler = {
	.ops		= &hugetlb_luo_ops,
	.compatible	= HUGETLB_LUO_COMPATIBLE,
};

/* What kernels wrote that did not know of labels */
static struct liveupdate_file_handler hugetlb_luo_old_handler = {
	.ops		= &hugetlb_luo_ops,
	.compatible	= HUGETLB_LUO_OLD_COMPATIBLE,
};

static int __init hugetlb_luo_init(void)
{
	int err = liveupdate_register_file_handler(&hugetlb_luo_handler) ?:
		  liveupdate_register_file_handler(&hugetlb_luo_old_handler);

	if (!err)
		hugetlb_luo_pool_setup();

	/* Live update being off is no failure */
	return err == -EOPNOTSUPP ? 0 : err;
}
late_initcall(hugetlb_luo_init);
