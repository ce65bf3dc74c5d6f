// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of FLBs: when they are preserved and finished, and who keeps them
 *
 * What they are called for is written down as letters: Preserve, Unpreserve,
 * Retrieve, fInish, each followed by the FLB's letter. Files are not needed: what
 * they tell FLBs is told here, in the name of three handlers. Those of "both" need
 * x and y, those of the others one of them.
 */

#include <kunit/test.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/string.h>

#include "../luo_internal.h"

#define MAX_CALLS	32

/* There is one at a time: callbacks find it here */
static struct mock {
	struct kunit *test;
	struct luo luo;
	char calls[2 * MAX_CALLS + 1];
	unsigned int nr;
	char fail;		/* the letter whose calls fail */
	char fail_name;		/* for which FLB */
	bool no_object;		/* preserve makes none */
	bool asks;		/* preserve asks for what came */
	bool adds;		/* retrieve registers a subsystem */
	bool registers;		/* preserve registers another handler, and its FLB */
} *mock;

/* A driver's own, which its callbacks take: lockdep learns what it nests in */
static DEFINE_MUTEX(driver_lock);

static int called(char what, const struct liveupdate_flb_op_args *args)
{
	char name = args->flb->compatible[0];

	/* Who registers an FLB, or asks for one, may hold any lock */
	KUNIT_EXPECT_FALSE(mock->test,
			   rwsem_is_locked(&mock->luo.handlers.lock));
	guard(mutex)(&driver_lock);
	if (mock->nr < MAX_CALLS) {
		mock->calls[2 * mock->nr] = what;
		mock->calls[2 * mock->nr + 1] = name;
		mock->nr++;
	}

	return mock->fail == what && mock->fail_name == name ? -EIO : 0;
}

static void *object_of(const struct liveupdate_flb *flb)
{
	return (void *)flb->compatible;
}

static void expect_object(const struct liveupdate_flb_op_args *args)
{
	KUNIT_EXPECT_EQ(mock->test, args->data, args->flb->compatible[0]);
	KUNIT_EXPECT_PTR_EQ(mock->test, args->obj,
			    mock->no_object ? NULL : object_of(args->flb));
}

static int get_incoming(struct liveupdate_flb *flb);
static void register_others(void);

static int mock_preserve(struct liveupdate_flb_op_args *args)
{
	KUNIT_EXPECT_EQ(mock->test, args->data, 0);
	KUNIT_EXPECT_NULL(mock->test, args->obj);
	args->data = args->flb->compatible[0];
	args->obj = mock->no_object ? NULL : object_of(args->flb);
	if (mock->asks) {
		KUNIT_EXPECT_EQ(mock->test, get_incoming(args->flb), 0);
		luo_flb_put_incoming(args->flb);
	}
	if (mock->registers)
		register_others();
	return called('P', args);
}

static void mock_unpreserve(struct liveupdate_flb_op_args *args)
{
	expect_object(args);
	called('U', args);
}

static const struct liveupdate_subsystem_ops no_ops;
static struct liveupdate_subsystem nobody = { &no_ops, "nobody" };

static int mock_retrieve(struct liveupdate_flb_op_args *args)
{
	KUNIT_EXPECT_EQ(mock->test, args->data, args->flb->compatible[0]);
	KUNIT_EXPECT_NULL(mock->test, args->obj);
	args->obj = object_of(args->flb);
	if (mock->adds)
		KUNIT_EXPECT_EQ(mock->test,
				luo_subsystem_add(&mock->luo, &nobody), -EDEADLK);
	return called('R', args);
}

static void mock_finish(struct liveupdate_flb_op_args *args)
{
	expect_object(args);
	called('I', args);
}

static const struct liveupdate_flb_ops ops = {
	.preserve	= mock_preserve,
	.unpreserve	= mock_unpreserve,
	.retrieve	= mock_retrieve,
	.finish		= mock_finish,
};

static struct liveupdate_flb x, y;

static bool takes_none(struct liveupdate_file_handler *handler,
		       struct file *file)
{
	return false;
}

static int succeed(struct liveupdate_file_op_args *args)
{
	return 0;
}

static void do_nothing(struct liveupdate_file_op_args *args)
{
}

static const struct liveupdate_file_ops file_ops = {
	.can_preserve	= takes_none,
	.preserve	= succeed,
	.unpreserve	= do_nothing,
	.retrieve	= succeed,
	.finish		= do_nothing,
};

static struct liveupdate_file_handler both = { &file_ops, "both" };
static struct liveupdate_file_handler only_x = { &file_ops, "only-x" };
static struct liveupdate_file_handler only_y = { &file_ops, "only-y" };

static void expect_calls(struct kunit *test, const char *calls)
{
	KUNIT_EXPECT_STREQ(test, mock->calls, calls);
	memset(mock->calls, 0, sizeof(mock->calls));
	mock->nr = 0;
}

static void fail(char what, char name)
{
	mock->fail = what;
	mock->fail_name = name;
}

