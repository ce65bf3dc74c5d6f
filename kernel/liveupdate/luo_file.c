// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: the files of a session
 *
 * A file in an outgoing session has been preserved by its handler. A file in an
 * incoming one is at first only a record, which a handler turns into a file when
 * user space asks for it. If it is not finished when the next update comes it
 * is carried: retrieved, if nobody has done so, and preserved again.
 */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/crc32.h>
#include <linux/cred.h>
#include <linux/errno.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/rhashtable.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <trace/events/liveupdate.h>

#include "luo_internal.h"

/* What a token is looked up by: it means something only within its session */
struct token_key {
	const struct luo_session *session;
	u64 token;
};

static u32 token_hash(const struct luo_session *session, u64 token, u32 seed)
{
	return jhash_3words(lower_32_bits(token), upper_32_bits(token),
			    hash_ptr(session, 32), seed);
}

static u32 token_key_hash(const void *data, u32 len, u32 seed)
{
	const struct token_key *key = data;

	return token_hash(key->session, key->token, seed);
}

static u32 token_obj_hash(const void *data, u32 len, u32 seed)
{
	const struct luo_file *lf = data;

	return token_hash(lf->session, lf->token, seed);
}

static int token_cmp(struct rhashtable_compare_arg *arg, const void *obj)
{
	const struct token_key *key = arg->key;
	const struct luo_file *lf = obj;

	return lf->session != key->session || lf->token != key->token;
}

static const struct rhashtable_params token_params = {
	.head_offset = offsetof(struct luo_file, by_token),
	.key_len = sizeof(struct token_key),
	.hashfn = token_key_hash,
	.obj_hashfn = token_obj_hash,
	.obj_cmpfn = token_cmp,
	.automatic_shrinking = true,
};

static const struct rhashtable_params id_params = {
	.head_offset = offsetof(struct luo_file, by_id),
	.key_offset = offsetof(struct luo_file, id),
	.key_len = sizeof_field(struct luo_file, id),
	.automatic_shrinking = true,
};

/**
 * luo_files_init - make empty indices
 * @files: the indices
 *
 * Return: 0 or -ENOMEM.
 */
int luo_files_init(struct luo_files *files)
{
	int err;

	err = rhashtable_init(&files->tokens, &token_params);
	if (err)
		return err;

	err = rhashtable_init(&files->ids, &id_params);
	if (err)
		rhashtable_destroy(&files->tokens);

	return err;
}

/**
 * luo_files_destroy - free the indices
 * @files: the indices, empty
 */
void luo_files_destroy(struct luo_files *files)
{
	rhashtable_destroy(&files->ids);
	rhashtable_destroy(&files->tokens);
}

static struct luo_files *files_of(const struct luo_session *session)
{
	return &session->luo->files;
}

static struct luo_file *find_token(struct luo_session *session, u64 token)
{
	const struct token_key key = { .session = session, .token = token };

	lockdep_assert_held(&session->lock);
	return rhashtable_lookup_fast(&files_of(session)->tokens, &key,
				      token_params);
}

/* A file with nothing but its names, in the token index but not in the list */
static struct luo_file *file_new(struct luo_session *session, u64 token,
				 const char *compatible)
{
	struct luo_file *lf;
	int err;

	lf = kzalloc_obj(*lf, GFP_KERNEL_ACCOUNT);
	if (!lf)
		return ERR_PTR(-ENOMEM);

	lf->session = session;
	lf->token = token;
	strscpy(lf->compatible, compatible);
	err = rhashtable_lookup_insert_key(&files_of(session)->tokens,
					   &(struct token_key){ session, token },
					   &lf->by_token, token_params);
	if (err) {
		kfree(lf);
		return ERR_PTR(err == -EEXIST ? err : -ENOMEM);
	}

	return lf;
}

static void file_free(struct luo_file *lf)
{
	rhashtable_remove_fast(&files_of(lf->session)->tokens, &lf->by_token,
			       token_params);
	luo_handler_put(lf->handler);
	if (lf->file)
		fput(lf->file);
	/* Who looks up another session's token may be reading it */
	kfree_rcu(lf, rcu);
}

/* Others read it without the lock, to tell it to user space */
static void add_to_count(struct luo_session *session, int n)
{
	lockdep_assert_held(&session->lock);
	WRITE_ONCE(session->nr_files, session->nr_files + n);
}

