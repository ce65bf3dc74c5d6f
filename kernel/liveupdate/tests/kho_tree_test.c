// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the names of KHO's subtrees, in the tree that the running kernel has
 */

#include <kunit/test.h>
#include <linux/err.h>
#include <linux/kexec_handover.h>

static void *blob_new(struct kunit *test)
{
	void *blob = kho_alloc_preserve(PAGE_SIZE);

	KUNIT_ASSERT_FALSE(test, IS_ERR(blob));
	return blob;
}

static void blob_drop(void *blob)
{
	kho_remove_subtree(blob);
	kho_unpreserve_free(blob);
}

/* libfdt takes a name for that of a node which goes on with "@" */
static void names_of_subtrees(struct kunit *test)
{
	void *long_name, *name;

	if (!kho_is_enabled())
		kunit_skip(test, "no KHO");

	long_name = blob_new(test);
	name = blob_new(test);
	KUNIT_EXPECT_EQ(test, kho_add_subtree("kunit@7", long_name, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, kho_add_subtree("kunit", name, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, kho_add_subtree("kunit", name, PAGE_SIZE), -EEXIST);
	KUNIT_EXPECT_EQ(test, kho_add_subtree("kunit@7", name, PAGE_SIZE), -EEXIST);
	blob_drop(name);
	blob_drop(long_name);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(names_of_subtrees),
	{}
};

static struct kunit_suite suite = {
	.name = "luo_kho_tree",
	.test_cases = cases,
};

kunit_test_suite(suite);
