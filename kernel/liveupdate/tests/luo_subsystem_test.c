// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of subsystems: the order in which they are called, and unwinding
 *
 * What they are called for is written down as letters: Prepare, Freeze, unfreeZe,
 * Cancel, Boot, fInish, each followed by the subsystem's letter.
 */

#include <kunit/test.h>
#include <linux/string.h>

#include "../luo_internal.h"

#define MAX_CALLS	64

/* There is one at a time: callbacks find it here */
static struct mock {
	struct luo luo;
	char calls[2 * MAX_CALLS + 1];
	unsigned int nr;
	char fail;	/* the letter whose next call fails */
	char fail_name;	/* for which subsystem */
	int err;	/* with what, if not EIO */
	char writes;	/* whose freeze changes its word */
	char has_nothing;	/* who says so in prepare */
	char registers;	/* the letter whose calls register another one */
	int registered;	/* what came of it */
	u64 cancelled;	/* what cancel was given last */
} *mock;

static const struct liveupdate_subsystem_ops no_ops = {};

static struct liveupdate_subsystem in_callback = { &no_ops, "in-callback" };

static int called(char what, const struct liveupdate_subsystem_args *args)
{
	char name = args->subsystem->name[0];

	if (mock->registers == what) {
		mock->registered = luo_subsystem_add(&mock->luo, &in_callback);
		luo_subsystem_del(&mock->luo, args->subsystem);
	}

	if (mock->nr < MAX_CALLS) {
		mock->calls[2 * mock->nr] = what;
		mock->calls[2 * mock->nr + 1] = name;
		mock->nr++;
	}

	if (mock->fail != what || mock->fail_name != name)
		return 0;

	return mock->err ?: -EIO;
}

static int mock_prepare(struct liveupdate_subsystem_args *args)
{
	args->data = args->subsystem->name[0];
	args->nothing = mock->has_nothing == args->data;
	return called('P', args);
}

static int mock_freeze(struct liveupdate_subsystem_args *args)
{
	if (mock->writes == args->subsystem->name[0]) {
		args->data = 'X';
		args->nothing = !args->nothing;
	}
	return called('F', args);
}

static void mock_unfreeze(struct liveupdate_subsystem_args *args)
{
	called('Z', args);
}

static void mock_cancel(struct liveupdate_subsystem_args *args)
{
	mock->cancelled = args->data;
	called('C', args);
}

static int mock_boot(struct liveupdate_subsystem_args *args)
{
	return called('B', args);
}

static void mock_finish(struct liveupdate_subsystem_args *args)
{
	called('I', args);
}

static const struct liveupdate_subsystem_ops ops = {
	.prepare	= mock_prepare,
	.freeze		= mock_freeze,
	.unfreeze	= mock_unfreeze,
	.cancel		= mock_cancel,
	.boot		= mock_boot,
	.finish		= mock_finish,
};

static const char * const after_a[] = { "a", NULL };
static const char * const after_a_b[] = { "a", "b", NULL };
static const char * const after_d[] = { "d", NULL };
static const char * const after_nobody[] = { "nobody", NULL };

static struct liveupdate_subsystem a, b, c;

static void add_three(struct kunit *test)
{
	KUNIT_ASSERT_EQ(test, luo_subsystem_add(&mock->luo, &a), 0);
	KUNIT_ASSERT_EQ(test, luo_subsystem_add(&mock->luo, &b), 0);
	KUNIT_ASSERT_EQ(test, luo_subsystem_add(&mock->luo, &c), 0);
}

static void del_three(void)
{
	luo_subsystem_del(&mock->luo, &c);
	luo_subsystem_del(&mock->luo, &b);
	luo_subsystem_del(&mock->luo, &a);
}

static void forget_calls(void)
{
	memset(mock->calls, 0, sizeof(mock->calls));
	mock->nr = 0;
}

#define EXPECT_CALLS(_test, _calls) do {				\
	KUNIT_EXPECT_STREQ(_test, mock->calls, _calls);			\
	forget_calls();							\
} while (0)

