// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: sessions, the named containers of files
 */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/errno.h>
#include <linux/rhashtable.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/workqueue.h>
#include <trace/events/liveupdate.h>

#include "luo_internal.h"

static const struct rhashtable_params name_params = {
	.head_offset = offsetof(struct luo_session, by_name),
	.key_offset = offsetof(struct luo_session, name),
	.key_len = sizeof_field(struct luo_session, name),
	.automatic_shrinking = true,
};

static struct luo_sessions *table_of(const struct luo_session *session)
{
	return &session->luo->sessions[session->direction];
}

/**
 * luo_sessions_init - make an empty table of sessions
 * @sessions: the table
 *
 * Return: 0 or -ENOMEM.
 */
int luo_sessions_init(struct luo_sessions *sessions)
{
	mutex_init(&sessions->lock);
	INIT_LIST_HEAD(&sessions->list);
	xa_init(&sessions->order);
	kho_block_set_init(&sessions->blocks, sizeof(struct luo_session_ser));

	return rhltable_init(&sessions->names, &name_params);
}

/**
 * luo_sessions_destroy - free a table of sessions
 * @sessions: the table, empty
 */
void luo_sessions_destroy(struct luo_sessions *sessions)
{
	rhltable_destroy(&sessions->names);
	xa_destroy(&sessions->order);
	mutex_destroy(&sessions->lock);
}

/* A session that came can be put back at any time, see luo_session_leave() */
static bool is_unfinished(const struct luo_session *session)
{
	enum liveupdate_session_state state = READ_ONCE(session->state);

	return state == LIVEUPDATE_SESSION_UNCLAIMED ||
	       state == LIVEUPDATE_SESSION_CLAIMED;
}

static bool is_unknown(const struct luo_session *session)
{
	return session->state == LIVEUPDATE_SESSION_UNKNOWN;
}

static bool is_claimed(const struct luo_session *session)
{
	return READ_ONCE(session->state) == LIVEUPDATE_SESSION_CLAIMED;
}

/**
 * luo_sessions_unfinished - whether something of the previous kernel is left
 * @luo: the orchestrator
 *
 * Quarantined sessions do not count: nobody can finish them.
 *
 * Context: Process context, takes luo_sessions.lock.
 * Return: true if there is an incoming session that can be finished, by whoever
 * claims it or as a whole.
 */
bool luo_sessions_unfinished(struct luo *luo)
{
	struct luo_sessions *incoming = &luo->sessions[LIVEUPDATE_INCOMING];
	struct luo_session *session;

	guard(mutex)(&incoming->lock);
	list_for_each_entry(session, &incoming->list, list) {
		if (is_unfinished(session) || is_unknown(session))
			return true;
	}

	return false;
}

/**
 * luo_sessions_unknown - whether something that is carried is not known here
 * @luo: the orchestrator, with all sessions carried
 *
 * Context: Process context, luo.transition held for writing.
 * Return: true if it is a session, or a file of one.
 */
bool luo_sessions_unknown(struct luo *luo)
{
	struct luo_session *session;

	lockdep_assert_held_write(&luo->transition);
	list_for_each_entry(session, &luo->sessions[LIVEUPDATE_INCOMING].list,
			    list) {
		if (is_unknown(session) || luo_files_unknown(session))
			return true;
	}

	return false;
}

static u64 count_files(const struct luo_session *session)
{
	return READ_ONCE(session->nr_files) + READ_ONCE(session->received.count);
}

/**
 * luo_sessions_count - count the sessions of one direction and their files
 * @luo:       the orchestrator
 * @direction: which
 * @sessions:  set to the number of sessions; of incoming ones, those that are not
 *             finished
 * @files:     set to the number of files in them
 *
 * Context: Process context, takes luo_sessions.lock.
 */
void luo_sessions_count(struct luo *luo, enum liveupdate_direction direction,
			u64 *sessions, u64 *files)
{
	struct luo_sessions *table = &luo->sessions[direction];
	struct luo_session *session;

	*sessions = 0;
	*files = 0;
	guard(mutex)(&table->lock);
	list_for_each_entry(session, &table->list, list) {
		if (session->state == LIVEUPDATE_SESSION_QUARANTINED)
			continue;
		(*sessions)++;
		*files += count_files(session);
	}
}

/**
 * luo_session_next - go from session to session
 * @luo:  the orchestrator
 * @next: its direction and cursor tell where to go on; filled but for its size
 *
 * Context: Process context, takes luo_sessions.lock.
 * Return: 0; -EINVAL when there is no such direction; -ENOENT when there are no
 * more.
 */