static void preserve(struct kunit *test, struct liveupdate_file_handler *handler,
		     const char *calls)
{
	KUNIT_EXPECT_EQ(test, luo_flbs_preserve(&mock->luo, handler), 0);
	expect_calls(test, calls);
}

static void preserve_fails(struct kunit *test,
			   struct liveupdate_file_handler *handler,
			   const char *calls)
{
	KUNIT_EXPECT_EQ(test, luo_flbs_preserve(&mock->luo, handler), -EIO);
	expect_calls(test, calls);
}

static void unpreserve(struct kunit *test,
		       struct liveupdate_file_handler *handler,
		       const char *calls)
{
	luo_flbs_unpreserve(&mock->luo, handler);
	expect_calls(test, calls);
}

static void finish(struct kunit *test, struct liveupdate_file_handler *handler,
		   const char *calls)
{
	luo_flbs_finish(&mock->luo, handler);
	expect_calls(test, calls);
}

static void finish_all(struct kunit *test, const char *calls)
{
	scoped_guard(rwsem_write, &mock->luo.transition)
		luo_flbs_finish_all(&mock->luo);
	expect_calls(test, calls);
}

static int encode_flbs(struct luo_items *items)
{
	guard(rwsem_write)(&mock->luo.transition);
	return luo_flbs_encode(&mock->luo, items);
}

static void expect_files(struct kunit *test, u64 files_x, u64 files_y)
{
	KUNIT_EXPECT_EQ(test, ACCESS_PRIVATE(&x, state)->out.files, files_x);
	KUNIT_EXPECT_EQ(test, ACCESS_PRIVATE(&y, state)->out.files, files_y);
}

static int get_incoming(struct liveupdate_flb *flb)
{
	void *obj = NULL;
	int err = luo_flb_get_incoming(&mock->luo, flb, &obj);

	KUNIT_EXPECT_PTR_EQ(mock->test, obj, err ? NULL : object_of(flb));
	return err;
}

static int get_outgoing(struct liveupdate_flb *flb)
{
	void *obj = NULL;
	int err = luo_flb_get_outgoing(flb, &obj);

	KUNIT_EXPECT_PTR_EQ(mock->test, obj, err ? NULL : object_of(flb));
	return err;
}

static void register_others(void)
{
	struct liveupdate_file_handler handler = { &file_ops, "other" };
	struct liveupdate_flb flb = { &ops, "z" };
	struct luo *luo = &mock->luo;

	/* It would wait for itself */
	if (rwsem_is_locked(&luo->handlers.lock)) {
		KUNIT_FAIL(mock->test, "called with the handlers' lock held");
		return;
	}
	KUNIT_EXPECT_EQ(mock->test, luo_handler_add(&luo->handlers, &handler), 0);
	KUNIT_EXPECT_EQ(mock->test, luo_flb_add(luo, &handler, &flb), 0);
	luo_handler_del(&luo->handlers, &handler);
}

/* ---- Kernels ---- */

/* As their memory is in a kernel, or a module, that has just been started */
static void new_flbs(void)
{
	memcpy(&x, (&(struct liveupdate_flb){ &ops, "x" }), sizeof(x));
	memcpy(&y, (&(struct liveupdate_flb){ &ops, "y" }), sizeof(y));
}

static int add_flbs(void)
{
	struct luo *luo = &mock->luo;

	return luo_flb_add(luo, &both, &x) ?: luo_flb_add(luo, &both, &y) ?:
	       luo_flb_add(luo, &only_x, &x) ?: luo_flb_add(luo, &only_y, &y);
}

static void del_flbs(void)
{
	struct luo *luo = &mock->luo;

	luo_flb_del(luo, &both, &x);
	luo_flb_del(luo, &both, &y);
	luo_flb_del(luo, &only_x, &x);
	luo_flb_del(luo, &only_y, &y);
}

static int start_kernel(const void *received)
{
	struct luo_handlers *handlers = &mock->luo.handlers;
	int err;

	memset(&mock->luo, 0, sizeof(mock->luo));
	err = luo_init(&mock->luo);
	if (err)
		return err;

	new_flbs();
	mock->luo.received = received;
	return luo_handler_add(handlers, &both) ?:
	       luo_handler_add(handlers, &only_x) ?:
	       luo_handler_add(handlers, &only_y);
}

static void stop_kernel(void)
{
	luo_handler_del(&mock->luo.handlers, &only_y);
	luo_handler_del(&mock->luo.handlers, &only_x);
	luo_handler_del(&mock->luo.handlers, &both);
	luo_destroy(&mock->luo);
}

