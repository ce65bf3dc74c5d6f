// SPDX-License-Identifier: GPL-2.0
/*
 * Sample: a file handler, for files that hold a note
 *
 * Open /dev/liveupdate-note, write, put the file into a session, and read what
 * was written in the next kernel.
 */

#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kexec_handover.h>
#include <linux/liveupdate.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>

/* The private data of a file is the folio that has its text */
static ssize_t note_read(struct file *file, char __user *to, size_t size,
			 loff_t *pos)
{
	return simple_read_from_buffer(to, size, pos,
				       folio_address(file->private_data),
				       PAGE_SIZE);
}

static ssize_t note_write(struct file *file, const char __user *from,
			  size_t size, loff_t *pos)
{
	return simple_write_to_buffer(folio_address(file->private_data),
				      PAGE_SIZE, pos, from, size);
}

static int note_open(struct inode *inode, struct file *file)
{
	file->private_data = folio_alloc(GFP_KERNEL_ACCOUNT | __GFP_ZERO, 0);
	return file->private_data ? 0 : -ENOMEM;
}

static int note_release(struct inode *inode, struct file *file)
{
	if (file->private_data)
		folio_put(file->private_data);
	return 0;
}

static const struct file_operations note_fops = {
	.owner		= THIS_MODULE,
	.open		= note_open,
	.release	= note_release,
	.read		= note_read,
	.write		= note_write,
	.llseek		= default_llseek,
};

static bool note_can_preserve(struct liveupdate_file_handler *handler,
			      struct file *file)
{
	return file->f_op == &note_fops;
}

/* The folio itself crosses. Text that is written later is in it: no freeze. */
static int note_preserve(struct liveupdate_file_op_args *args)
{
	struct folio *folio = args->file->private_data;

	/* It comes back for both, which must not be more than there was */
	if ((args->file->f_flags & O_ACCMODE) != O_RDWR)
		return -EOPNOTSUPP;
	args->serialized_data = PFN_PHYS(folio_pfn(folio));
	return kho_preserve_folio(folio);
}

static void note_unpreserve(struct liveupdate_file_op_args *args)
{
	kho_unpreserve_folio(args->file->private_data);
}

/* The word is not to be trusted: so try. Last, as taking it cannot be undone. */
static int note_retrieve(struct liveupdate_file_op_args *args)
{
	struct file *file __free(fput) =
		anon_inode_getfile("[note]", &note_fops, NULL, O_RDWR);

	if (IS_ERR(file))
		return PTR_ERR(file);

	file->f_mode |= FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE;
	file->private_data = kho_try_restore_folio(args->serialized_data, 0);
	if (!file->private_data)
		return -EUCLEAN;
	args->file = no_free_ptr(file);
	return 0;
}

/* A file that was retrieved has its folio. Free that of one that nobody wanted. */
static void note_finish(struct liveupdate_file_op_args *args)
{
	struct folio *folio;

	if (args->retrieve_status)
		return;

	folio = kho_try_restore_folio(args->serialized_data, 0);
	if (folio)
		folio_put(folio);
	else
		args->damaged = true;
}

static const struct liveupdate_file_ops note_ops = {
	.can_preserve		= note_can_preserve,
	.preserve		= note_preserve,
	.unpreserve		= note_unpreserve,
	.retrieve		= note_retrieve,
	.finish			= note_finish,
	.owner			= THIS_MODULE,
	.retrieve_can_retry	= true,
};

static struct liveupdate_file_handler note_handler = {
	.ops = &note_ops,
	.compatible = "sample-note-v1",
};

static struct miscdevice note_device = {
	.minor = MISC_DYNAMIC_MINOR, .name = "liveupdate-note",
	.fops = &note_fops,
};

static int __init note_init(void)
{
	int err = misc_register(&note_device);

	if (err)
		return err;
	err = liveupdate_register_file_handler(&note_handler);
	if (err)
		misc_deregister(&note_device);
	return err;
}
module_init(note_init);

static void __exit note_exit(void)
{
	misc_deregister(&note_device);
	liveupdate_unregister_file_handler(&note_handler);
}
module_exit(note_exit);

MODULE_ALIAS("liveupdate:sample-note-v1");
MODULE_DESCRIPTION("Sample of a live update file handler");
MODULE_LICENSE("GPL");