int luo_session_next(struct luo *luo,
		     struct liveupdate_ioctl_next_session *next)
{
	unsigned long seq = next->cursor;
	struct luo_sessions *sessions;
	struct luo_session *session;

	if (next->direction >= LUO_NR_DIRECTIONS || next->reserved)
		return -EINVAL;

	sessions = &luo->sessions[next->direction];
	guard(mutex)(&sessions->lock);
	session = xa_find_after(&sessions->order, &seq, ULONG_MAX, XA_PRESENT);
	if (!session)
		return -ENOENT;

	next->cursor = seq;
	next->state = session->state;
	next->files = count_files(session);
	strscpy_pad(next->name, session->name, sizeof(next->name));

	return 0;
}

/* @name is one that fits, its end is filled with zeros here */
static struct luo_session *session_new(struct luo *luo, const char *name,
				       enum liveupdate_direction direction)
{
	struct luo_session *session;

	session = kzalloc_obj(*session, GFP_KERNEL_ACCOUNT);
	if (!session)
		return NULL;

	session->luo = luo;
	session->direction = direction;
	session->state = direction == LIVEUPDATE_OUTGOING ? LIVEUPDATE_SESSION_OPEN :
						     LIVEUPDATE_SESSION_UNCLAIMED;
	strscpy_pad(session->name, name);
	mutex_init(&session->lock);
	INIT_LIST_HEAD(&session->files);
	xa_init(&session->order);
	kho_block_set_init(&session->blocks, sizeof(struct luo_file_ser));

	return session;
}

/* Apart, as a kernel that clears what is on the stack clears all of the name */
static noinline void session_trace_shown(const struct luo_session *session)
{
	char name[LUO_SHOWN_LENGTH];

	trace_liveupdate_session(luo_escape(name, sizeof(name), session->name),
				 session->direction, session->state);
}

static void session_trace(const struct luo_session *session)
{
	if (trace_liveupdate_session_enabled())
		session_trace_shown(session);
}

/* GET_INFO of the session reads it without the lock */
static void set_state(struct luo_session *session,
		      enum liveupdate_session_state state)
{
	lockdep_assert_held(&table_of(session)->lock);
	WRITE_ONCE(session->state, state);
}

static void session_free(struct luo_session *session)
{
	xa_destroy(&session->order);
	mutex_destroy(&session->lock);
	kfree(session->unknown);
	kfree(session);
}

static struct rhlist_head *find_name(struct luo_sessions *sessions,
				     const char *name)
{
	char key[LIVEUPDATE_SESSION_NAME_LENGTH];

	lockdep_assert_held(&sessions->lock);
	strscpy_pad(key, name);
	return rhltable_lookup(&sessions->names, key, name_params);
}

/* A name that only sessions have which are closed, and will soon be gone, is free */
static bool name_is_taken(struct luo_sessions *sessions, const char *name)
{
	struct luo_session *session;
	struct rhlist_head *pos;

	lockdep_assert_held(&sessions->lock);
	rhl_for_each_entry_rcu(session, pos, find_name(sessions, name),
			       by_name) {
		if (session->state != LIVEUPDATE_SESSION_CLOSED)
			return true;
	}

	return false;
}

/* Room for the record is made now: freezing is no time to run out */
static int make_room(struct luo_session *session)
{
	struct luo_sessions *sessions = table_of(session);
	int err;

	lockdep_assert_held(&sessions->lock);
	if (session->direction != LIVEUPDATE_OUTGOING)
		return 0;

	err = luo_limit_check(&session->luo->limits.sessions, sessions->count);
	return err ?: kho_block_set_grow(&sessions->blocks,
					 sessions->count + 1);
}

/* Put it into the table. Names may repeat if @unique is not set. */
static int table_add(struct luo_session *session, bool unique)
{
	struct luo_sessions *sessions = table_of(session);
	u64 seq;
	int err;

	guard(mutex)(&sessions->lock);
	scoped_guard(rcu) {
		if (unique && name_is_taken(sessions, session->name))
			return -EEXIST;
	}

	err = make_room(session);
	if (err)
		return err;

	seq = sessions->seq + 1;
	err = xa_err(xa_store(&sessions->order, seq, session,
			      GFP_KERNEL_ACCOUNT));
	if (!err) {
		err = rhltable_insert(&sessions->names, &session->by_name,
				      name_params);
		if (err)
			xa_erase(&sessions->order, seq);
	}
	if (err) {
		kho_block_set_shrink(&sessions->blocks, sessions->count);
		return -ENOMEM;
	}

	session->seq = seq;
	sessions->seq = seq;
	list_add_tail(&session->list, &sessions->list);
	sessions->count++;
	session_trace(session);

	return 0;
}