static void order(struct kunit *test)
{
	add_three(test);
	down_write(&mock->luo.transition);
	KUNIT_EXPECT_EQ(test, luo_subsystems_prepare(&mock->luo), 0);
	EXPECT_CALLS(test, "PaPbPc");
	KUNIT_EXPECT_EQ(test, luo_subsystems_freeze(&mock->luo), 0);
	EXPECT_CALLS(test, "FcFbFa");
	luo_subsystems_unfreeze(&mock->luo);
	EXPECT_CALLS(test, "ZaZbZc");
	luo_subsystems_cancel(&mock->luo);
	EXPECT_CALLS(test, "CcCbCa");
	up_write(&mock->luo.transition);
	del_three();
	EXPECT_CALLS(test, "");
}

/* Who fails, and what is called then */
struct failing {
	char who;
	const char *calls;
};

/* Have each of the three fail in a walk that calls @what */
static void fail_each(struct kunit *test, char what,
		      int (*walk)(struct luo *luo), const struct failing *cases)
{
	int i;

	mock->fail = what;
	for (i = 0; i < 3; i++) {
		mock->fail_name = cases[i].who;
		KUNIT_EXPECT_EQ(test, walk(&mock->luo), -EIO);
		EXPECT_CALLS(test, cases[i].calls);
	}
	mock->fail = 0;
}

static void failed_prepare(struct kunit *test)
{
	static const struct failing cases[] = {
		{ 'a', "Pa" }, { 'b', "PaPbCa" }, { 'c', "PaPbPcCbCa" },
	};

	add_three(test);
	down_write(&mock->luo.transition);
	fail_each(test, 'P', luo_subsystems_prepare, cases);
	KUNIT_EXPECT_EQ(test, luo_subsystems_prepare(&mock->luo), 0);
	EXPECT_CALLS(test, "PaPbPc");
	up_write(&mock->luo.transition);
	del_three();
	EXPECT_CALLS(test, "CcCbCa");
}

static void failed_freeze(struct kunit *test)
{
	static const struct failing cases[] = {
		{ 'c', "Fc" }, { 'b', "FcFbZc" }, { 'a', "FcFbFaZbZc" },
	};

	add_three(test);
	down_write(&mock->luo.transition);
	KUNIT_EXPECT_EQ(test, luo_subsystems_prepare(&mock->luo), 0);
	EXPECT_CALLS(test, "PaPbPc");
	fail_each(test, 'F', luo_subsystems_freeze, cases);
	KUNIT_EXPECT_EQ(test, luo_subsystems_freeze(&mock->luo), 0);
	EXPECT_CALLS(test, "FcFbFa");
	luo_subsystems_unfreeze(&mock->luo);
	EXPECT_CALLS(test, "ZaZbZc");
	luo_subsystems_cancel(&mock->luo);
	EXPECT_CALLS(test, "CcCbCa");
	up_write(&mock->luo.transition);
	del_three();
}

/* Names of those that are in the handover, and their words */
static void expect_handed_over(struct kunit *test, const char *names,
			       const char *words)
{
	struct luo_items items = {};
	unsigned int i;

	KUNIT_ASSERT_EQ(test, luo_subsystems_encode(&mock->luo, &items), 0);
	KUNIT_EXPECT_EQ(test, items.nr, strlen(names));
	KUNIT_EXPECT_EQ(test, luo_subsystems_hand_over(&mock->luo), !!items.nr);
	for (i = 0; i < items.nr && names[i]; i++) {
		KUNIT_EXPECT_EQ(test, items.items[i].compatible[0], names[i]);
		KUNIT_EXPECT_EQ(test, items.items[i].data, words[i]);
	}
	luo_items_free(&items);
}

