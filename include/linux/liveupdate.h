/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The Live Update Orchestrator as other parts of the kernel see it.
 *
 * Documentation/core-api/liveupdate.rst tells how to write a file handler.
 */
#ifndef _LINUX_LIVEUPDATE_H
#define _LINUX_LIVEUPDATE_H

#include <linux/atomic.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/luo.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/types.h>

struct file;
struct liveupdate_file_handler;
struct liveupdate_flb;
struct liveupdate_subsystem;
struct luo_flb;
struct module;

/* Jiffies after which a transition waits no more for those who use what is saved */
#define LIVEUPDATE_WAIT_MAX	(10 * HZ)

/**
 * struct liveupdate_waited - time that was waited for those who use what is saved
 * @sum:   jiffies, of all who wait in the transition; at the same time counts once
 * @until: up to where it is counted, in jiffies
 */
struct liveupdate_waited {
	atomic_t sum;
	unsigned long until;
};

bool liveupdate_count_wait(struct liveupdate_waited *waited, unsigned int time);

/**
 * struct liveupdate_file_op_args - what a file handler's callback gets
 * @handler:         the handler
 * @retrieve_status: 0 when the file was never retrieved; 1 when it was, also for
 *                   preserve and what follows it, if the file is to be carried on to
 *                   a further kernel; for can_finish and finish, the errno when that
 *                   failed
 * @file:            the file; set by retrieve, given to all others, and NULL for
 *                   can_finish and finish of a file that was not retrieved
 * @serialized_data: the handler's word for the next kernel; set by preserve, may
 *                   be changed by freeze, given to all others. After unfreeze it
 *                   is as preserve has set it again
 * @private_data:    the handler's own, in this kernel only; set by preserve, and
 *                   kept for retrieve and finish when retrieve sets it
 * @damaged:         set by finish of a file that was not retrieved: it turned out
 *                   that what came is damaged, and what belongs to it is not freed
 * @announced:       for unpreserve: the file stays announced, and what announce has done
 *                   stays done
 * @waited:          in a transition: how long its callbacks have waited for others who
 *                   use what is saved; see liveupdate_count_wait(). NULL otherwise
 */
struct liveupdate_file_op_args {
	struct liveupdate_file_handler *handler;
	int retrieve_status;
	struct file *file;
	u64 serialized_data;
	void *private_data;
	bool damaged;
	bool announced;
	struct liveupdate_waited *waited;
};

/**
 * struct liveupdate_file_ops - what a file handler does
 * @can_preserve: whether the handler is in charge of files of this type; must be
 *                quick, and must not sleep for long. No two handlers may be in
 *                charge of a file: which of them is asked first depends
 * @announce:     optional; the file will be preserved: make that cheap. Called again
 *                after an @unpreserve that leaves the file announced
 * @unannounce:   undo @announce, while the file is not preserved; there if @announce
 *                is
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
 * @get_id:       optional; what tells that two files of this handler are the same
 *                object, by default the address of the struct file
 * @get_bytes:    optional; memory that a preserved file keeps, in bytes, for user
 *                space to see
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
	int (*announce)(struct liveupdate_file_op_args *args);
	void (*unannounce)(struct liveupdate_file_op_args *args);
	int (*preserve)(struct liveupdate_file_op_args *args);
	void (*unpreserve)(struct liveupdate_file_op_args *args);
	int (*freeze)(struct liveupdate_file_op_args *args);
	void (*unfreeze)(struct liveupdate_file_op_args *args);
	int (*retrieve)(struct liveupdate_file_op_args *args);
	bool (*can_finish)(struct liveupdate_file_op_args *args);
	void (*finish)(struct liveupdate_file_op_args *args);
	unsigned long (*get_id)(struct file *file);
	u64 (*get_bytes)(struct liveupdate_file_op_args *args);
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

	/* private: among the handlers, and its FLBs; protected by their lock */
	struct list_head __private list;
	u32 __private name_id;
	struct list_head __private flbs;
	/* private: how many preserved files have these FLBs; changes under the lock */
	atomic64_t __private files;
};

