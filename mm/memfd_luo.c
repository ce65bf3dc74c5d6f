// SPDX-License-Identifier: GPL-2.0
/*
 * Live update of memfds
 *
 * The format of what crosses is in include/linux/kho/abi/memfd.h.
 */

/**
 * DOC: Live update of memfds
 *
 * A memfd crosses a live update with its content, size, name, seals, permission
 * bits, owner, group and security label; its descriptor with position, access mode
 * and status flags. Folios stay where they are in memory, and as large as they are.
 * Holes stay holes, and cost nothing.
 *
 * While a memfd is preserved its pages are held, so that they neither move nor get
 * swapped out. It can be read, written and mapped as before, and holes
 * can be filled; what is written until the kexec crosses. What would take pages
 * away or change the size is refused with EPERM: truncation, fallocate() of any
 * kind, and writing past the end.
 *
 * Extended attributes, access control lists and the flags of chattr(1) do not cross.
 * A memfd that has some is refused with EOPNOTSUPP, as it could be less protected in
 * the next kernel. To one that is announced or preserved, or retrieved but not
 * finished, none can be added: that fails with EPERM. Mode, owner and seals can change
 * as before.
 *
 * Not kept are time stamps and NUMA policies. Reserved space behind the end of the
 * file (``FALLOC_FL_KEEP_SIZE``) is given up.
 * Files of tmpfs that are no memfds are refused with EOPNOTSUPP. Memfds of huge
 * pages (``MFD_HUGETLB``) have a handler of their own, or are refused, too, where
 * it is not built.
 */

#define pr_fmt(fmt) "memfd_luo: " fmt

#include <linux/errno.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/io.h>
#include <linux/liveupdate.h>
#include <linux/memfd.h>
#include <linux/memfd_gate.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <uapi/linux/memfd.h>

#include "memfd_luo.h"

static struct liveupdate_file_handler memfd_luo_handler;

/* ---- Outgoing ---- */

/*
 * In charge of all that looks like shared memory, to refuse with a reason. What is
 * preserved is of the latest version.
 */
static bool memfd_luo_can_preserve(struct liveupdate_file_handler *handler,
				   struct file *file)
{
	if (handler != &memfd_luo_handler)
		return false;

	return shmem_file(file) || (is_file_hugepages(file) &&
				    !IS_ENABLED(CONFIG_LIVEUPDATE_HUGETLB));
}

static unsigned long memfd_luo_get_id(struct file *file)
{
	return (unsigned long)file_inode(file);
}

static struct memfd_luo_out *outgoing_new(void)
{
	struct memfd_luo_out *out;
	int err;

	out = kzalloc_obj(*out, GFP_KERNEL_ACCOUNT);
	if (!out)
		return ERR_PTR(-ENOMEM);

	err = memfd_luo_out_init(out);
	if (err) {
		kfree(out);
		return ERR_PTR(err);
	}

	return out;
}

static void outgoing_free(struct memfd_luo_out *out)
{
	memfd_luo_out_destroy(out);
	kfree(out);
}

static bool supported(struct file *file)
{
	return shmem_file(file) && memfd_luo_is_memfd(file);
}

static struct memfd_gate *gate_of(const struct file *file)
{
	return &SHMEM_I(file_inode(file))->gate;
}

/* All that the file has can cross, and nothing that cannot comes any more */
static int hold_extra(struct file *file)
{
	enum memfd_hold before = gate_of(file)->hold;
	int err;

	err = memfd_gate_hold(gate_of(file), MEMFD_HOLD_EXTRA) ?:
	      memfd_luo_attrs_cross(file_inode(file));
	if (err)
		memfd_gate_hold(gate_of(file), before);

	return err;
}

/* A file that was retrieved can be carried on until it is finished */
static void unhold_extra(struct liveupdate_file_op_args *args)
{
	memfd_gate_hold(gate_of(args->file), args->retrieve_status > 0 ?
			MEMFD_HOLD_EXTRA : MEMFD_HOLD_NOTHING);
}

/* What it takes from now on will not have to move out of scratch memory */
static int memfd_luo_announce(struct liveupdate_file_op_args *args)
{
	int err;

	if (!supported(args->file))
		return -EOPNOTSUPP;

	err = hold_extra(args->file);
	if (!err)
		shmem_set_pinnable(file_inode(args->file), SHMEM_PINNABLE_FIRST);

	return err;
}