static int file_link(struct luo_file *lf)
{
	struct luo_session *session = lf->session;
	u64 seq = session->last_seq + 1;
	int err;

	err = xa_err(xa_store(&session->order, seq, lf, GFP_KERNEL_ACCOUNT));
	if (err)
		return err;

	lf->seq = seq;
	session->last_seq = seq;
	list_add_tail(&lf->list, &session->files);
	add_to_count(session, 1);
	return 0;
}

static void file_unlink(struct luo_file *lf)
{
	xa_erase(&lf->session->order, lf->seq);
	list_del(&lf->list);
	add_to_count(lf->session, -1);
}

/* Apart, as a kernel that clears what is on the stack clears all of the name */
static noinline void file_trace_shown(const struct luo_file *lf,
				      enum liveupdate_phase phase, int err)
{
	char name[LUO_SHOWN_LENGTH];

	trace_liveupdate_file(luo_escape(name, sizeof(name), lf->session->name),
			      lf->token, phase, err);
}

static void file_trace(const struct luo_file *lf, enum liveupdate_phase phase,
		       int err)
{
	if (trace_liveupdate_file_enabled())
		file_trace_shown(lf, phase, err);
}

/* What tells that two files are the same object */
static unsigned long id_of(const struct liveupdate_file_handler *handler,
			   struct file *file)
{
	return handler->ops->get_id ? handler->ops->get_id(file) :
				      (unsigned long)file;
}

/* Keep the object for this session alone. Called again, it is no error. */
static int file_take_id(struct luo_file *lf)
{
	int err;

	if (lf->has_id)
		return 0;

	lf->id.ops = lf->handler->ops;
	lf->id.id = id_of(lf->handler, lf->file);
	err = rhashtable_lookup_insert_fast(&files_of(lf->session)->ids,
					    &lf->by_id, id_params);
	if (err)
		return err == -EEXIST ? -EBUSY : -ENOMEM;

	lf->has_id = true;
	return 0;
}

static void file_drop_id(struct luo_file *lf)
{
	if (lf->has_id)
		rhashtable_remove_fast(&files_of(lf->session)->ids, &lf->by_id,
				       id_params);
	lf->has_id = false;
}

static struct liveupdate_file_op_args op_args(const struct luo_file *lf,
					      const struct luo_word *word)
{
	struct luo *luo = lf->session->luo;

	return (struct liveupdate_file_op_args) {
		.announced = lf->announced,
		.waited = luo->in_transition ? &luo->waited : NULL,
		.handler = lf->handler,
		.retrieve_status = lf->status,
		.file = lf->file,
		.serialized_data = word->data,
		.private_data = word->private_data,
	};
}

static void call_start(struct luo_call *call, const struct luo_file *lf,
		       enum liveupdate_phase phase)
{
	luo_call_start(call, lf->session->luo, phase, LUO_CALL_FILE,
		       lf->session->name, lf->token);
}

/* The file's FLBs, then the file */
static int file_call_preserve(struct luo_file *lf)
{
	struct liveupdate_file_op_args args = op_args(lf, &(struct luo_word){});
	struct luo *luo = lf->session->luo;
	int err;

	err = luo_flbs_preserve(luo, lf->handler);
	if (err)
		return err;

	err = lf->handler->ops->preserve(&args);
	if (err) {
		luo_flbs_unpreserve(luo, lf->handler);
		return err;
	}

	lf->out.data = args.serialized_data;
	lf->out.private_data = args.private_data;
	return 0;
}

static void file_call_unpreserve(struct luo_file *lf)
{
	struct liveupdate_file_op_args args = op_args(lf, &lf->out);

	lf->handler->ops->unpreserve(&args);
	lf->out = (struct luo_word){};
	luo_flbs_unpreserve(lf->session->luo, lf->handler);
}

static int file_call_announce(struct luo_file *lf)
{
	struct liveupdate_file_op_args args = op_args(lf, &lf->out);

	if (!lf->handler->ops->announce)
		return -EOPNOTSUPP;

	return lf->handler->ops->announce(&args);
}

static void file_call_unannounce(struct luo_file *lf)
{
	struct liveupdate_file_op_args args = op_args(lf, &lf->out);

	lf->handler->ops->unannounce(&args);
}

static int file_call_freeze(struct luo_file *lf)
{
	struct liveupdate_file_op_args args = op_args(lf, &lf->out);
	struct luo_call call;
	int err;

	lf->prepared = lf->out.data;
	if (!lf->handler->ops->freeze)
		return 0;

	call_start(&call, lf, LIVEUPDATE_PHASE_FREEZE);
	err = luo_call_end(&call, lf->handler->ops->freeze(&args));
	if (!err)
		lf->out.data = args.serialized_data;

	return err;
}