static void table_unlink(struct luo_session *session)
{
	struct luo_sessions *sessions = table_of(session);

	lockdep_assert_held(&sessions->lock);
	rhltable_remove(&sessions->names, &session->by_name, name_params);
	xa_erase(&sessions->order, session->seq);
	list_del(&session->list);
	sessions->count--;
	kho_block_set_shrink(&sessions->blocks, sessions->count);
}

/* Nobody finds a session any more that is in its last state */
static void table_del(struct luo_session *session,
		      enum liveupdate_session_state state)
{
	scoped_guard(mutex, &table_of(session)->lock) {
		set_state(session, state);
		table_unlink(session);
	}
	session_trace(session);
}

static bool name_fits(const char *name)
{
	return luo_string_fits(name, LIVEUPDATE_SESSION_NAME_LENGTH);
}

/**
 * luo_session_create - make an outgoing session
 * @luo:  the orchestrator
 * @name: its name, in %LIVEUPDATE_SESSION_NAME_LENGTH bytes
 *
 * Context: Process context, luo.transition held for reading.
 * Return: the session, which luo_session_release() ends; -EINVAL when the name
 * is empty or not terminated, -EEXIST when an outgoing session has it, -ENOSPC when
 * there are as many as the operator allows, -ENOMEM.
 */
struct luo_session *luo_session_create(struct luo *luo, const char *name)
{
	struct luo_session *session;
	int err;

	lockdep_assert_held(&luo->transition);
	if (!name_fits(name))
		return ERR_PTR(-EINVAL);

	session = session_new(luo, name, LIVEUPDATE_OUTGOING);
	if (!session)
		return ERR_PTR(-ENOMEM);

	err = table_add(session, true);
	if (err) {
		session_free(session);
		return ERR_PTR(err);
	}

	return session;
}

/* Of the sessions with a name that can be claimed, the one that came first */
static struct luo_session *find_claimable(struct luo_sessions *sessions,
					  const char *name)
{
	struct luo_session *session, *best = NULL;
	struct rhlist_head *pos;

	rhl_for_each_entry_rcu(session, pos, find_name(sessions, name),
			       by_name) {
		if (!best || (best->state != LIVEUPDATE_SESSION_UNCLAIMED &&
			      session->state == LIVEUPDATE_SESSION_UNCLAIMED) ||
		    (best->state == session->state && session->seq < best->seq))
			best = session;
	}

	return best;
}

static struct luo_session *claim(struct luo_sessions *sessions,
				 const char *name)
{
	struct luo_session *session;

	guard(mutex)(&sessions->lock);
	scoped_guard(rcu)
		session = find_claimable(sessions, name);

	if (!session)
		return ERR_PTR(-ENOENT);
	if (session->state == LIVEUPDATE_SESSION_QUARANTINED)
		return ERR_PTR(-EUCLEAN);
	if (is_unknown(session))
		return ERR_PTR(-EPROTONOSUPPORT);
	if (session->state == LIVEUPDATE_SESSION_CLAIMED)
		return ERR_PTR(-EINVAL);

	set_state(session, LIVEUPDATE_SESSION_CLAIMED);
	session_trace(session);
	return session;
}

static void unclaim(struct luo_session *session)
{
	guard(mutex)(&table_of(session)->lock);
	if (session->state != LIVEUPDATE_SESSION_CLAIMED)
		return;

	set_state(session, LIVEUPDATE_SESSION_UNCLAIMED);
	session_trace(session);
}

/* Somebody is to finish it */
static void note_retrieved(struct luo_session *session)
{
	guard(mutex)(&table_of(session)->lock);
	session->retrieved = true;
}

/**
 * luo_session_claim - take an incoming session
 * @luo:  the orchestrator
 * @name: its name, in %LIVEUPDATE_SESSION_NAME_LENGTH bytes
 *
 * Context: Process context, luo.transition held for reading.
 * Return: the session, which luo_session_release() puts back; -ENOENT when there
 * is none of this name, -EINVAL when it is claimed or the name is none, -EUCLEAN when
 * it is damaged, -EPROTONOSUPPORT when it is of a version that is not known, -ENOMEM.
 */
struct luo_session *luo_session_claim(struct luo *luo, const char *name)
{
	struct luo_session *session;
	int err;

	lockdep_assert_held(&luo->transition);
	if (!name_fits(name))
		return ERR_PTR(-EINVAL);

	session = claim(&luo->sessions[LIVEUPDATE_INCOMING], name);
	if (IS_ERR(session))
		return session;

	err = luo_session_decode(session);
	if (err) {
		unclaim(session);
		return ERR_PTR(err);
	}

	note_retrieved(session);
	return session;
}