/**
 * struct liveupdate_flb_op_args - what an FLB's callback gets
 * @flb:  the FLB
 * @data: its word for the next kernel; set by preserve, given to unpreserve and
 *        retrieve
 * @obj:  the live object; set by preserve and by retrieve, given to unpreserve
 *        and finish
 */
struct liveupdate_flb_op_args {
	struct liveupdate_flb *flb;
	u64 data;
	void *obj;
};

/**
 * struct liveupdate_flb_ops - what an FLB does
 * @preserve:   save it; called for the first file that needs it
 * @unpreserve: undo @preserve; called when the last one is given back
 * @retrieve:   make the object again; called when it is first asked for, or
 *              before @finish if nobody did. May fail, and is called again then
 * @finish:     the last file that needed it is finished
 * @owner:      the module, pinned while the FLB is preserved, or came from the
 *              previous kernel and is not finished
 *
 * All are called in process context and may sleep. For one FLB, calls of @preserve
 * and @unpreserve never overlap, nor do those of @retrieve and @finish. @preserve
 * asks for what came and takes it along: the next kernel may know files that this one
 * does not.
 */
struct liveupdate_flb_ops {
	int (*preserve)(struct liveupdate_flb_op_args *args);
	void (*unpreserve)(struct liveupdate_flb_op_args *args);
	int (*retrieve)(struct liveupdate_flb_op_args *args);
	void (*finish)(struct liveupdate_flb_op_args *args);
	struct module *owner;
};

/**
 * struct liveupdate_flb - a file-lifecycle-bound object
 * @ops:        what it does
 * @compatible: names it and the layout of what crosses
 *
 * State that many files share, the core of an IOMMU for example. It is preserved
 * with the first file that needs it, and finished with the last.
 */
struct liveupdate_flb {
	const struct liveupdate_flb_ops *ops;
	const char compatible[LIVEUPDATE_FLB_COMPAT_LENGTH];

	/* private: while it is registered, preserved or retrieved */
	struct luo_flb * __private state;
};

/**
 * struct liveupdate_subsystem_args - what a subsystem's callback gets
 * @subsystem: the subsystem
 * @data:      its word for the next kernel; set by prepare, may be changed by
 *             freeze, given to unfreeze and cancel, and in the next kernel to boot
 *             and finish
 * @nothing:   there is nothing to hand over: the next kernel is not told of the
 *             subsystem; set by prepare, may be changed by freeze
 *
 * What freeze changes is as prepare has set it again after unfreeze.
 */
struct liveupdate_subsystem_args {
	struct liveupdate_subsystem *subsystem;
	u64 data;
	bool nothing;
};

/**
 * struct liveupdate_subsystem_ops - how a subsystem takes part in an update
 * @prepare:  optional; save what can be saved while everything runs
 * @freeze:   optional; save the rest, a kexec is next. Must not wait for user
 *            space
 * @unfreeze: optional; undo @freeze, the kexec did not take place
 * @cancel:   optional; undo @prepare
 * @boot:     optional; take up the state that came from the previous kernel.
 *            Called when the subsystem registers, or when all initcalls are
 *            through, whichever is later, and only if there is any
 * @finish:   optional; the update is over, what came can be freed
 * @owner:    the module, pinned from @prepare to @cancel and from @boot to @finish
 *
 * All are called in process context and may sleep, one at a time: prepare and
 * boot after those of the subsystems that this one depends on, all others before
 * them. A subsystem with neither @prepare nor @freeze has nothing to hand over.
 * Subsystems cannot be registered in a callback, of whatever participant.
 */
