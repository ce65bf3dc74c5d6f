// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the encoding, checking and decoding of the handover
 */

#include <kunit/test.h>
#include <linux/crc32.h>
#include <linux/libfdt.h>
#include <linux/string.h>

#include "../luo_internal.h"

static const struct luo_root sample = {
	.number = 0x1122334455667788,
	.release = "7.3.4-test",
	.sessions = 0x0000123456789000,
	.nr_sessions = 40,
};

static void *encoded_sample(struct kunit *test)
{
	void *fdt = kunit_kzalloc(test, LUO_FDT_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, fdt);
	KUNIT_ASSERT_EQ(test, luo_root_encode(fdt, LUO_FDT_SIZE, &sample), 0);
	return fdt;
}

static void root_round_trip(struct kunit *test)
{
	const void *fdt = encoded_sample(test);
	struct luo_root root;

	KUNIT_ASSERT_EQ(test, luo_root_decode(fdt, LUO_FDT_SIZE, &root), 0);
	KUNIT_EXPECT_EQ(test, root.number, sample.number);
	KUNIT_EXPECT_STREQ(test, root.release, sample.release);
	KUNIT_EXPECT_EQ(test, root.sessions, sample.sessions);
	KUNIT_EXPECT_EQ(test, root.nr_sessions, sample.nr_sessions);
}

/* luo_handover_clear() counts on it that this cannot fail */
static void largest_root_fits(struct kunit *test)
{
	void *fdt = kunit_kzalloc(test, LUO_FDT_SIZE, GFP_KERNEL);
	struct luo_root root = { .number = U64_MAX, .sessions = U64_MAX,
				 .nr_sessions = U64_MAX };

	memset(root.release, 'r', sizeof(root.release) - 1);
	KUNIT_EXPECT_EQ(test, luo_root_encode(fdt, LUO_FDT_SIZE, &root), 0);
	KUNIT_EXPECT_LT(test, fdt_totalsize(fdt), LUO_FDT_SIZE / 2);
}

static void root_without_room(struct kunit *test)
{
	u32 whole = fdt_totalsize(encoded_sample(test));
	void *fdt = kunit_kzalloc(test, whole, GFP_KERNEL);
	u32 size;

	for (size = 0; size < whole; size += 4)
		KUNIT_EXPECT_EQ(test, luo_root_encode(fdt, size, &sample),
				-ENOSPC);
}

static bool root_is_empty(const struct luo_root *root)
{
	return !memchr_inv(root, 0, sizeof(*root));
}

/* A root that has all the items there can be is read, and one with one more is not */
static void too_many_items(struct kunit *test)
{
	struct luo_root root = sample, decoded;
	size_t size;
	void *fdt;
	int i;

	for (i = 0; i < LUO_FDT_ITEMS_MAX; i++)
		KUNIT_ASSERT_EQ(test, luo_items_add(&root.flbs, "flb", i, 1), 0);
	size = luo_root_size(&root);
	fdt = kvzalloc(size, GFP_KERNEL);
	if (fdt) {
		KUNIT_EXPECT_EQ(test, luo_root_encode(fdt, size, &root), 0);
		KUNIT_EXPECT_EQ(test, luo_root_decode(fdt, size, &decoded), 0);
	}
	KUNIT_EXPECT_EQ(test, luo_items_add(&root.subsystems, "one more", 0, 0), 0);
	if (fdt)
		KUNIT_EXPECT_EQ(test, luo_root_encode(fdt, size, &root), -E2BIG);
	KUNIT_EXPECT_NOT_NULL(test, fdt);
	kvfree(fdt);
	luo_items_free(&root.flbs);
	luo_items_free(&root.subsystems);
}

/* Every byte of the tree turned around, one after the other */
static void every_byte_damaged(struct kunit *test)
{
	u8 *fdt = encoded_sample(test);
	u32 whole = fdt_totalsize(fdt);
	struct luo_root root;
	int err;
	u32 i;

	for (i = 0; i < whole; i++) {
		fdt[i] ^= 0xff;
		err = luo_root_decode(fdt, LUO_FDT_SIZE, &root);
		KUNIT_EXPECT_NE_MSG(test, err, 0, "byte %u", i);
		KUNIT_EXPECT_TRUE(test, root_is_empty(&root));
		fdt[i] ^= 0xff;
	}
	KUNIT_EXPECT_EQ(test, luo_root_decode(fdt, LUO_FDT_SIZE, &root), 0);
}