/**
 * luo_session_request_handlers - ask for modules that files of a session need
 * @session: the session, claimed
 *
 * Without its handler, nobody can free what belongs to a file that was not
 * retrieved, so nothing may be finished when this fails.
 *
 * Context: Process context, no lock held, as it waits for user space.
 * Return: 0, also when a module cannot be had; -EINTR when killed; -ENOMEM.
 */
int luo_session_request_handlers(struct luo_session *session)
{
	struct luo_wanted *wanted __free(kfree) = kzalloc_obj(*wanted);
	int err;

	if (!wanted)
		return -ENOMEM;

	err = luo_files_want_handlers(session, wanted);
	return err ?: luo_wanted_request(wanted, MAX_SCHEDULE_TIMEOUT);
}

/**
 * luo_sessions_want_handlers - note types of files that no handler is there for
 * @luo:    the orchestrator
 * @wanted: where to
 *
 * Looks at all incoming sessions that are not finished. When it succeeds they are
 * decoded, or quarantined.
 *
 * Context: Process context, luo.transition held for writing.
 * Return: 0, -ENOMEM, or -EINTR when killed.
 */
int luo_sessions_want_handlers(struct luo *luo, struct luo_wanted *wanted)
{
	struct luo_session *session;
	int err;

	lockdep_assert_held_write(&luo->transition);
	list_for_each_entry(session, &luo->sessions[LIVEUPDATE_INCOMING].list,
			    list) {
		if (!is_unfinished(session))
			continue;
		err = luo_session_decode(session);
		if (err == -ENOMEM)
			return err;
		err = err ? 0 : luo_files_want_handlers(session, wanted);
		if (err)
			return err;
	}

	return 0;
}

static int finish(struct luo_session *session)
{
	int err;

	lockdep_assert_held(&session->lock);
	err = luo_files_can_finish(session);
	if (err)
		return err;

	luo_files_finish(session);
	table_del(session, LIVEUPDATE_SESSION_FINISHED);

	return 0;
}

/**
 * luo_session_finish - end an incoming session
 * @session: the session, claimed
 *
 * It leaves the table; its descriptor is all that it has. Finishing it once more
 * is no error.
 *
 * Context: Process context, luo.transition held for reading.
 * Return: 0; -EBUSY when a file cannot be finished, or -EINTR when killed; none is
 * then.
 */
int luo_session_finish(struct luo_session *session)
{
	int err;

	lockdep_assert_held(&session->luo->transition);
	ACQUIRE(mutex_kill, lock)(&session->lock);
	err = ACQUIRE_ERR(mutex_kill, &lock);
	if (err)
		return err;

	if (session->state == LIVEUPDATE_SESSION_FINISHED)
		return 0;

	return finish(session);
}

static int discard(struct luo_session *session)
{
	int err;

	err = luo_session_decode(session);
	if (err)
		return err;

	scoped_guard(mutex, &session->lock)
		err = finish(session);
	if (!err)
		session_free(session);

	return err;
}

static int can_discard(struct luo_session *session)
{
	int err;

	err = luo_session_decode(session);
	if (err)
		return err == -EUCLEAN ? 0 : err;

	guard(mutex)(&session->lock);
	return luo_files_can_finish(session);
}

/**
 * luo_sessions_can_finish - whether luo_sessions_discard() will leave nothing
 * @luo: the orchestrator
 *
 * Context: Process context, luo.transition held for writing.
 * Return: 0; -EBUSY when somebody has a session that is not finished, or a file of
 * one that nobody has cannot be; -ENOMEM.
 */
int luo_sessions_can_finish(struct luo *luo)
{
	struct luo_session *session;
	int err = 0;

	lockdep_assert_held_write(&luo->transition);
	list_for_each_entry(session, &luo->sessions[LIVEUPDATE_INCOMING].list,
			    list) {
		if (is_claimed(session))
			err = -EBUSY;
		else if (is_unfinished(session))
			err = can_discard(session);
		if (err)
			break;
	}

	return err;
}

/* Nobody here can free what belongs to it */
static void session_drop_unknown(struct luo_session *session)
{
	char name[LUO_SHOWN_LENGTH];

	pr_warn("session '%s' of version '%s' is dropped, its memory stays reserved\n",
		luo_escape(name, sizeof(name), session->name),
		session->unknown->compatible);
	table_del(session, LIVEUPDATE_SESSION_FINISHED);
	session_free(session);
}

/**
 * luo_sessions_discard - finish all incoming sessions that nobody claimed
 * @luo: the orchestrator
 *
 * Those of an unknown version are dropped. What cannot be finished is reported, and
 * stays as it is.
 *
 * Context: Process context, luo.transition held for writing.
 */