/* What freeze wrote is for the next kernel, which does not come */
static void file_call_unfreeze(struct luo_file *lf)
{
	struct liveupdate_file_op_args args = op_args(lf, &lf->out);
	struct luo_call call;

	lf->out.data = lf->prepared;
	if (!lf->handler->ops->unfreeze)
		return;

	call_start(&call, lf, LIVEUPDATE_PHASE_UNFREEZE);
	lf->handler->ops->unfreeze(&args);
	luo_call_end(&call, 0);
}

static void file_quarantine(const struct luo_file *lf, int err)
{
	luo_quarantine_add(lf->session->luo, err, "file %llu of session %s",
			   lf->token, lf->session->name);
}

/* Nothing is wrong with what came, but it cannot be restored here */
static void file_report_lost(const struct luo_file *lf, int err)
{
	char name[LUO_SHOWN_LENGTH];

	pr_err_ratelimited("file %llu of session %s cannot be restored: %pe\n", lf->token,
			   luo_escape(name, sizeof(name), lf->session->name),
			   ERR_PTR(err));
}

static int file_call_retrieve(struct luo_file *lf)
{
	struct liveupdate_file_op_args args = op_args(lf, &lf->in);
	int err;

	err = lf->handler->ops->retrieve(&args);
	file_trace(lf, LIVEUPDATE_PHASE_RETRIEVE, err);
	lf->in.private_data = args.private_data;
	if (!err) {
		lf->file = args.file;
		lf->status = 1;
	} else if (err == -EUCLEAN) {
		lf->status = err;
		file_quarantine(lf, err);
	} else if (!lf->handler->ops->retrieve_can_retry) {
		lf->status = err;
		file_report_lost(lf, err);
	}

	return err;
}

static bool file_call_can_finish(struct luo_file *lf)
{
	struct liveupdate_file_op_args args = op_args(lf, &lf->in);

	return !lf->handler->ops->can_finish ||
	       lf->handler->ops->can_finish(&args);
}

static void file_call_finish(struct luo_file *lf)
{
	struct liveupdate_file_op_args args = op_args(lf, &lf->in);

	lf->handler->ops->finish(&args);
	if (args.damaged)
		file_quarantine(lf, -EUCLEAN);
	luo_flbs_finish(lf->session->luo, lf->handler);
	file_trace(lf, LIVEUPDATE_PHASE_FINISH, 0);
}

/* Find the handler of an incoming file; it may have come since the last try */
static int file_find_handler(struct luo_file *lf)
{
	struct luo_handlers *handlers = &lf->session->luo->handlers;

	if (!lf->handler)
		lf->handler = luo_handler_get_compatible(handlers,
							 lf->compatible);

	return lf->handler ? 0 : -ENOENT;
}

/* Preserve a file of an outgoing session */
static int file_preserve(struct luo_file *lf)
{
	int err = file_call_preserve(lf);

	file_trace(lf, LIVEUPDATE_PHASE_PREPARE, err);
	lf->preserved = !err;

	return err;
}

static void file_unpreserve(struct luo_file *lf)
{
	file_call_unpreserve(lf);
	file_trace(lf, LIVEUPDATE_PHASE_CANCEL, 0);
	lf->preserved = false;
}

/* Announce a file; where all is prepared, it has to be preserved at once */
static int file_announce(struct luo_file *lf)
{
	bool prepared = lf->session->luo->state == LIVEUPDATE_STATE_PREPARED;
	int err = file_call_announce(lf);

	lf->announced = !err;
	if (err || !prepared)
		return err;

	err = file_preserve(lf);
	if (err)
		file_call_unannounce(lf);

	return err;
}

/* Put a file into a session, where @enter takes it up */
static int file_enter(struct luo_session *session, struct file *file, u64 token,
		      struct liveupdate_file_handler *handler,
		      int (*enter)(struct luo_file *lf))
{
	struct luo_file *lf;
	int err;

	lf = file_new(session, token, handler->compatible);
	if (IS_ERR(lf)) {
		luo_handler_put(handler);
		return PTR_ERR(lf);
	}

	lf->handler = handler;
	lf->file = get_file(file);
	err = file_take_id(lf);
	if (!err)
		err = file_link(lf);
	if (err)
		goto drop;

	err = enter(lf);
	if (!err)
		return 0;

	file_unlink(lf);
drop:
	file_drop_id(lf);
	file_free(lf);
	return err;
}