static void truncated_root(struct kunit *test)
{
	const void *fdt = encoded_sample(test);
	u32 whole = fdt_totalsize(fdt);
	struct luo_root root;
	u32 size;

	for (size = 0; size < whole; size++)
		KUNIT_EXPECT_EQ(test, luo_root_decode(fdt, size, &root),
				-EUCLEAN);
	KUNIT_EXPECT_EQ(test, luo_root_decode(fdt, whole, &root), 0);
}

static void root_of_another_version(struct kunit *test)
{
	void *fdt = encoded_sample(test);
	struct luo_item item = {};
	struct luo_root root;
	char *version;

	version = fdt_getprop_w(fdt, 0, "compatible", NULL);
	version[strlen(version) - 1]++;
	KUNIT_EXPECT_EQ(test, luo_root_decode(fdt, LUO_FDT_SIZE, &root),
			-EPROTONOSUPPORT);
	KUNIT_EXPECT_TRUE(test, root_is_empty(&root));
	luo_root_version(fdt, &item);
	KUNIT_EXPECT_STREQ(test, item.compatible, "liveupdate-v2");

	/* What no version can be called is damaged */
	*version ^= 0xff;
	KUNIT_EXPECT_EQ(test, luo_root_decode(fdt, LUO_FDT_SIZE, &root),
			-EUCLEAN);
}

/* A root can have those of other versions with it */
static void root_with_others(struct kunit *test)
{
	void *fdt = kunit_kzalloc(test, LUO_FDT_SIZE, GFP_KERNEL);
	struct luo_root root = sample, got;
	struct luo_item item;
	int cursor = 0;

	KUNIT_ASSERT_EQ(test, luo_items_add(&root.unknown, "liveupdate-v2",
					    0x123000, 4096), 0);
	KUNIT_ASSERT_EQ(test, luo_root_encode(fdt, luo_root_size(&root), &root),
			0);
	luo_items_free(&root.unknown);
	KUNIT_ASSERT_EQ(test, luo_root_decode(fdt, LUO_FDT_SIZE, &got), 0);
	KUNIT_ASSERT_TRUE(test, luo_item_next(fdt, LUO_FDT_UNKNOWN, &cursor,
					      &item));
	KUNIT_EXPECT_STREQ(test, item.compatible, "liveupdate-v2");
	KUNIT_EXPECT_EQ(test, item.data, 0x123000);
	KUNIT_EXPECT_EQ(test, item.count, 4096);
	KUNIT_EXPECT_FALSE(test, luo_item_next(fdt, LUO_FDT_UNKNOWN, &cursor,
					       &item));
}

static void add_node(struct kunit *test, void *fdt, const char *name)
{
	int node = fdt_add_subnode(fdt, 0, name);

	KUNIT_ASSERT_GE(test, node, 0);
	KUNIT_ASSERT_EQ(test, fdt_setprop_string(fdt, node, "compatible",
						 "liveupdate-other-v1"), 0);
}

static void seal(void *fdt)
{
	__be32 *sum = fdt_getprop_w(fdt, 0, LUO_FDT_CHECKSUM, NULL);

	*sum = 0;
	*sum = cpu_to_be32(crc32c(0, fdt, fdt_totalsize(fdt)));
}

/* libfdt finds a node by what is before the @ of its name: other kernels may use it */
static void names_of_nodes(struct kunit *test)
{
	void *fdt = encoded_sample(test);
	struct luo_root root;
	struct luo_item item;
	int cursor = 0;

	KUNIT_ASSERT_EQ(test, fdt_open_into(fdt, fdt, LUO_FDT_SIZE), 0);
	/* The last one that was added is the first one */
	KUNIT_ASSERT_EQ(test, fdt_set_name(fdt, fdt_add_subnode(fdt, 0, "@"),
					   LUO_FDT_FLBS "@7"), 0);
	KUNIT_ASSERT_GE(test, fdt_add_subnode(fdt, fdt_first_subnode(fdt, 0),
					      "flb@0"), 0);
	add_node(test, fdt, LUO_FDT_SESSIONS "@1");
	seal(fdt);
	KUNIT_ASSERT_EQ(test, luo_root_decode(fdt, LUO_FDT_SIZE, &root), 0);
	KUNIT_EXPECT_EQ(test, root.nr_sessions, sample.nr_sessions);
	KUNIT_EXPECT_FALSE(test, luo_item_next(fdt, LUO_FDT_FLBS, &cursor,
					       &item));
}