static void memfd_luo_unannounce(struct liveupdate_file_op_args *args)
{
	shmem_set_pinnable(file_inode(args->file), SHMEM_PINNABLE_IDLE);
	unhold_extra(args);
}

/* A file that came without one, in a record that has none, goes on without one */
static int label_get(struct memfd_luo_out *out, struct liveupdate_file_op_args *args)
{
	if (args->handler != &memfd_luo_handler)
		return 0;

	return memfd_luo_label_get(memfd_luo_label_of(out->ser),
				   file_inode(args->file));
}

static int memfd_luo_preserve(struct liveupdate_file_op_args *args)
{
	struct inode *inode = file_inode(args->file);
	enum shmem_pinnable before;
	struct memfd_luo_out *out;
	enum memfd_hold held;
	int err;

	/* It can be a memfd of huge pages, too */
	if (!supported(args->file))
		return -EOPNOTSUPP;

	held = gate_of(args->file)->hold;
	before = shmem_get_pinnable(inode);
	out = outgoing_new();
	if (IS_ERR(out))
		return PTR_ERR(out);

	/* Pages neither go away nor does a call begin that takes some away */
	err = shmem_freeze_size(inode, true);
	if (err)
		goto free;
	err = hold_extra(args->file);
	if (err)
		goto thaw;
	/* What fills holes later is to be pinned, too */
	shmem_set_pinnable(inode, SHMEM_PINNABLE_FIRST);
	out->kept.patience.waited = args->waited;
	err = label_get(out, args) ?: memfd_luo_keep(out, args->file);
	if (err)
		goto release;

	args->private_data = out;
	args->serialized_data = virt_to_phys(out->ser);
	return 0;

release:
	shmem_set_pinnable(inode, before);
	memfd_gate_hold(gate_of(args->file), held);
thaw:
	shmem_freeze_size(inode, false);
free:
	outgoing_free(out);
	return err;
}

static void memfd_luo_unpreserve(struct liveupdate_file_op_args *args)
{
	struct memfd_luo_out *out = args->private_data;

	memfd_luo_unkeep(out);
	if (!args->announced)
		memfd_luo_unannounce(args);
	shmem_freeze_size(file_inode(args->file), false);
	outgoing_free(out);
}

static u64 memfd_luo_get_bytes(struct liveupdate_file_op_args *args)
{
	const struct memfd_luo_out *out = args->private_data;

	return (out->kept.pages + out->late.pages) << PAGE_SHIFT;
}

/* What protects the file changes no more, and is written down */
static int keep_attrs(struct memfd_luo_out *out, struct liveupdate_file_op_args *args)
{
	struct memfd_gate *gate = gate_of(args->file);
	int err = memfd_gate_hold(gate, MEMFD_HOLD_ALL);

	if (err)
		return err;

	memfd_luo_attrs_get(&out->ser->attrs, args->file);
	err = label_get(out, args);
	if (err)
		memfd_gate_hold(gate, MEMFD_HOLD_EXTRA);

	return err;
}

/*
 * From here on nobody can fill a hole, or change what protects the file: those who
 * try wait, until the kexec or until it is called off.
 */
static int memfd_luo_freeze(struct liveupdate_file_op_args *args)
{
	struct inode *inode = file_inode(args->file);
	struct memfd_luo_out *out = args->private_data;
	int err;

	shmem_freeze_holes(inode, true);
	out->late.patience.waited = args->waited;
	err = memfd_luo_keep_late(out, args->file);
	if (err)
		goto thaw;
	err = keep_attrs(out, args);
	if (err)
		goto unkeep;

	memfd_luo_out_seal(out);
	return 0;

unkeep:
	memfd_luo_unkeep_late(out);
thaw:
	shmem_freeze_holes(inode, false);
	return err;
}

static void memfd_luo_unfreeze(struct liveupdate_file_op_args *args)
{
	struct memfd_luo_out *out = args->private_data;

	memfd_gate_hold(gate_of(args->file), MEMFD_HOLD_EXTRA);
	memfd_luo_unkeep_late(out);
	shmem_freeze_holes(file_inode(args->file), false);
}