/* Room for the record is made now: freezing is no time to run out */
static int make_room(struct luo_session *session)
{
	int err;

	lockdep_assert_held(&session->lock);
	err = luo_limit_check(&session->luo->limits.files, session->nr_files);
	return err ?: kho_block_set_grow(&session->blocks,
					 session->nr_files + 1);
}

static int add_file(struct luo_session *session, struct file *file, u64 token,
		    int (*enter)(struct luo_file *lf))
{
	struct liveupdate_file_handler *handler;
	int err;

	handler = luo_handler_get_for_file(&session->luo->handlers, file);
	if (!handler)
		return -ENOENT;

	err = make_room(session);
	if (err) {
		luo_handler_put(handler);
		return err;
	}

	err = file_enter(session, file, token, handler, enter);
	if (err)
		kho_block_set_shrink(&session->blocks, session->nr_files);

	return err;
}

/* A handler can tell objects apart only among files that it is in charge of */
static bool is_same_object(const struct luo_file *lf, struct file *file)
{
	return lf->handler->ops->can_preserve(lf->handler, file) &&
	       id_of(lf->handler, file) == lf->id.id;
}

/* Preserve what was announced, by a descriptor of the same object */
static int preserve_announced(struct luo_file *lf, struct file *file)
{
	struct file *announced = lf->file;
	int err = 0;

	if (!lf->announced || !is_same_object(lf, file))
		return -EEXIST;

	lf->file = file;
	if (!lf->preserved)
		err = file_preserve(lf);
	if (err) {
		lf->file = announced;
		return err;
	}

	get_file(file);
	fput(announced);
	lf->announced = false;
	return 0;
}

/**
 * luo_file_preserve - put a file into an outgoing session, and preserve it
 * @session: the session
 * @file:    the file
 * @token:   its name in the session
 * @place:   set to what luo_file_undo_preserve() takes; or NULL
 *
 * Context: Process context, luo.transition held for reading.
 * Return: 0; -EEXIST when the token is used, unless it announced the same object;
 * -ENOENT when no handler is in charge of such files, -ENOSPC when the session has
 * as many as the operator allows, -EBUSY when the file is in a session already,
 * -ENOMEM, -EINTR when killed, or what the handler fails with.
 */
int luo_file_preserve(struct luo_session *session, struct file *file, u64 token,
		      struct luo_file_place *place)
{
	struct luo_file *lf;
	int err;

	lockdep_assert_held(&session->luo->transition);
	ACQUIRE(mutex_kill, lock)(&session->lock);
	err = ACQUIRE_ERR(mutex_kill, &lock);
	if (err)
		return err;

	lf = find_token(session, token);
	err = lf ? preserve_announced(lf, file) :
		   add_file(session, file, token, file_preserve);
	if (!err && place) {
		place->announced = lf;
		place->seq = lf ? lf->seq : session->last_seq;
	}

	return err;
}

/**
 * luo_file_announce - put a file into an outgoing session, to be preserved later
 * @session: the session
 * @file:    the file
 * @token:   its name in the session
 *
 * Context: Process context, luo.transition held for reading.
 * Return: as luo_file_preserve(), with -EEXIST for every token that is used; and
 * -EOPNOTSUPP when the handler has no use for it.
 */
int luo_file_announce(struct luo_session *session, struct file *file, u64 token)
{
	int err;

	lockdep_assert_held(&session->luo->transition);
	ACQUIRE(mutex_kill, lock)(&session->lock);
	err = ACQUIRE_ERR(mutex_kill, &lock);
	if (err)
		return err;

	if (find_token(session, token))
		return -EEXIST;

	return add_file(session, file, token, file_announce);
}

static int file_prepare(struct luo_file *lf)
{
	struct luo_call call;

	call_start(&call, lf, LIVEUPDATE_PHASE_PREPARE);
	return luo_call_end(&call, file_preserve(lf));
}

/**
 * luo_files_prepare - preserve what is announced, and nobody has preserved
 * @session: an outgoing session
 *
 * Context: Process context, luo.transition held for writing.
 * Return: 0, or what the first handler that failed fails with; all is as before
 * then.
 */
int luo_files_prepare(struct luo_session *session)
{
	struct luo_file *lf;
	int err = 0;

	lockdep_assert_held_write(&session->luo->transition);
	scoped_guard(mutex, &session->lock) {
		list_for_each_entry(lf, &session->files, list) {
			if (!lf->preserved)
				err = file_prepare(lf);
			if (err)
				break;
		}
	}
	if (err)
		luo_files_cancel(session);

	return err;
}

/*
 * Nobody can come in between who keeps it from being announced: what announcing has done
 * stays done, see struct liveupdate_file_op_args.
 */