/* The next kernel, and what it receives. FLBs are not registered there yet. */
static void jump(struct kunit *test, struct luo_items *flbs)
{
	void *fdt = kunit_kzalloc(test, LUO_FDT_SIZE, GFP_KERNEL);
	struct luo_root root = { .flbs = *flbs };

	KUNIT_ASSERT_NOT_NULL(test, fdt);
	KUNIT_ASSERT_LE(test, luo_root_size(&root), LUO_FDT_SIZE);
	KUNIT_ASSERT_EQ(test, luo_root_encode(fdt, LUO_FDT_SIZE, &root), 0);
	luo_items_free(&root.flbs);
	KUNIT_ASSERT_EQ(test, luo_root_decode(fdt, LUO_FDT_SIZE, &root), 0);

	stop_kernel();
	KUNIT_ASSERT_EQ(test, start_kernel(fdt), 0);
	expect_calls(test, "");
}

/* Live update with as many files of handlers */
static void update(struct kunit *test, unsigned int files_both,
		   unsigned int files_y)
{
	struct luo *luo = &mock->luo;
	struct luo_items items = {};
	unsigned int i;

	for (i = 0; i < files_both; i++)
		KUNIT_ASSERT_EQ(test, luo_flbs_preserve(luo, &both), 0);
	for (i = 0; i < files_y; i++)
		KUNIT_ASSERT_EQ(test, luo_flbs_preserve(luo, &only_y), 0);
	KUNIT_ASSERT_EQ(test, encode_flbs(&items), 0);
	for (i = 0; i < files_both; i++)
		luo_flbs_unpreserve(luo, &both);
	for (i = 0; i < files_y; i++)
		luo_flbs_unpreserve(luo, &only_y);

	memset(mock->calls, 0, sizeof(mock->calls));
	mock->nr = 0;
	jump(test, &items);
}

static void update_and_add(struct kunit *test, unsigned int files_both,
			   unsigned int files_y)
{
	update(test, files_both, files_y);
	KUNIT_ASSERT_EQ(test, add_flbs(), 0);
}

/* ---- Registration ---- */

static void incomplete(struct kunit *test)
{
	struct luo *luo = &mock->luo;
	struct liveupdate_flb_ops part = ops;
	struct liveupdate_flb flb = { &part, "z" };
	struct liveupdate_flb without = { NULL, "z" };
	struct liveupdate_flb unnamed = { &ops, "" };
	struct liveupdate_flb endless = { &ops };

	memset((char *)endless.compatible, 'z', sizeof(endless.compatible));
	KUNIT_EXPECT_EQ(test, luo_flb_add(luo, &both, &without), -EINVAL);
	KUNIT_EXPECT_EQ(test, luo_flb_add(luo, &both, &unnamed), -EINVAL);
	KUNIT_EXPECT_EQ(test, luo_flb_add(luo, &both, &endless), -EINVAL);

#define WITHOUT(_op) do {						\
	part = ops;							\
	part._op = NULL;						\
	KUNIT_EXPECT_EQ(test, luo_flb_add(luo, &both, &flb), -EINVAL);	\
} while (0)
	WITHOUT(preserve);
	WITHOUT(unpreserve);
	WITHOUT(retrieve);
	WITHOUT(finish);
#undef WITHOUT

	preserve(test, &both, "PxPy");
	unpreserve(test, &both, "UyUx");
}

/* A file has all FLBs of its handler, or none */
static void added_with_files(struct kunit *test)
{
	struct luo *luo = &mock->luo;

	preserve(test, &only_x, "Px");
	KUNIT_EXPECT_EQ(test, luo_flb_add(luo, &only_x, &y), -EBUSY);
	unpreserve(test, &only_x, "Ux");
	fail('P', 'x');
	preserve_fails(test, &only_x, "Px");
	fail(0, 0);
	KUNIT_EXPECT_EQ(test, luo_flb_add(luo, &only_x, &y), 0);
	preserve(test, &only_x, "PxPy");
	unpreserve(test, &only_x, "UyUx");
	luo_flb_del(luo, &only_x, &y);
}

static void duplicates(struct kunit *test)
{
	struct luo *luo = &mock->luo;
	struct liveupdate_flb same = { &ops, "x" };
	struct liveupdate_file_handler unknown = { &file_ops, "unknown" };

	KUNIT_EXPECT_EQ(test, luo_flb_add(luo, &unknown, &x), -EINVAL);
	KUNIT_EXPECT_EQ(test, luo_flb_add(luo, &both, &x), -EEXIST);
	KUNIT_EXPECT_EQ(test, luo_flb_add(luo, &both, &same), -EEXIST);
	KUNIT_EXPECT_EQ(test, luo_flb_add(luo, &only_y, &same), -EEXIST);
	preserve(test, &both, "PxPy");
	unpreserve(test, &both, "UyUx");

	/* The name is free when the last registration is gone */
	luo_flb_del(luo, &both, &x);
	KUNIT_EXPECT_EQ(test, luo_flb_add(luo, &both, &same), -EEXIST);
	preserve(test, &only_x, "Px");
	unpreserve(test, &only_x, "Ux");
	luo_flb_del(luo, &only_x, &x);
	KUNIT_EXPECT_EQ(test, luo_flb_add(luo, &both, &same), 0);
	KUNIT_EXPECT_EQ(test, luo_flb_add(luo, &both, &x), -EEXIST);
	preserve(test, &both, "PyPx");
	unpreserve(test, &both, "UxUy");
	luo_flb_del(luo, &both, &same);
	luo_flb_del(luo, &both, &same);
	preserve(test, &both, "Py");
	unpreserve(test, &both, "Uy");
}