/* One that has nothing to hand over is not in the handover */
static void nothing_to_hand_over(struct kunit *test)
{
	struct liveupdate_subsystem idle = { &no_ops, "idle" };
	struct luo *luo = &mock->luo;

	KUNIT_ASSERT_EQ(test, luo_subsystem_add(luo, &idle), 0);
	scoped_guard(rwsem_write, &luo->transition)
		expect_handed_over(test, "", "");
	add_three(test);
	mock->has_nothing = 'b';
	mock->writes = 'c';
	down_write(&luo->transition);
	KUNIT_EXPECT_EQ(test, luo_subsystems_prepare(luo), 0);
	expect_handed_over(test, "ac", "ac");
	KUNIT_EXPECT_EQ(test, luo_subsystems_freeze(luo), 0);
	expect_handed_over(test, "a", "a");
	luo_subsystems_unfreeze(luo);
	expect_handed_over(test, "ac", "ac");
	mock->writes = 'b';
	KUNIT_EXPECT_EQ(test, luo_subsystems_freeze(luo), 0);
	expect_handed_over(test, "abc", "aXc");
	luo_subsystems_unfreeze(luo);
	luo_subsystems_cancel(luo);
	up_write(&luo->transition);
	del_three();
	luo_subsystem_del(luo, &idle);
}

/* Cancel and the next freeze find what prepare has left, also where freeze failed */
static void freeze_is_taken_back(struct kunit *test)
{
	struct luo *luo = &mock->luo;

	KUNIT_ASSERT_EQ(test, luo_subsystem_add(luo, &a), 0);
	KUNIT_ASSERT_EQ(test, luo_subsystem_add(luo, &b), 0);
	mock->writes = 'b';
	mock->fail = 'F';
	mock->fail_name = 'a';
	down_write(&luo->transition);
	KUNIT_EXPECT_EQ(test, luo_subsystems_prepare(luo), 0);
	KUNIT_EXPECT_EQ(test, luo_subsystems_freeze(luo), -EIO);
	expect_handed_over(test, "ab", "ab");
	luo_subsystems_cancel(luo);
	up_write(&luo->transition);
	EXPECT_CALLS(test, "PaPbFbFaZbCbCa");
	KUNIT_EXPECT_EQ(test, mock->cancelled, 'a');
	luo_subsystem_del(luo, &b);
	luo_subsystem_del(luo, &a);
}

/* It would wait for the transition that it is called in */
static void registers_in_callback(struct kunit *test)
{
	struct luo *luo = &mock->luo;

	KUNIT_ASSERT_EQ(test, luo_subsystem_add(luo, &a), 0);
	mock->registers = 'P';
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_PREPARE), 0);
	KUNIT_EXPECT_EQ(test, mock->registered, -EDEADLK);
	mock->registered = 0;
	mock->registers = 'C';
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_CANCEL), 0);
	KUNIT_EXPECT_EQ(test, mock->registered, -EDEADLK);
	EXPECT_CALLS(test, "PaCa");
	mock->registers = 0;

	/* It is still there, and another one can come, now that nobody is called */
	KUNIT_EXPECT_EQ(test, luo_subsystem_add(luo, &in_callback), 0);
	luo_subsystem_del(luo, &in_callback);
	luo_subsystem_del(luo, &a);
	KUNIT_EXPECT_TRUE(test, list_empty(&luo->subsystems));
}

static void events(struct kunit *test)
{
	struct luo *luo = &mock->luo;

	add_three(test);
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_CANCEL),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_FREEZE),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_FINISH),
			-EINVAL);
	EXPECT_CALLS(test, "");
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_PREPARE), 0);
	KUNIT_EXPECT_EQ(test, luo->state, LIVEUPDATE_STATE_PREPARED);
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_PREPARE),
			-EINVAL);
	EXPECT_CALLS(test, "PaPbPc");
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_CANCEL), 0);
	KUNIT_EXPECT_EQ(test, luo->state, LIVEUPDATE_STATE_NORMAL);
	EXPECT_CALLS(test, "CcCbCa");
	del_three();
}

static void failure_is_remembered(struct kunit *test)
{
	struct luo *luo = &mock->luo;

	add_three(test);
	mock->fail = 'P';
	mock->fail_name = 'b';
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_PREPARE),
			-EIO);
	KUNIT_EXPECT_EQ(test, luo->state, LIVEUPDATE_STATE_NORMAL);
	KUNIT_EXPECT_EQ(test, luo->failure.err, -EIO);
	KUNIT_EXPECT_EQ(test, luo->failure.phase, LIVEUPDATE_PHASE_PREPARE);
	KUNIT_EXPECT_STREQ(test, luo->failure.who, "subsystem b");
	mock->fail_name = 'c';
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_PREPARE),
			-EIO);
	KUNIT_EXPECT_STREQ(test, luo->failure.who, "subsystem c");
	mock->fail = 0;
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_PREPARE), 0);
	KUNIT_EXPECT_STREQ(test, luo->failure.who, "subsystem c");
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_CANCEL), 0);
	del_three();
}