static void file_back_to_announced(struct luo_file *lf)
{
	file_unpreserve(lf);
	file_call_announce(lf);
}

/**
 * luo_files_cancel - undo luo_files_prepare()
 * @session: the session; it may be prepared in part
 *
 * Context: Process context, luo.transition held for writing.
 */
void luo_files_cancel(struct luo_session *session)
{
	struct luo_file *lf;

	guard(mutex)(&session->lock);
	list_for_each_entry_reverse(lf, &session->files, list) {
		if (lf->announced && lf->preserved)
			file_back_to_announced(lf);
	}
}

static void remove_file(struct luo_file *lf)
{
	lf->announced = false;
	if (lf->preserved)
		file_unpreserve(lf);
	else
		file_call_unannounce(lf);
	file_drop_id(lf);
	file_unlink(lf);
	file_free(lf);
}

static void take_out(struct luo_session *session, struct luo_file *lf)
{
	remove_file(lf);
	kho_block_set_shrink(&session->blocks, session->nr_files);
}

/**
 * luo_file_unpreserve - take a file out of an outgoing session
 * @session: the session
 * @token:   the file's name in it
 *
 * Context: Process context, luo.transition held for reading.
 * Return: 0, -ENOENT when there is no such token, or -EINTR when killed.
 */
int luo_file_unpreserve(struct luo_session *session, u64 token)
{
	struct luo_file *lf;
	int err;

	ACQUIRE(mutex_kill, lock)(&session->lock);
	err = ACQUIRE_ERR(mutex_kill, &lock);
	if (err)
		return err;

	lf = find_token(session, token);
	if (!lf)
		return -ENOENT;

	take_out(session, lf);
	return 0;
}

/* What is prepared stays preserved, until the update is cancelled or takes place */
static void announce_again(struct luo_file *lf)
{
	if (lf->announced)
		return;

	lf->announced = true;
	if (lf->session->luo->state != LIVEUPDATE_STATE_PREPARED)
		file_back_to_announced(lf);
}

/**
 * luo_file_undo_preserve - undo luo_file_preserve()
 * @session: the session
 * @token:   the file's name in it
 * @place:   what luo_file_preserve() set
 *
 * Nothing happens if somebody else has taken the file out meanwhile.
 *
 * Context: Process context, luo.transition held for reading.
 */
void luo_file_undo_preserve(struct luo_session *session, u64 token,
			    const struct luo_file_place *place)
{
	struct luo_file *lf;

	lockdep_assert_held(&session->luo->transition);
	guard(mutex)(&session->lock);
	lf = find_token(session, token);
	if (!lf || lf->seq != place->seq)
		return;

	if (place->announced)
		announce_again(lf);
	else
		take_out(session, lf);
}

/**
 * luo_files_unpreserve - give back all files of an outgoing session
 * @session: the session
 *
 * Context: Process context, luo.transition held.
 */
void luo_files_unpreserve(struct luo_session *session)
{
	struct luo_file *lf, *next;

	lockdep_assert_held(&session->luo->transition);
	guard(mutex)(&session->lock);
	list_for_each_entry_safe_reverse(lf, next, &session->files, list)
		remove_file(lf);
	kho_block_set_destroy(&session->blocks);
}

/**
 * luo_file_receive - make a file of a record from the previous kernel
 * @session: an incoming session
 * @ser:     the record, which passed luo_file_ser_check()
 *
 * Context: Process context, session->lock held.
 * Return: 0; -EEXIST when the token is used; -ENOMEM.
 */
int luo_file_receive(struct luo_session *session,
		     const struct luo_file_ser *ser)
{
	struct luo_file *lf;
	int err;

	lockdep_assert_held(&session->lock);
	lf = file_new(session, ser->token, ser->compatible);
	if (IS_ERR(lf))
		return PTR_ERR(lf);

	lf->in.data = ser->data;
	err = file_link(lf);
	if (err)
		file_free(lf);

	return err;
}

/**
 * luo_files_forget - undo luo_file_receive() for all files of a session
 * @session: an incoming session, of which nothing is retrieved
 *
 * Context: Process context, session->lock held.
 */
void luo_files_forget(struct luo_session *session)
{
	struct luo_file *lf, *next;

	lockdep_assert_held(&session->lock);
	list_for_each_entry_safe_reverse(lf, next, &session->files, list) {
		file_unlink(lf);
		file_free(lf);
	}
}