/* ---- Outgoing ---- */

static void first_and_last_file(struct kunit *test)
{
	preserve(test, &both, "PxPy");
	expect_files(test, 1, 1);
	preserve(test, &both, "");
	preserve(test, &only_y, "");
	expect_files(test, 2, 3);
	unpreserve(test, &both, "");
	unpreserve(test, &both, "Ux");
	expect_files(test, 0, 1);
	unpreserve(test, &only_y, "Uy");
	expect_files(test, 0, 0);

	preserve(test, &only_y, "Py");
	preserve(test, &both, "Px");
	unpreserve(test, &only_y, "");
	unpreserve(test, &both, "UyUx");
	expect_files(test, 0, 0);
}

static void failed_preserve(struct kunit *test)
{
	fail('P', 'x');
	preserve_fails(test, &both, "Px");
	expect_files(test, 0, 0);
	fail('P', 'y');
	preserve_fails(test, &both, "PxPyUx");
	expect_files(test, 0, 0);
	KUNIT_EXPECT_EQ(test, get_outgoing(&x), -ENOENT);
	KUNIT_EXPECT_EQ(test, get_outgoing(&y), -ENOENT);

	fail(0, 0);
	preserve(test, &both, "PxPy");
	expect_files(test, 1, 1);
	unpreserve(test, &both, "UyUx");
}

/* What others need stays */
static void failed_preserve_beside_others(struct kunit *test)
{
	preserve(test, &only_y, "Py");
	fail('P', 'x');
	preserve_fails(test, &both, "Px");
	expect_files(test, 0, 1);
	unpreserve(test, &only_y, "Uy");

	preserve_fails(test, &only_x, "Px");
	fail('P', 'y');
	preserve(test, &only_x, "Px");
	preserve_fails(test, &both, "Py");
	expect_files(test, 1, 0);

	fail(0, 0);
	preserve(test, &both, "Py");
	expect_files(test, 2, 1);
	unpreserve(test, &both, "Uy");
	unpreserve(test, &only_x, "Ux");
}

static void users_keep_outgoing(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, get_outgoing(&x), -ENOENT);
	preserve(test, &both, "PxPy");
	KUNIT_EXPECT_EQ(test, get_outgoing(&x), 0);
	KUNIT_EXPECT_EQ(test, get_outgoing(&x), 0);
	unpreserve(test, &both, "Uy");
	KUNIT_EXPECT_EQ(test, get_outgoing(&y), -ENOENT);
	luo_flb_put_outgoing(&x);
	expect_calls(test, "");
	KUNIT_EXPECT_EQ(test, get_outgoing(&x), 0);
	preserve(test, &both, "Py");
	luo_flb_put_outgoing(&x);
	luo_flb_put_outgoing(&x);
	expect_calls(test, "");
	unpreserve(test, &both, "UyUx");

	preserve(test, &only_x, "Px");
	KUNIT_EXPECT_EQ(test, get_outgoing(&x), 0);
	unpreserve(test, &only_x, "");
	luo_flb_put_outgoing(&x);
	expect_calls(test, "Ux");
	KUNIT_EXPECT_EQ(test, get_outgoing(&x), -ENOENT);
}

static void outgoing_without_object(struct kunit *test)
{
	mock->no_object = true;
	preserve(test, &only_x, "Px");
	KUNIT_EXPECT_EQ(test, get_outgoing(&x), -ENOENT);
	unpreserve(test, &only_x, "Ux");
}

static void put_outgoing_after_unregister(struct kunit *test)
{
	preserve(test, &only_x, "Px");
	KUNIT_EXPECT_EQ(test, get_outgoing(&x), 0);
	unpreserve(test, &only_x, "");
	del_flbs();
	KUNIT_EXPECT_EQ(test, get_outgoing(&x), 0);
	luo_flb_put_outgoing(&x);
	expect_calls(test, "");
	luo_flb_put_outgoing(&x);
	expect_calls(test, "Ux");
	KUNIT_EXPECT_EQ(test, get_outgoing(&x), -ENOENT);
	KUNIT_EXPECT_PTR_EQ(test, ACCESS_PRIVATE(&x, state), NULL);
}

/* ---- Handover ---- */

