/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Live Update Orchestrator: what its files share
 *
 * Locks, outermost first; reboot(2) has two before, see luo_image_try_hold():
 *
 *   luo.transition	read by whatever changes a session, written by a
 *			transition, which thereby has everything for itself
 *   luo_session.lock	the files of one session
 *   luo_handlers.asked	read by whoever asks file handlers, written to take one away
 *   luo_flb.out_lock	one FLB, towards the next kernel
 *   luo_flb.in_lock	one FLB, from the previous kernel
 *   luo_handlers.lock	which file handlers and FLBs there are
 *   luo_flb.lock	a spinlock: which FLB it is
 *   luo_sessions.lock	which sessions there are, and who has them
 *   luo_callers.lock	a spinlock: who may be in a callback
 *   luo_failure.lock	a spinlock: who failed last
 *   luo_rehearsals.lock	a spinlock: what the last rehearsal found
 *   luo_quarantine.lock	a spinlock: what came damaged
 *
 * User memory is touched under none of them, so no process can hold up a kexec
 * by a page that it does not provide. No callback is called under
 * luo_handlers.lock, which registering and asking for FLBs take: a driver can do so
 * with a lock of its own held that its callbacks take as well.
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
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/wait.h>
#include <linux/workqueue_types.h>
#include <linux/xarray.h>

struct luo;
struct luo_opener;

/* Names and compatible strings: not empty, and with their NUL within @size */
static inline bool luo_string_fits(const char *string, size_t size)
{
	size_t len = strnlen(string, size);

	return len && len < size;
}

/* What is shown to people as it is: printable ASCII only */
static inline bool luo_string_is_plain(const char *string)
{
	while (*string >= ' ' && *string <= '~')
		string++;

	return !*string;
}

static inline bool luo_compatible_fits(const char *string, size_t size)
{
	return luo_string_fits(string, size) && luo_string_is_plain(string);
}

/* ---- luo_state.c: which event may come when ---- */

const char *luo_state_name(enum liveupdate_state state);
enum liveupdate_state luo_state_at_rest(bool incoming);
int luo_state_next(enum liveupdate_state state, enum liveupdate_event event,
		   bool incoming);

/* ---- luo_handover.c: what crosses to the next kernel ---- */

/**
 * struct luo_item - what one subsystem or FLB hands over
 * @compatible: its name
 * @data:       its word
 * @count:      of an FLB: files that need it
 * @node:       where it was read
 */
struct luo_item {
	char compatible[LIVEUPDATE_COMPATIBLE_LENGTH];
	u64 data;
	u64 count;
	int node;
};

/**
 * struct luo_items - items on their way into a root
 * @items: of them
 * @nr:    number of @items
 * @room:  number of @items that there is memory for
 */
struct luo_items {
	struct luo_item *items;
	unsigned int nr;
	unsigned int room;
};

/**
 * struct luo_root - what the root of a handover tells
 * @number:      live updates since the last cold boot, this one included
 * @release:     of the kernel that wrote it
 * @counter_khz: rate of the counter that the next two are of, or 0
 * @reboot_at:   when reboot(2) called
 * @handover_at: when the root was written
 * @sessions:    physical address of the first block of session records, or 0
 * @nr_sessions: number of session records
 * @nr_files:    to write: number of records of files in all of them
 * @subsystems:  to write; what was read is found by luo_item_find()
 * @flbs:        likewise
 * @unknown:     to write: roots of versions that are not known
 */
struct luo_root {
	u64 number;
	char release[LUO_RELEASE_LENGTH];
	u64 counter_khz;
	u64 reboot_at;
	u64 handover_at;
	u64 sessions;
	u64 nr_sessions;
	u64 nr_files;
	struct luo_items subsystems;
	struct luo_items flbs;
	struct luo_items unknown;
};

size_t luo_root_size(const struct luo_root *root);
int luo_root_encode(void *fdt, size_t size, const struct luo_root *root);
int luo_root_decode(const void *fdt, size_t size, struct luo_root *root);
void luo_root_version(const void *fdt, struct luo_item *item);

bool luo_item_next(const void *fdt, const char *parent, int *cursor,
		   struct luo_item *item);