void luo_sessions_discard(struct luo *luo)
{
	struct luo_session *session, *next;
	char name[LUO_SHOWN_LENGTH];
	int err;

	lockdep_assert_held_write(&luo->transition);
	/* Of those that have one name, the last is the first to be found */
	list_for_each_entry_safe_reverse(session, next,
					 &luo->sessions[LIVEUPDATE_INCOMING].list,
					 list) {
		if (is_unknown(session)) {
			session_drop_unknown(session);
			continue;
		}
		if (session->state != LIVEUPDATE_SESSION_UNCLAIMED)
			continue;
		err = discard(session);
		if (err)
			pr_warn("session '%s' cannot be finished: %pe\n",
				luo_escape(name, sizeof(name), session->name),
				ERR_PTR(err));
	}
}

static void session_drop(struct luo_session *session)
{
	luo_files_unpreserve(session);
	table_del(session, LIVEUPDATE_SESSION_CLOSED);
	session_free(session);
}

/**
 * luo_session_release - the last descriptor of a session is gone
 * @session: the session
 *
 * An outgoing one ends, and gives back its files; a finished one too. One that
 * was claimed is put back as it was. While a kexec is under way nothing changes
 * any more: an outgoing session then ends only if the kexec does not take place.
 *
 * Context: Process context, luo.transition held for reading.
 */
void luo_session_release(struct luo_session *session)
{
	bool frozen = session->luo->state == LIVEUPDATE_STATE_FROZEN;

	lockdep_assert_held_read(&session->luo->transition);
	if (session->state == LIVEUPDATE_SESSION_FINISHED)
		session_free(session);
	else if (session->direction == LIVEUPDATE_INCOMING)
		unclaim(session);
	else if (!frozen)
		session_drop(session);
	else
		scoped_guard(mutex, &table_of(session)->lock)
			set_state(session, LIVEUPDATE_SESSION_CLOSED);
}

/*
 * A session of which nothing is known but that there is one, and its name, if that is
 * where it always was. Its record goes on as it is.
 */
static int session_receive_unknown(struct luo *luo,
				   const struct luo_session_ser *ser)
{
	const char *name = name_fits(ser->name) ? ser->name : "";
	char shown[LUO_SHOWN_LENGTH];
	struct luo_session *session;
	int err;

	session = session_new(luo, name, LIVEUPDATE_INCOMING);
	if (!session)
		return -ENOMEM;

	session->state = LIVEUPDATE_SESSION_UNKNOWN;
	session->unknown = kmemdup(ser, sizeof(*ser), GFP_KERNEL_ACCOUNT);
	err = session->unknown ? table_add(session, false) : -ENOMEM;
	if (err) {
		session_free(session);
		return err;
	}

	pr_warn_ratelimited("session '%s' is of version '%s', which this kernel does not know: it is kept for one that does\n",
			    luo_escape(shown, sizeof(shown), name),
			    ser->compatible);
	return 0;
}

/**
 * luo_session_leave - as luo_session_release(), for who cannot wait
 * @session: the session
 *
 * An outgoing one ends at the next luo_sessions_drop_closed(), or goes to the next
 * kernel if that comes first. Its name is free at once.
 *
 * Context: Process context, takes luo_sessions.lock.
 */
void luo_session_leave(struct luo_session *session)
{
	if (session->state == LIVEUPDATE_SESSION_FINISHED) {
		session_free(session);
		return;
	}
	if (session->direction == LIVEUPDATE_INCOMING) {
		unclaim(session);
		return;
	}

	scoped_guard(mutex, &table_of(session)->lock)
		set_state(session, LIVEUPDATE_SESSION_CLOSED);
}

/**
 * luo_session_receive - make an incoming session of its record
 * @luo: the orchestrator
 * @ser: the record, which is not trusted
 *
 * Its files are not looked at before somebody wants them. A record of a version that
 * is not known is kept.
 *
 * Context: Process context, at boot.
 * Return: 0; -EUCLEAN when it cannot be used; -ENOMEM.
 */
int luo_session_receive(struct luo *luo, const struct luo_session_ser *ser)
{
	struct luo_session *session;
	int err;

	err = luo_session_ser_check(ser);
	if (err == -EPROTONOSUPPORT)
		return session_receive_unknown(luo, ser);
	if (err)
		return err;

	session = session_new(luo, ser->name, LIVEUPDATE_INCOMING);
	if (!session)
		return -ENOMEM;

	session->received = LUO_CHAIN(ser->files, ser->nr_files,
				      struct luo_file_ser);
	session->received_crc = ser->files_crc;
	err = table_add(session, false);
	if (err)
		session_free(session);

	return err;
}