static void encode(struct kunit *test)
{
	struct luo_items items = {};

	preserve(test, &both, "PxPy");
	preserve(test, &only_y, "");
	KUNIT_EXPECT_EQ(test, get_outgoing(&x), 0);
	KUNIT_ASSERT_EQ(test, encode_flbs(&items), 0);
	KUNIT_ASSERT_EQ(test, items.nr, 2);
	KUNIT_EXPECT_STREQ(test, items.items[0].compatible, "x");
	KUNIT_EXPECT_EQ(test, items.items[0].data, 'x');
	KUNIT_EXPECT_EQ(test, items.items[0].count, 1);
	KUNIT_EXPECT_STREQ(test, items.items[1].compatible, "y");
	KUNIT_EXPECT_EQ(test, items.items[1].data, 'y');
	KUNIT_EXPECT_EQ(test, items.items[1].count, 2);
	luo_items_free(&items);

	/* Users alone do not take it to the next kernel */
	unpreserve(test, &both, "");
	KUNIT_ASSERT_EQ(test, encode_flbs(&items), 0);
	KUNIT_ASSERT_EQ(test, items.nr, 1);
	KUNIT_EXPECT_STREQ(test, items.items[0].compatible, "y");
	KUNIT_EXPECT_EQ(test, items.items[0].count, 1);
	luo_items_free(&items);
	unpreserve(test, &only_y, "Uy");
	KUNIT_ASSERT_EQ(test, encode_flbs(&items), 0);
	KUNIT_EXPECT_EQ(test, items.nr, 0);
	luo_items_free(&items);
	luo_flb_put_outgoing(&x);
	expect_calls(test, "Ux");
}

static void none_came(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, get_incoming(&x), -ENODATA);
	finish(test, &both, "");
	finish_all(test, "");

	update_and_add(test, 0, 1);
	KUNIT_EXPECT_EQ(test, get_incoming(&x), -ENOENT);
	KUNIT_EXPECT_EQ(test, get_incoming(&x), -ENOENT);
	finish(test, &only_x, "");
	KUNIT_EXPECT_EQ(test, get_incoming(&x), -ENOENT);
	finish_all(test, "RyIy");
}

/* ---- Incoming ---- */

static void retrieved_on_demand(struct kunit *test)
{
	update_and_add(test, 2, 0);
	KUNIT_EXPECT_EQ(test, get_incoming(&x), 0);
	expect_calls(test, "Rx");
	KUNIT_EXPECT_EQ(test, get_incoming(&x), 0);
	luo_flb_put_incoming(&x);
	expect_calls(test, "");

	/* Each keeps it for itself: users and files */
	finish(test, &both, "");
	finish(test, &both, "RyIy");
	KUNIT_EXPECT_EQ(test, get_incoming(&x), 0);
	luo_flb_put_incoming(&x);
	expect_calls(test, "");
	luo_flb_put_incoming(&x);
	expect_calls(test, "Ix");
	KUNIT_EXPECT_EQ(test, get_incoming(&x), -ENODATA);
	KUNIT_EXPECT_EQ(test, get_incoming(&y), -ENODATA);
	finish_all(test, "");
}

static void put_before_last_file(struct kunit *test)
{
	update_and_add(test, 2, 1);
	KUNIT_EXPECT_EQ(test, get_incoming(&y), 0);
	luo_flb_put_incoming(&y);
	expect_calls(test, "Ry");
	finish(test, &both, "");
	finish(test, &only_y, "");
	finish(test, &both, "IyRxIx");
	expect_calls(test, "");
}

static void retrieve_fails_and_is_tried_again(struct kunit *test)
{
	update_and_add(test, 1, 0);
	fail('R', 'x');
	KUNIT_EXPECT_EQ(test, get_incoming(&x), -EIO);
	KUNIT_EXPECT_EQ(test, get_incoming(&x), -EIO);
	expect_calls(test, "RxRx");
	fail(0, 0);
	KUNIT_EXPECT_EQ(test, get_incoming(&x), 0);
	expect_calls(test, "Rx");
	finish(test, &both, "RyIy");
	luo_flb_put_incoming(&x);
	expect_calls(test, "Ix");
}

/* It is not lost: who asks later gets it, and ends it */
static void retrieve_fails_at_last_file(struct kunit *test)
{
	update_and_add(test, 1, 0);
	fail('R', 'x');
	finish(test, &both, "RyIyRx");
	KUNIT_EXPECT_EQ(test, get_incoming(&x), -EIO);
	expect_calls(test, "Rx");
	fail(0, 0);
	KUNIT_EXPECT_EQ(test, get_incoming(&x), 0);
	expect_calls(test, "Rx");
	luo_flb_put_incoming(&x);
	expect_calls(test, "Ix");
	KUNIT_EXPECT_EQ(test, get_incoming(&x), -ENODATA);
}

static void retrieve_fails_until_all_is_finished(struct kunit *test)
{
	update_and_add(test, 1, 0);
	fail('R', 'x');
	finish(test, &both, "RyIyRx");
	finish_all(test, "Rx");
	fail(0, 0);
	finish_all(test, "RxIx");
	finish_all(test, "");
}

static void never_retrieved(struct kunit *test)
{
	update_and_add(test, 2, 0);
	finish(test, &both, "");
	finish(test, &both, "RyIyRxIx");
	KUNIT_EXPECT_EQ(test, get_incoming(&x), -ENODATA);
	KUNIT_EXPECT_EQ(test, get_incoming(&y), -ENODATA);
}

