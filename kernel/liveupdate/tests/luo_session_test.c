// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of sessions and their files, with a handler that fails when it is told to
 *
 * Each test has an orchestrator of its own. What the handler was called for is
 * written down as a string of letters: Preserve, Unpreserve, Freeze, unfreeZe,
 * reTrieve, fInish, each followed by the digit of the file.
 */

#include <kunit/test.h>
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/string.h>

#include "../luo_internal.h"

#define MAX_CALLS	64

/* There is one at a time: callbacks find it here */
static struct mock {
	struct luo luo;
	char calls[2 * MAX_CALLS + 1];
	unsigned int nr;
	spinlock_t lock;	/* protects the calls */
	char fail;	/* the letter whose next call fails */
	char fail_file;	/* for which file */
	int err;	/* with what, if not EIO */
	bool busy;	/* can_finish says no */
	bool writes;	/* freeze changes the data */
	u64 data;	/* what unpreserve was given */
	int registered;	/* what registering a subsystem in preserve fails with */
} *mock;

static const struct file_operations mock_fops = {};

static char digit(const struct liveupdate_file_op_args *args)
{
	return '0' + args->serialized_data % 10;
}

static int called(char what, char file)
{
	guard(spinlock)(&mock->lock);
	if (mock->nr < MAX_CALLS) {
		mock->calls[2 * mock->nr] = what;
		mock->calls[2 * mock->nr + 1] = file;
		mock->nr++;
	}
	if (mock->fail == what && mock->fail_file == file) {
		mock->fail = 0;
		return mock->err ?: -EIO;
	}

	return 0;
}

static bool mock_can_preserve(struct liveupdate_file_handler *handler,
			      struct file *file)
{
	return file->f_op == &mock_fops;
}

static int mock_announce(struct liveupdate_file_op_args *args)
{
	return 0;
}

static void mock_unannounce(struct liveupdate_file_op_args *args)
{
}

static const struct liveupdate_subsystem_ops no_ops = {};

static struct liveupdate_subsystem in_callback = { &no_ops, "in-callback" };

static int mock_preserve(struct liveupdate_file_op_args *args)
{
	if (mock->registered)
		mock->registered = luo_subsystem_add(&mock->luo, &in_callback);
	args->serialized_data = (unsigned long)args->file->private_data;
	return called('P', digit(args));
}

static void mock_unpreserve(struct liveupdate_file_op_args *args)
{
	mock->data = args->serialized_data;
	called('U', digit(args));
}

static int mock_freeze(struct liveupdate_file_op_args *args)
{
	if (mock->writes)
		args->serialized_data += 10;
	return called('F', digit(args));
}

static void mock_unfreeze(struct liveupdate_file_op_args *args)
{
	called('Z', digit(args));
}

static int mock_retrieve(struct liveupdate_file_op_args *args)
{
	int err = called('T', digit(args));

	if (err)
		return err;

	args->file = anon_inode_getfile("mock", &mock_fops,
					(void *)(unsigned long)args->serialized_data,
					O_RDWR);
	return PTR_ERR_OR_ZERO(args->file);
}

static bool mock_can_finish(struct liveupdate_file_op_args *args)
{
	return !mock->busy;
}

static void mock_finish(struct liveupdate_file_op_args *args)
{
	called('I', digit(args));
}

static const struct liveupdate_file_ops mock_ops = {
	.can_preserve	= mock_can_preserve,
	.announce	= mock_announce,
	.unannounce	= mock_unannounce,
	.preserve	= mock_preserve,
	.unpreserve	= mock_unpreserve,
	.freeze		= mock_freeze,
	.unfreeze	= mock_unfreeze,
	.retrieve	= mock_retrieve,
	.can_finish	= mock_can_finish,
	.finish		= mock_finish,
	.retrieve_can_retry = true,
};

static struct liveupdate_file_handler mock_handler = {
	.ops = &mock_ops,
	.compatible = "luo-kunit-v1",
};

static const struct liveupdate_file_ops once_ops = {
	.can_preserve	= mock_can_preserve,
	.preserve	= mock_preserve,
	.unpreserve	= mock_unpreserve,
	.retrieve	= mock_retrieve,
	.finish		= mock_finish,
};

static struct liveupdate_file_handler once_handler = {
	.ops = &once_ops,
	.compatible = "luo-kunit-once-v1",
};

/* Others, which have the same ids */
static const struct file_operations other_fops = {};

static bool other_can_preserve(struct liveupdate_file_handler *handler,
			       struct file *file)
{
	return file->f_op == &other_fops;
}

static unsigned long always_five(struct file *file)
{
	return 5;
}

static const struct liveupdate_file_ops other_ops = {
	.can_preserve	= other_can_preserve,
	.preserve	= mock_preserve,
	.unpreserve	= mock_unpreserve,
	.retrieve	= mock_retrieve,
	.finish		= mock_finish,
	.get_id		= always_five,
};