static void quarantine(struct luo_session *session)
{
	luo_quarantine_add(session->luo, -EUCLEAN, "session %s", session->name);

	guard(mutex)(&table_of(session)->lock);
	set_state(session, LIVEUPDATE_SESSION_QUARANTINED);
	session_trace(session);
}

static void quarantine_file(struct luo_session *session, u64 place, u64 token,
			    int err)
{
	/* The session may be decoded again, after memory ran out behind this one */
	if (place <= session->quarantined)
		return;

	session->quarantined = place;
	luo_quarantine_add(session->luo, err, "file %llu of session %s", token,
			   session->name);
}

static int decode_files(struct luo_session *session)
{
	const struct luo_file_ser *ser;
	struct luo_chain_it it;
	u64 place = 0;
	int err;

	luo_chain_start(&it, &session->received);
	while ((ser = luo_chain_next(&it))) {
		place++;
		err = luo_file_ser_check(ser) ?: luo_file_receive(session, ser);
		if (err == -ENOMEM) {
			luo_files_forget(session);
			return err;
		}
		if (err)
			quarantine_file(session, place, ser->token, err);
	}

	luo_chain_free(&session->received);
	return 0;
}

/**
 * luo_session_decode - make files of the records that a session came with
 * @session: an incoming session
 *
 * Called again, it does nothing. A session whose records are damaged as a whole
 * is quarantined; of single records that are, only the file is missing.
 *
 * Context: Process context, luo.transition held.
 * Return: 0; -EUCLEAN when it is quarantined; -ENOMEM, and then nothing is lost.
 */
int luo_session_decode(struct luo_session *session)
{
	struct luo_chain *chain = &session->received;

	lockdep_assert_held(&session->luo->transition);
	guard(mutex)(&session->lock);
	if (!chain->count && !chain->first)
		return 0;

	if (luo_chain_take(chain) ||
	    luo_chain_crc(chain) != session->received_crc) {
		quarantine(session);
		return -EUCLEAN;
	}

	return decode_files(session);
}

/**
 * luo_sessions_prepare - preserve files that are announced and not preserved yet
 * @luo: the orchestrator
 *
 * Context: Process context, luo.transition held for writing.
 * Return: 0, or why the first one could not be; all is as before then.
 */
int luo_sessions_prepare(struct luo *luo)
{
	struct luo_session *session;
	int err;

	list_for_each_entry(session, &luo->sessions[LIVEUPDATE_OUTGOING].list, list) {
		err = luo_files_prepare(session);
		if (err) {
			luo_sessions_cancel(luo);
			return err;
		}
	}

	return 0;
}

/**
 * luo_sessions_cancel - undo luo_sessions_prepare()
 * @luo: the orchestrator
 *
 * Context: Process context, luo.transition held for writing.
 */
void luo_sessions_cancel(struct luo *luo)
{
	struct luo_session *session;

	list_for_each_entry_reverse(session,
				    &luo->sessions[LIVEUPDATE_OUTGOING].list, list)
		luo_files_cancel(session);
}

static int session_carry(struct luo_session *session)
{
	int err;

	err = luo_session_decode(session);
	if (err == -EUCLEAN)
		return 0;

	return err ?: luo_files_carry(session);
}

/* Sessions that are named in the log, where there can be thousands */
#define MAX_NAMED	8

static void session_report_unfinished(const struct luo_session *session)
{
	char name[LUO_SHOWN_LENGTH];

	pr_warn("session '%s' was retrieved, and nobody has finished it: it goes on to the next kernel\n",
		luo_escape(name, sizeof(name), session->name));
}

/* Whoever retrieves sessions and never finishes them has them for ever */
static void sessions_report_unfinished(struct luo *luo)
{
	struct luo_session *session;
	u64 nr = 0;

	if (luo->rehearsals.under_way)
		return;

	list_for_each_entry(session, &luo->sessions[LIVEUPDATE_INCOMING].list, list) {
		if (!is_unfinished(session) || !session->retrieved)
			continue;
		if (nr++ < MAX_NAMED)
			session_report_unfinished(session);
	}
	if (nr > MAX_NAMED)
		pr_warn("and so do %llu more sessions\n", nr - MAX_NAMED);
}

/**
 * luo_sessions_carry - preserve unfinished incoming sessions for the next kernel
 * @luo: the orchestrator
 *
 * Context: Process context, luo.transition held for writing.
 * Return: 0, or why the first session that could not be carried could not; none
 * is carried then.
 */