static void more_files_than_told(struct kunit *test)
{
	update_and_add(test, 1, 0);
	KUNIT_EXPECT_EQ(test, get_incoming(&x), 0);
	expect_calls(test, "Rx");
	finish(test, &both, "RyIy");
	finish(test, &both, "");
	finish(test, &only_x, "");
	KUNIT_EXPECT_EQ(test, ACCESS_PRIVATE(&x, state)->in.files, 0);
	KUNIT_EXPECT_EQ(test, ACCESS_PRIVATE(&x, state)->in.users, 1);
	luo_flb_put_incoming(&x);
	expect_calls(test, "Ix");
	finish(test, &both, "");
	KUNIT_EXPECT_EQ(test, ACCESS_PRIVATE(&x, state)->in.files, 0);
}

static void finish_all_ends_what_is_left(struct kunit *test)
{
	update_and_add(test, 2, 1);
	KUNIT_EXPECT_EQ(test, get_incoming(&y), 0);
	expect_calls(test, "Ry");
	finish(test, &both, "");
	finish_all(test, "RxIx");
	KUNIT_EXPECT_EQ(test, get_incoming(&x), -ENODATA);
	luo_flb_put_incoming(&y);
	expect_calls(test, "Iy");
	finish_all(test, "");
}

static u64 count_of(const struct luo_items *items, const char *compatible)
{
	for (unsigned int i = 0; i < items->nr; i++) {
		if (!strcmp(items->items[i].compatible, compatible))
			return items->items[i].count;
	}

	return 0;
}

/* What came for FLBs that are not here is handed over as it came */
static void unknown_goes_on(struct kunit *test)
{
	struct luo *luo = &mock->luo;
	struct luo_items items = {};

	update(test, 2, 1);
	KUNIT_ASSERT_EQ(test, luo_flb_add(luo, &only_x, &x), 0);
	KUNIT_EXPECT_TRUE(test, luo_flbs_unknown(luo));
	KUNIT_ASSERT_EQ(test, encode_flbs(&items), 0);
	KUNIT_EXPECT_EQ(test, items.nr, 1);
	KUNIT_EXPECT_EQ(test, count_of(&items, "y"), 3);
	jump(test, &items);

	/* In the next kernel as well, where it is known */
	KUNIT_ASSERT_EQ(test, add_flbs(), 0);
	KUNIT_EXPECT_FALSE(test, luo_flbs_unknown(luo));
	KUNIT_EXPECT_EQ(test, get_incoming(&y), 0);
	luo_flb_put_incoming(&y);
	expect_calls(test, "Ry");
	finish_all(test, "Iy");
}

/* FINISH drops what cannot be retrieved, also where nobody is left to ask */
static void unknown_until_finished(struct kunit *test)
{
	struct luo *luo = &mock->luo;

	update_and_add(test, 1, 0);
	del_flbs();
	KUNIT_EXPECT_TRUE(test, luo_flbs_unknown(luo));
	finish_all(test, "");
	KUNIT_EXPECT_FALSE(test, luo_flbs_unknown(luo));
}

/* Whoever retrieves it may have no transition to wait for, but others would */
static void adds_subsystem_in_callback(struct kunit *test)
{
	update_and_add(test, 1, 0);
	mock->adds = true;
	KUNIT_EXPECT_EQ(test, get_incoming(&x), 0);
	luo_flb_put_incoming(&x);
	expect_calls(test, "Rx");
	mock->adds = false;
	finish(test, &both, "RyIyIx");
}

/* There is room for one word of it, but two objects that differ */
static void refuses_both(struct kunit *test)
{
	struct luo *luo = &mock->luo;

	update_and_add(test, 1, 0);
	KUNIT_EXPECT_EQ(test, luo_flbs_preserve(luo, &only_x), 0);
	expect_calls(test, "Px");
	scoped_guard(rwsem_write, &luo->transition)
		KUNIT_EXPECT_EQ(test, luo_flbs_carry(luo, true), -EBUSY);
	/* Nothing is held back any more, and with what came it can go */
	KUNIT_EXPECT_EQ(test, get_incoming(&x), 0);
	luo_flb_put_incoming(&x);
	scoped_guard(rwsem_write, &luo->transition) {
		KUNIT_EXPECT_EQ(test, luo_flbs_carry(luo, true), 0);
		luo_flbs_uncarry(luo);
	}
	expect_calls(test, "Rx");
	luo_flbs_unpreserve(luo, &only_x);
	expect_calls(test, "Ux");
	finish(test, &both, "RyIyIx");
}

