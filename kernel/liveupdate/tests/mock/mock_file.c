// SPDX-License-Identifier: GPL-2.0
/*
 * Test double: files that can be preserved
 *
 * /dev/liveupdate-test makes one with each open. Its content is its name, which
 * rules and the log know it by; it can be written until the file is frozen.
 */

#include <linux/anon_inodes.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/liveupdate.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "mock.h"

/**
 * struct mock_file - a mock file
 * @name: its content
 */
struct mock_file {
	char name[MOCK_NAME_LENGTH];
};

static const char *name_of(struct file *file)
{
	return ((struct mock_file *)file->private_data)->name;
}

static ssize_t mock_read(struct file *file, char __user *to, size_t size,
			 loff_t *pos)
{
	const char *name = name_of(file);

	return simple_read_from_buffer(to, size, pos, name, strlen(name));
}

static ssize_t mock_write(struct file *file, const char __user *from,
			  size_t size, loff_t *pos)
{
	struct mock_file *mock = file->private_data;
	char name[MOCK_NAME_LENGTH] = {};

	if (size >= sizeof(name))
		return -EINVAL;
	if (copy_from_user(name, from, size))
		return -EFAULT;

	strscpy(mock->name, name);
	return size;
}

static int mock_open(struct inode *inode, struct file *file)
{
	file->private_data = kzalloc_obj(struct mock_file);
	return file->private_data ? 0 : -ENOMEM;
}

static int mock_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

static const struct file_operations mock_fops = {
	.owner		= THIS_MODULE,
	.open		= mock_open,
	.release	= mock_release,
	.read		= mock_read,
	.write		= mock_write,
	.llseek		= default_llseek,
};

/* ---- As the orchestrator calls them ---- */

static bool mock_can_preserve(struct liveupdate_file_handler *handler,
			      struct file *file)
{
	return file->f_op == &mock_fops;
}

static int mock_preserve(struct liveupdate_file_op_args *args)
{
	struct mock_ser *ser;
	int err;

	err = mock_called("preserve", name_of(args->file));
	if (err)
		return err;

	ser = mock_ser_alloc(name_of(args->file), 0);
	if (IS_ERR(ser))
		return PTR_ERR(ser);

	err = mock_flbs_add_file(1);
	if (err) {
		mock_ser_free(ser);
		return err;
	}

	args->serialized_data = virt_to_phys(ser);
	return 0;
}

static void mock_unpreserve(struct liveupdate_file_op_args *args)
{
	mock_called("unpreserve", name_of(args->file));
	mock_flbs_add_file(-1);
	mock_ser_free(phys_to_virt(args->serialized_data));
}

static int mock_freeze(struct liveupdate_file_op_args *args)
{
	struct mock_ser *ser = phys_to_virt(args->serialized_data);
	int err;

	err = mock_called("freeze", name_of(args->file));
	if (!err)
		strscpy(ser->name, name_of(args->file));

	return err;
}

static void mock_unfreeze(struct liveupdate_file_op_args *args)
{
	mock_called("unfreeze", name_of(args->file));
}

/* Nothing may fail once the memory is taken: it could not be given back */
static int mock_retrieve(struct liveupdate_file_op_args *args)
{
	const struct mock_ser *came = mock_ser_peek(args->serialized_data);
	struct mock_file *mock __free(kfree) = kzalloc_obj(*mock);
	struct file *file;
	int err;

	if (!came)
		return -EUCLEAN;
	if (!mock)
		return -ENOMEM;

	strscpy(mock->name, came->name);
	err = mock_called("retrieve", mock->name);
	if (err)
		return err;

	file = anon_inode_getfile("[mock]", &mock_fops, mock, O_RDWR);
	if (IS_ERR(file))
		return PTR_ERR(file);

	file->f_mode |= FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE;
	retain_and_null_ptr(mock);
	args->file = file;
	mock_ser_put(mock_ser_take(args->serialized_data));
	return 0;
}

static bool mock_can_finish(struct liveupdate_file_op_args *args)
{
	const struct mock_ser *came = mock_ser_peek(args->serialized_data);
	const char *name = "unknown";

	if (args->file)
		name = name_of(args->file);
	else if (came)
		name = came->name;

	return !mock_called("can-finish", name);
}

static void mock_finish(struct liveupdate_file_op_args *args)
{
	struct mock_ser *ser;

	if (args->file) {
		mock_called("finish", name_of(args->file));
		return;
	}

	ser = mock_ser_take(args->serialized_data);
	mock_called("finish", ser ? ser->name : "unknown");
	if (ser)
		mock_ser_put(ser);
}

static u64 mock_get_bytes(struct liveupdate_file_op_args *args)
{
	return PAGE_SIZE;
}

static const struct liveupdate_file_ops mock_ops = {
	.can_preserve		= mock_can_preserve,
	.preserve		= mock_preserve,
	.unpreserve		= mock_unpreserve,
	.freeze			= mock_freeze,
	.unfreeze		= mock_unfreeze,
	.retrieve		= mock_retrieve,
	.can_finish		= mock_can_finish,
	.finish			= mock_finish,
	.get_bytes		= mock_get_bytes,
	.owner			= THIS_MODULE,
	.retrieve_can_retry	= true,
};

static struct liveupdate_file_handler mock_handler = {
	.ops = &mock_ops,
	.compatible = "mock-file-v1",
};

static struct miscdevice mock_device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "liveupdate-test",
	.fops	= &mock_fops,
	.mode	= 0600,
};

/**
 * mock_files_register - make the device, and register the handler and the FLBs
 * @dir: for the files of debugfs
 *
 * Return: 0, or what misc_register() or liveupdate_register_file_handler() fails
 * with.
 */
int mock_files_register(struct dentry *dir)
{
	int err;

	err = misc_register(&mock_device);
	if (err)
		return err;

	err = liveupdate_register_file_handler(&mock_handler);
	if (err) {
		misc_deregister(&mock_device);
		return err;
	}

	mock_flbs_register(&mock_handler, dir);
	return 0;
}

/**
 * mock_files_unregister - undo mock_files_register()
 */
void mock_files_unregister(void)
{
	liveupdate_unregister_file_handler(&mock_handler);
	misc_deregister(&mock_device);
}