static struct liveupdate_file_handler other_handler = {
	.ops = &other_ops,
	.compatible = "luo-kunit-other-v1",
};

static const struct file_operations third_fops = {};

static bool third_can_preserve(struct liveupdate_file_handler *handler,
			       struct file *file)
{
	return file->f_op == &third_fops;
}

static const struct liveupdate_file_ops third_ops = {
	.can_preserve	= third_can_preserve,
	.preserve	= mock_preserve,
	.unpreserve	= mock_unpreserve,
	.retrieve	= mock_retrieve,
	.finish		= mock_finish,
	.get_id		= always_five,
};

static struct liveupdate_file_handler third_handler = {
	.ops = &third_ops,
	.compatible = "luo-kunit-third-v1",
};

static void forget_calls(void)
{
	memset(mock->calls, 0, sizeof(mock->calls));
	mock->nr = 0;
}

#define EXPECT_CALLS(_test, _calls) do {				\
	KUNIT_EXPECT_STREQ(_test, mock->calls, _calls);			\
	forget_calls();							\
} while (0)

static struct luo_session *create(struct kunit *test, const char *name)
{
	char buffer[LIVEUPDATE_SESSION_NAME_LENGTH] = {};
	struct luo_session *session;

	strscpy(buffer, name);
	guard(rwsem_read)(&mock->luo.transition);
	session = luo_session_create(&mock->luo, buffer);
	KUNIT_ASSERT_FALSE(test, IS_ERR(session));
	return session;
}

/* With luo.transition held */
static struct luo_session *claim_locked(const char *name)
{
	char buffer[LIVEUPDATE_SESSION_NAME_LENGTH] = {};

	strscpy(buffer, name);
	return luo_session_claim(&mock->luo, buffer);
}

static struct luo_session *claim(const char *name)
{
	guard(rwsem_read)(&mock->luo.transition);
	return claim_locked(name);
}

static void release(struct luo_session *session)
{
	guard(rwsem_read)(&mock->luo.transition);
	luo_session_release(session);
}

static int preserve_with(struct kunit *test, struct luo_session *session,
			 u64 token, const struct file_operations *fops)
{
	struct file *file;
	int err;

	file = anon_inode_getfile("mock", fops, (void *)(unsigned long)token,
				  O_RDWR);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	guard(rwsem_read)(&mock->luo.transition);
	err = luo_file_preserve(session, file, token, NULL);
	fput(file);
	return err;
}

/* Preserve a file whose digit is that of the token; LUO alone keeps it */
static int preserve(struct kunit *test, struct luo_session *session, u64 token)
{
	return preserve_with(test, session, token, &mock_fops);
}

static int retrieve(struct luo_session *session, u64 token)
{
	char wanted[LIVEUPDATE_COMPATIBLE_LENGTH];
	struct file *file;
	int err;

	guard(rwsem_read)(&mock->luo.transition);
	err = luo_file_retrieve(session, token, &file, wanted);
	if (!err)
		fput(file);
	return err;
}

/* An incoming session with files of tokens 1 to @nr */
static void receive(struct kunit *test, const char *name, u64 nr,
		    const char *compatible)
{
	struct luo_session_ser ser;
	struct luo_file_ser file = {};
	struct luo_session *session;

	luo_session_ser_fill(&ser, name, 0, 0, 0);
	KUNIT_ASSERT_EQ(test, luo_session_receive(&mock->luo, &ser), 0);
	session = list_last_entry(&mock->luo.sessions[LIVEUPDATE_INCOMING].list,
				  struct luo_session, list);
	strscpy(file.compatible, compatible);
	guard(mutex)(&session->lock);
	for (file.token = 1; file.token <= nr; file.token++) {
		file.data = file.token;
		KUNIT_ASSERT_EQ(test, luo_file_receive(session, &file), 0);
	}
	mock->luo.state = LIVEUPDATE_STATE_UPDATED;
	mock->luo.updated = true;
}

static void finish(struct kunit *test, struct luo_session *session)
{
	scoped_guard(rwsem_read, &mock->luo.transition)
		KUNIT_EXPECT_EQ(test, luo_session_finish(session), 0);
	luo_transition_settle(&mock->luo);
	release(session);
}

static void nothing_is_left(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, mock->luo.sessions[LIVEUPDATE_OUTGOING].count, 0);
	KUNIT_EXPECT_EQ(test, mock->luo.sessions[LIVEUPDATE_INCOMING].count, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&mock->luo.files.tokens.nelems), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&mock->luo.files.ids.nelems), 0);
	KUNIT_EXPECT_EQ(test, mock->luo.state, LIVEUPDATE_STATE_NORMAL);
}

