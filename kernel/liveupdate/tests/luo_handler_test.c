// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the registry of file handlers
 */

#include <kunit/test.h>
#include <linux/fs.h>
#include <linux/rwsem.h>
#include <linux/string.h>

#include "../luo_internal.h"

static bool takes_pipes(struct liveupdate_file_handler *handler,
			struct file *file)
{
	return file->f_flags == 1;
}

static bool takes_all(struct liveupdate_file_handler *handler,
		      struct file *file)
{
	return true;
}

static int succeed(struct liveupdate_file_op_args *args)
{
	return 0;
}

static void do_nothing(struct liveupdate_file_op_args *args)
{
}

static const struct liveupdate_file_ops pipe_ops = {
	.can_preserve	= takes_pipes,
	.preserve	= succeed,
	.unpreserve	= do_nothing,
	.retrieve	= succeed,
	.finish		= do_nothing,
};

static const struct liveupdate_file_ops all_ops = {
	.can_preserve	= takes_all,
	.preserve	= succeed,
	.unpreserve	= do_nothing,
	.retrieve	= succeed,
	.finish		= do_nothing,
};

static void lookup(struct kunit *test)
{
	struct liveupdate_file_handler pipe = { &pipe_ops, "pipe-v1" };
	struct liveupdate_file_handler all = { &all_ops, "all-v1" };
	struct file *file = kunit_kzalloc(test, sizeof(*file), GFP_KERNEL);
	struct luo_handlers handlers;

	KUNIT_ASSERT_NOT_NULL(test, file);
	luo_handlers_init(&handlers);
	KUNIT_EXPECT_NULL(test, luo_handler_get_for_file(&handlers, file));
	KUNIT_EXPECT_EQ(test, luo_handler_add(&handlers, &pipe), 0);
	KUNIT_EXPECT_NULL(test, luo_handler_get_for_file(&handlers, file));
	KUNIT_EXPECT_EQ(test, luo_handler_add(&handlers, &all), 0);
	KUNIT_EXPECT_PTR_EQ(test, luo_handler_get_for_file(&handlers, file),
			    &all);
	file->f_flags = 1;
	file->f_op = kunit_kzalloc(test, sizeof(*file->f_op), GFP_KERNEL);
	KUNIT_EXPECT_PTR_EQ(test, luo_handler_get_for_file(&handlers, file),
			    &pipe);

	KUNIT_EXPECT_PTR_EQ(test,
			    luo_handler_get_compatible(&handlers, "all-v1"),
			    &all);
	KUNIT_EXPECT_NULL(test,
			  luo_handler_get_compatible(&handlers, "all-v2"));
	luo_handler_del(&handlers, &all);
	KUNIT_EXPECT_NULL(test,
			  luo_handler_get_compatible(&handlers, "all-v1"));
	luo_handler_del(&handlers, &pipe);
	KUNIT_EXPECT_TRUE(test, list_empty(&handlers.list));
}

/* It registers another one, which it would wait for if it were kept from it */
static bool takes_and_registers(struct liveupdate_file_handler *handler,
				struct file *file)
{
	struct luo_handlers *handlers = file->private_data;
	static struct liveupdate_file_handler late = { &all_ops, "late-v1" };

	return !rwsem_is_locked(&handlers->lock) &&
	       !luo_handler_add(handlers, &late);
}

static void asked_without_lock(struct kunit *test)
{
	struct liveupdate_file_ops ops = all_ops;
	struct liveupdate_file_handler asked = { &ops, "asked-v1" };
	struct file *file = kunit_kzalloc(test, sizeof(*file), GFP_KERNEL);
	struct liveupdate_file_handler *late;
	struct luo_handlers handlers;

	KUNIT_ASSERT_NOT_NULL(test, file);
	luo_handlers_init(&handlers);
	file->private_data = &handlers;
	ops.can_preserve = takes_and_registers;
	KUNIT_EXPECT_EQ(test, luo_handler_add(&handlers, &asked), 0);
	KUNIT_EXPECT_PTR_EQ(test, luo_handler_get_for_file(&handlers, file),
			    &asked);
	late = luo_handler_get_compatible(&handlers, "late-v1");
	KUNIT_EXPECT_NOT_NULL(test, late);
	if (late)
		luo_handler_del(&handlers, late);
	luo_handler_del(&handlers, &asked);
}

#define MANY	100

/* A handler that takes files of one type, which its address tells, and counts */
struct counting {
	struct liveupdate_file_handler handler;
	struct liveupdate_file_ops ops;
	const struct file_operations type;
	unsigned int asked;
};

static bool takes_own(struct liveupdate_file_handler *handler, struct file *file)
{
	struct counting *own = container_of(handler, struct counting, handler);

	own->asked++;
	return file->f_op == &own->type;
}

static unsigned int asked_in_all(struct counting *many)
{
	unsigned int asked = 0;

	for (unsigned int i = 0; i < MANY; i++) {
		asked += many[i].asked;
		many[i].asked = 0;
	}

	return asked;
}