int luo_sessions_carry(struct luo *luo)
{
	struct luo_session *session;
	int err;

	lockdep_assert_held_write(&luo->transition);
	list_for_each_entry(session, &luo->sessions[LIVEUPDATE_INCOMING].list, list) {
		if (!is_unfinished(session))
			continue;
		err = session_carry(session);
		if (err) {
			luo_sessions_uncarry(luo);
			return err;
		}
	}
	sessions_report_unfinished(luo);

	return 0;
}

/**
 * luo_sessions_uncarry - undo luo_sessions_carry()
 * @luo: the orchestrator; some of the sessions may not be carried
 *
 * Context: Process context, luo.transition held for writing.
 */
void luo_sessions_uncarry(struct luo *luo)
{
	struct luo_session *session;

	lockdep_assert_held_write(&luo->transition);
	list_for_each_entry_reverse(session,
				    &luo->sessions[LIVEUPDATE_INCOMING].list, list)
		luo_files_uncarry(session);
}

/**
 * struct freezer - a freeze of all sessions that is under way
 * @luo:       the orchestrator
 * @lock:      protects all below
 * @direction: of the session that comes next
 * @next:      where it is in the list of its direction
 * @err:       why a session could not be frozen; no more are then
 */
struct freezer {
	struct luo *luo;
	/* protects all below */
	spinlock_t lock;
	enum liveupdate_direction direction;
	struct list_head *next;
	int err;
};

/**
 * struct freeze_work - one of those who freeze sessions at the same time
 * @work:    to queue
 * @freezer: what to do
 */
struct freeze_work {
	struct work_struct work;
	struct freezer *freezer;
};

/* As many as that: a CPU each, and no more when there are very many */
#define MAX_FREEZE_WORKS	32

static struct list_head *list_of(struct freezer *freezer)
{
	return &freezer->luo->sessions[freezer->direction].list;
}

/* The session to freeze next, or NULL if there are no more */
static struct luo_session *next_to_freeze(struct freezer *freezer)
{
	struct luo_session *session;

	guard(spinlock)(&freezer->lock);
	if (freezer->err)
		return NULL;
	if (freezer->next == list_of(freezer) &&
	    freezer->direction == LIVEUPDATE_OUTGOING) {
		freezer->direction = LIVEUPDATE_INCOMING;
		freezer->next = list_of(freezer)->next;
	}
	if (freezer->next == list_of(freezer))
		return NULL;

	session = list_entry(freezer->next, struct luo_session, list);
	freezer->next = freezer->next->next;
	return session;
}

/* Sessions are independent of each other; the files of one go in their order */
static void freeze_sessions(struct freezer *freezer)
{
	struct luo_session *session;
	int err;

	while ((session = next_to_freeze(freezer))) {
		err = luo_files_freeze(session);
		session->frozen = !err;
		if (!err)
			continue;

		guard(spinlock)(&freezer->lock);
		if (!freezer->err)
			freezer->err = err;
	}
}

static void unfreeze_list(struct luo_sessions *sessions)
{
	struct luo_session *session;

	list_for_each_entry_reverse(session, &sessions->list, list) {
		if (session->frozen)
			luo_files_unfreeze(session);
		session->frozen = false;
	}
}

static unsigned int count_works(struct luo *luo)
{
	u64 sessions = luo->sessions[LIVEUPDATE_OUTGOING].count +
		       luo->sessions[LIVEUPDATE_INCOMING].count;

	return min3((u64)num_online_cpus(), sessions, (u64)MAX_FREEZE_WORKS);
}

static void do_work(struct work_struct *work)
{
	struct freezer *freezer =
		container_of(work, struct freeze_work, work)->freezer;
	struct luo_caller caller;

	luo_caller_enter(&freezer->luo->callers, &caller);
	freeze_sessions(freezer);
	luo_caller_leave(&freezer->luo->callers, &caller);
}

/* Others help where there is memory for it; the caller always can */
static void freeze_together(struct freezer *freezer)
{
	unsigned int i, helpers = count_works(freezer->luo);
	struct freeze_work *works;

	helpers = helpers ? helpers - 1 : 0;
	works = kzalloc_objs(*works, helpers);
	if (!works)
		helpers = 0;

	for (i = 0; i < helpers; i++) {
		INIT_WORK(&works[i].work, do_work);
		works[i].freezer = freezer;
		queue_work(system_dfl_wq, &works[i].work);
	}
	freeze_sessions(freezer);
	/* Whoever has not begun by now has nothing left to do */
	for (i = 0; i < helpers; i++)
		cancel_work_sync(&works[i].work);
	kfree(works);
}

/**
 * luo_sessions_freeze - bring the saved state of all files up to date
 * @luo: the orchestrator
 *
 * Context: Process context, luo.transition held for writing.
 * Return: 0, or what a handler failed with; nothing is frozen then.
 */