static void preserve_and_close(struct kunit *test)
{
	struct luo_session *session = create(test, "s");

	KUNIT_EXPECT_EQ(test, preserve(test, session, 1), 0);
	KUNIT_EXPECT_EQ(test, preserve(test, session, 2), 0);
	KUNIT_EXPECT_EQ(test, preserve(test, session, 2), -EEXIST);
	KUNIT_EXPECT_EQ(test, session->nr_files, 2);
	release(session);
	EXPECT_CALLS(test, "P1P2U2U1");
	nothing_is_left(test);
}

static void failed_preserve(struct kunit *test)
{
	struct luo_session *session = create(test, "s");

	mock->fail = 'P';
	mock->fail_file = '1';
	KUNIT_EXPECT_EQ(test, preserve(test, session, 1), -EIO);
	KUNIT_EXPECT_EQ(test, session->nr_files, 0);
	KUNIT_EXPECT_TRUE(test, kho_block_set_is_empty(&session->blocks));
	KUNIT_EXPECT_EQ(test, preserve(test, session, 1), 0);
	release(session);
	EXPECT_CALLS(test, "P1P1U1");
	nothing_is_left(test);
}

/* The calls for some files: sessions are frozen at the same time, in any order */
static const char *calls_of(const char *files)
{
	static char calls[2 * MAX_CALLS + 1];
	unsigned int i, nr = 0;

	for (i = 0; i < mock->nr; i++) {
		if (!strchr(files, mock->calls[2 * i + 1]))
			continue;
		calls[nr++] = mock->calls[2 * i];
		calls[nr++] = mock->calls[2 * i + 1];
	}
	calls[nr] = '\0';

	return calls;
}

/* What was frozen is unfrozen, and nothing else */
static void expect_balance(struct kunit *test, const char *file)
{
	const char *calls = calls_of(file);

	KUNIT_EXPECT_TRUE_MSG(test,
			      !*calls || (calls[0] == 'F' && calls[2] == 'Z'),
			      "file %s: %s", file, calls);
}

/* Session a with files 1 and 2, session b with 3: each freeze fails in turn */
static void failed_freeze(struct kunit *test)
{
	struct luo_session *a = create(test, "a"), *b = create(test, "b");

	preserve(test, a, 1);
	preserve(test, a, 2);
	preserve(test, b, 3);
	EXPECT_CALLS(test, "P1P2P3");
	down_write(&mock->luo.transition);
	mock->fail = 'F';
	mock->fail_file = '1';
	KUNIT_EXPECT_EQ(test, luo_sessions_freeze(&mock->luo), -EIO);
	KUNIT_EXPECT_STREQ(test, calls_of("12"), "F1");
	expect_balance(test, "3");
	forget_calls();

	mock->fail = 'F';
	mock->fail_file = '2';
	KUNIT_EXPECT_EQ(test, luo_sessions_freeze(&mock->luo), -EIO);
	KUNIT_EXPECT_STREQ(test, calls_of("12"), "F1F2Z1");
	expect_balance(test, "3");
	forget_calls();

	mock->fail = 'F';
	mock->fail_file = '3';
	KUNIT_EXPECT_EQ(test, luo_sessions_freeze(&mock->luo), -EIO);
	KUNIT_EXPECT_STREQ(test, calls_of("3"), "F3");
	expect_balance(test, "1");
	expect_balance(test, "2");
	forget_calls();

	KUNIT_EXPECT_EQ(test, luo_sessions_freeze(&mock->luo), 0);
	KUNIT_EXPECT_STREQ(test, calls_of("12"), "F1F2");
	KUNIT_EXPECT_STREQ(test, calls_of("3"), "F3");
	forget_calls();
	luo_sessions_unfreeze(&mock->luo);
	EXPECT_CALLS(test, "Z3Z2Z1");
	up_write(&mock->luo.transition);
	release(a);
	release(b);
	nothing_is_left(test);
}

static void closed_while_frozen(struct kunit *test)
{
	struct luo_session *session = create(test, "s");

	preserve(test, session, 1);
	scoped_guard(rwsem_write, &mock->luo.transition) {
		KUNIT_ASSERT_EQ(test, luo_sessions_freeze(&mock->luo), 0);
		mock->luo.state = LIVEUPDATE_STATE_FROZEN;
	}
	release(session);
	EXPECT_CALLS(test, "P1F1");
	scoped_guard(rwsem_write, &mock->luo.transition) {
		luo_sessions_unfreeze(&mock->luo);
		mock->luo.state = LIVEUPDATE_STATE_NORMAL;
	}
	EXPECT_CALLS(test, "Z1U1");
	nothing_is_left(test);
}