static void many_are_not_asked(struct kunit *test)
{
	struct file *file = kunit_kzalloc(test, sizeof(*file), GFP_KERNEL);
	struct counting *many = kunit_kcalloc(test, MANY, sizeof(*many),
					      GFP_KERNEL);
	struct luo_handlers handlers;

	KUNIT_ASSERT_NOT_NULL(test, file);
	KUNIT_ASSERT_NOT_NULL(test, many);
	luo_handlers_init(&handlers);
	for (unsigned int i = 0; i < MANY; i++) {
		many[i].ops = all_ops;
		many[i].ops.can_preserve = takes_own;
		many[i].handler.ops = &many[i].ops;
		snprintf((char *)many[i].handler.compatible,
			 sizeof(many[i].handler.compatible), "type-%u", i);
		KUNIT_ASSERT_EQ(test, 0,
				luo_handler_add(&handlers, &many[i].handler));
	}

	file->f_op = &many[MANY - 1].type;
	for (unsigned int i = 0; i < 3; i++) {
		KUNIT_EXPECT_PTR_EQ(test, &many[MANY - 1].handler,
				    luo_handler_get_for_file(&handlers, file));
		KUNIT_EXPECT_EQ(test, asked_in_all(many), i ? 1 : MANY);
	}
	KUNIT_EXPECT_PTR_EQ(test, &many[50].handler,
			    luo_handler_get_compatible(&handlers, "type-50"));

	/* What was remembered goes away with the handler */
	luo_handler_del(&handlers, &many[MANY - 1].handler);
	KUNIT_EXPECT_NULL(test, luo_handler_get_for_file(&handlers, file));
	KUNIT_EXPECT_EQ(test, asked_in_all(many), MANY - 1);
	for (unsigned int i = 0; i < MANY - 1; i++)
		luo_handler_del(&handlers, &many[i].handler);
	KUNIT_EXPECT_TRUE(test, xa_empty(&handlers.takers));
}

static void duplicates(struct kunit *test)
{
	struct liveupdate_file_handler one = { &pipe_ops, "same-v1" };
	struct liveupdate_file_handler two = { &all_ops, "same-v1" };
	struct luo_handlers handlers;

	luo_handlers_init(&handlers);
	KUNIT_EXPECT_EQ(test, luo_handler_add(&handlers, &one), 0);
	KUNIT_EXPECT_EQ(test, luo_handler_add(&handlers, &two), -EEXIST);
	KUNIT_EXPECT_PTR_EQ(test,
			    luo_handler_get_compatible(&handlers, "same-v1"),
			    &one);
	luo_handler_del(&handlers, &one);
	KUNIT_EXPECT_EQ(test, luo_handler_add(&handlers, &two), 0);
	luo_handler_del(&handlers, &two);
}

static void incomplete(struct kunit *test)
{
	struct liveupdate_file_ops ops = all_ops;
	struct liveupdate_file_handler handler = { &ops, "x-v1" };
	struct liveupdate_file_handler unnamed = { &ops, "" };
	struct liveupdate_file_handler two_lines = { &ops, "x-v1\ny" };
	struct liveupdate_file_handler endless = { &ops };
	struct luo_handlers handlers;

	luo_handlers_init(&handlers);
	memset((char *)endless.compatible, 'x', sizeof(endless.compatible));
	KUNIT_EXPECT_EQ(test, luo_handler_add(&handlers, &unnamed), -EINVAL);
	KUNIT_EXPECT_EQ(test, luo_handler_add(&handlers, &endless), -EINVAL);
	KUNIT_EXPECT_EQ(test, luo_handler_add(&handlers, &two_lines), -EINVAL);

#define WITHOUT(_op) do {						\
	ops = all_ops;							\
	ops._op = NULL;							\
	KUNIT_EXPECT_EQ(test, luo_handler_add(&handlers, &handler),	\
			-EINVAL);					\
} while (0)
	WITHOUT(can_preserve);
	WITHOUT(preserve);
	WITHOUT(unpreserve);
	WITHOUT(retrieve);
	WITHOUT(finish);
#undef WITHOUT

	/* What is announced has to be taken back, too */
	ops = all_ops;
	ops.announce = ops.preserve;
	KUNIT_EXPECT_EQ(test, luo_handler_add(&handlers, &handler), -EINVAL);
	KUNIT_EXPECT_TRUE(test, list_empty(&handlers.list));
}

static struct kunit_case cases[] = {
	KUNIT_CASE(lookup),
	KUNIT_CASE(asked_without_lock),
	KUNIT_CASE(many_are_not_asked),
	KUNIT_CASE(duplicates),
	KUNIT_CASE(incomplete),
	{}
};

static struct kunit_suite suite = {
	.name = "luo_handler",
	.test_cases = cases,
};

kunit_test_suite(suite);
