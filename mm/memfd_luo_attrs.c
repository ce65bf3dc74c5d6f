// SPDX-License-Identifier: GPL-2.0
/*
 * Live update of memfds: what all of them have, whatever their pages
 */

#define pr_fmt(fmt) "memfd_luo: " fmt

#include <linux/crc32.h>
#include <linux/errno.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/memfd.h>
#include <linux/posix_acl.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/security.h>
#include <linux/shmem_fs.h>
#include <linux/string.h>

#include "memfd_luo.h"

/**
 * memfd_luo_is_memfd - see whether a file was made by memfd_create(2)
 * @file: a file of shmem or hugetlbfs
 *
 * These have no directory, are on the kernel's own mount, and their names have a
 * prefix that users cannot choose. Other files of the same filesystem, if deleted,
 * look similar but have a parent.
 *
 * Return: true if so.
 */
bool memfd_luo_is_memfd(const struct file *file)
{
	const struct dentry *dentry = file->f_path.dentry;

	return IS_ROOT(dentry) && d_unhashed(dentry) &&
	       !strncmp(dentry->d_name.name, MEMFD_PREFIX,
			strlen(MEMFD_PREFIX));
}

static bool has_acl(struct inode *inode)
{
	struct posix_acl *acl;

	if (!IS_POSIXACL(inode))
		return false;

	/* It is at hand, as all lists of shmem are */
	acl = get_inode_acl(inode, ACL_TYPE_ACCESS);
	if (IS_ERR_OR_NULL(acl))
		return false;

	posix_acl_release(acl);
	return true;
}

static int refuse(const char *what)
{
	pr_notice_ratelimited("%s[%d]: a memfd with %s cannot be preserved\n",
			      current->comm, task_pid_nr(current), what);
	return -EOPNOTSUPP;
}

/**
 * memfd_luo_attrs_cross - see whether all that a memfd has can cross
 * @inode: of a memfd of shmem, to which nothing of that kind can be added now
 *
 * Extended attributes, an access control list and the flags of chattr(1) cannot. They
 * can keep others out, so that the file would be less protected without them.
 *
 * Context: May sleep.
 * Return: 0, or -EOPNOTSUPP when it has one of these; the log tells which.
 */
int memfd_luo_attrs_cross(struct inode *inode)
{
	const struct shmem_inode_info *info = SHMEM_I(inode);

	if (has_acl(inode))
		return refuse("an access control list");
	if (info->fsflags)
		return refuse("flags of chattr(1)");
	if (!list_empty(&info->xattrs))
		return refuse("extended attributes");

	return 0;
}

/**
 * memfd_luo_label_get - note the label that a memfd has of a security module
 * @label: where to; empty when there is no module that gives labels
 * @inode: of the memfd
 *
 * Context: May sleep.
 * Return: 0; -EOPNOTSUPP when the label is too long, and the log tells so; or why the
 * module does not tell it.
 */
int memfd_luo_label_get(struct memfd_luo_label *label, struct inode *inode)
{
	struct lsm_context context;
	int err;

	label->text[0] = '\0';
	label->crc = 0;
	err = security_inode_getsecctx(inode, &context);
	if (err)
		return err == -EOPNOTSUPP ? 0 : err;

	/* Some modules count the NUL, and some do not end with one */
	context.len = strnlen(context.context, context.len);
	if (context.len < sizeof(label->text))
		memcpy_and_pad(label->text, sizeof(label->text),
			       context.context, context.len, 0);
	else
		err = refuse("so long a label");
	security_release_secctx(&context);
	label->crc = memfd_luo_label_crc(label);

	return err;
}

static bool has_label(struct inode *inode, const struct memfd_luo_label *label)
{
	struct memfd_luo_label have;

	return !memfd_luo_label_get(&have, inode) && !strcmp(have.text, label->text);
}

/**
 * memfd_luo_label_set - give a new memfd the label that another one had
 * @inode: of the memfd, which nobody else has
 * @label: checked by memfd_luo_label_ok()
 *
 * Without the label it could be open to more tasks than it was.
 *
 * Context: May sleep.
 * Return: 0, also when @label is empty; -EACCES when no security module here gives
 * labels, or one gives another label than this, as long as its policy is not loaded,
 * for example; or -ENOMEM.
 */