bool luo_item_find(const void *fdt, const char *parent, const char *compatible,
		   struct luo_item *item);
bool luo_item_is_first(const void *fdt, const char *parent,
		       const struct luo_item *item);

void luo_session_ser_fill(struct luo_session_ser *ser, const char *name,
			  u64 files, u64 nr_files, u32 files_crc);
int luo_session_ser_check(const struct luo_session_ser *ser);
int luo_file_ser_check(const struct luo_file_ser *ser);

/* ---- luo_kho.c: where the handover meets KHO ---- */

int luo_items_add(struct luo_items *items, const char *compatible, u64 data,
		  u64 count);
void luo_items_free(struct luo_items *items);

int luo_handover_setup(struct luo *luo);
int luo_handover_receive(struct luo *luo);
void luo_handover_receive_sessions(struct luo *luo);
int luo_handover_write(struct luo *luo);
void luo_handover_clear(struct luo *luo);
bool luo_handover_unknown(struct luo *luo);
int luo_handover_keep(struct luo *luo);
void luo_handover_unkeep(struct luo *luo);

/* ---- luo_handler.c: who preserves which type of file ---- */

/**
 * struct luo_handlers - the registered file handlers
 * @asked: whoever calls can_preserve has it for reading: no handler goes meanwhile
 * @lock: protects all below, and which FLBs each handler has
 * @list: of struct liveupdate_file_handler, in the order of registration
 * @flbs: of struct luo_flb, in the order in which they were first heard of
 * @by_name: the handlers, by hashes of their compatible strings
 * @takers: of all file operations that were asked for, by address: who took such a
 *          file last. With a lock of its own, to be added to while @lock is shared
 */