/* That it goes through to the end, a live update shows: there is no KHO for this one */
static void failed_rehearsal(struct kunit *test)
{
	struct liveupdate_ioctl_rehearse result = {};
	struct luo *luo = &mock->luo;
	u64 changes = luo->changes;

	add_three(test);
	mock->fail = 'F';
	mock->fail_name = 'a';
	KUNIT_EXPECT_EQ(test, luo_transition_rehearse(luo, &result), 0);
	EXPECT_CALLS(test, "PaPbPcFcFbFaZbZcCcCbCa");
	KUNIT_EXPECT_EQ(test, result.error, EIO);
	KUNIT_EXPECT_EQ(test, result.phase, LIVEUPDATE_PHASE_FREEZE);
	KUNIT_EXPECT_STREQ(test, (char *)result.participant, "subsystem a");
	KUNIT_EXPECT_EQ(test, luo->state, LIVEUPDATE_STATE_NORMAL);
	KUNIT_EXPECT_EQ(test, luo->changes, changes);
	KUNIT_EXPECT_EQ(test, luo->failure.err, 0);
	KUNIT_EXPECT_EQ(test, luo->phase_ns[LIVEUPDATE_PHASE_PREPARE], 0);

	/* What is prepared stays so */
	mock->fail = 0;
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_PREPARE), 0);
	EXPECT_CALLS(test, "PaPbPc");
	mock->fail = 'F';
	mock->fail_name = 'c';
	KUNIT_EXPECT_EQ(test, luo_transition_rehearse(luo, &result), 0);
	EXPECT_CALLS(test, "Fc");
	KUNIT_EXPECT_STREQ(test, (char *)result.participant, "subsystem c");
	KUNIT_EXPECT_EQ(test, luo->state, LIVEUPDATE_STATE_PREPARED);
	mock->fail = 0;
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_CANCEL), 0);
	del_three();
}

static void registration(struct kunit *test)
{
	struct luo *luo = &mock->luo;
	struct liveupdate_subsystem same = { &ops, "a" };
	struct liveupdate_subsystem itself = { &ops, "d", after_d };
	struct liveupdate_subsystem unknown = { &ops, "d", after_nobody };
	struct liveupdate_subsystem unnamed = { &ops, "" };
	struct liveupdate_subsystem without = { NULL, "d" };
	struct liveupdate_subsystem idle = { &no_ops, "d" };

	KUNIT_EXPECT_EQ(test, luo_subsystem_add(luo, &b), -ENOENT);
	add_three(test);
	KUNIT_EXPECT_EQ(test, luo_subsystem_add(luo, &same), -EEXIST);
	KUNIT_EXPECT_EQ(test, luo_subsystem_add(luo, &itself), -ELOOP);
	KUNIT_EXPECT_EQ(test, luo_subsystem_add(luo, &unknown), -ENOENT);
	KUNIT_EXPECT_EQ(test, luo_subsystem_add(luo, &unnamed), -EINVAL);
	KUNIT_EXPECT_EQ(test, luo_subsystem_add(luo, &without), -EINVAL);

	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_PREPARE), 0);
	KUNIT_EXPECT_EQ(test, luo_subsystem_add(luo, &idle), -EBUSY);
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_CANCEL), 0);

	/* A subsystem with no operation at all goes along */
	KUNIT_EXPECT_EQ(test, luo_subsystem_add(luo, &idle), 0);
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_PREPARE), 0);
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_CANCEL), 0);
	luo_subsystem_del(luo, &idle);
	del_three();
	KUNIT_EXPECT_TRUE(test, list_empty(&luo->subsystems));
}