int memfd_luo_label_set(struct inode *inode, const struct memfd_luo_label *label)
{
	int err;

	if (!label->text[0] || has_label(inode, label))
		return 0;

	inode_lock(inode);
	err = security_inode_notifysecctx(inode, (void *)label->text,
					  strlen(label->text));
	inode_unlock(inode);
	if (err == -ENOMEM)
		return err;

	return !err && has_label(inode, label) ? 0 : -EACCES;
}

static int label_try(const struct memfd_luo_label *label, unsigned int flags)
{
	struct file *file __free(fput) = NULL;
	/* Somebody else can take up the record, and free it */
	const struct memfd_luo_label copy = *label;

	if (!memfd_luo_label_ok(&copy) || !copy.text[0])
		return 0;

	file = memfd_alloc_file("memfd:", flags);
	if (IS_ERR(file))
		return PTR_ERR(no_free_ptr(file));

	return memfd_luo_label_set(file_inode(file), &copy);
}

/**
 * memfd_luo_label_try - see whether a memfd can have a label here
 * @label: of a record that is not trusted, and still belongs to KHO
 * @flags: that memfd_create(2) makes such a memfd with
 *
 * Context: May sleep.
 * Return: as memfd_luo_label_set(), or why there is no memfd to try it on; 0 when the
 * label is damaged, which whoever takes up the record finds out.
 */
int memfd_luo_label_try(const struct memfd_luo_label *label, unsigned int flags)
{
	return READ_ONCE(label->text[0]) ? label_try(label, flags) : 0;
}

/**
 * memfd_luo_attrs_get - note what a memfd has
 * @attrs: where to
 * @file:  the memfd; it can change until the end
 */
void memfd_luo_attrs_get(struct memfd_luo_attrs *attrs, struct file *file)
{
	const struct inode *inode = file_inode(file);

	attrs->size = i_size_read(inode);
	attrs->pos = READ_ONCE(file->f_pos);
	attrs->flags = READ_ONCE(file->f_flags) & MEMFD_FLAGS;
	attrs->reopened = !!(file->f_mode & FMODE_WRITER);
	attrs->mode = READ_ONCE(inode->i_mode) & S_IALLUGO;
	attrs->uid = from_kuid(&init_user_ns, inode->i_uid);
	attrs->gid = from_kgid(&init_user_ns, inode->i_gid);
	attrs->seals = memfd_get_seals(file);
	strscpy_pad(attrs->name, file->f_path.dentry->d_name.name);
}

/**
 * memfd_luo_attrs_set - give a new memfd what another one had
 * @file:  the memfd, which is empty: some seals wait until no page is in use
 * @attrs: checked by memfd_luo_attrs_ok()
 *
 * Context: May sleep.
 * Return: 0, or why the seals could not be added.
 */
int memfd_luo_attrs_set(struct file *file, const struct memfd_luo_attrs *attrs)
{
	struct inode *inode = file_inode(file);
	int err;

	/* F_SEAL_EXEC would bring along seals against writing, if one could execute it */
	inode->i_mode &= ~S_IALLUGO;
	err = memfd_add_seals(file, attrs->seals);
	if (err)
		return err;

	inode->i_mode |= attrs->mode;
	inode->i_uid = make_kuid(&init_user_ns, attrs->uid);
	inode->i_gid = make_kgid(&init_user_ns, attrs->gid);
	i_size_write(inode, attrs->size);
	return 0;
}

/* As memfd_create(2) has made it, and not opened a second time by its path */
static bool is_original(const struct memfd_luo_attrs *attrs)
{
	return !attrs->reopened && (attrs->flags & O_ACCMODE) == O_RDWR;
}

/**
 * memfd_luo_open_as_was - open a memfd the way that it was
 * @file:  the memfd, as memfd_alloc_file() made it
 * @attrs: what it had
 *
 * Context: May sleep.
 * Return: the same inode's file, with a reference of its own, or an error.
 */
struct file *memfd_luo_open_as_was(struct file *file,
				   const struct memfd_luo_attrs *attrs)
{
	struct file *as_was;

	if (is_original(attrs)) {
		file->f_flags |= attrs->flags;
		/* What writing goes by */
		file->f_iocb_flags = iocb_flags(file);
		file->f_pos = attrs->pos;
		return get_file(file);
	}

	as_was = dentry_open(&file->f_path, attrs->flags | O_LARGEFILE,
			     current_cred());
	if (!IS_ERR(as_was)) {
		as_was->f_mode |= FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE;
		as_was->f_pos = attrs->pos;
	}

	return as_was;
}