/* Make the file, unless that is done */
static int file_restore(struct luo_file *lf)
{
	int err;

	if (lf->status < 0)
		return lf->status;
	if (!lf->status) {
		err = file_find_handler(lf);
		if (err)
			return err;
		err = file_call_retrieve(lf);
		if (err)
			return err;
	}

	return file_take_id(lf);
}

/**
 * luo_file_retrieve - get a file out of an incoming session
 * @session: the session
 * @token:   the file's name in it
 * @filep:   set to the file, with a reference for the caller
 * @wanted:  set to the compatible string of the handler that is missing, if one
 *           is; has room for %LIVEUPDATE_COMPATIBLE_LENGTH bytes
 *
 * The session keeps a reference of its own, so asking again gives the same file.
 *
 * Context: Process context, luo.transition held for reading.
 * Return: 0; -ENOENT when there is no such token or no handler for the file,
 * -ENOMEM, -EINTR when killed, or what the handler fails with; or what a security
 * module fails with that does not let the caller have the file: then others still can.
 */
int luo_file_retrieve(struct luo_session *session, u64 token,
		      struct file **filep, char *wanted)
{
	struct luo_file *lf;
	int err;

	lockdep_assert_held(&session->luo->transition);
	ACQUIRE(mutex_kill, lock)(&session->lock);
	err = ACQUIRE_ERR(mutex_kill, &lock);
	if (err)
		return err;

	lf = find_token(session, token);
	if (!lf)
		return -ENOENT;

	err = file_restore(lf);
	if (err) {
		if (!lf->handler)
			strscpy(wanted, lf->compatible,
				LIVEUPDATE_COMPATIBLE_LENGTH);
		return err;
	}

	/* Another task can have opened it, or had it in the previous kernel */
	err = security_file_receive(lf->file);
	if (!err)
		*filep = get_file(lf->file);

	return err;
}

static enum liveupdate_file_state file_state(const struct luo_file *lf)
{
	if (lf->session->direction == LIVEUPDATE_OUTGOING)
		return lf->preserved ? LIVEUPDATE_FILE_PRESERVED :
				       LIVEUPDATE_FILE_ANNOUNCED;
	if (lf->status < 0)
		return LIVEUPDATE_FILE_FAILED;

	return lf->status ? LIVEUPDATE_FILE_RETRIEVED :
			    LIVEUPDATE_FILE_RECEIVED;
}

/* Memory that a preserved file keeps, as far as the handler tells */
static u64 file_bytes(const struct luo_file *lf)
{
	struct liveupdate_file_op_args args = op_args(lf, &lf->out);

	if (!lf->preserved || !lf->handler->ops->get_bytes)
		return 0;

	return lf->handler->ops->get_bytes(&args);
}

/**
 * luo_file_next - go from file to file of a session
 * @session: the session
 * @next:    its cursor tells where to go on; filled but for its size
 *
 * Context: Process context, luo.transition held for reading.
 * Return: 0; -ENOENT when there are no more; -EINTR when killed.
 */
int luo_file_next(struct luo_session *session,
		  struct liveupdate_session_next_file *next)
{
	unsigned long seq = next->cursor;
	struct luo_file *lf;
	int err;

	lockdep_assert_held(&session->luo->transition);
	ACQUIRE(mutex_kill, lock)(&session->lock);
	err = ACQUIRE_ERR(mutex_kill, &lock);
	if (err)
		return err;

	lf = xa_find_after(&session->order, &seq, ULONG_MAX, XA_PRESENT);
	if (!lf)
		return -ENOENT;

	next->cursor = seq;
	next->token = lf->token;
	next->state = file_state(lf);
	next->bytes = file_bytes(lf);
	strscpy_pad(next->compatible, lf->compatible);

	return 0;
}

/**
 * luo_files_bytes - memory that the files of a session keep
 * @session: the session
 * @bytes:   set to the sum, of those whose handlers tell
 *
 * Context: Process context, luo.transition held for reading.
 * Return: 0, or -EINTR when killed.
 */
int luo_files_bytes(struct luo_session *session, u64 *bytes)
{
	struct luo_file *lf;
	u64 sum = 0;
	int err;

	lockdep_assert_held(&session->luo->transition);
	ACQUIRE(mutex_kill, lock)(&session->lock);
	err = ACQUIRE_ERR(mutex_kill, &lock);
	if (err)
		return err;

	list_for_each_entry(lf, &session->files, list)
		sum += file_bytes(lf);
	*bytes = sum;

	return 0;
}

/**
 * luo_files_want_handlers - note types of files that no handler is there for
 * @session: an incoming session, decoded
 * @wanted:  where to
 *
 * Context: Process context, takes session->lock.
 * Return: 0, or -EINTR when killed.
 */