/* The next attempt, or the end of it, finds what preserve has left */
static void freeze_is_taken_back(struct kunit *test)
{
	struct luo_session *session = create(test, "s");

	mock->writes = true;
	preserve(test, session, 1);
	preserve(test, session, 2);
	down_write(&mock->luo.transition);
	mock->fail = 'F';
	mock->fail_file = '2';
	KUNIT_EXPECT_EQ(test, luo_sessions_freeze(&mock->luo), -EIO);
	KUNIT_EXPECT_EQ(test, luo_sessions_freeze(&mock->luo), 0);
	luo_sessions_unfreeze(&mock->luo);
	up_write(&mock->luo.transition);
	EXPECT_CALLS(test, "P1P2F1F2Z1F1F2Z2Z1");
	release(session);
	EXPECT_CALLS(test, "U2U1");
	KUNIT_EXPECT_EQ(test, mock->data, 1);
	nothing_is_left(test);
}

/* What one handler calls five is not what another one calls so */
static void ids_are_of_handlers(struct kunit *test)
{
	struct luo_handlers *handlers = &mock->luo.handlers;
	struct luo_session *session = create(test, "s");

	KUNIT_ASSERT_EQ(test, luo_handler_add(handlers, &other_handler), 0);
	KUNIT_ASSERT_EQ(test, luo_handler_add(handlers, &third_handler), 0);
	KUNIT_EXPECT_EQ(test, preserve_with(test, session, 1, &other_fops), 0);
	KUNIT_EXPECT_EQ(test, preserve_with(test, session, 2, &third_fops), 0);
	KUNIT_EXPECT_EQ(test, preserve_with(test, session, 3, &other_fops),
			-EBUSY);
	release(session);
	EXPECT_CALLS(test, "P1P2U2U1");
	luo_handler_del(handlers, &third_handler);
	luo_handler_del(handlers, &other_handler);
	nothing_is_left(test);
}

/* Whoever cannot wait for a transition leaves the rest to others */
static void left_while_busy(struct kunit *test)
{
	struct luo_session *session = create(test, "s"), *again;

	preserve(test, session, 1);
	receive(test, "r", 1, mock_handler.compatible);
	scoped_guard(rwsem_write, &mock->luo.transition) {
		luo_session_leave(session);
		luo_session_leave(claim_locked("r"));
	}
	EXPECT_CALLS(test, "P1");
	again = create(test, "s");
	luo_transition_left_over(&mock->luo.left_over);
	EXPECT_CALLS(test, "U1");
	release(again);
	finish(test, claim("r"));
	EXPECT_CALLS(test, "I1");
	nothing_is_left(test);
}

/* Who finished the last session was killed before it could end the update */
static void settled_by_worker(struct kunit *test)
{
	struct luo_session *session;

	receive(test, "r", 1, mock_handler.compatible);
	session = claim("r");
	scoped_guard(rwsem_read, &mock->luo.transition)
		KUNIT_EXPECT_EQ(test, luo_session_finish(session), 0);
	release(session);
	KUNIT_EXPECT_EQ(test, mock->luo.state, LIVEUPDATE_STATE_UPDATED);
	mock->luo.unsettled = true;
	luo_transition_left_over(&mock->luo.left_over);
	KUNIT_EXPECT_FALSE(test, mock->luo.unsettled);
	EXPECT_CALLS(test, "I1");
	nothing_is_left(test);
}

/* It would wait for the transition that it is called in */
static void registers_in_callback(struct kunit *test)
{
	struct luo_session *session = create(test, "s");
	struct luo *luo = &mock->luo;
	struct file *file;

	file = anon_inode_getfile("mock", &mock_fops, (void *)1UL, O_RDWR);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	scoped_guard(rwsem_read, &luo->transition)
		KUNIT_EXPECT_EQ(test, luo_file_announce(session, file, 1), 0);
	fput(file);
	mock->registered = 1;
	KUNIT_EXPECT_EQ(test,
			luo_transition_event(luo, LIVEUPDATE_EVENT_PREPARE), 0);
	KUNIT_EXPECT_EQ(test, mock->registered, -EDEADLK);
	mock->registered = 0;
	KUNIT_EXPECT_EQ(test,
			luo_transition_event(luo, LIVEUPDATE_EVENT_CANCEL), 0);
	KUNIT_EXPECT_TRUE(test, list_empty(&luo->subsystems));
	release(session);
	nothing_is_left(test);
}

static void names(struct kunit *test)
{
	struct luo_session *session = create(test, "s");
	char endless[LIVEUPDATE_SESSION_NAME_LENGTH];

	memset(endless, 'e', sizeof(endless));
	scoped_guard(rwsem_read, &mock->luo.transition) {
		KUNIT_EXPECT_PTR_EQ(test, luo_session_create(&mock->luo, "s"),
				    ERR_PTR(-EEXIST));
		KUNIT_EXPECT_PTR_EQ(test, luo_session_create(&mock->luo, ""),
				    ERR_PTR(-EINVAL));
		KUNIT_EXPECT_PTR_EQ(test,
				    luo_session_create(&mock->luo, endless),
				    ERR_PTR(-EINVAL));
	}
	KUNIT_EXPECT_PTR_EQ(test, claim("s"), ERR_PTR(-ENOENT));
	release(session);
	release(create(test, "s"));
	nothing_is_left(test);
}