/* What the three have prepared, as the next kernel receives it */
static void hand_over(struct kunit *test)
{
	void *fdt = kunit_kzalloc(test, LUO_FDT_SIZE, GFP_KERNEL);
	struct luo *luo = &mock->luo;
	struct luo_root root = {};

	KUNIT_ASSERT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_PREPARE), 0);
	scoped_guard(rwsem_write, &luo->transition)
		KUNIT_ASSERT_EQ(test,
				luo_subsystems_encode(luo, &root.subsystems),
				0);
	KUNIT_ASSERT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_CANCEL), 0);
	KUNIT_ASSERT_LE(test, luo_root_size(&root), LUO_FDT_SIZE);
	KUNIT_ASSERT_EQ(test, luo_root_encode(fdt, LUO_FDT_SIZE, &root), 0);
	luo_items_free(&root.subsystems);
	KUNIT_ASSERT_EQ(test, luo_root_decode(fdt, LUO_FDT_SIZE, &root), 0);
	luo->received = fdt;
}

static void boot_and_finish(struct kunit *test)
{
	struct luo *luo = &mock->luo;
	u64 data;

	add_three(test);
	KUNIT_EXPECT_EQ(test, luo_subsystem_get_data(luo, &a, &data), -ENOENT);
	hand_over(test);
	forget_calls();

	KUNIT_EXPECT_EQ(test, luo_subsystem_get_data(luo, &b, &data), 0);
	KUNIT_EXPECT_EQ(test, data, 'b');
	luo_subsystem_del(luo, &c);
	luo_transition_boot(luo);
	EXPECT_CALLS(test, "BaBb");
	KUNIT_EXPECT_EQ(test, luo->state, LIVEUPDATE_STATE_UPDATED);

	/* One that comes late is given what came for it */
	KUNIT_EXPECT_EQ(test, luo_subsystem_add(luo, &c), 0);
	EXPECT_CALLS(test, "Bc");
	KUNIT_EXPECT_EQ(test, luo_subsystem_get_data(luo, &c, &data), 0);
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_FINISH), 0);
	EXPECT_CALLS(test, "IcIbIa");
	KUNIT_EXPECT_EQ(test, luo->state, LIVEUPDATE_STATE_NORMAL);
	KUNIT_EXPECT_EQ(test, luo_subsystem_get_data(luo, &c, &data), -ENOENT);
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_FINISH),
			-EINVAL);
	del_three();
	EXPECT_CALLS(test, "");
}

/* What came for those that are not here is handed over as it came: data is the name */
static void expect_unknown(struct kunit *test, const char *names)
{
	struct luo *luo = &mock->luo;
	struct luo_items items = {};

	guard(rwsem_write)(&luo->transition);
	KUNIT_EXPECT_EQ(test, luo_subsystems_unknown(luo), !!*names);
	KUNIT_EXPECT_EQ(test, luo_subsystems_check_carry(luo), 0);
	KUNIT_ASSERT_EQ(test, luo_subsystems_encode(luo, &items), 0);
	for (unsigned int i = 0; i < items.nr; i++) {
		if (luo_subsystem_find(luo, items.items[i].compatible))
			continue;
		KUNIT_EXPECT_EQ(test, items.items[i].compatible[0], *names);
		KUNIT_EXPECT_EQ(test, items.items[i].data, *names);
		names++;
	}
	KUNIT_EXPECT_EQ(test, *names, '\0');
	luo_items_free(&items);
}

/* Where there is nothing but subsystems, the update is over when all have theirs */
static void ends_by_itself(struct kunit *test)
{
	struct luo *luo = &mock->luo;

	add_three(test);
	hand_over(test);
	forget_calls();
	luo_transition_boot(luo);
	EXPECT_CALLS(test, "BaBbBcIcIbIa");
	KUNIT_EXPECT_EQ(test, luo->state, LIVEUPDATE_STATE_NORMAL);
	del_three();
}