/* ---- Incoming ---- */

static struct memfd_luo_in *incoming_new(u64 phys)
{
	struct memfd_luo_in *in;
	int err;

	in = kzalloc_obj(*in, GFP_KERNEL_ACCOUNT);
	if (!in)
		return ERR_PTR(-ENOMEM);

	err = memfd_luo_in_init(in, phys);
	if (err) {
		kfree(in);
		return ERR_PTR(err);
	}

	return in;
}

static struct file *restore_file(struct memfd_luo_in *in)
{
	struct file *file __free(fput) =
		memfd_alloc_file(in->ser->attrs.name, MFD_ALLOW_SEALING);
	struct file *as_was;
	int err;

	if (IS_ERR(file))
		return file;

	err = memfd_luo_attrs_set(file, &in->ser->attrs);
	if (!err && memfd_luo_may_have_label(in->ser))
		err = memfd_luo_label_set(file_inode(file),
					  memfd_luo_label_of(in->ser));
	if (err)
		return ERR_PTR(err);

	/* Before the pages, as it can fail and needs none */
	as_was = memfd_luo_open_as_was(file, &in->ser->attrs);
	if (IS_ERR(as_was))
		return as_was;

	err = memfd_luo_fill(file_inode(file), in);
	if (err) {
		fput(as_was);
		return ERR_PTR(err);
	}

	return as_was;
}

static int memfd_luo_retrieve(struct liveupdate_file_op_args *args)
{
	struct memfd_luo_in *in = args->private_data;
	struct file *file;
	int err;

	if (!in) {
		err = memfd_luo_in_try_label(args->serialized_data);
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

	/* This waits for nobody, as nobody has the file yet */
	memfd_gate_hold(gate_of(file), MEMFD_HOLD_EXTRA);
	memfd_luo_in_destroy(in);
	kfree(in);
	args->private_data = NULL;
	args->file = file;
	return 0;
}

/* Of what is damaged, memory cannot be told from that of others: it stays reserved */
static void discard_unasked(struct liveupdate_file_op_args *args)
{
	struct memfd_luo_in in;

	args->damaged = memfd_luo_in_init(&in, args->serialized_data);
	if (args->damaged)
		return;

	memfd_luo_discard(&in);
	memfd_luo_in_destroy(&in);
}

/* What was retrieved needs nothing more, and what was not, nobody wants */
static void memfd_luo_finish(struct liveupdate_file_op_args *args)
{
	struct memfd_luo_in *in = args->private_data;

	if (args->file)
		memfd_gate_hold(gate_of(args->file), MEMFD_HOLD_NOTHING);
	if (in) {
		memfd_luo_discard(in);
		memfd_luo_in_destroy(in);
		kfree(in);
	} else if (!args->retrieve_status) {
		discard_unasked(args);
	}
}

static const struct liveupdate_file_ops memfd_luo_ops = {
	.can_preserve		= memfd_luo_can_preserve,
	.announce		= memfd_luo_announce,
	.unannounce		= memfd_luo_unannounce,
	.preserve		= memfd_luo_preserve,
	.unpreserve		= memfd_luo_unpreserve,
	.freeze			= memfd_luo_freeze,
	.unfreeze		= memfd_luo_unfreeze,
	.retrieve		= memfd_luo_retrieve,
	.finish			= memfd_luo_finish,
	.get_id			= memfd_luo_get_id,
	.get_bytes		= memfd_luo_get_bytes,
	.owner			= THIS_MODULE,
	.retrieve_can_retry	= true,
};

static struct liveupdate_file_handler memfd_luo_handler = {
	.ops		= &memfd_luo_ops,
	.compatible	= MEMFD_LUO_COMPATIBLE,
};

/* What kernels wrote that did not know of labels */
static struct liveupdate_file_handler memfd_luo_old_handler = {
	.ops		= &memfd_luo_ops,
	.compatible	= MEMFD_LUO_OLD_COMPATIBLE,
};

static int __init memfd_luo_init(void)
{
	int err = liveupdate_register_file_handler(&memfd_luo_handler) ?:
		  liveupdate_register_file_handler(&memfd_luo_old_handler);

	/* Live update being off is no failure */
	return err == -EOPNOTSUPP ? 0 : err;
}
late_initcall(memfd_luo_init);
