/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Live Update Orchestrator: what its files share
 *
 * Locks, outermost first:
 *
 *   luo.transition	read by whatever changes a session, written by a
 *			transition, which thereby has everything for itself
 *   luo_session.lock	the files of one session
 *   luo_sessions.lock	which sessions there are, and who has them
 *   luo_handlers.lock	which file handlers there are
 *
 * User memory is touched under none of them, so no process can hold up a kexec
 * by a page that it does not provide.
 */
#ifndef _KERNEL_LIVEUPDATE_LUO_INTERNAL_H
#define _KERNEL_LIVEUPDATE_LUO_INTERNAL_H

#include <linux/kho/abi/luo.h>
#include <linux/kho_block.h>
#include <linux/liveupdate.h>
#include <linux/liveupdate_chain.h>
#include <linux/miscdevice.h>
#include <linux/mutex.h>
#include <linux/rhashtable-types.h>
#include <linux/rwsem.h>

struct luo;

/* ---- luo_state.c: which event may come when ---- */

/* The values but UNFREEZE are those that user space has for them */
enum luo_event {
	LUO_EVENT_PREPARE	= 0,
	LUO_EVENT_FREEZE	= 1,
	LUO_EVENT_FINISH	= 2,
	LUO_EVENT_CANCEL	= 3,
	LUO_EVENT_UNFREEZE	= 4,
};

const char *luo_state_name(enum liveupdate_state state);
enum liveupdate_state luo_state_at_rest(bool incoming);
int luo_state_next(enum liveupdate_state state, enum luo_event event,
		   bool incoming);

/* ---- luo_handover.c: what crosses to the next kernel ---- */

/**
 * struct luo_root - what the root of a handover tells
 * @number:      live updates since the last cold boot, this one included
 * @release:     of the kernel that wrote it
 * @sessions:    physical address of the first block of session records, or 0
 * @nr_sessions: number of session records
 */
struct luo_root {
	u64 number;
	char release[LUO_RELEASE_LENGTH];
	u64 sessions;
	u64 nr_sessions;
};

int luo_root_encode(void *fdt, size_t size, const struct luo_root *root);
int luo_root_decode(const void *fdt, size_t size, struct luo_root *root);

void luo_session_ser_fill(struct luo_session_ser *ser, const char *name,
			  u64 files, u64 nr_files, u32 files_crc);
int luo_session_ser_check(const struct luo_session_ser *ser);
int luo_file_ser_check(const struct luo_file_ser *ser);

int luo_handover_setup(struct luo *luo);
int luo_handover_receive(struct luo *luo);
void luo_handover_receive_sessions(struct luo *luo);
int luo_handover_write(struct luo *luo);
void luo_handover_clear(struct luo *luo);

/* ---- luo_handler.c: who preserves which type of file ---- */

/**
 * struct luo_handlers - the registered file handlers
 * @lock: protects @list
 * @list: of struct liveupdate_file_handler, in the order of registration
 */
struct luo_handlers {
	struct rw_semaphore lock;
	struct list_head list;
};

void luo_handlers_init(struct luo_handlers *handlers);
int luo_handler_add(struct luo_handlers *handlers,
		    struct liveupdate_file_handler *handler);
void luo_handler_del(struct luo_handlers *handlers,
		     struct liveupdate_file_handler *handler);
struct liveupdate_file_handler *
luo_handler_get_for_file(struct luo_handlers *handlers, struct file *file);
struct liveupdate_file_handler *
luo_handler_get_compatible(struct luo_handlers *handlers,
			   const char *compatible);
void luo_handler_put(struct liveupdate_file_handler *handler);

/* ---- luo_session.c: named containers of files ---- */

enum luo_direction {
	LUO_OUTGOING,
	LUO_INCOMING,
	LUO_NR_DIRECTIONS,
};

/**
 * enum luo_session_state - who has a session
 * @LUO_SESSION_OPEN:        outgoing, has a descriptor
 * @LUO_SESSION_CLOSED:      outgoing, lost its descriptor when it was frozen; it
 *                           goes if the kexec does not take place
 * @LUO_SESSION_UNCLAIMED:   incoming, nobody has it
 * @LUO_SESSION_CLAIMED:     incoming, has a descriptor
 * @LUO_SESSION_FINISHED:    was incoming, has nothing but its descriptor left
 * @LUO_SESSION_QUARANTINED: incoming, damaged: stays as it is
 */
enum luo_session_state {
	LUO_SESSION_OPEN,
	LUO_SESSION_CLOSED,
	LUO_SESSION_UNCLAIMED,
	LUO_SESSION_CLAIMED,
	LUO_SESSION_FINISHED,
	LUO_SESSION_QUARANTINED,
};