struct luo_handlers {
	struct rw_semaphore asked;
	struct rw_semaphore lock;
	struct list_head list __guarded_by(&lock);
	struct list_head flbs __guarded_by(&lock);
	struct xarray by_name __guarded_by(&lock);
	struct xarray takers;
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
bool luo_handler_is_registered(struct luo_handlers *handlers,
			       const struct liveupdate_file_handler *handler);
int luo_handler_request(const char *compatible);

/* Types of files that modules are asked for at a time */
#define LUO_MAX_WANTED		16

/**
 * struct luo_wanted - types of files that no handler is there for
 * @nr:    number of @types
 * @types: compatible strings, each once
 */
struct luo_wanted {
	unsigned int nr;
	char types[LUO_MAX_WANTED][LIVEUPDATE_COMPATIBLE_LENGTH];
};

void luo_wanted_add(struct luo_wanted *wanted, const char *compatible);
int luo_wanted_request(const struct luo_wanted *wanted, unsigned long timeout);

/* ---- luo_flb.c: objects that files share ---- */

/**
 * struct luo_flb_side - an FLB towards one direction
 * @data:  its word
 * @obj:   the live object
 * @files: files that need it
 * @users: references of kernel code that asked for the object
 */
struct luo_flb_side {
	u64 data;
	void *obj;
	u64 files;
	u64 users;
};

/**
 * struct luo_flb - what is known of FLBs of one name
 * @luo:       fixed
 * @compatible: fixed, the name
 * @list:      in luo_handlers.flbs
 * @lock:      protects the next three
 * @flb:       the one that is registered, preserved or retrieved, or NULL
 * @pins:      reasons why @flb has to stay; whoever has one can read it
 * @links:     handlers that it is registered for
 * @out_lock:  protects @out; preserve and unpreserve are called with it held
 * @in_lock:   protects all below @out; retrieve and finish are called with it
 *             held. It nests in @out_lock: preserve can ask for what came
 * @out:       preserved while somebody needs it
 * @in:        what came from the previous kernel
 * @received:  that was looked up
 * @came:      and found
 * @in_left:   something came, and is not finished
 * @retrieved: @in has its object
 * @damaged:   that @in cannot be retrieved is reported
 * @goes:      a kexec is under way, and @in goes on with it
 * @carried:   @out counts one file more, for files that are not known here; protected
 *             by luo.transition
 * @out_key:   class of @out_lock: callbacks of an FLB may ask for another one
 * @in_key:    likewise of @in_lock
 */
struct luo_flb {
	struct luo *luo;
	char compatible[LIVEUPDATE_FLB_COMPAT_LENGTH];
	struct list_head list;
	/* see above for what they protect */
	spinlock_t lock;
	struct liveupdate_flb *flb __guarded_by(&lock);
	unsigned int pins __guarded_by(&lock);
	unsigned int links __guarded_by(&lock);
	/* see above for what it protects */
	struct mutex out_lock;
	/* see above for what it protects */
	struct mutex in_lock;
	struct luo_flb_side out __guarded_by(&out_lock);
	struct luo_flb_side in __guarded_by(&in_lock);
	bool received __guarded_by(&in_lock);
	bool came __guarded_by(&in_lock);
	bool in_left __guarded_by(&in_lock);
	bool retrieved __guarded_by(&in_lock);
	bool damaged __guarded_by(&in_lock);
	bool goes __guarded_by(&in_lock);
	bool carried;
	struct lock_class_key out_key;
	struct lock_class_key in_key;
};

struct luo_flb *luo_flb_next(struct luo *luo, struct luo_flb *flb);
int luo_flbs_preserve(struct luo *luo, struct liveupdate_file_handler *handler);
void luo_flbs_unpreserve(struct luo *luo, struct liveupdate_file_handler *handler);
void luo_flbs_finish(struct luo *luo, struct liveupdate_file_handler *handler);
void luo_flbs_finish_all(struct luo *luo);
bool luo_flbs_unknown(struct luo *luo);
int luo_flbs_carry(struct luo *luo, bool unknown);
void luo_flbs_uncarry(struct luo *luo);
int luo_flbs_encode(struct luo *luo, struct luo_items *items);

int luo_flb_add(struct luo *luo, struct liveupdate_file_handler *handler,
		struct liveupdate_flb *flb);
void luo_flb_del(struct luo *luo, struct liveupdate_file_handler *handler,
		 struct liveupdate_flb *flb);
void luo_flb_del_all(struct liveupdate_file_handler *handler);
void luo_flbs_destroy(struct luo *luo);
int luo_flb_get_incoming(struct luo *luo, struct liveupdate_flb *flb,
			 void **objp);
void luo_flb_put_incoming(struct liveupdate_flb *flb);
int luo_flb_get_outgoing(struct liveupdate_flb *flb, void **objp);
void luo_flb_put_outgoing(struct liveupdate_flb *flb);

/* ---- luo_subsystem.c: subsystems that take part ---- */

int luo_subsystem_add(struct luo *luo, struct liveupdate_subsystem *subsystem);
void luo_subsystem_del(struct luo *luo, struct liveupdate_subsystem *subsystem);
struct liveupdate_subsystem *luo_subsystem_find(struct luo *luo,
						const char *name);
int luo_subsystem_get_data(struct luo *luo,
			   const struct liveupdate_subsystem *subsystem,
			   u64 *data);

int luo_subsystems_prepare(struct luo *luo);
void luo_subsystems_cancel(struct luo *luo);
int luo_subsystems_freeze(struct luo *luo);
void luo_subsystems_unfreeze(struct luo *luo);
void luo_subsystems_boot(struct luo *luo);
void luo_subsystems_finish(struct luo *luo);
int luo_subsystems_check_carry(struct luo *luo);
bool luo_subsystems_failed(struct luo *luo);
bool luo_subsystems_unknown(struct luo *luo);
bool luo_subsystems_hand_over(struct luo *luo);
int luo_subsystems_encode(struct luo *luo, struct luo_items *items);

/* ---- luo_session.c: named containers of files ---- */

#define LUO_NR_DIRECTIONS	2

/**
 * struct luo_session - a session
 * @luo:       what it belongs to
 * @direction: fixed
 * @name:      fixed, zero to the end
 * @seq:       fixed; sessions that came later have higher ones
 * @state:     protected by luo_sessions.lock
 * @by_name:   in luo_sessions.names, until the session is finished or closed
 * @list:      in luo_sessions.list, likewise
 * @retrieved: somebody has claimed it in this kernel; protected by luo_sessions.lock,
 *             and set with luo.transition held
 * @unknown:   fixed; the record, when it is of a version that is not known, or NULL
 * @frozen:    its files are; protected by luo.transition and the freezing worker
 * @lock:      protects all below, and the files
 * @files:     of struct luo_file, in the order of preservation
 * @order:     the same, by their seq
 * @last_seq:  seq of the file that came last
 * @nr_files:  length of @files
 * @blocks:    room for the records of as many files, to go to the next kernel
 * @received:  incoming: records of files, of which no struct luo_file is made yet
 * @received_crc: what the checksum of @received has to be
 * @quarantined: place in @received of the last file that was put into quarantine
 *
 * A session belongs to its descriptor, when it has one, and to the table of
 * sessions otherwise. Whoever takes it out of both frees it.
 */
struct luo_session {
	struct luo *luo;
	enum liveupdate_direction direction;
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];
	u64 seq;
	enum liveupdate_session_state state;
	struct rhlist_head by_name;
	struct list_head list;
	bool retrieved;
	struct luo_session_ser *unknown;
	bool frozen;