/* Also when the last one comes late */
static void ends_with_the_last(struct kunit *test)
{
	struct luo *luo = &mock->luo;

	add_three(test);
	hand_over(test);
	luo_subsystem_del(luo, &c);
	forget_calls();
	luo_transition_boot(luo);
	KUNIT_EXPECT_EQ(test, luo->state, LIVEUPDATE_STATE_UPDATED);
	luo_transition_settle_later(luo);
	flush_work(&luo->left_over);
	KUNIT_EXPECT_EQ(test, luo->state, LIVEUPDATE_STATE_UPDATED);

	KUNIT_EXPECT_EQ(test, luo_subsystem_add(luo, &c), 0);
	luo_transition_settle_later(luo);
	flush_work(&luo->left_over);
	KUNIT_EXPECT_EQ(test, luo->state, LIVEUPDATE_STATE_NORMAL);
	EXPECT_CALLS(test, "BaBbBcIcIbIa");
	del_three();
}

/* A module that is loaded again has freed what it was given */
static void boot_once(struct kunit *test)
{
	struct luo *luo = &mock->luo;
	u64 data;

	add_three(test);
	hand_over(test);
	del_three();
	luo_transition_boot(luo);
	forget_calls();
	expect_unknown(test, "abc");
	add_three(test);
	expect_unknown(test, "");
	EXPECT_CALLS(test, "BaBbBc");
	del_three();
	EXPECT_CALLS(test, "IcIbIa");
	add_three(test);
	EXPECT_CALLS(test, "");
	KUNIT_EXPECT_EQ(test, luo_subsystem_get_data(luo, &a, &data), -ENOENT);
	scoped_guard(rwsem_write, &luo->transition)
		KUNIT_EXPECT_EQ(test, luo_subsystems_check_carry(luo), 0);
	del_three();
}

/* What depends on one that failed is not called, what does not is */
static void failed_boot(struct kunit *test)
{
	struct luo *luo = &mock->luo;

	memcpy(&c, (&(struct liveupdate_subsystem){ &ops, "c", after_a }),
	       sizeof(c));
	add_three(test);
	hand_over(test);
	forget_calls();
	mock->fail = 'B';
	mock->fail_name = 'b';
	luo_transition_boot(luo);
	EXPECT_CALLS(test, "BaBbBc");
	KUNIT_EXPECT_STREQ(test, luo->failure.who, "subsystem b");
	KUNIT_EXPECT_EQ(test, luo->failure.phase, LIVEUPDATE_PHASE_BOOT);
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_FINISH), 0);
	EXPECT_CALLS(test, "IcIa");
	del_three();
}

/* What came for those that could not take it is lost only if user space says so */
static void boot_after_failed(struct kunit *test)
{
	struct luo *luo = &mock->luo;

	add_three(test);
	hand_over(test);
	forget_calls();
	mock->fail = 'B';
	mock->fail_name = 'b';
	luo_transition_boot(luo);
	EXPECT_CALLS(test, "BaBb");
	luo_subsystem_del(luo, &c);
	KUNIT_EXPECT_EQ(test, luo_subsystem_add(luo, &c), -ENODEV);
	scoped_guard(rwsem_write, &luo->transition)
		KUNIT_EXPECT_EQ(test, luo_subsystems_check_carry(luo), -ENOENT);
	KUNIT_EXPECT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_FINISH), 0);
	EXPECT_CALLS(test, "Ia");
	KUNIT_EXPECT_EQ(test, luo_subsystem_add(luo, &c), 0);
	scoped_guard(rwsem_write, &luo->transition)
		KUNIT_EXPECT_EQ(test, luo_subsystems_check_carry(luo), 0);
	del_three();
}

/* What is damaged is reported once, and keeps nothing else from going on */
static void damaged_boot(struct kunit *test)
{
	struct luo *luo = &mock->luo;

	memcpy(&b, (&(struct liveupdate_subsystem){ &ops, "b" }), sizeof(b));
	memcpy(&c, (&(struct liveupdate_subsystem){ &ops, "c" }), sizeof(c));
	add_three(test);
	hand_over(test);
	del_three();
	luo_transition_boot(luo);
	forget_calls();
	mock->fail = 'B';
	mock->fail_name = 'a';
	mock->err = -EUCLEAN;
	KUNIT_EXPECT_EQ(test, luo_subsystem_add(luo, &a), -EUCLEAN);
	KUNIT_EXPECT_EQ(test, luo_subsystem_add(luo, &a), 0);
	KUNIT_EXPECT_EQ(test, luo_subsystem_add(luo, &b), 0);
	KUNIT_EXPECT_EQ(test, luo_subsystem_add(luo, &c), 0);
	EXPECT_CALLS(test, "BaBbBc");
	KUNIT_EXPECT_EQ(test, luo->quarantine.count, 1);
	scoped_guard(rwsem_write, &luo->transition)
		KUNIT_EXPECT_EQ(test, luo_subsystems_check_carry(luo), 0);
	del_three();
}

