// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: sessions as file descriptors
 */

#include <linux/anon_inodes.h>
#include <linux/errno.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "luo_internal.h"

static int preserve_fd(struct luo_ucmd *ucmd)
{
	const struct liveupdate_session_preserve_fd *arg = ucmd->arg;
	struct file *file __free(fput) = fget(arg->fd);

	if (!file)
		return -EBADF;

	return luo_file_preserve(ucmd->session, file, arg->token, NULL);
}

static int announce_fd(struct luo_ucmd *ucmd)
{
	const struct liveupdate_session_announce_fd *arg = ucmd->arg;
	struct file *file __free(fput) = fget(arg->fd);

	if (!file)
		return -EBADF;

	return luo_file_announce(ucmd->session, file, arg->token);
}

static int retrieve_fd(struct luo_ucmd *ucmd)
{
	const struct liveupdate_session_retrieve_fd *arg = ucmd->arg;
	int err;

	err = luo_file_retrieve(ucmd->session, arg->token, &ucmd->file,
				ucmd->wanted);
	if (!err)
		luo_clock_retrieved(ucmd->luo);

	return err;
}

static int unpreserve_fd(struct luo_ucmd *ucmd)
{
	const struct liveupdate_session_unpreserve_fd *arg = ucmd->arg;

	if (arg->reserved)
		return -EINVAL;

	return luo_file_unpreserve(ucmd->session, arg->token);
}

static int next_file(struct luo_ucmd *ucmd)
{
	return luo_file_next(ucmd->session, ucmd->arg);
}

static int get_info(struct luo_ucmd *ucmd)
{
	struct liveupdate_session_get_info *arg = ucmd->arg;
	struct luo_session *session = ucmd->session;

	if (arg->reserved)
		return -EINVAL;

	arg->direction = session->direction;
	arg->state = READ_ONCE(session->state);
	arg->files = READ_ONCE(session->nr_files);

	return luo_files_bytes(session, &arg->bytes);
}

static int finish(struct luo_ucmd *ucmd)
{
	const struct liveupdate_session_finish *arg = ucmd->arg;

	if (arg->reserved)
		return -EINVAL;

	return luo_session_finish(ucmd->session);
}

static int get_name(struct luo_ucmd *ucmd)
{
	struct liveupdate_session_get_name *arg = ucmd->arg;

	if (arg->reserved)
		return -EINVAL;

	strscpy_pad(arg->name, ucmd->session->name, sizeof(arg->name));
	return 0;
}

static const struct luo_ucmd_op session_ops[] = {
	LUO_UCMD_OP(LIVEUPDATE_SESSION_PRESERVE_FD,
		    struct liveupdate_session_preserve_fd, token,
		    LUO_UCMD_OUTGOING, preserve_fd),
	LUO_UCMD_OP(LIVEUPDATE_SESSION_RETRIEVE_FD,
		    struct liveupdate_session_retrieve_fd, token,
		    LUO_UCMD_INCOMING | LUO_UCMD_NEW_FD, retrieve_fd),
	LUO_UCMD_OP(LIVEUPDATE_SESSION_FINISH,
		    struct liveupdate_session_finish, reserved,
		    LUO_UCMD_INCOMING, finish),
	LUO_UCMD_OP(LIVEUPDATE_SESSION_GET_NAME,
		    struct liveupdate_session_get_name, name,
		    LUO_UCMD_OUTPUT, get_name),
	LUO_UCMD_OP(LIVEUPDATE_SESSION_UNPRESERVE_FD,
		    struct liveupdate_session_unpreserve_fd, token,
		    LUO_UCMD_OUTGOING, unpreserve_fd),
	LUO_UCMD_OP(LIVEUPDATE_SESSION_ANNOUNCE_FD,
		    struct liveupdate_session_announce_fd, token,
		    LUO_UCMD_OUTGOING, announce_fd),
	LUO_UCMD_OP(LIVEUPDATE_SESSION_PRESERVE_FDS,
		    struct liveupdate_session_fds, error,
		    LUO_UCMD_OUTGOING | LUO_UCMD_UNLOCKED, luo_batch_preserve),
	LUO_UCMD_OP(LIVEUPDATE_SESSION_RETRIEVE_FDS,
		    struct liveupdate_session_fds, error,
		    LUO_UCMD_INCOMING | LUO_UCMD_UNLOCKED, luo_batch_retrieve),
	LUO_UCMD_OP(LIVEUPDATE_SESSION_NEXT_FILE,
		    struct liveupdate_session_next_file, compatible,
		    LUO_UCMD_OUTPUT, next_file),
	LUO_UCMD_OP(LIVEUPDATE_SESSION_GET_INFO,
		    struct liveupdate_session_get_info, bytes,
		    LUO_UCMD_OUTPUT, get_info),
};