	/* see above for what it protects */
	struct mutex lock;
	struct list_head files;
	struct xarray order;
	u64 last_seq;
	u64 nr_files;
	struct kho_block_set blocks;
	struct luo_chain received;
	u32 received_crc;
	u64 quarantined;
};

/**
 * struct luo_sessions - the sessions of one direction
 * @lock:   protects all below, and the state of each session. A transition has
 *          luo.transition for writing, and needs it for the last three only
 * @list:   all of them, in the order in which they came
 * @count:  length of @list
 * @blocks: outgoing: room for as many records as there are sessions
 * @names:  all of them by name. Outgoing names are unique; among the incoming
 *          there can be two of a name, when one was carried over from an update
 *          before
 * @order:  all of them, by their seq
 * @seq:    given to the last one
 */
struct luo_sessions {
	/* see above for what it protects */
	struct mutex lock;
	struct list_head list;
	u64 count;
	struct kho_block_set blocks;

	struct rhltable names __guarded_by(&lock);
	struct xarray order __guarded_by(&lock);
	u64 seq __guarded_by(&lock);
};

int luo_sessions_init(struct luo_sessions *sessions);
void luo_sessions_destroy(struct luo_sessions *sessions);
bool luo_sessions_unfinished(struct luo *luo);
bool luo_sessions_unknown(struct luo *luo);
int luo_sessions_can_finish(struct luo *luo);
void luo_sessions_count(struct luo *luo, enum liveupdate_direction direction,
			u64 *sessions, u64 *files);
int luo_session_next(struct luo *luo,
		     struct liveupdate_ioctl_next_session *next);

struct luo_session *luo_session_create(struct luo *luo, const char *name);
struct luo_session *luo_session_claim(struct luo *luo, const char *name);
int luo_session_finish(struct luo_session *session);
int luo_session_request_handlers(struct luo_session *session);
void luo_session_release(struct luo_session *session);
void luo_session_leave(struct luo_session *session);
int luo_session_receive(struct luo *luo, const struct luo_session_ser *ser);
int luo_session_decode(struct luo_session *session);

int luo_sessions_want_handlers(struct luo *luo, struct luo_wanted *wanted);
void luo_sessions_discard(struct luo *luo);
int luo_sessions_prepare(struct luo *luo);
void luo_sessions_cancel(struct luo *luo);
int luo_sessions_carry(struct luo *luo);
void luo_sessions_uncarry(struct luo *luo);
int luo_sessions_freeze(struct luo *luo);
void luo_sessions_unfreeze(struct luo *luo);
void luo_sessions_drop_closed(struct luo *luo);
int luo_sessions_encode(struct luo *luo, struct luo_root *root);
void luo_sessions_unencode(struct luo *luo);

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
 * struct luo_file_id - what tells that two files are the same object
 * @ops: whose get_id says so: others may call other objects the same. Handlers that
 *       differ in the versions that they read can share these
 * @id:  what it says
 */
struct luo_file_id {
	const struct liveupdate_file_ops *ops;
	unsigned long id;
};