/* What came from the previous kernel is there already, and does not count */
static void session_limit(struct kunit *test)
{
	struct luo_session *session;

	receive(test, "a", 1, mock_handler.compatible);
	receive(test, "b", 1, mock_handler.compatible);
	mock->luo.limits.sessions = 1;
	session = create(test, "s");
	scoped_guard(rwsem_read, &mock->luo.transition) {
		KUNIT_EXPECT_PTR_EQ(test, luo_session_create(&mock->luo, "t"),
				    ERR_PTR(-ENOSPC));
		KUNIT_EXPECT_PTR_EQ(test, luo_session_create(&mock->luo, "s"),
				    ERR_PTR(-EEXIST));
	}
	receive(test, "c", 1, mock_handler.compatible);
	release(session);
	session = create(test, "t");
	mock->luo.limits.sessions = 0;
	finish(test, claim("a"));
	finish(test, claim("b"));
	finish(test, claim("c"));
	release(session);
	nothing_is_left(test);
}

/* Files that go on to the next kernel do not count either */
static void file_limit(struct kunit *test)
{
	struct luo_session *session = create(test, "s");

	receive(test, "a", 3, mock_handler.compatible);
	mock->luo.limits.files = 1;
	KUNIT_EXPECT_EQ(test, preserve(test, session, 1), 0);
	KUNIT_EXPECT_EQ(test, preserve(test, session, 1), -EEXIST);
	KUNIT_EXPECT_EQ(test, preserve(test, session, 2), -ENOSPC);
	scoped_guard(rwsem_write, &mock->luo.transition) {
		KUNIT_EXPECT_EQ(test, luo_sessions_carry(&mock->luo), 0);
		luo_sessions_uncarry(&mock->luo);
	}
	mock->luo.limits.files = 2;
	KUNIT_EXPECT_EQ(test, preserve(test, session, 2), 0);
	release(session);
	finish(test, claim("a"));
	nothing_is_left(test);
}

/* A failed create at a block's boundary must leave no block without a record */
static void no_empty_block(struct kunit *test)
{
	const u64 per_block = mock->luo.sessions[LIVEUPDATE_OUTGOING].blocks.count_per_block;
	struct luo_session **sessions;
	struct luo_root root = {};
	struct luo_chain chain;
	char name[24];
	u64 i;

	sessions = kunit_kcalloc(test, per_block, sizeof(*sessions), GFP_KERNEL);
	for (i = 0; i < per_block; i++) {
		snprintf(name, sizeof(name), "s%llu", i);
		sessions[i] = create(test, name);
	}
	scoped_guard(rwsem_read, &mock->luo.transition)
		KUNIT_EXPECT_PTR_EQ(test, luo_session_create(&mock->luo, "s0"),
				    ERR_PTR(-EEXIST));
	scoped_guard(rwsem_write, &mock->luo.transition)
		KUNIT_EXPECT_EQ(test, luo_sessions_encode(&mock->luo, &root), 0);
	KUNIT_EXPECT_EQ(test, root.nr_sessions, per_block);
	KUNIT_EXPECT_EQ(test, mock->luo.sessions[LIVEUPDATE_OUTGOING].blocks.nblocks, 1);
	chain = LUO_CHAIN(root.sessions, root.nr_sessions, struct luo_session_ser);
	KUNIT_EXPECT_EQ(test, chain.count, per_block);
	for (i = 0; i < per_block; i++)
		release(sessions[i]);
	nothing_is_left(test);
}

static void retrieve_and_finish(struct kunit *test)
{
	struct luo_session *session;

	receive(test, "s", 3, mock_handler.compatible);
	session = claim("s");
	KUNIT_ASSERT_FALSE(test, IS_ERR(session));
	KUNIT_EXPECT_PTR_EQ(test, claim("s"), ERR_PTR(-EINVAL));
	KUNIT_EXPECT_EQ(test, retrieve(session, 4), -ENOENT);
	KUNIT_EXPECT_EQ(test, retrieve(session, 2), 0);
	KUNIT_EXPECT_EQ(test, retrieve(session, 2), 0);
	EXPECT_CALLS(test, "T2");

	mock->busy = true;
	scoped_guard(rwsem_read, &mock->luo.transition)
		KUNIT_EXPECT_EQ(test, luo_session_finish(session), -EBUSY);
	EXPECT_CALLS(test, "");
	mock->busy = false;
	finish(test, session);
	EXPECT_CALLS(test, "I3I2I1");
	KUNIT_EXPECT_PTR_EQ(test, claim("s"), ERR_PTR(-ENOENT));
	nothing_is_left(test);
}

