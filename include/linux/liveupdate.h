/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The Live Update Orchestrator as other parts of the kernel see it.
 *
 * Documentation/core-api/liveupdate.rst tells how to write a file handler.
 */
#ifndef _LINUX_LIVEUPDATE_H
#define _LINUX_LIVEUPDATE_H

#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/kho/abi/luo.h>
#include <linux/list.h>
#include <linux/types.h>

struct file;
struct liveupdate_file_handler;
struct module;

/**
 * enum liveupdate_state - where the system is in a live update
 * @LIVEUPDATE_STATE_UNDEFINED: live update is off, or not ready yet
 * @LIVEUPDATE_STATE_NORMAL:    nothing is in flight
 * @LIVEUPDATE_STATE_PREPARED:  prepared, running normally, can be cancelled
 * @LIVEUPDATE_STATE_FROZEN:    only kexec or a return to the state before follow
 * @LIVEUPDATE_STATE_UPDATED:   booted by live update, with state of the previous
 *                              kernel that is not finished
 */
enum liveupdate_state {
	LIVEUPDATE_STATE_UNDEFINED	= 0,
	LIVEUPDATE_STATE_NORMAL		= 1,
	LIVEUPDATE_STATE_PREPARED	= 2,
	LIVEUPDATE_STATE_FROZEN		= 3,
	LIVEUPDATE_STATE_UPDATED	= 4,
};

/**
 * struct liveupdate_file_op_args - what a file handler's callback gets
 * @handler:         the handler
 * @retrieve_status: for can_finish and finish: 0 when the file was never
 *                   retrieved, 1 when it was, the errno when that failed
 * @file:            the file; set by retrieve, given to all others, and NULL for
 *                   can_finish and finish of a file that was not retrieved
 * @serialized_data: the handler's word for the next kernel; set by preserve, may
 *                   be changed by freeze, given to all others
 * @private_data:    the handler's own, in this kernel only; set by preserve, and
 *                   kept for retrieve and finish when retrieve sets it
 */
struct liveupdate_file_op_args {
	struct liveupdate_file_handler *handler;
	int retrieve_status;
	struct file *file;
	u64 serialized_data;
	void *private_data;
};

/**
 * struct liveupdate_file_ops - what a file handler does
 * @can_preserve: whether the handler is in charge of files of this type; must be
 *                quick, and must not sleep for long
 * @preserve:     save the file's state, so that it survives a kexec that can come
 *                at any time after; the file stays in use
 * @unpreserve:   undo @preserve
 * @freeze:       optional; bring the saved state up to date, a kexec is next. It
 *                must not wait for user space, nor for a lock that one can hold
 *                while waiting for user space
 * @unfreeze:     optional; undo @freeze, the kexec did not take place
 * @retrieve:     make a file of what the previous kernel saved
 * @can_finish:   optional; whether the file can be finished now
 * @finish:       the file now belongs to user space alone; or, when it was not
 *                retrieved, free what the previous kernel saved
 * @get_id:       optional; what tells that two files are the same object, by
 *                default the address of the struct file
 * @owner:        the module, pinned while a file of this type is in a session
 * @retrieve_can_retry: a failed @retrieve has lost nothing and may be called
 *                again, unless it failed with EUCLEAN: what came is damaged.
 *                Where it is not set, the first error, whatever it is, is the
 *                answer from then on
 *
 * All are called in process context and may sleep. Calls for one file never
 * overlap; those for files of different sessions do.
 */
struct liveupdate_file_ops {
	bool (*can_preserve)(struct liveupdate_file_handler *handler,
			     struct file *file);
	int (*preserve)(struct liveupdate_file_op_args *args);
	void (*unpreserve)(struct liveupdate_file_op_args *args);
	int (*freeze)(struct liveupdate_file_op_args *args);
	void (*unfreeze)(struct liveupdate_file_op_args *args);
	int (*retrieve)(struct liveupdate_file_op_args *args);
	bool (*can_finish)(struct liveupdate_file_op_args *args);
	void (*finish)(struct liveupdate_file_op_args *args);
	unsigned long (*get_id)(struct file *file);
	struct module *owner;
	bool retrieve_can_retry;
};

/**
 * struct liveupdate_file_handler - preserves and restores one type of file
 * @ops:        what it does
 * @compatible: names the type and the layout of what crosses; the next kernel
 *              finds its handler by it
 */
struct liveupdate_file_handler {
	const struct liveupdate_file_ops *ops;
	const char compatible[LIVEUPDATE_HNDL_COMPAT_LENGTH];

	/* private: in the list of handlers, protected by its lock */
	struct list_head __private list;
};

#ifdef CONFIG_LIVEUPDATE

bool liveupdate_enabled(void);
enum liveupdate_state liveupdate_state(void);
int liveupdate_reboot(void);

int liveupdate_register_file_handler(struct liveupdate_file_handler *handler);
void liveupdate_unregister_file_handler(struct liveupdate_file_handler *handler);

#else /* CONFIG_LIVEUPDATE */

static inline bool liveupdate_enabled(void)
{
	return false;
}

static inline enum liveupdate_state liveupdate_state(void)
{
	return LIVEUPDATE_STATE_UNDEFINED;
}

static inline int liveupdate_reboot(void)
{
	return 0;
}

static inline int
liveupdate_register_file_handler(struct liveupdate_file_handler *handler)
{
	return -EOPNOTSUPP;
}

static inline void
liveupdate_unregister_file_handler(struct liveupdate_file_handler *handler)
{
}

#endif /* CONFIG_LIVEUPDATE */
#endif /* _LINUX_LIVEUPDATE_H */