/**
 * struct luo_file - a file of a session
 * @session:    fixed
 * @token:      fixed, unique in the session
 * @seq:        fixed, in the order of preservation
 * @by_token:   in luo_files.tokens
 * @rcu:        to free it when nobody can be looking at it there
 * @compatible: fixed, of the handler
 * @list:       in luo_session.files
 * @handler:    NULL until one is there; its module is pinned
 * @file:       NULL for an incoming file until it is retrieved
 * @by_id:      in luo_files.ids, if @has_id
 * @id:         which object it is
 * @has_id:     set while no other session can take the file
 * @status:     of retrieving: 0 not done, 1 done, below 0 it failed for good
 * @announced:  outgoing, and user space has not asked to preserve it yet
 * @preserved:  outgoing, and its handler has preserved it
 * @carried:    incoming, and preserved for the next kernel too
 * @unknown:    carried as it came, as nothing here handles it
 * @in:         what came from the previous kernel
 * @out:        what goes to the next one
 * @prepared:   its data before it was frozen
 *
 * All that is not fixed is protected by the session's lock.
 */
struct luo_file {
	struct luo_session *session;
	u64 token;
	u64 seq;
	struct rhash_head by_token;
	struct rcu_head rcu;
	char compatible[LIVEUPDATE_HNDL_COMPAT_LENGTH];
	struct list_head list;
	struct liveupdate_file_handler *handler;
	struct file *file;
	struct rhash_head by_id;
	struct luo_file_id id;
	bool has_id;
	int status;
	bool announced;
	bool preserved;
	bool carried;
	bool unknown;
	struct luo_word in;
	struct luo_word out;
	u64 prepared;
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

/**
 * struct luo_file_place - what it takes to undo that a file was preserved
 * @seq:       the file's place in the order of preservation, to know it by
 * @announced: it was in the session before, announced
 */
struct luo_file_place {
	u64 seq;
	bool announced;
};

int luo_files_init(struct luo_files *files);
void luo_files_destroy(struct luo_files *files);

int luo_file_preserve(struct luo_session *session, struct file *file,
		      u64 token, struct luo_file_place *place);
void luo_file_undo_preserve(struct luo_session *session, u64 token,
			    const struct luo_file_place *place);
int luo_file_announce(struct luo_session *session, struct file *file, u64 token);
int luo_files_prepare(struct luo_session *session);
void luo_files_cancel(struct luo_session *session);
int luo_file_unpreserve(struct luo_session *session, u64 token);
int luo_file_retrieve(struct luo_session *session, u64 token,
		      struct file **filep, char *wanted);
int luo_file_next(struct luo_session *session,
		  struct liveupdate_session_next_file *next);
int luo_files_bytes(struct luo_session *session, u64 *bytes);
int luo_file_receive(struct luo_session *session,
		     const struct luo_file_ser *ser);
void luo_files_forget(struct luo_session *session);
void luo_files_unpreserve(struct luo_session *session);
int luo_files_want_handlers(struct luo_session *session,
			    struct luo_wanted *wanted);
int luo_files_can_finish(struct luo_session *session);
void luo_files_finish(struct luo_session *session);
bool luo_files_unknown(struct luo_session *session);
int luo_files_carry(struct luo_session *session);
void luo_files_uncarry(struct luo_session *session);
int luo_files_freeze(struct luo_session *session);
void luo_files_unfreeze(struct luo_session *session);
u64 luo_files_encode(struct luo_session *session, u32 *crc);

/* ---- luo_core.c: limits that an operator sets ---- */

/**
 * struct luo_limits - how much is taken on for the next kernel
 * @sessions: outgoing sessions at a time
 * @files:    files of an outgoing session
 *
 * What is there when a limit is lowered stays. What came from the previous kernel
 * does not count, so that nothing is lost. Read and written without a lock.
 */
struct luo_limits {
	int sessions;
	int files;
};

int luo_limit_check(const int *limit, u64 count);

/* ---- luo_transition.c: from state to state ---- */

void luo_transition_boot(struct luo *luo);
void luo_transition_settle(struct luo *luo);
void luo_transition_settle_later(struct luo *luo);
void luo_transition_left_over(struct work_struct *work);
int luo_transition_event(struct luo *luo, enum liveupdate_event event);
int luo_transition_reboot(struct luo *luo);
int luo_transition_rehearse(struct luo *luo,
			    struct liveupdate_ioctl_rehearse *result);

/* ---- luo_call.c: calling participants ---- */

enum luo_call_kind {
	LUO_CALL_STEP,
	LUO_CALL_SUBSYSTEM,
	LUO_CALL_FLB,
	LUO_CALL_FILE,
};

/**
 * struct luo_call - a call of a participant that is under way
 * @luo:   the orchestrator
 * @phase: what for
 * @kind:  of participant
 * @name:  of it; for a file that of its session
 * @token: of a file
 * @start: when it was called, in ns, or 0 when nobody traces it
 */
struct luo_call {
	struct luo *luo;
	enum liveupdate_phase phase;
	enum luo_call_kind kind;
	const char *name;
	u64 token;
	u64 start;
};

/**
 * struct luo_failure - who failed last
 * @lock:  protects all below
 * @closed: no failure is taken in: there is no transition under way, or one has
 *         failed already
 * @err:   a negative errno, or 0 if nobody ever failed
 * @phase: in which
 * @who:   the participant
 */
struct luo_failure {
	/* see above for what it protects */
	spinlock_t lock;
	bool closed;
	int err;
	enum liveupdate_phase phase;
	char who[LIVEUPDATE_PARTICIPANT_LENGTH];
};

/**
 * struct luo_caller - a task that may call participants
 * @list: in luo_callers.list
 * @task: it
 */
struct luo_caller {
	struct list_head list;
	const struct task_struct *task;
};

/**
 * struct luo_callers - tasks that may call participants
 * @lock: protects @list
 * @list: of struct luo_caller: of tasks that have luo.transition, of those that freeze
 *        sessions for one of them, and of those that ask for FLBs. A task can be in
 *        it twice
 */
struct luo_callers {
	/* see above for what it protects */
	spinlock_t lock;
	struct list_head list __guarded_by(&lock);
};

void luo_callers_init(struct luo_callers *callers);
void luo_caller_enter(struct luo_callers *callers, struct luo_caller *caller);
void luo_caller_leave(struct luo_callers *callers, struct luo_caller *caller);
bool luo_caller_is_current(struct luo_callers *callers);

const char *luo_phase_name(enum liveupdate_phase phase);
void luo_call_start(struct luo_call *call, struct luo *luo,
		    enum liveupdate_phase phase, enum luo_call_kind kind,
		    const char *name, u64 token);
int luo_call_end(const struct luo_call *call, int err);

/* ---- luo_rehearsals.c: what rehearsals found ---- */

/**
 * struct luo_rehearsals - what the last rehearsal found
 * @under_way: there is one; written with luo.transition held for writing, and read
 *             without, by those who are called in it
 * @prepared:  and all is prepared in it; likewise
 * @phase_ns:  how long each phase took in it; protected by luo.transition
 * @failure:   who refused
 * @lock:      protects all below
 * @done:      there was one
 * @last:      what it found
 */
struct luo_rehearsals {
	bool under_way;
	bool prepared;
	u64 phase_ns[LIVEUPDATE_PHASE_HANDOVER + 1];
	struct luo_failure failure;
	/* see above for what it protects */
	spinlock_t lock;