static void put_back(struct kunit *test)
{
	struct luo_session *session;

	receive(test, "s", 1, mock_handler.compatible);
	release(claim("s"));
	EXPECT_CALLS(test, "");
	session = claim("s");
	KUNIT_ASSERT_FALSE(test, IS_ERR(session));
	KUNIT_EXPECT_EQ(test, retrieve(session, 1), 0);
	release(session);
	session = claim("s");
	KUNIT_EXPECT_EQ(test, retrieve(session, 1), 0);
	EXPECT_CALLS(test, "T1");
	finish(test, session);
	nothing_is_left(test);
}

static void failed_retrieve(struct kunit *test)
{
	struct luo_session *session;

	receive(test, "s", 1, mock_handler.compatible);
	session = claim("s");
	mock->fail = 'T';
	mock->fail_file = '1';
	KUNIT_EXPECT_EQ(test, retrieve(session, 1), -EIO);
	KUNIT_EXPECT_EQ(test, retrieve(session, 1), 0);
	finish(test, session);
	EXPECT_CALLS(test, "T1T1I1");
	nothing_is_left(test);
}

/* A handler that does not say that it can is not called twice */
static void failed_for_good(struct kunit *test)
{
	struct luo_session *session;

	receive(test, "s", 1, once_handler.compatible);
	session = claim("s");
	mock->fail = 'T';
	mock->fail_file = '1';
	KUNIT_EXPECT_EQ(test, retrieve(session, 1), -EIO);
	KUNIT_EXPECT_EQ(test, retrieve(session, 1), -EIO);
	finish(test, session);
	EXPECT_CALLS(test, "T1I1");
	nothing_is_left(test);
}

/* Only damage is damage: with liveupdate_on_error=panic, nothing else panics */
static void failed_is_not_damaged(struct kunit *test)
{
	static const int errs[] = { -ENOMEM, -EINTR, -EIO, -EEXIST, -EPROTONOSUPPORT };
	struct luo_session *session;

	mock->luo.quarantine.panic = true;
	for (size_t i = 0; i < ARRAY_SIZE(errs); i++) {
		receive(test, "s", 1, once_handler.compatible);
		session = claim("s");
		mock->fail = 'T';
		mock->fail_file = '1';
		mock->err = errs[i];
		KUNIT_EXPECT_EQ(test, retrieve(session, 1), errs[i]);
		finish(test, session);
		EXPECT_CALLS(test, "T1I1");
	}
	KUNIT_EXPECT_EQ(test, mock->luo.quarantine.count, 0);
	nothing_is_left(test);
}

/* Names cannot look like what they are not */
static void names_are_escaped(struct kunit *test)
{
	char shown[LUO_SHOWN_LENGTH];

	KUNIT_EXPECT_STREQ(test, luo_escape(shown, sizeof(shown), "a b'%s~"),
			   "a b'%s~");
	KUNIT_EXPECT_STREQ(test, luo_escape(shown, sizeof(shown), "\n\\n\"\x80"),
			   "\\x0a\\x5cn\\x22\\x80");
	/* Whole pieces, as many as there is room for */
	KUNIT_EXPECT_STREQ(test, luo_escape(shown, 5, "\n\n"), "\\x0a");
	KUNIT_EXPECT_STREQ(test, luo_escape(shown, 8, "\n\n"), "\\x0a");
	KUNIT_EXPECT_STREQ(test, luo_escape(shown, 9, "\n\n"), "\\x0a\\x0a");
	KUNIT_EXPECT_STREQ(test, luo_escape(shown, 1, "\n"), "");
}

/* One file that nobody knows does no harm to another, or to another session */
static void unknown_handler(struct kunit *test)
{
	struct luo_session *session;

	receive(test, "unknown", 1, "luo-kunit-none-v1");
	receive(test, "known", 1, mock_handler.compatible);
	session = claim("known");
	KUNIT_EXPECT_EQ(test, retrieve(session, 1), 0);
	finish(test, session);
	session = claim("unknown");
	KUNIT_EXPECT_EQ(test, retrieve(session, 1), -ENOENT);
	finish(test, session);
	EXPECT_CALLS(test, "T1I1");
	nothing_is_left(test);
}

static void carry(struct kunit *test)
{
	struct luo_session *session;

	receive(test, "claimed", 2, mock_handler.compatible);
	receive(test, "unclaimed", 1, mock_handler.compatible);
	session = claim("claimed");
	KUNIT_EXPECT_EQ(test, retrieve(session, 2), 0);
	EXPECT_CALLS(test, "T2");
	scoped_guard(rwsem_write, &mock->luo.transition) {
		KUNIT_EXPECT_EQ(test, luo_sessions_carry(&mock->luo), 0);
		EXPECT_CALLS(test, "T1P1P2T1P1");
		luo_sessions_uncarry(&mock->luo);
		EXPECT_CALLS(test, "U1U2U1");
	}
	/* It can be done again, and what comes in the middle can fail */
	scoped_guard(rwsem_write, &mock->luo.transition) {
		mock->fail = 'P';
		mock->fail_file = '2';
		KUNIT_EXPECT_EQ(test, luo_sessions_carry(&mock->luo), -EIO);
		EXPECT_CALLS(test, "P1P2U1");
	}
	finish(test, session);
	finish(test, claim("unclaimed"));
	nothing_is_left(test);
}