/* Of two items of a name, the second one is for nobody, and no reason to wait */
static void item_twice(struct kunit *test)
{
	void *fdt = kunit_kzalloc(test, LUO_FDT_SIZE, GFP_KERNEL);
	struct luo *luo = &mock->luo;
	struct luo_root root = {};

	KUNIT_ASSERT_EQ(test, luo_items_add(&root.subsystems, "a", 'a', 0), 0);
	KUNIT_ASSERT_EQ(test, luo_items_add(&root.subsystems, "a", 'A', 0), 0);
	KUNIT_ASSERT_EQ(test, luo_root_encode(fdt, LUO_FDT_SIZE, &root), 0);
	luo_items_free(&root.subsystems);
	luo->received = fdt;
	luo_transition_boot(luo);
	expect_unknown(test, "a");
	KUNIT_EXPECT_EQ(test, luo_subsystem_add(luo, &a), 0);
	luo_subsystem_del(luo, &a);
	expect_unknown(test, "");
	EXPECT_CALLS(test, "BaIa");
	scoped_guard(rwsem_write, &luo->transition)
		KUNIT_EXPECT_EQ(test, luo_subsystems_check_carry(luo), 0);
}

/* The next kernel was told of what it prepared: that must stay */
static void gone_while_frozen(struct kunit *test)
{
	struct luo *luo = &mock->luo;

	KUNIT_ASSERT_EQ(test, luo_subsystem_add(luo, &a), 0);
	KUNIT_ASSERT_EQ(test, luo_transition_event(luo, LIVEUPDATE_EVENT_PREPARE),
			0);
	luo->state = LIVEUPDATE_STATE_FROZEN;
	luo_subsystem_del(luo, &a);
	luo->state = LIVEUPDATE_STATE_NORMAL;
	EXPECT_CALLS(test, "Pa");
}

static int init(struct kunit *test)
{
	mock = kunit_kzalloc(test, sizeof(*mock), GFP_KERNEL);
	if (!mock)
		return -ENOMEM;

	memcpy(&a, (&(struct liveupdate_subsystem){ &ops, "a" }), sizeof(a));
	memcpy(&b, (&(struct liveupdate_subsystem){ &ops, "b", after_a }),
	       sizeof(b));
	memcpy(&c, (&(struct liveupdate_subsystem){ &ops, "c", after_a_b }),
	       sizeof(c));
	return luo_init(&mock->luo);
}

static void done(struct kunit *test)
{
	luo_destroy(&mock->luo);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(order),
	KUNIT_CASE(failed_prepare),
	KUNIT_CASE(failed_freeze),
	KUNIT_CASE(nothing_to_hand_over),
	KUNIT_CASE(freeze_is_taken_back),
	KUNIT_CASE(registers_in_callback),
	KUNIT_CASE(events),
	KUNIT_CASE(failure_is_remembered),
	KUNIT_CASE(failed_rehearsal),
	KUNIT_CASE(registration),
	KUNIT_CASE(boot_and_finish),
	KUNIT_CASE(ends_by_itself),
	KUNIT_CASE(ends_with_the_last),
	KUNIT_CASE(boot_once),
	KUNIT_CASE(failed_boot),
	KUNIT_CASE(boot_after_failed),
	KUNIT_CASE(damaged_boot),
	KUNIT_CASE(item_twice),
	KUNIT_CASE(gone_while_frozen),
	{}
};

static struct kunit_suite suite = {
	.name = "luo_subsystem",
	.init = init,
	.exit = done,
	.test_cases = cases,
};

kunit_test_suite(suite);
