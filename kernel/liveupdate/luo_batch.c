// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: many files in one command
 *
 * Entries are taken in and told of batch by batch, in memory of a fixed size. What
 * a batch did stays only when user space could be told of it; it is undone
 * otherwise.
 */

#include <linux/cleanup.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "luo_internal.h"

#define BATCH_SIZE	64

/**
 * struct batch - some entries of a command, one after the other
 * @ucmd:    the command
 * @at:      the entry that is being done, or undone
 * @uentry:  the first of them in user space
 * @nr:      how many there are; those behind are not, or no longer, wanted
 * @err:     what keeps the next one from being done, or 0
 * @entries: as user space gave them; RETRIEVE_FDS puts the descriptor in
 * @places:  of PRESERVE_FDS: what it takes to undo it
 * @files:   of RETRIEVE_FDS: what is to be had at the descriptor
 */
struct batch {
	struct luo_ucmd ucmd;
	unsigned int at;
	struct liveupdate_session_fd __user *uentry;
	unsigned int nr;
	int err;
	struct liveupdate_session_fd entries[BATCH_SIZE];
	union {
		struct luo_file_place places[BATCH_SIZE];
		struct file *files[BATCH_SIZE];
	};
};

/**
 * struct batch_ops - what a command does with the entry that a batch is at
 * @execute: do it
 * @answer:  write what came out to user space; or NULL
 * @commit:  user space was told that it is done; or NULL
 * @undo:    user space could not be told
 */
struct batch_ops {
	int (*execute)(struct batch *batch);
	int (*answer)(const struct batch *batch);
	void (*commit)(struct batch *batch);
	void (*undo)(struct batch *batch);
};

static struct liveupdate_session_fds *arg_of(const struct batch *batch)
{
	return batch->ucmd.arg;
}

/* Tell how far the command has come */
static int tell(const struct batch *batch)
{
	struct liveupdate_session_fds told = *arg_of(batch);

	told.done += batch->nr;
	told.error = -batch->err;
	return copy_to_user(batch->ucmd.uarg, &told,
			    min_t(u32, told.size, sizeof(told))) ? -EFAULT : 0;
}

/* Whole entries, up to where user memory ends */
static void take_in(struct batch *batch)
{
	const struct liveupdate_session_fds *arg = arg_of(batch);
	unsigned int nr = min(arg->count - arg->done, BATCH_SIZE);
	unsigned long left;

	batch->uentry = (struct liveupdate_session_fd __user *)
			u64_to_user_ptr(arg->entries) + arg->done;
	left = copy_from_user(batch->entries, batch->uentry,
			      nr * sizeof(*batch->entries));
	batch->nr = nr - DIV_ROUND_UP(left, sizeof(*batch->entries));
	batch->err = left ? -EFAULT : 0;
}

/* Every call does at least one entry, however many signals come */
static bool is_interrupted(const struct batch *batch)
{
	return (batch->at || arg_of(batch)->done) && signal_pending(current);
}

static int execute_one(struct batch *batch, const struct batch_ops *ops)
{
	if (is_interrupted(batch))
		return -EINTR;
	if (batch->entries[batch->at].reserved)
		return -EINVAL;

	return ops->execute(batch);
}

static void execute(struct batch *batch, const struct batch_ops *ops)
{
	int err;

	for (batch->at = 0; batch->at < batch->nr; batch->at++) {
		err = execute_one(batch, ops);
		if (err) {
			batch->nr = batch->at;
			batch->err = err;
		}
	}
}

/* Leave out the entries from @nr on, the last one first */
static void cut(struct batch *batch, const struct batch_ops *ops,
		unsigned int nr, int err)
{
	for (batch->at = batch->nr; batch->at-- > nr;)
		ops->undo(batch);
	batch->nr = nr;
	batch->err = err;
}

static void answer(struct batch *batch, const struct batch_ops *ops)
{
	int err = 0;

	for (batch->at = 0; ops->answer && batch->at < batch->nr; batch->at++) {
		err = ops->answer(batch);
		if (err)
			break;
	}
	if (err)
		cut(batch, ops, batch->at, err);
	if (tell(batch))
		cut(batch, ops, 0, -EFAULT);
}