/* What turns out to be damaged is left behind, and all else goes on */
static void carry_without_damaged(struct kunit *test)
{
	receive(test, "s", 3, mock_handler.compatible);
	mock->fail = 'T';
	mock->fail_file = '2';
	mock->err = -EUCLEAN;
	scoped_guard(rwsem_write, &mock->luo.transition) {
		KUNIT_EXPECT_EQ(test, luo_sessions_carry(&mock->luo), 0);
		EXPECT_CALLS(test, "T1P1T2T3P3");
		luo_sessions_uncarry(&mock->luo);
		EXPECT_CALLS(test, "U3U1");
	}
	KUNIT_EXPECT_EQ(test, mock->luo.quarantine.count, 1);
	finish(test, claim("s"));
	KUNIT_EXPECT_EQ(test, mock->luo.quarantine.count, 1);
	nothing_is_left(test);
}

/* What nobody here handles goes on as it came, and its session with it */
static void carry_unknown_file(struct kunit *test)
{
	const struct luo_file_ser *ser;
	struct kho_block_set_it it;
	struct luo_session *session;
	struct luo *luo = &mock->luo;
	u32 crc;

	receive(test, "s", 2, mock_handler.compatible);
	receive(test, "unknown", 2, "luo-kunit-none-v1");
	session = claim("unknown");
	KUNIT_EXPECT_EQ(test, retrieve(session, 1), -ENOENT);
	for (int i = 0; i < 2; i++) {
		guard(rwsem_write)(&luo->transition);
		KUNIT_EXPECT_EQ(test, luo_sessions_carry(luo), 0);
		KUNIT_EXPECT_TRUE(test, luo_sessions_unknown(luo));
		KUNIT_EXPECT_EQ(test, luo_sessions_freeze(luo), 0);
		luo_sessions_unfreeze(luo);
		KUNIT_EXPECT_EQ(test, luo_files_encode(session, &crc), 2);
		kho_block_set_it_init(&it, &session->blocks);
		ser = kho_block_set_it_read_entry(&it);
		KUNIT_EXPECT_STREQ(test, ser->compatible, "luo-kunit-none-v1");
		KUNIT_EXPECT_EQ(test, ser->token, 1);
		KUNIT_EXPECT_EQ(test, ser->data, 1);
		luo_sessions_uncarry(luo);
		KUNIT_EXPECT_FALSE(test, luo_sessions_unknown(luo));
		forget_calls();
	}
	finish(test, session);
	finish(test, claim("s"));
	EXPECT_CALLS(test, "I2I1");
	nothing_is_left(test);
}

static struct luo_session_ser later_version(const char *name)
{
	struct luo_session_ser ser;

	luo_session_ser_fill(&ser, name, 0x1000, 3, 4);
	strscpy_pad(ser.compatible, "luo-session-v2");
	ser.crc = 0;

	return ser;
}

/* A session that only another kernel knows: nobody gets it, and only FINISH drops it */
static void session_of_another_version(struct kunit *test)
{
	const struct luo_session_ser ser = later_version("s");
	struct luo *luo = &mock->luo;
	struct luo_root root = {};
	struct luo_session_ser *out;
	struct kho_block_set_it it;

	mock->luo.quarantine.panic = true;
	receive(test, "known", 1, mock_handler.compatible);
	KUNIT_ASSERT_EQ(test, luo_session_receive(luo, &ser), 0);
	KUNIT_EXPECT_PTR_EQ(test, claim("s"), ERR_PTR(-EPROTONOSUPPORT));

	/* The last one that could be finished is not the last one */
	finish(test, claim("known"));
	KUNIT_EXPECT_TRUE(test, luo_sessions_unfinished(luo));
	KUNIT_EXPECT_EQ(test, luo->state, LIVEUPDATE_STATE_UPDATED);

	scoped_guard(rwsem_write, &luo->transition) {
		KUNIT_EXPECT_EQ(test, luo_sessions_carry(luo), 0);
		KUNIT_EXPECT_TRUE(test, luo_sessions_unknown(luo));
		KUNIT_EXPECT_EQ(test, luo_sessions_freeze(luo), 0);
		KUNIT_EXPECT_EQ(test, luo_sessions_encode(luo, &root), 0);
		KUNIT_EXPECT_EQ(test, root.nr_sessions, 1);
		kho_block_set_it_init(&it,
				      &luo->sessions[LIVEUPDATE_OUTGOING].blocks);
		out = kho_block_set_it_read_entry(&it);
		KUNIT_EXPECT_MEMEQ(test, out, &ser, sizeof(ser));
		luo_sessions_unencode(luo);
		luo_sessions_unfreeze(luo);
		luo_sessions_uncarry(luo);
	}
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_FINISH),
			0);
	KUNIT_EXPECT_EQ(test, luo->quarantine.count, 0);
	EXPECT_CALLS(test, "I1");
	nothing_is_left(test);
}

