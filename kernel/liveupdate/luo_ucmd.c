// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: the ioctl dispatcher
 *
 * All commands of the device and of sessions go through here. A command works on
 * a copy of its argument. What it makes becomes visible to user space in one
 * step at the end, when the answer has been copied out: until then all can be
 * undone, and from then on nothing can fail.
 */

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/uaccess.h>

#include "luo_internal.h"

/* What commands that make a descriptor start with */
struct fd_arg {
	__u32 size;
	__s32 fd;
};

static_assert(offsetof(struct liveupdate_ioctl_create_session, fd) ==
	      offsetof(struct fd_arg, fd));
static_assert(offsetof(struct liveupdate_ioctl_retrieve_session, fd) ==
	      offsetof(struct fd_arg, fd));
static_assert(offsetof(struct liveupdate_session_retrieve_fd, fd) ==
	      offsetof(struct fd_arg, fd));

static const struct luo_ucmd_op *find_op(const struct luo_ucmd_op *ops,
					 size_t nr_ops, unsigned int cmd)
{
	size_t i;

	for (i = 0; i < nr_ops; i++) {
		if (ops[i].cmd == cmd)
			return &ops[i];
	}

	return NULL;
}

static int check_direction(const struct luo_ucmd_op *op,
			   const struct luo_session *session)
{
	if ((op->flags & LUO_UCMD_OUTGOING) &&
	    session->direction != LIVEUPDATE_OUTGOING)
		return -EINVAL;
	if ((op->flags & LUO_UCMD_INCOMING) &&
	    session->direction != LIVEUPDATE_INCOMING)
		return -EINVAL;

	return 0;
}

static int copy_in(const struct luo_ucmd_op *op, void *arg, void __user *uarg,
		   u32 *user_size)
{
	if (get_user(*user_size, (u32 __user *)uarg))
		return -EFAULT;
	if (*user_size < op->min_size)
		return -EINVAL;
	if (*user_size > PAGE_SIZE)
		return -E2BIG;

	return copy_struct_from_user(arg, op->size, uarg, *user_size);
}

static int copy_out(const struct luo_ucmd_op *op, const struct luo_ucmd *ucmd,
		    void __user *uarg, u32 user_size)
{
	return copy_to_user(uarg, ucmd->arg, min_t(u32, user_size, op->size)) ?
	       -EFAULT : 0;
}

static int call_once(struct luo_ucmd *ucmd, luo_ucmd_fn execute)
{
	struct luo *luo = ucmd->luo;
	struct luo_caller caller;
	int err;

	/* A kexec may be refused at last, and take its time until then */
	err = down_read_killable(&luo->transition);
	if (err)
		return err;
	luo_caller_enter(&luo->callers, &caller);
	err = luo->state == LIVEUPDATE_STATE_FROZEN ? -EBUSY : execute(ucmd);
	luo_caller_leave(&luo->callers, &caller);
	up_read(&luo->transition);

	return err;
}

/**
 * luo_ucmd_call - do something for a command that may change what is preserved
 * @ucmd:    the command
 * @execute: does it, with luo.transition held for reading and not frozen; when it
 *           sets @ucmd->wanted, a second time, after the module was asked for
 *
 * Context: Process context, no lock held, as it may wait for user space.
 * Return: what @execute returns; -EBUSY when a kexec is under way; -EINTR when
 * killed.
 */
int luo_ucmd_call(struct luo_ucmd *ucmd, luo_ucmd_fn execute)
{
	int err = call_once(ucmd, execute);

	if (!err || !ucmd->wanted[0])
		return err;

	err = luo_handler_request(ucmd->wanted);
	ucmd->wanted[0] = '\0';
	return err ?: call_once(ucmd, execute);
}

static int execute(const struct luo_ucmd_op *op, struct luo_ucmd *ucmd)
{
	return op->flags & LUO_UCMD_UNLOCKED ? op->execute(ucmd) :
					       luo_ucmd_call(ucmd, op->execute);
}

static int run_plain(const struct luo_ucmd_op *op, struct luo_ucmd *ucmd,
		     void __user *uarg, u32 user_size)
{
	int err = execute(op, ucmd);

	if (!err && (op->flags & LUO_UCMD_OUTPUT))
		err = copy_out(op, ucmd, uarg, user_size);

	return err;
}

static int run_new_fd(const struct luo_ucmd_op *op, struct luo_ucmd *ucmd,
		      void __user *uarg, u32 user_size)
{
	struct fd_arg *arg = ucmd->arg;
	int err;

	CLASS(get_unused_fd, fd)(O_CLOEXEC);
	if (fd < 0)
		return fd;

	err = execute(op, ucmd);
	if (err)
		return err;

	arg->fd = fd;
	err = copy_out(op, ucmd, uarg, user_size);
	if (err) {
		/* Undoes what was done: see the release of a session */
		fput(ucmd->file);
		return err;
	}

	fd_install(take_fd(fd), ucmd->file);
	return 0;
}

/**
 * luo_ucmd_run - carry out a command of user space
 * @ucmd:   who asks: its @luo, and @session, or @opener and @reads_only
 * @ops:    the commands that there are
 * @nr_ops: number of @ops
 * @cmd:    the command's number
 * @arg:    user space's pointer to the argument
 *
 * Context: Process context, may fault on user memory.
 * Return: 0; -ENOTTY when there is no such command; -EBADF when the device is open
 * for reading only, and the command is not; -EFAULT; -EINVAL when the
 * argument is too small or the session of the wrong direction; -E2BIG when it has
 * something in a part that is not known, or is larger than a page; -EMFILE or
 * -ENFILE when a descriptor is needed and none is free; -EBUSY when a kexec is
 * under way; or what the command fails with.
 */
long luo_ucmd_run(struct luo_ucmd *ucmd, const struct luo_ucmd_op *ops,
		  size_t nr_ops, unsigned int cmd, unsigned long arg)
{
	u8 buffer[LUO_UCMD_MAX_SIZE] __aligned(8) = {};
	void __user *uarg = (void __user *)arg;
	const struct luo_ucmd_op *op;
	u32 user_size;
	int err;

	op = find_op(ops, nr_ops, cmd);
	if (!op)
		return -ENOTTY;
	if (ucmd->reads_only && !(op->flags & LUO_UCMD_READER))
		return -EBADF;

	err = copy_in(op, buffer, uarg, &user_size) ?:
	      check_direction(op, ucmd->session);
	if (err)
		return err;

	ucmd->arg = buffer;
	ucmd->uarg = uarg;
	if (op->flags & LUO_UCMD_NEW_FD)
		return run_new_fd(op, ucmd, uarg, user_size);

	return run_plain(op, ucmd, uarg, user_size);
}