/**
 * struct luo_session - a session
 * @luo:       what it belongs to
 * @direction: fixed
 * @name:      fixed, zero to the end
 * @seq:       fixed; sessions that came later have higher ones
 * @state:     protected by luo_sessions.lock
 * @by_name:   in luo_sessions.names, until the session is finished or closed
 * @list:      in luo_sessions.list, likewise
 * @lock:      protects all below, and the files
 * @files:     of struct luo_file, in the order of preservation
 * @nr_files:  length of @files
 * @blocks:    room for the records of as many files, to go to the next kernel
 * @received:  incoming: records of files, of which no struct luo_file is made yet
 * @received_crc: what the checksum of @received has to be
 *
 * A session belongs to its descriptor, when it has one, and to the table of
 * sessions otherwise. Whoever takes it out of both frees it.
 */
struct luo_session {
	struct luo *luo;
	enum luo_direction direction;
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];
	u64 seq;
	enum luo_session_state state;
	struct rhlist_head by_name;
	struct list_head list;

	/* see above for what it protects */
	struct mutex lock;
	struct list_head files;
	u64 nr_files;
	struct kho_block_set blocks;
	struct luo_chain received;
	u32 received_crc;
};

/**
 * struct luo_sessions - the sessions of one direction
 * @lock:   protects all below, and the state of each session
 * @names:  all of them by name. Outgoing names are unique; among the incoming
 *          there can be two of a name, when one was carried over from an update
 *          before
 * @list:   all of them, in the order in which they came
 * @count:  length of @list
 * @seq:    given to the last one
 * @blocks: outgoing: room for as many records as there are sessions
 */
struct luo_sessions {
	/* see above for what it protects */
	struct mutex lock;
	struct rhltable names;
	struct list_head list;
	u64 count;
	u64 seq;
	struct kho_block_set blocks;
};

int luo_sessions_init(struct luo_sessions *sessions);
void luo_sessions_destroy(struct luo_sessions *sessions);
bool luo_sessions_unfinished(struct luo *luo);

struct luo_session *luo_session_create(struct luo *luo, const char *name);
struct luo_session *luo_session_claim(struct luo *luo, const char *name);
int luo_session_finish(struct luo_session *session);
void luo_session_release(struct luo_session *session);
int luo_session_receive(struct luo *luo, const struct luo_session_ser *ser);
int luo_session_decode(struct luo_session *session);

int luo_sessions_carry(struct luo *luo);
void luo_sessions_uncarry(struct luo *luo);
int luo_sessions_freeze(struct luo *luo);
void luo_sessions_unfreeze(struct luo *luo);
int luo_sessions_encode(struct luo *luo, struct luo_root *root);

/* ---- luo_session_fd.c: sessions as descriptors ---- */

struct file *luo_session_fd_open(struct luo_session *session);

/* ---- luo_file.c: the files of a session ---- */

/**
 * struct luo_word - a handler's state of one file, towards one direction
 * @data:         crosses from kernel to kernel
 * @private_data: does not
 */
struct luo_word {
	u64 data;
	void *private_data;
};

/**
 * struct luo_file - a file of a session
 * @session:    fixed
 * @token:      fixed, unique in the session
 * @by_token:   in luo_files.tokens
 * @rcu:        to free it when nobody can be looking at it there
 * @compatible: fixed, of the handler
 * @list:       in luo_session.files
 * @handler:    NULL until one is there; its module is pinned
 * @file:       NULL for an incoming file until it is retrieved
 * @by_id:      in luo_files.ids, if @has_id
 * @id:         what the handler says that the file is
 * @has_id:     set while no other session can take the file
 * @status:     of retrieving: 0 not done, 1 done, below 0 it failed for good
 * @carried:    incoming, and preserved for the next kernel too
 * @in:         what came from the previous kernel
 * @out:        what goes to the next one
 *
 * All that is not fixed is protected by the session's lock.
 */
struct luo_file {
	struct luo_session *session;
	u64 token;
	struct rhash_head by_token;
	struct rcu_head rcu;
	char compatible[LIVEUPDATE_HNDL_COMPAT_LENGTH];
	struct list_head list;
	struct liveupdate_file_handler *handler;
	struct file *file;
	struct rhash_head by_id;
	unsigned long id;
	bool has_id;
	int status;
	bool carried;
	struct luo_word in;
	struct luo_word out;
};

/**
 * struct luo_files - indices over the files of all sessions
 * @tokens: by session and token
 * @ids:    by what a file is, so that it is in one session only
 *
 * Looking up a token reads files of other sessions, which is why they are freed
 * after a grace period. What is found is protected by its session's lock. Ids are
 * only put in and taken out.
 */