/* The update is finished as a whole, or not at all */
static void finish_while_busy(struct kunit *test)
{
	struct luo *luo = &mock->luo;

	receive(test, "a", 1, mock_handler.compatible);
	receive(test, "b", 2, mock_handler.compatible);
	mock->busy = true;
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_FINISH),
			-EBUSY);
	KUNIT_EXPECT_EQ(test, luo->state, LIVEUPDATE_STATE_UPDATED);
	KUNIT_EXPECT_FALSE(test, luo->finished);
	EXPECT_CALLS(test, "");
	mock->busy = false;
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_FINISH),
			0);
	nothing_is_left(test);
}

/* Who fails to be preserved at last is known by its name */
static void announced_fails(struct kunit *test)
{
	struct luo_session *session = create(test, "s");
	struct luo *luo = &mock->luo;
	struct file *file;

	file = anon_inode_getfile("mock", &mock_fops, (void *)1UL, O_RDWR);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	scoped_guard(rwsem_read, &luo->transition)
		KUNIT_EXPECT_EQ(test, luo_file_announce(session, file, 7), 0);
	fput(file);
	mock->fail = 'P';
	mock->fail_file = '1';
	KUNIT_EXPECT_EQ(test,
			luo_transition_event(luo, LIVEUPDATE_EVENT_PREPARE),
			-EIO);
	KUNIT_EXPECT_STREQ(test, luo->failure.who, "file 7 of session s");
	KUNIT_EXPECT_EQ(test, luo->failure.phase, LIVEUPDATE_PHASE_PREPARE);
	release(session);
	nothing_is_left(test);
}

static void same_name_twice(struct kunit *test)
{
	struct luo_session *one, *two;

	receive(test, "s", 1, mock_handler.compatible);
	receive(test, "s", 2, mock_handler.compatible);
	one = claim("s");
	two = claim("s");
	KUNIT_ASSERT_FALSE(test, IS_ERR(one));
	KUNIT_ASSERT_FALSE(test, IS_ERR(two));
	KUNIT_EXPECT_EQ(test, one->nr_files, 1);
	KUNIT_EXPECT_EQ(test, two->nr_files, 2);
	KUNIT_EXPECT_PTR_EQ(test, claim("s"), ERR_PTR(-EINVAL));
	finish(test, one);
	finish(test, two);
	nothing_is_left(test);
}

static int init(struct kunit *test)
{
	int err;

	mock = kunit_kzalloc(test, sizeof(*mock), GFP_KERNEL);
	if (!mock)
		return -ENOMEM;

	spin_lock_init(&mock->lock);
	err = luo_init(&mock->luo);
	if (err)
		return err;

	return luo_handler_add(&mock->luo.handlers, &mock_handler) ?:
	       luo_handler_add(&mock->luo.handlers, &once_handler);
}

static void done(struct kunit *test)
{
	luo_handler_del(&mock->luo.handlers, &once_handler);
	luo_handler_del(&mock->luo.handlers, &mock_handler);
	luo_destroy(&mock->luo);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(preserve_and_close),
	KUNIT_CASE(failed_preserve),
	KUNIT_CASE(failed_freeze),
	KUNIT_CASE(closed_while_frozen),
	KUNIT_CASE(freeze_is_taken_back),
	KUNIT_CASE(ids_are_of_handlers),
	KUNIT_CASE(left_while_busy),
	KUNIT_CASE(settled_by_worker),
	KUNIT_CASE(registers_in_callback),
	KUNIT_CASE(names),
	KUNIT_CASE(session_limit),
	KUNIT_CASE(file_limit),
	KUNIT_CASE(no_empty_block),
	KUNIT_CASE(retrieve_and_finish),
	KUNIT_CASE(put_back),
	KUNIT_CASE(failed_retrieve),
	KUNIT_CASE(failed_for_good),
	KUNIT_CASE(failed_is_not_damaged),
	KUNIT_CASE(names_are_escaped),
	KUNIT_CASE(unknown_handler),
	KUNIT_CASE(carry),
	KUNIT_CASE(carry_without_damaged),
	KUNIT_CASE(carry_unknown_file),
	KUNIT_CASE(session_of_another_version),
	KUNIT_CASE(finish_while_busy),
	KUNIT_CASE(announced_fails),
	KUNIT_CASE(same_name_twice),
	{}
};

static struct kunit_suite suite = {
	.name = "luo_session",
	.init = init,
	.exit = done,
	.test_cases = cases,
};

kunit_test_suite(suite);