int luo_files_want_handlers(struct luo_session *session,
			    struct luo_wanted *wanted)
{
	struct luo_file *lf;
	int err;

	ACQUIRE(mutex_kill, lock)(&session->lock);
	err = ACQUIRE_ERR(mutex_kill, &lock);
	if (err)
		return err;

	list_for_each_entry(lf, &session->files, list) {
		if (file_find_handler(lf))
			luo_wanted_add(wanted, lf->compatible);
	}

	return 0;
}

/**
 * luo_files_can_finish - see whether all files of a session can be finished
 * @session: an incoming session
 *
 * Context: Process context, session->lock held.
 * Return: 0, or -EBUSY when a handler says no.
 */
int luo_files_can_finish(struct luo_session *session)
{
	struct luo_file *lf;

	lockdep_assert_held(&session->lock);
	list_for_each_entry(lf, &session->files, list) {
		if (!file_find_handler(lf) && !file_call_can_finish(lf))
			return -EBUSY;
	}

	return 0;
}

/**
 * luo_files_finish - finish all files of a session
 * @session: an incoming session, of which luo_files_can_finish() approved
 *
 * What belongs to a file that nothing in this kernel can handle stays reserved
 * until the next kexec.
 *
 * Context: Process context, session->lock held.
 */
void luo_files_finish(struct luo_session *session)
{
	char name[LUO_SHOWN_LENGTH];
	struct luo_file *lf, *next;

	lockdep_assert_held(&session->lock);
	list_for_each_entry_safe_reverse(lf, next, &session->files, list) {
		if (lf->handler)
			file_call_finish(lf);
		else
			pr_warn("session '%s': nothing frees the memory of a file of type '%s', it stays reserved\n",
				luo_escape(name, sizeof(name), session->name),
				lf->compatible);
		file_drop_id(lf);
		file_unlink(lf);
		file_free(lf);
	}
}

/* Whether the file has to be carried; what failed for good is nothing to carry */
static bool file_wants_carry(const struct luo_file *lf)
{
	return !lf->carried && lf->status >= 0;
}

/* What only another kernel can make a file of goes there as its record came */
static void file_carry_as_came(struct luo_file *lf, const char *why)
{
	char name[LUO_SHOWN_LENGTH];

	pr_warn_ratelimited("session '%s': %s a file of type '%s', it goes on as it came\n",
			    luo_escape(name, sizeof(name), lf->session->name), why,
			    lf->compatible);
	lf->out.data = lf->in.data;
	lf->unknown = true;
	lf->carried = true;
}

/*
 * A handler that cannot try again loses the file if it fails, which a jump may cost and
 * a rehearsal must not: it leaves out what nobody has retrieved.
 */
static bool file_may_be_lost(struct luo_file *lf)
{
	return lf->session->luo->rehearsals.under_way && !lf->status &&
	       !file_find_handler(lf) && !lf->handler->ops->retrieve_can_retry;
}

static int file_carry(struct luo_file *lf)
{
	struct luo_call call;
	int err;

	call_start(&call, lf, LIVEUPDATE_PHASE_CARRY);
	/* It is the kernel that wants it, not the task that reboots */
	scoped_with_kernel_creds()
		err = file_restore(lf);
	/* It is in quarantine, and there is nothing to carry */
	if (err == -EUCLEAN)
		return luo_call_end(&call, 0);
	if (!lf->handler) {
		file_carry_as_came(lf, "nothing here handles");
		return luo_call_end(&call, 0);
	}
	/* Another kernel may be able to, and nothing of it is taken up */
	if (err == -EACCES && !lf->status && !lf->in.private_data) {
		file_carry_as_came(lf, "this kernel cannot protect");
		return luo_call_end(&call, 0);
	}
	if (!err)
		err = file_call_preserve(lf);
	luo_call_end(&call, err);
	lf->carried = !err;

	return err;
}

/**
 * luo_files_carry - preserve the files of an incoming session for the next kernel
 * @session: the session, decoded
 *
 * A file that nothing here handles goes on as it came, and so does one that its handler
 * refuses with EACCES, as long as it has taken up nothing of it.
 *
 * Context: Process context, luo.transition held for writing.
 * Return: 0, or why the first file that could not be carried could not; none is
 * carried then.
 */