static void no_tree_at_all(struct kunit *test)
{
	u8 *fdt = kunit_kzalloc(test, LUO_FDT_SIZE, GFP_KERNEL);
	struct luo_root root;

	KUNIT_EXPECT_EQ(test, luo_root_decode(fdt, LUO_FDT_SIZE, &root),
			-EUCLEAN);
	memset(fdt, 0xff, LUO_FDT_SIZE);
	KUNIT_EXPECT_EQ(test, luo_root_decode(fdt, LUO_FDT_SIZE, &root),
			-EUCLEAN);
}

static void session_record(struct kunit *test)
{
	struct luo_session_ser ser;
	u8 *bytes = (u8 *)&ser;
	size_t i;

	luo_session_ser_fill(&ser, "name", 0x1000, 3, 0x12345678);
	KUNIT_EXPECT_EQ(test, luo_session_ser_check(&ser), 0);
	KUNIT_EXPECT_STREQ(test, ser.name, "name");
	KUNIT_EXPECT_EQ(test, ser.files, 0x1000);
	KUNIT_EXPECT_EQ(test, ser.nr_files, 3);
	KUNIT_EXPECT_EQ(test, ser.files_crc, 0x12345678);

	for (i = 0; i < sizeof(ser); i++) {
		bytes[i] ^= 0x40;
		/* Of the digit becomes another version, of the NUL a longer one */
		KUNIT_EXPECT_EQ_MSG(test, luo_session_ser_check(&ser),
				    i >= strlen(LUO_SESSION_COMPATIBLE_PREFIX) &&
				    i < sizeof(LUO_SESSION_COMPATIBLE) ?
				    -EPROTONOSUPPORT : -EUCLEAN,
				    "byte %zu", i);
		bytes[i] ^= 0x40;
	}
}

static void reseal(struct luo_session_ser *ser)
{
	ser->crc = crc32c(0, ser, offsetof(struct luo_session_ser, crc));
}

/* The checksum is right, and what it is of is not */
static void session_names(struct kunit *test)
{
	struct luo_session_ser ser;

	luo_session_ser_fill(&ser, "name", 0, 0, 0);
	memset(ser.name, 0, sizeof(ser.name));
	reseal(&ser);
	KUNIT_EXPECT_EQ(test, luo_session_ser_check(&ser), -EUCLEAN);

	memset(ser.name, 'n', sizeof(ser.name));
	reseal(&ser);
	KUNIT_EXPECT_EQ(test, luo_session_ser_check(&ser), -EUCLEAN);

	ser.name[sizeof(ser.name) - 1] = '\0';
	reseal(&ser);
	KUNIT_EXPECT_EQ(test, luo_session_ser_check(&ser), 0);
}

static void file_record(struct kunit *test)
{
	struct luo_file_ser ser = {};

	KUNIT_EXPECT_EQ(test, luo_file_ser_check(&ser), -EUCLEAN);
	memset(ser.compatible, 'c', sizeof(ser.compatible));
	KUNIT_EXPECT_EQ(test, luo_file_ser_check(&ser), -EUCLEAN);
	ser.compatible[sizeof(ser.compatible) - 1] = '\0';
	KUNIT_EXPECT_EQ(test, luo_file_ser_check(&ser), 0);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(root_round_trip),
	KUNIT_CASE(largest_root_fits),
	KUNIT_CASE(root_without_room),
	KUNIT_CASE(too_many_items),
	KUNIT_CASE(every_byte_damaged),
	KUNIT_CASE(truncated_root),
	KUNIT_CASE(root_of_another_version),
	KUNIT_CASE(root_with_others),
	KUNIT_CASE(names_of_nodes),
	KUNIT_CASE(no_tree_at_all),
	KUNIT_CASE(session_record),
	KUNIT_CASE(session_names),
	KUNIT_CASE(file_record),
	{}
};

static struct kunit_suite suite = {
	.name = "luo_handover",
	.test_cases = cases,
};

kunit_test_suite(suite);