static void commit(struct batch *batch, const struct batch_ops *ops)
{
	for (batch->at = 0; ops->commit && batch->at < batch->nr; batch->at++)
		ops->commit(batch);
	arg_of(batch)->done += batch->nr;
}

static int run(struct luo_ucmd *ucmd, const struct batch_ops *ops)
{
	struct liveupdate_session_fds *arg = ucmd->arg;
	struct batch *batch __free(kfree) = kzalloc_obj(*batch);

	if (!batch)
		return -ENOMEM;

	batch->ucmd = *ucmd;
	arg->done = 0;
	batch->err = tell(batch);
	while (!batch->err && arg->done < arg->count) {
		take_in(batch);
		execute(batch, ops);
		answer(batch, ops);
		commit(batch, ops);
	}

	return arg->done ? 0 : batch->err;
}

static struct batch *batch_of(struct luo_ucmd *ucmd)
{
	return container_of(ucmd, struct batch, ucmd);
}

static int preserve(struct luo_ucmd *ucmd)
{
	struct batch *batch = batch_of(ucmd);
	const struct liveupdate_session_fd *entry = &batch->entries[batch->at];
	struct file *file __free(fput) = fget(entry->fd);

	if (!file)
		return -EBADF;

	return luo_file_preserve(ucmd->session, file, entry->token,
				 &batch->places[batch->at]);
}

static int preserve_one(struct batch *batch)
{
	return luo_ucmd_call(&batch->ucmd, preserve);
}

static int undo_preserve(struct luo_ucmd *ucmd)
{
	struct batch *batch = batch_of(ucmd);

	luo_file_undo_preserve(ucmd->session, batch->entries[batch->at].token,
			       &batch->places[batch->at]);
	return 0;
}

/* Fails if a kexec has begun, or the caller is killed */
static void undo_preserve_one(struct batch *batch)
{
	luo_ucmd_call(&batch->ucmd, undo_preserve);
}

/**
 * luo_batch_preserve - carry out PRESERVE_FDS
 * @ucmd: the command
 *
 * Context: Process context, no lock held; touches user memory.
 * Return: 0, also when some entries are not done; what the first one fails with;
 * -EFAULT when user space cannot be told; -ENOMEM.
 */
int luo_batch_preserve(struct luo_ucmd *ucmd)
{
	static const struct batch_ops ops = {
		.execute = preserve_one,
		.undo = undo_preserve_one,
	};

	return run(ucmd, &ops);
}

static int retrieve(struct luo_ucmd *ucmd)
{
	struct batch *batch = batch_of(ucmd);

	return luo_file_retrieve(ucmd->session, batch->entries[batch->at].token,
				 &batch->files[batch->at], ucmd->wanted);
}

static int retrieve_one(struct batch *batch)
{
	int err;

	CLASS(get_unused_fd, fd)(O_CLOEXEC);
	if (fd < 0)
		return fd;

	err = luo_ucmd_call(&batch->ucmd, retrieve);
	if (!err)
		batch->entries[batch->at].fd = take_fd(fd);

	return err;
}

static int put_fd(const struct batch *batch)
{
	return put_user(batch->entries[batch->at].fd,
			&batch->uentry[batch->at].fd);
}

static void install_fd(struct batch *batch)
{
	fd_install(batch->entries[batch->at].fd, batch->files[batch->at]);
}

static void drop_fd(struct batch *batch)
{
	put_unused_fd(batch->entries[batch->at].fd);
	fput(batch->files[batch->at]);
}

/**
 * luo_batch_retrieve - carry out RETRIEVE_FDS
 * @ucmd: the command
 *
 * Context: Process context, no lock held; touches user memory.
 * Return: 0, also when some entries are not done; what the first one fails with;
 * -EFAULT when user space cannot be told; -ENOMEM.
 */
int luo_batch_retrieve(struct luo_ucmd *ucmd)
{
	static const struct batch_ops ops = {
		.execute = retrieve_one,
		.answer = put_fd,
		.commit = install_fd,
		.undo = drop_fd,
	};
	int err;

	err = run(ucmd, &ops);
	if (!err && ((struct liveupdate_session_fds *)ucmd->arg)->done)
		luo_clock_retrieved(ucmd->luo);

	return err;
}