struct luo_files {
	struct rhashtable tokens;
	struct rhashtable ids;
};

int luo_files_init(struct luo_files *files);
void luo_files_destroy(struct luo_files *files);

int luo_file_preserve(struct luo_session *session, struct file *file, u64 token);
int luo_file_retrieve(struct luo_session *session, u64 token,
		      struct file **filep);
int luo_file_receive(struct luo_session *session,
		     const struct luo_file_ser *ser);
void luo_files_forget(struct luo_session *session);
void luo_files_unpreserve(struct luo_session *session);
int luo_files_can_finish(struct luo_session *session);
void luo_files_finish(struct luo_session *session);
int luo_files_carry(struct luo_session *session);
void luo_files_uncarry(struct luo_session *session);
int luo_files_freeze(struct luo_session *session);
void luo_files_unfreeze(struct luo_session *session);
u64 luo_files_encode(struct luo_session *session, u32 *crc);

/* ---- luo_transition.c: from state to state ---- */

void luo_transition_settle(struct luo *luo);
int luo_transition_reboot(struct luo *luo);

/* ---- luo_ucmd.c: the ioctl dispatcher ---- */

/**
 * struct luo_ucmd - a command of user space that is being carried out
 * @luo:     the orchestrator
 * @session: the session, for a session's command
 * @arg:     the argument, in kernel memory and complete: what user space did not
 *           give is zero
 * @file:    set by a command that makes a descriptor: the file it is of
 */
struct luo_ucmd {
	struct luo *luo;
	struct luo_session *session;
	void *arg;
	struct file *file;
};

enum luo_ucmd_flags {
	/* the argument is copied back to user space */
	LUO_UCMD_OUTPUT		= 1 << 0,
	/* the command makes a descriptor; implies the above */
	LUO_UCMD_NEW_FD		= 1 << 1,
	/* it is for outgoing, or for incoming sessions only */
	LUO_UCMD_OUTGOING	= 1 << 2,
	LUO_UCMD_INCOMING	= 1 << 3,
};

/**
 * struct luo_ucmd_op - how to carry out a command
 * @cmd:      the command's number, whole
 * @size:     of the argument, in bytes
 * @min_size: which user space must give at least
 * @flags:    of enum luo_ucmd_flags
 * @execute:  does it, with luo.transition held for reading and not frozen
 */
struct luo_ucmd_op {
	unsigned int cmd;
	u16 size;
	u16 min_size;
	unsigned int flags;
	int (*execute)(struct luo_ucmd *ucmd);
};

#define LUO_UCMD_OP(_cmd, _struct, _last, _flags, _execute)		\
	{								\
		.cmd = (_cmd),						\
		.size = sizeof(_struct),				\
		.min_size = offsetofend(_struct, _last),		\
		.flags = (_flags),					\
		.execute = (_execute),					\
	}

/* No argument is larger; checked where the tables are */
#define LUO_UCMD_MAX_SIZE	80

long luo_ucmd_run(struct luo *luo, struct luo_session *session,
		  const struct luo_ucmd_op *ops, size_t nr_ops,
		  unsigned int cmd, unsigned long arg);

/* ---- luo_chardev.c: /dev/liveupdate ---- */

/**
 * struct luo_chardev - the device
 * @misc:  registered when LUO is ready
 * @flags: bit %LUO_CHARDEV_OPEN is set while someone has it open
 */
struct luo_chardev {
	struct miscdevice misc;
	unsigned long flags;
};

#define LUO_CHARDEV_OPEN	0

int luo_chardev_register(struct luo *luo);

/* ---- luo_core.c: the instance ---- */

/**
 * struct luo - all state of the orchestrator
 * @transition: see the top of this file
 * @state:      protected by @transition
 * @number:     fixed after boot: live updates since the last cold boot
 * @fdt:        fixed after boot: root of the outgoing handover, in memory that
 *              crosses
 * @root:       what the previous kernel handed over, empty when it did not
 * @quarantined: items of it that were found damaged; protected by
 *              sessions[LUO_INCOMING].lock
 * @sessions:   by direction
 * @files:      indices over their files
 * @handlers:   of files
 * @chardev:    /dev/liveupdate
 */
struct luo {
	struct rw_semaphore transition;
	enum liveupdate_state state;
	u64 number;
	void *fdt;
	struct luo_root root;
	u64 quarantined;
	struct luo_sessions sessions[LUO_NR_DIRECTIONS];
	struct luo_files files;
	struct luo_handlers handlers;
	struct luo_chardev chardev;
};

int luo_init(struct luo *luo);
void luo_destroy(struct luo *luo);

#endif /* _KERNEL_LIVEUPDATE_LUO_INTERNAL_H */