	bool done __guarded_by(&lock);
	struct liveupdate_ioctl_rehearse last __guarded_by(&lock);
};

void luo_rehearsals_init(struct luo_rehearsals *rehearsals);
void luo_rehearsals_note(struct luo_rehearsals *rehearsals,
			 const struct liveupdate_ioctl_rehearse *result);
int luo_rehearsals_show(struct luo_rehearsals *rehearsals, char *buf);

/* ---- luo_image.c: what is loaded ---- */

bool luo_image_try_hold(void);
void luo_image_let_go(void);
enum liveupdate_image luo_image_loaded(char *release, size_t size);

/* ---- luo_quarantine.c: what came damaged ---- */

/* Bytes of an escape, and of the name of a session in which all is escaped */
#define LUO_ESCAPE_LENGTH	4
#define LUO_SHOWN_LENGTH						\
	(LUO_ESCAPE_LENGTH * (LIVEUPDATE_SESSION_NAME_LENGTH - 1) + 1)

/* Those that came last are kept to be shown, as many as fit a file of sysfs */
#define LUO_DAMAGES_KEPT	28

/**
 * struct luo_damage - something that came damaged
 * @err:  what is wrong with it, a negative errno
 * @what: it is
 */
struct luo_damage {
	int err;
	char what[LIVEUPDATE_PARTICIPANT_LENGTH];
};

/* "ERRNO WHAT\n" of each */
static_assert(LUO_DAMAGES_KEPT * (LIVEUPDATE_PARTICIPANT_LENGTH + 16) <=
	      PAGE_SIZE);

/**
 * struct luo_quarantine - all that came damaged
 * @panic:   fixed: panic instead
 * @lock:    protects all below, for writing
 * @count:   how much it is
 * @damages: those that came last
 */
struct luo_quarantine {
	bool panic;
	/* see above for what it protects */
	spinlock_t lock;