int luo_files_carry(struct luo_session *session)
{
	struct luo_file *lf;
	int err;

	lockdep_assert_held_write(&session->luo->transition);
	mutex_lock(&session->lock);
	err = kho_block_set_grow(&session->blocks, session->nr_files);
	list_for_each_entry(lf, &session->files, list) {
		if (err)
			break;
		if (file_wants_carry(lf) && !file_may_be_lost(lf))
			err = file_carry(lf);
	}
	mutex_unlock(&session->lock);

	if (err)
		luo_files_uncarry(session);

	return err;
}

/**
 * luo_files_uncarry - undo luo_files_carry()
 * @session: the session; it may be carried in part
 *
 * Files that were retrieved for it stay so: it makes no difference to those who
 * ask for them later.
 *
 * Context: Process context, luo.transition held for writing.
 */
void luo_files_uncarry(struct luo_session *session)
{
	struct luo_file *lf;

	lockdep_assert_held_write(&session->luo->transition);
	guard(mutex)(&session->lock);
	list_for_each_entry_reverse(lf, &session->files, list) {
		if (lf->carried && !lf->unknown)
			file_call_unpreserve(lf);
		lf->carried = false;
		lf->unknown = false;
	}
	kho_block_set_destroy(&session->blocks);
}

/**
 * luo_files_unknown - whether a session has files that go on as they came
 * @session: an incoming session, carried
 *
 * Context: Process context, luo.transition held for writing.
 * Return: true if nothing here handles one of them.
 */
bool luo_files_unknown(struct luo_session *session)
{
	struct luo_file *lf;

	lockdep_assert_held_write(&session->luo->transition);
	guard(mutex)(&session->lock);
	list_for_each_entry(lf, &session->files, list) {
		if (lf->unknown)
			return true;
	}

	return false;
}

/* Whether the file goes to the next kernel */
static bool file_goes(const struct luo_file *lf)
{
	return lf->session->direction == LIVEUPDATE_OUTGOING || lf->carried;
}

/* Whether somebody can be called for it, too */
static bool file_freezes(const struct luo_file *lf)
{
	return file_goes(lf) && !lf->unknown;
}

/**
 * luo_files_freeze - bring the saved state of a session's files up to date
 * @session: the session
 *
 * Context: Process context, luo.transition held for writing.
 * Return: 0, or what the first handler that failed fails with; no file is frozen
 * then.
 */
int luo_files_freeze(struct luo_session *session)
{
	struct luo_file *lf;
	int err;

	guard(mutex)(&session->lock);
	list_for_each_entry(lf, &session->files, list) {
		if (!file_freezes(lf))
			continue;
		err = file_call_freeze(lf);
		if (err)
			goto undo;
	}

	return 0;

undo:
	list_for_each_entry_continue_reverse(lf, &session->files, list) {
		if (file_freezes(lf))
			file_call_unfreeze(lf);
	}
	return err;
}

/**
 * luo_files_unfreeze - undo luo_files_freeze()
 * @session: the session
 *
 * Context: Process context, luo.transition held for writing.
 */
void luo_files_unfreeze(struct luo_session *session)
{
	struct luo_file *lf;

	lockdep_assert_held_write(&session->luo->transition);
	guard(mutex)(&session->lock);
	list_for_each_entry_reverse(lf, &session->files, list) {
		if (file_freezes(lf))
			file_call_unfreeze(lf);
	}
}

static void file_encode(const struct luo_file *lf, struct luo_file_ser *ser)
{
	strscpy_pad(ser->compatible, lf->compatible);
	ser->data = lf->out.data;
	ser->token = lf->token;
}

/**
 * luo_files_encode - write the records of a session's files
 * @session: the session; its blocks have room for all files
 * @crc:     set to the checksum of the records
 *
 * Blocks that no record needs are given back, so that the chain has none that
 * is empty.
 *
 * Context: Process context, luo.transition held for writing.
 * Return: the number of records.
 */
u64 luo_files_encode(struct luo_session *session, u32 *crc)
{
	struct kho_block_set_it it;
	struct luo_file_ser *ser;
	struct luo_file *lf;
	u64 count = 0;

	lockdep_assert_held_write(&session->luo->transition);
	guard(mutex)(&session->lock);
	*crc = 0;
	kho_block_set_clear(&session->blocks);
	kho_block_set_it_init(&it, &session->blocks);
	list_for_each_entry(lf, &session->files, list) {
		if (!file_goes(lf))
			continue;
		ser = kho_block_set_it_reserve_entry(&it);
		file_encode(lf, ser);
		*crc = crc32c(*crc, ser, sizeof(*ser));
		count++;
	}
	kho_block_set_shrink(&session->blocks, count);

	return count;
}