struct liveupdate_subsystem_ops {
	int (*prepare)(struct liveupdate_subsystem_args *args);
	int (*freeze)(struct liveupdate_subsystem_args *args);
	void (*unfreeze)(struct liveupdate_subsystem_args *args);
	void (*cancel)(struct liveupdate_subsystem_args *args);
	int (*boot)(struct liveupdate_subsystem_args *args);
	void (*finish)(struct liveupdate_subsystem_args *args);
	struct module *owner;
};

/* private: what a subsystem hands over */
struct luo_subsystem_word {
	u64 data;
	bool nothing;
};

/**
 * struct liveupdate_subsystem - kernel code with global state that takes part
 * @ops:     what it does
 * @name:    names it and the layout of what crosses; the next kernel finds its
 *           subsystem by it
 * @after:   names of subsystems that this one depends on, NULL at the end; or NULL
 *           for none. They must be registered already
 * @private: the subsystem's own
 */
struct liveupdate_subsystem {
	const struct liveupdate_subsystem_ops *ops;
	const char name[LIVEUPDATE_SUBSYSTEM_NAME_LENGTH];
	const char * const *after;
	void *private;

	/* private: protected by luo.transition; @prepared is @word before freeze */
	struct list_head __private list;
	struct luo_subsystem_word __private word;
	struct luo_subsystem_word __private prepared;
	u64 __private incoming;
	unsigned int __private flags;
};

#ifdef CONFIG_LIVEUPDATE

bool liveupdate_enabled(void);
enum liveupdate_state liveupdate_state(void);
int liveupdate_reboot(void);

int liveupdate_register_file_handler(struct liveupdate_file_handler *handler);
void liveupdate_unregister_file_handler(struct liveupdate_file_handler *handler);

int liveupdate_register_flb(struct liveupdate_file_handler *handler,
			    struct liveupdate_flb *flb);
void liveupdate_unregister_flb(struct liveupdate_file_handler *handler,
			       struct liveupdate_flb *flb);
int liveupdate_flb_get_incoming(struct liveupdate_flb *flb, void **objp);
void liveupdate_flb_put_incoming(struct liveupdate_flb *flb);
int liveupdate_flb_get_outgoing(struct liveupdate_flb *flb, void **objp);
void liveupdate_flb_put_outgoing(struct liveupdate_flb *flb);

int liveupdate_register_subsystem(struct liveupdate_subsystem *subsystem);
void liveupdate_unregister_subsystem(struct liveupdate_subsystem *subsystem);
int liveupdate_subsystem_get_data(struct liveupdate_subsystem *subsystem,
				  u64 *data);

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
	return kho_check_jump();
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

static inline int
liveupdate_register_flb(struct liveupdate_file_handler *handler,
			struct liveupdate_flb *flb)
{
	return -EOPNOTSUPP;
}

static inline void
liveupdate_unregister_flb(struct liveupdate_file_handler *handler,
			  struct liveupdate_flb *flb)
{
}

static inline int liveupdate_flb_get_incoming(struct liveupdate_flb *flb,
					      void **objp)
{
	return -EOPNOTSUPP;
}

static inline void liveupdate_flb_put_incoming(struct liveupdate_flb *flb)
{
}

static inline int liveupdate_flb_get_outgoing(struct liveupdate_flb *flb,
					      void **objp)
{
	return -EOPNOTSUPP;
}

static inline void liveupdate_flb_put_outgoing(struct liveupdate_flb *flb)
{
}

static inline int
liveupdate_register_subsystem(struct liveupdate_subsystem *subsystem)
{
	return -EOPNOTSUPP;
}

static inline void
liveupdate_unregister_subsystem(struct liveupdate_subsystem *subsystem)
{
}

static inline int
liveupdate_subsystem_get_data(struct liveupdate_subsystem *subsystem, u64 *data)
{
	return -EOPNOTSUPP;
}

#endif /* CONFIG_LIVEUPDATE */
#endif /* _LINUX_LIVEUPDATE_H */