static_assert(sizeof(struct liveupdate_session_preserve_fd) <= LUO_UCMD_MAX_SIZE);
static_assert(sizeof(struct liveupdate_session_retrieve_fd) <= LUO_UCMD_MAX_SIZE);
static_assert(sizeof(struct liveupdate_session_finish) <= LUO_UCMD_MAX_SIZE);
static_assert(sizeof(struct liveupdate_session_get_name) <= LUO_UCMD_MAX_SIZE);
static_assert(sizeof(struct liveupdate_session_announce_fd) <= LUO_UCMD_MAX_SIZE);
static_assert(sizeof(struct liveupdate_session_fds) <= LUO_UCMD_MAX_SIZE);
static_assert(sizeof(struct liveupdate_session_next_file) <= LUO_UCMD_MAX_SIZE);

static long session_ioctl(struct file *file, unsigned int cmd,
			  unsigned long arg)
{
	struct luo_session *session = file->private_data;
	struct luo *luo = session->luo;
	struct luo_ucmd ucmd = { .luo = luo, .session = session };
	long err;

	if (cmd == LIVEUPDATE_SESSION_FINISH &&
	    session->direction == LIVEUPDATE_INCOMING) {
		err = luo_session_request_handlers(session);
		if (err)
			return err;
	}

	err = luo_ucmd_run(&ucmd, session_ops, ARRAY_SIZE(session_ops), cmd,
			   arg);
	if (!err && cmd == LIVEUPDATE_SESSION_FINISH)
		luo_transition_settle(luo);

	return err;
}

/* Nobody can kill a process that is on its way out, nor a thread of the kernel */
static bool release_begin(struct luo *luo)
{
	if (down_read_trylock(&luo->transition))
		return true;
	if (current->flags & (PF_EXITING | PF_KTHREAD))
		return false;

	return !down_read_killable(&luo->transition);
}

static int session_release(struct inode *inode, struct file *file)
{
	struct luo_session *session = file->private_data;
	struct luo *luo = session->luo;
	struct luo_caller caller;

	if (!release_begin(luo)) {
		luo_session_leave(session);
		queue_work(system_dfl_wq, &luo->left_over);
		return 0;
	}

	luo_caller_enter(&luo->callers, &caller);
	luo_session_release(session);
	luo_caller_leave(&luo->callers, &caller);
	up_read(&luo->transition);

	return 0;
}

static void session_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct luo_session *session = file->private_data;
	char name[LUO_SHOWN_LENGTH];

	seq_printf(m, "liveupdate-session:\t%s\n",
		   luo_escape(name, sizeof(name), session->name));
	seq_printf(m, "liveupdate-direction:\t%s\n",
		   session->direction == LIVEUPDATE_OUTGOING ? "outgoing" :
							"incoming");
	seq_printf(m, "liveupdate-files:\t%llu\n",
		   READ_ONCE(session->nr_files));
}

static const struct file_operations session_fops = {
	.owner		= THIS_MODULE,
	.release	= session_release,
	.unlocked_ioctl	= session_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.show_fdinfo	= session_show_fdinfo,
};

/**
 * luo_session_fd_open - make the file through which user space has a session
 * @session: the session, which belongs to the file if this succeeds
 *
 * The file's name is an interface: user space knows a session by it.
 *
 * Context: Process context.
 * Return: the file, or -ENOMEM or -ENFILE.
 */
struct file *luo_session_fd_open(struct luo_session *session)
{
	char name[sizeof("[luo_session] ") + LIVEUPDATE_SESSION_NAME_LENGTH];

	snprintf(name, sizeof(name), "[luo_session] %s", session->name);
	return anon_inode_getfile(name, &session_fops, session, O_RDWR);
}