/* What is damaged cannot go, so it keeps nothing else from going */
static void damaged_goes_nowhere(struct kunit *test)
{
	struct luo *luo = &mock->luo;
	struct luo_items items = {};

	update_and_add(test, 1, 0);
	KUNIT_EXPECT_EQ(test, luo_flbs_preserve(luo, &only_x), 0);
	ACCESS_PRIVATE(&x, state)->damaged = true;
	scoped_guard(rwsem_write, &luo->transition)
		KUNIT_EXPECT_EQ(test, luo_flbs_carry(luo, true), 0);
	KUNIT_ASSERT_EQ(test, encode_flbs(&items), 0);
	KUNIT_EXPECT_EQ(test, count_of(&items, "x"), 1);
	KUNIT_EXPECT_EQ(test, count_of(&items, "y"), 1);
	luo_items_free(&items);
	scoped_guard(rwsem_write, &luo->transition)
		luo_flbs_uncarry(luo);
	luo_flbs_unpreserve(luo, &only_x);
	expect_calls(test, "PxUx");
	finish(test, &both, "RyIyRxIx");
}

/* Nothing came but FLBs, and all of them are here */
static void ends_by_itself(struct kunit *test)
{
	update_and_add(test, 2, 1);
	luo_transition_boot(&mock->luo);
	expect_calls(test, "RxIxRyIy");
	KUNIT_EXPECT_EQ(test, mock->luo.state, LIVEUPDATE_STATE_NORMAL);
}

/* Files that are not known may need it: it goes on, as it came or preserved anew */
static void kept_for_unknown_files(struct kunit *test)
{
	struct luo *luo = &mock->luo;
	struct luo_items items = {};

	update_and_add(test, 2, 1);
	KUNIT_EXPECT_EQ(test, get_incoming(&x), 0);
	luo_flb_put_incoming(&x);
	expect_calls(test, "Rx");
	scoped_guard(rwsem_write, &luo->transition)
		KUNIT_ASSERT_EQ(test, luo_flbs_carry(luo, true), 0);
	expect_calls(test, "Px");
	/* What goes on as it came stays like that */
	KUNIT_EXPECT_EQ(test, get_incoming(&y), -EBUSY);
	KUNIT_EXPECT_EQ(test, luo_flb_add(luo, &only_x, &y), -EBUSY);
	KUNIT_ASSERT_EQ(test, encode_flbs(&items), 0);
	/* Rather one too many than one too few */
	KUNIT_EXPECT_EQ(test, count_of(&items, "x"), 3);
	KUNIT_EXPECT_EQ(test, count_of(&items, "y"), 3);
	luo_items_free(&items);
	scoped_guard(rwsem_write, &luo->transition)
		luo_flbs_uncarry(luo);
	expect_calls(test, "Ux");
	KUNIT_ASSERT_EQ(test, encode_flbs(&items), 0);
	KUNIT_EXPECT_EQ(test, items.nr, 0);
	luo_items_free(&items);
	finish_all(test, "IxRyIy");
}

/* No kernel of ours writes such a handover, but it says what to do: end it */
static void count_of_zero(struct kunit *test)
{
	struct luo_items items = {};

	KUNIT_ASSERT_EQ(test, luo_items_add(&items, "x", 'x', 0), 0);
	KUNIT_ASSERT_EQ(test, luo_items_add(&items, "y", 'y', 0), 0);
	jump(test, &items);
	KUNIT_ASSERT_EQ(test, add_flbs(), 0);
	KUNIT_EXPECT_EQ(test, get_incoming(&x), 0);
	expect_calls(test, "Rx");
	luo_flb_put_incoming(&x);
	expect_calls(test, "Ix");
	KUNIT_EXPECT_EQ(test, get_incoming(&x), -ENODATA);
	finish_all(test, "RyIy");
	KUNIT_EXPECT_EQ(test, get_incoming(&y), -ENODATA);
}

static void incoming_before_registration(struct kunit *test)
{
	struct liveupdate_flb same = { &ops, "x" };
	struct liveupdate_flb without = { NULL, "x" };

	update(test, 1, 0);
	KUNIT_EXPECT_EQ(test, get_incoming(&without), -EINVAL);
	KUNIT_EXPECT_EQ(test, get_incoming(&x), 0);
	expect_calls(test, "Rx");
	KUNIT_EXPECT_EQ(test, get_incoming(&same), -EEXIST);
	luo_flb_put_incoming(&x);
	expect_calls(test, "");
	KUNIT_ASSERT_EQ(test, add_flbs(), 0);
	KUNIT_EXPECT_EQ(test, get_incoming(&x), 0);
	luo_flb_put_incoming(&x);
	finish(test, &both, "RyIyIx");
}

/* One that was asked for in vain, in a module that is gone since */
static void asked_for_in_vain(struct kunit *test)
{
	struct liveupdate_flb gone = { &ops, "x" };

	update(test, 1, 0);
	fail('R', 'x');
	KUNIT_EXPECT_EQ(test, get_incoming(&gone), -EIO);
	expect_calls(test, "Rx");
	memset(&gone, 0, sizeof(gone));
	fail(0, 0);
	KUNIT_ASSERT_EQ(test, add_flbs(), 0);
	finish(test, &both, "RyIyRxIx");
}