int luo_sessions_freeze(struct luo *luo)
{
	struct freezer freezer = {
		.luo = luo,
		.direction = LIVEUPDATE_OUTGOING,
		.next = luo->sessions[LIVEUPDATE_OUTGOING].list.next,
	};

	lockdep_assert_held_write(&luo->transition);
	spin_lock_init(&freezer.lock);
	freeze_together(&freezer);
	if (freezer.err) {
		unfreeze_list(&luo->sessions[LIVEUPDATE_INCOMING]);
		unfreeze_list(&luo->sessions[LIVEUPDATE_OUTGOING]);
	}

	return freezer.err;
}

/**
 * luo_sessions_drop_closed - end sessions that have lost their descriptor
 * @luo: the orchestrator
 *
 * Context: Process context, luo.transition held for writing.
 */
void luo_sessions_drop_closed(struct luo *luo)
{
	struct luo_session *session, *next;

	lockdep_assert_held_write(&luo->transition);
	list_for_each_entry_safe(session, next,
				 &luo->sessions[LIVEUPDATE_OUTGOING].list, list) {
		if (READ_ONCE(session->state) == LIVEUPDATE_SESSION_CLOSED)
			session_drop(session);
	}
}

/**
 * luo_sessions_unfreeze - undo luo_sessions_freeze()
 * @luo: the orchestrator
 *
 * Sessions that lost their descriptor meanwhile end now.
 *
 * Context: Process context, luo.transition held for writing.
 */
void luo_sessions_unfreeze(struct luo *luo)
{
	lockdep_assert_held_write(&luo->transition);
	unfreeze_list(&luo->sessions[LIVEUPDATE_INCOMING]);
	unfreeze_list(&luo->sessions[LIVEUPDATE_OUTGOING]);
	luo_sessions_drop_closed(luo);
}

/* Whether the session goes to the next kernel */
static bool session_goes(const struct luo_session *session)
{
	return session->direction == LIVEUPDATE_OUTGOING ||
	       is_unfinished(session) || is_unknown(session);
}

/* The number of its files */
static u64 session_encode(struct luo_session *session,
			  struct luo_session_ser *ser)
{
	u64 count;
	u32 crc;

	if (session->unknown) {
		*ser = *session->unknown;
		return 0;
	}

	count = luo_files_encode(session, &crc);
	luo_session_ser_fill(ser, session->name,
			     kho_block_set_head_pa(&session->blocks), count,
			     crc);
	return count;
}

/* The blocks have room for all records */
static void encode_list(struct luo_sessions *sessions,
			struct kho_block_set_it *it, struct luo_root *root)
{
	struct luo_session *session;

	list_for_each_entry(session, &sessions->list, list) {
		if (!session_goes(session))
			continue;
		root->nr_files += session_encode(session,
						 kho_block_set_it_reserve_entry(it));
		root->nr_sessions++;
	}
}

/**
 * luo_sessions_encode - write the records of all sessions
 * @luo:  the orchestrator
 * @root: told where they are
 *
 * Context: Process context, luo.transition held for writing.
 * Return: 0, or -ENOMEM when sessions that are carried find no room.
 */
int luo_sessions_encode(struct luo *luo, struct luo_root *root)
{
	struct luo_sessions *outgoing = &luo->sessions[LIVEUPDATE_OUTGOING];
	struct luo_sessions *incoming = &luo->sessions[LIVEUPDATE_INCOMING];
	struct kho_block_set_it it;
	int err;

	lockdep_assert_held_write(&luo->transition);
	err = kho_block_set_grow(&outgoing->blocks,
				 outgoing->count + incoming->count);
	if (err)
		return err;

	kho_block_set_clear(&outgoing->blocks);
	kho_block_set_it_init(&it, &outgoing->blocks);
	root->nr_sessions = 0;
	root->nr_files = 0;
	encode_list(outgoing, &it, root);
	encode_list(incoming, &it, root);
	/* No block may be without a record */
	kho_block_set_shrink(&outgoing->blocks, root->nr_sessions);
	root->sessions = kho_block_set_head_pa(&outgoing->blocks);

	return 0;
}

/**
 * luo_sessions_unencode - undo luo_sessions_encode()
 * @luo: the orchestrator
 *
 * Outgoing sessions keep the room for their records, those that came lose it.
 *
 * Context: Process context, luo.transition held for writing.
 */
void luo_sessions_unencode(struct luo *luo)
{
	struct luo_sessions *outgoing = &luo->sessions[LIVEUPDATE_OUTGOING];

	lockdep_assert_held_write(&luo->transition);
	kho_block_set_shrink(&outgoing->blocks, outgoing->count);
}