	u64 count __guarded_by(&lock);
	struct luo_damage damages[LUO_DAMAGES_KEPT] __guarded_by(&lock);
};

__printf(3, 4)
void luo_quarantine_add(struct luo *luo, int err, const char *fmt, ...);
const char *luo_escape(char *to, size_t size, const char *text);
int luo_quarantine_last(struct luo *luo, char *what);
int luo_quarantine_show(struct luo *luo, char *buf);

/* ---- luo_clock.c: how long the machine was away ---- */

/**
 * struct luo_blackout - the times of the update that started this kernel
 * @kernel_at:   when this kernel began, in ticks of the counter, or 0
 * @init_at:     when user space began
 * @freeze_us:   from reboot(2) until the handover was written, in microseconds
 * @kernel_us:   from reboot(2) until this kernel began
 * @init_us:     from there until user space began
 * @retrieve_us: from there until user space last got something back
 */
struct luo_blackout {
	u64 kernel_at;
	u64 init_at;
	u64 freeze_us;
	u64 kernel_us;
	u64 init_us;
	u64 retrieve_us;
};

void luo_clock_stamp(struct luo_root *root);
void luo_clock_start(struct luo *luo);
void luo_clock_init(struct luo *luo);
void luo_clock_retrieved(struct luo *luo);

/* ---- luo_sysfs.c, luo_debugfs.c: what an operator can see ---- */

int luo_sysfs_register(struct luo *luo);
void luo_sysfs_changed(struct luo *luo);
void luo_debugfs_register(struct luo *luo);

/* ---- luo_ucmd.c: the ioctl dispatcher ---- */

/**
 * struct luo_ucmd - a command of user space that is being carried out
 * @luo:     the orchestrator
 * @session: the session, for a session's command
 * @opener:  whoever has the device open, for a command of the device
 * @reads_only: and has it open for reading only
 * @arg:     the argument, in kernel memory and complete: what user space did not
 *           give is zero
 * @uarg:    where it came from
 * @file:    set by a command that makes a descriptor: the file it is of
 * @wanted:  set by a command that lacks a file handler: the compatible string
 */
struct luo_ucmd {
	struct luo *luo;
	struct luo_session *session;
	struct luo_opener *opener;
	bool reads_only;
	void *arg;
	void __user *uarg;
	struct file *file;
	char wanted[LIVEUPDATE_COMPATIBLE_LENGTH];
};

typedef int (*luo_ucmd_fn)(struct luo_ucmd *ucmd);

enum luo_ucmd_flags {
	/* the argument is copied back to user space */
	LUO_UCMD_OUTPUT		= 1 << 0,
	/* the command makes a descriptor; implies the above */
	LUO_UCMD_NEW_FD		= 1 << 1,
	/* it is for outgoing, or for incoming sessions only */
	LUO_UCMD_OUTGOING	= 1 << 2,
	LUO_UCMD_INCOMING	= 1 << 3,
	/* it changes nothing, or takes luo.transition by itself */
	LUO_UCMD_UNLOCKED	= 1 << 4,
	/* so can whoever has the device open for reading only */
	LUO_UCMD_READER		= 1 << 5,
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
	luo_ucmd_fn execute;
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
#define LUO_UCMD_MAX_SIZE	336

long luo_ucmd_run(struct luo_ucmd *ucmd, const struct luo_ucmd_op *ops,
		  size_t nr_ops, unsigned int cmd, unsigned long arg);
int luo_ucmd_call(struct luo_ucmd *ucmd, luo_ucmd_fn execute);

/* ---- luo_batch.c: many files in one command ---- */

int luo_batch_preserve(struct luo_ucmd *ucmd);
int luo_batch_retrieve(struct luo_ucmd *ucmd);

/* ---- luo_chardev.c: /dev/liveupdate ---- */

/**
 * struct luo_chardev - the device
 * @misc:  registered when LUO is ready
 * @flags: bit %LUO_CHARDEV_OPEN is set while someone has it open for writing
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
 * @transition:  see the top of this file
 * @state:       protected by @transition
 * @updated:     the previous kernel left something, and FINISH has not come;
 *               protected by @transition
 * @settled:     FINISH is due as soon as the state is UPDATED again; protected by
 *               @transition
 * @finished:    FINISH has come; written with @transition and luo_handlers.lock
 *               held, so whoever has one of them can rely on it
 * @carrying:    a kexec is under way, and what no FLB has retrieved stays as it came;
 *               written with @transition and luo_handlers.lock held, and before each
 *               luo_flb.in_lock is taken in luo_flbs_carry(), so whoever has one of
 *               these can rely on it
 * @ready:       boot is through; protected by @transition
 * @changes:     counts changes of @state; protected by @transition
 * @wait:        woken at each
 * @subsystems:  of struct liveupdate_subsystem, in an order in which what others
 *               depend on comes first; protected by @transition
 * @taken:       nodes of @received that a subsystem has got; protected by
 *               @transition
 * @number:      fixed after boot: live updates since the last cold boot
 * @fdt:         root of the outgoing handover, in memory that crosses; protected
 *               by @transition
 * @fdt_size:    bytes of it, likewise
 * @handover_bytes: of the root and of records in the handover that was written last,
 *               likewise
 * @received:    fixed after boot: root of the incoming handover, or NULL
 * @root:        fixed after boot: what it tells
 * @unknown:     fixed after boot: the root that came, if its version is not known:
 *               where it is, and its size as @count, or 0
 * @reboot_at:   when the reboot(2) under way called, on the counter; protected by
 *               @transition
 * @blackout:    times of the update that started this kernel
 * @phase_ns:    how long each phase took when it last ran; protected by
 *               @transition, and read without it
 * @in_transition: a transition is under way; protected by @transition
 * @waited:      for those who use what is saved, in this transition
 * @left_over:   does what tasks that cannot wait for @transition left undone
 * @unsettled:   so that luo_transition_settle() is to be called again
 * @callers:     who may be in a callback
 * @failure:     who failed last
 * @rehearsals:  what the last one found
 * @quarantine:  what came damaged
 * @sessions:    by direction
 * @files:       indices over their files
 * @handlers:    of files, and FLBs
 * @limits:      of outgoing sessions and their files
 * @chardev:     /dev/liveupdate
 * @kobj:        /sys/kernel/liveupdate, fixed after boot
 */
struct luo {
	struct rw_semaphore transition;
	enum liveupdate_state state;
	bool updated;
	bool settled;
	bool finished;
	bool carrying;
	bool ready;
	u64 changes;
	wait_queue_head_t wait;
	struct list_head subsystems;
	struct xarray taken;
	u64 number;
	void *fdt;
	size_t fdt_size;
	u64 handover_bytes;
	const void *received;
	struct luo_root root;
	struct luo_item unknown;
	u64 reboot_at;
	struct luo_blackout blackout;
	u64 phase_ns[LIVEUPDATE_PHASE_FINISH + 1];
	bool in_transition;
	struct liveupdate_waited waited;
	struct work_struct left_over;
	bool unsettled;
	struct luo_callers callers;
	struct luo_failure failure;
	struct luo_rehearsals rehearsals;
	struct luo_quarantine quarantine;
	struct luo_sessions sessions[LUO_NR_DIRECTIONS];
	struct luo_files files;
	struct luo_handlers handlers;
	struct luo_limits limits;
	struct luo_chardev chardev;
	struct kobject *kobj;
};

int luo_init(struct luo *luo);
void luo_destroy(struct luo *luo);

#endif /* _KERNEL_LIVEUPDATE_LUO_INTERNAL_H */