static void put_incoming_after_unregister(struct kunit *test)
{
	update_and_add(test, 1, 0);
	KUNIT_EXPECT_EQ(test, get_incoming(&x), 0);
	KUNIT_EXPECT_EQ(test, get_incoming(&y), 0);
	expect_calls(test, "RxRy");
	finish(test, &both, "");
	del_flbs();
	luo_flb_put_incoming(&y);
	luo_flb_put_incoming(&x);
	expect_calls(test, "IyIx");
	KUNIT_EXPECT_PTR_EQ(test, ACCESS_PRIVATE(&x, state), NULL);
	KUNIT_EXPECT_EQ(test, get_incoming(&x), -ENODATA);
}

/* What has been freed must not be retrieved once more */
static void registered_again(struct kunit *test)
{
	update_and_add(test, 1, 1);
	finish(test, &both, "RxIx");
	del_flbs();
	new_flbs();
	KUNIT_ASSERT_EQ(test, add_flbs(), 0);
	KUNIT_EXPECT_EQ(test, get_incoming(&x), -ENODATA);
	finish(test, &both, "RyIy");
	finish_all(test, "");
}

/* As one does that goes on with what it was before */
static void preserve_asks_for_what_came(struct kunit *test)
{
	update_and_add(test, 1, 0);
	mock->asks = true;
	preserve(test, &only_x, "RxPx");
	finish(test, &both, "RyIyIx");
	unpreserve(test, &only_x, "Ux");
}

/*
 * A driver's probe function can hold what its callbacks take: of an FLB that nobody
 * has heard of yet, too, and while callbacks of others are called
 */
static void driver_asks_under_its_lock(struct kunit *test)
{
	struct liveupdate_flb new = { &ops, "z" };

	update_and_add(test, 1, 0);
	preserve(test, &both, "PxPy");
	unpreserve(test, &both, "UyUx");
	finish(test, &both, "RyIyRxIx");
	scoped_guard(mutex, &driver_lock) {
		KUNIT_EXPECT_EQ(test, get_incoming(&new), -ENOENT);
		KUNIT_EXPECT_EQ(test, luo_flb_add(&mock->luo, &both, &new), 0);
		luo_flb_del(&mock->luo, &both, &new);
	}
	finish_all(test, "");
}

/* What callbacks may do to the registry, and need not wait for */
static void preserve_registers(struct kunit *test)
{
	mock->registers = true;
	preserve(test, &only_x, "Px");
	mock->registers = false;
	unpreserve(test, &only_x, "Ux");
}

static void registered_after_the_update(struct kunit *test)
{
	update(test, 1, 0);
	finish_all(test, "");
	KUNIT_ASSERT_EQ(test, add_flbs(), 0);
	KUNIT_EXPECT_EQ(test, get_incoming(&x), -ENODATA);
	finish(test, &both, "");
}

static int init(struct kunit *test)
{
	mock = kunit_kzalloc(test, sizeof(*mock), GFP_KERNEL);
	if (!mock)
		return -ENOMEM;

	mock->test = test;
	return start_kernel(NULL) ?: add_flbs();
}

static void done(struct kunit *test)
{
	stop_kernel();
}

static struct kunit_case cases[] = {
	KUNIT_CASE(incomplete),
	KUNIT_CASE(added_with_files),
	KUNIT_CASE(duplicates),
	KUNIT_CASE(first_and_last_file),
	KUNIT_CASE(failed_preserve),
	KUNIT_CASE(failed_preserve_beside_others),
	KUNIT_CASE(users_keep_outgoing),
	KUNIT_CASE(outgoing_without_object),
	KUNIT_CASE(put_outgoing_after_unregister),
	KUNIT_CASE(encode),
	KUNIT_CASE(none_came),
	KUNIT_CASE(retrieved_on_demand),
	KUNIT_CASE(put_before_last_file),
	KUNIT_CASE(retrieve_fails_and_is_tried_again),
	KUNIT_CASE(retrieve_fails_at_last_file),
	KUNIT_CASE(retrieve_fails_until_all_is_finished),
	KUNIT_CASE(never_retrieved),
	KUNIT_CASE(more_files_than_told),
	KUNIT_CASE(finish_all_ends_what_is_left),
	KUNIT_CASE(count_of_zero),
	KUNIT_CASE(ends_by_itself),
	KUNIT_CASE(unknown_goes_on),
	KUNIT_CASE(unknown_until_finished),
	KUNIT_CASE(adds_subsystem_in_callback),
	KUNIT_CASE(refuses_both),
	KUNIT_CASE(damaged_goes_nowhere),
	KUNIT_CASE(kept_for_unknown_files),
	KUNIT_CASE(incoming_before_registration),
	KUNIT_CASE(asked_for_in_vain),
	KUNIT_CASE(put_incoming_after_unregister),
	KUNIT_CASE(registered_again),
	KUNIT_CASE(preserve_asks_for_what_came),
	KUNIT_CASE(driver_asks_under_its_lock),
	KUNIT_CASE(preserve_registers),
	KUNIT_CASE(registered_after_the_update),
	{}
};

static struct kunit_suite suite = {
	.name = "luo_flb",
	.init = init,
	.exit = done,
	.test_cases = cases,
};

kunit_test_suite(suite);
