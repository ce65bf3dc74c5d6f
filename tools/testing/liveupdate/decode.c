// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of what becomes of handovers, valid and damaged. Prints TAP.
 *
 * Each row of the table makes the same good handover, damages it in one way, and
 * tells what is left. Where a checksum would tell, it is made right again: the
 * previous kernel itself can have written nonsense.
 */

#include "handover.h"
#include "memfd_luo.h"
#include "memory.h"
#include "receive.h"

/* The first session has two blocks of files, the others one file each */
#define FULL	FILES_A_BLOCK
#define FILES	(FULL + 2)

static const struct shape good = {
	.items = 2, .sessions = 3, .files = FILES, .others = 2,
};

/* Pages of the good handover */
enum {
	FILES_0,
	FILES_0_MORE,
	FILES_1,
	FILES_2,
	RECORDS,
	FREE_PAGE,
};

/* A handover with a memfd, for tests of what is known of it */
static const struct shape good_memfd = {
	.items = 2, .sessions = 1, .files = 1, .extents = 3,
};

/* The same with an extent in the page of its head, and two in blocks */
static const struct shape near_memfd = {
	.items = 2, .sessions = 1, .files = 1, .extents = 3, .near = 1,
};

/* Its pages */
enum {
	CONTENT,
	MEMFD = CONTENT + 3,
	KEPT,
	LATE,
	MEMFD_FILES,
	MEMFD_RECORDS,
	MEMFD_FREE_PAGE,
};

#define NOWHERE		MEMORY_PHYS(MEMORY_PAGES)

/**
 * struct test - a test
 * @name:   of the test
 * @damage: does what is to be done
 * @node:   of the root, for it
 * @prop:   likewise, of the node
 * @shape:  of the handover, @good if there is none
 * @page:   to damage, or place of a word in a header or record
 * @value:  to put there
 * @want:   what is left; the content of the root is not looked at
 */
struct test {
	const char *name;
	void (*damage)(struct handover *handover, const struct test *test);
	const char *node;
	const char *prop;
	const struct shape *shape;
	unsigned int page;
	u64 value;
	struct received want;
};

/* ---- The root ---- */

static void seal_root(struct handover *handover)
{
	void *fdt = handover->fdt;

	must(!fdt_setprop_inplace_u32(fdt, 0, LUO_FDT_CHECKSUM, 0));
	must(!fdt_setprop_inplace_u32(fdt, 0, LUO_FDT_CHECKSUM,
				      crc32c(0, fdt, fdt_totalsize(fdt))));
}

/* A root with nothing behind it that could be read by mistake */
static void resize_root(struct handover *handover, size_t size)
{
	void *fdt = malloc(size);

	must(fdt);
	memcpy(fdt, handover->fdt, min(size, handover->size));
	free(handover->fdt);
	handover->fdt = fdt;
	handover->size = size;
}

static void open_root(struct handover *handover)
{
	resize_root(handover, handover->size + 1024);
	must(!fdt_open_into(handover->fdt, handover->fdt, handover->size));
}

static void close_root(struct handover *handover)
{
	must(!fdt_pack(handover->fdt));
	resize_root(handover, fdt_totalsize(handover->fdt));
}

static int node_of(const struct handover *handover, const struct test *test)
{
	int node = fdt_path_offset(handover->fdt, test->node ?: "/");

	must(node >= 0);
	return node;
}

static void nothing(struct handover *handover, const struct test *test)
{
}

static void drop_prop(struct handover *handover, const struct test *test)
{
	open_root(handover);
	must(!fdt_delprop(handover->fdt, node_of(handover, test), test->prop));
	close_root(handover);
	if (strcmp(test->prop, LUO_FDT_CHECKSUM))
		seal_root(handover);
}

static void drop_node(struct handover *handover, const struct test *test)
{
	open_root(handover);
	must(!fdt_del_node(handover->fdt, node_of(handover, test)));
	close_root(handover);
	seal_root(handover);
}

static void set_prop(struct handover *handover, const struct test *test,
		     const void *value, int length)
{
	open_root(handover);
	must(!fdt_setprop(handover->fdt, node_of(handover, test), test->prop,
			  value, length));
	close_root(handover);
	if (strcmp(test->prop, LUO_FDT_CHECKSUM))
		seal_root(handover);
}

static void set_u64(struct handover *handover, const struct test *test)
{
	const fdt64_t value = cpu_to_fdt64(test->value);

	set_prop(handover, test, &value, sizeof(value));
}

/* As many letters, and no NUL at the end */
static void set_letters(struct handover *handover, const struct test *test)
{
	char letters[256];

	must(test->value <= sizeof(letters));
	memset(letters, 'a', sizeof(letters));
	set_prop(handover, test, letters, test->value);
}

static void set_string(struct handover *handover, const struct test *test)
{
	char string[256] = {};

	must(test->value < sizeof(string));
	memset(string, 'a', test->value);
	set_prop(handover, test, string, test->value + 1);
}

/* As many digits behind what it is: a version goes on to be one */
static void add_to_string(struct handover *handover, const struct test *test)
{
	const char *before = fdt_getprop(handover->fdt, node_of(handover, test),
					 test->prop, NULL);
	char string[256] = {};

	must(before && strlen(before) + test->value < sizeof(string));
	memset(string, '0', strlen(before) + test->value);
	memcpy(string, before, strlen(before));
	set_prop(handover, test, string, strlen(string) + 1);
}

static void set_zeros(struct handover *handover, const struct test *test)
{
	const char zeros[256] = {};

	set_prop(handover, test, zeros, test->value);
}

/* A word of the header, by its number */
static void set_header(struct handover *handover, const struct test *test)
{
	((fdt32_t *)handover->fdt)[test->page] = cpu_to_fdt32(test->value);
}

static void wrong_checksum(struct handover *handover, const struct test *test)
{
	const fdt32_t *sum = fdt_getprop(handover->fdt, 0, LUO_FDT_CHECKSUM,
					 NULL);

	must(!fdt_setprop_inplace_u32(handover->fdt, 0, LUO_FDT_CHECKSUM,
				      fdt32_to_cpu(*sum) ^ 1));
}

static void short_root(struct handover *handover, const struct test *test)
{
	resize_root(handover, handover->size - 1);
}

/* ---- Blocks ---- */

static struct kho_block_header_ser *block_of(unsigned int page)
{
	return (void *)memory_look(page);
}

static void set_next(struct handover *handover, const struct test *test)
{
	block_of(test->page)->next = test->value;
}

static void set_count(struct handover *handover, const struct test *test)
{
	block_of(test->page)->count = test->value;
}

static void lose_page(struct handover *handover, const struct test *test)
{
	memory_lose(test->page);
}

static void set_node(struct handover *handover, const struct test *test)
{
	memory_set_node(test->page, test->value);
}

static void set_order(struct handover *handover, const struct test *test)
{
	memory_preserve(test->page, test->value);
}

/* An empty block behind the last one */
static void add_empty_block(struct handover *handover, const struct test *test)
{
	memory_preserve(FREE_PAGE, 0);
	block_of(test->page)->next = MEMORY_PHYS(FREE_PAGE);
}

/* A good block, but not part of this chain */
static void add_block(struct handover *handover, const struct test *test)
{
	memcpy(memory_preserve(FREE_PAGE, 0), block_of(FILES_0_MORE), PAGE_SIZE);
	block_of(test->page)->next = MEMORY_PHYS(FREE_PAGE);
}

/* ---- Records ---- */

static struct luo_session_ser *session_of(unsigned int nr)
{
	return (struct luo_session_ser *)(block_of(RECORDS) + 1) + nr;
}

static struct luo_file_ser *file_of(unsigned int page, unsigned int nr)
{
	return (struct luo_file_ser *)(block_of(page) + 1) + nr;
}

/* The record of the session that has its first files in that page */
static struct luo_session_ser *owner_of(unsigned int page)
{
	return session_of(page <= FILES_0_MORE ? 0 : page - FILES_1 + 1);
}

static void seal_session(struct luo_session_ser *ser)
{
	ser->crc = crc32c(0, ser, offsetof(struct luo_session_ser, crc));
}

static void seal_files(unsigned int page)
{
	struct luo_session_ser *ser = owner_of(page);
	u32 crc = 0;
	u64 i;

	for (i = 0; i < ser->nr_files; i++) {
		const unsigned int at = page + i / FULL;

		crc = crc32c(crc, file_of(at, i % FULL),
			     sizeof(struct luo_file_ser));
	}
	ser->files_crc = crc;
	seal_session(ser);
}

static void set_files(struct handover *handover, const struct test *test)
{
	owner_of(test->page)->files = test->value;
	seal_session(owner_of(test->page));
}

static void set_nr_files(struct handover *handover, const struct test *test)
{
	owner_of(test->page)->nr_files = test->value;
	seal_session(owner_of(test->page));
}

/* A full block that is its own next, and a count that is never reached */
static void endless_files(struct handover *handover, const struct test *test)
{
	block_of(test->page)->next = MEMORY_PHYS(test->page);
	owner_of(test->page)->nr_files = U64_MAX / FULL * FULL;
	seal_session(owner_of(test->page));
}

/* More files than a block has room for, and block and session agree on it */
static void overfull_files(struct handover *handover, const struct test *test)
{
	block_of(test->page)->count = FULL + 1;
	owner_of(test->page)->nr_files = FULL + 1;
	seal_session(owner_of(test->page));
}

static void no_files(struct handover *handover, const struct test *test)
{
	owner_of(test->page)->nr_files = 0;
	set_files(handover, test);
}

static void wrong_files_crc(struct handover *handover, const struct test *test)
{
	owner_of(test->page)->files_crc ^= 1;
	seal_session(owner_of(test->page));
}

static void wrong_session_crc(struct handover *handover,
			      const struct test *test)
{
	owner_of(test->page)->crc ^= 1;
}

static void other_session_version(struct handover *handover,
				  const struct test *test)
{
	owner_of(test->page)->compatible[strlen("luo-session-v")]++;
	seal_session(owner_of(test->page));
}

/* As many letters from the beginning of the name, and zeros behind them */
static void set_name(struct handover *handover, const struct test *test)
{
	struct luo_session_ser *ser = owner_of(test->page);

	memset(ser->name, 0, sizeof(ser->name));
	memset(ser->name, 'n', test->value);
	seal_session(ser);
}

static void damage_file(struct handover *handover, const struct test *test)
{
	file_of(test->page, 0)->data ^= 1;
}

static void set_compatible(struct handover *handover, const struct test *test)
{
	struct luo_file_ser *ser = file_of(test->page, 0);

	memset(ser->compatible, 0, sizeof(ser->compatible));
	memset(ser->compatible, 'c', test->value);
	seal_files(test->page);
}

/* ---- A memfd ---- */

static struct memfd_luo_ser *memfd(void)
{
	return (void *)memory_look(MEMFD);
}

static struct memfd_luo_extent *kept(void)
{
	return (struct memfd_luo_extent *)(block_of(KEPT) + 1);
}

static void seal_memfd(void)
{
	memfd()->kept.crc = crc32c(0, kept(), 2 * sizeof(*kept()));
	memfd()->crc = crc32c(0, memfd(), offsetof(struct memfd_luo_ser, crc));
}

static void set_memfd(struct handover *handover, const struct test *test)
{
	memcpy((u8 *)memfd() + test->page, &test->value, sizeof(test->value));
	seal_memfd();
}

static void set_memfd_half(struct handover *handover, const struct test *test)
{
	const u32 value = test->value;

	memcpy((u8 *)memfd() + test->page, &value, sizeof(value));
	seal_memfd();
}

static void set_extent(struct handover *handover, const struct test *test)
{
	memcpy((u8 *)kept() + test->page, &test->value, sizeof(test->value));
	seal_memfd();
}

/* An extent of all content, in pieces of two pages and one; a page is on a node */
static void set_pieces(struct handover *handover, const struct test *test)
{
	memory_preserve(CONTENT, 1);
	memory_set_node(test->page, test->value);
	kept()[0].pages = 3;
	kept()[1] = kept()[0];
	seal_memfd();
}

/* The same, where each page has become a piece of its own */
static void set_cut_pieces(struct handover *handover, const struct test *test)
{
	memory_set_node(test->page, test->value);
	kept()[0].pages = 3;
	kept()[1] = kept()[0];
	seal_memfd();
}

static void seal_near(void)
{
	struct memfd_luo_ser *ser = memfd();

	if (ser->near_count <= MEMFD_LUO_NEAR)
		ser->near_crc = crc32c(0, memfd_luo_near(ser), ser->near_count *
				       sizeof(struct memfd_luo_extent));
	ser->crc = crc32c(0, ser, offsetof(struct memfd_luo_ser, crc));
}

static void set_near_count(struct handover *handover, const struct test *test)
{
	memfd()->near_count = test->value;
	seal_near();
}

static void set_near(struct handover *handover, const struct test *test)
{
	memcpy((u8 *)memfd_luo_near(memfd()) + test->page, &test->value,
	       sizeof(test->value));
	seal_near();
}

/* As long as told, with a checksum that is off by so much */
static void set_label(struct handover *handover, const struct test *test)
{
	struct memfd_luo_label *label = memfd_luo_label_of(memfd());

	memset(label->text, 'l', test->value);
	label->crc = memfd_luo_label_crc(label) + test->page;
}

static u32 name_content(struct memfd_luo_extent *extents, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		extents[i] = (struct memfd_luo_extent){
			.phys = MEMORY_PHYS(CONTENT), .pages = 1,
		};

	return crc32c(0, extents, count * sizeof(*extents));
}

static void name_content_in(unsigned int page, unsigned int count,
			    struct memfd_luo_extents *extents)
{
	block_of(page)->count = count;
	extents->count = count;
	extents->crc = name_content((void *)(block_of(page) + 1), count);
}

/* As many extents as fit near the head, and in each chain, of the same memory */
static void name_twice(struct handover *handover, const struct test *test)
{
	struct memfd_luo_ser *ser = memfd();

	ser->near_count = MEMFD_LUO_NEAR;
	ser->near_crc = name_content(memfd_luo_near(ser), ser->near_count);
	name_content_in(KEPT, test->page, &ser->kept);
	name_content_in(LATE, test->value, &ser->late);
	ser->crc = crc32c(0, ser, offsetof(struct memfd_luo_ser, crc));
}

static void wrong_near_crc(struct handover *handover, const struct test *test)
{
	memfd_luo_near(memfd())->index++;
}

static void wrong_memfd_crc(struct handover *handover, const struct test *test)
{
	memfd()->crc ^= 1;
}

static void wrong_extents_crc(struct handover *handover,
			      const struct test *test)
{
	kept()->index++;
}

static void memfd_name_without_end(struct handover *handover,
				   const struct test *test)
{
	memset(memfd()->attrs.name + strlen(MEMFD_PREFIX), 'n',
	       sizeof(memfd()->attrs.name) - strlen(MEMFD_PREFIX));
	seal_memfd();
}

static void set_data(struct handover *handover, const struct test *test)
{
	struct luo_session_ser *ser;

	file_of(MEMFD_FILES, 0)->data = test->value;
	ser = (struct luo_session_ser *)(block_of(MEMFD_RECORDS) + 1);
	ser->files_crc = crc32c(0, file_of(MEMFD_FILES, 0),
				sizeof(struct luo_file_ser));
	seal_session(ser);
}

/* ---- The table ---- */

#define LEFT(_sessions, _files, _quarantined)				\
	{ .sessions = (_sessions), .files = (_files),			\
	  .quarantined = (_quarantined), .subsystems = 2, .flbs = 2 }
#define ALL		LEFT(3, FILES + 2, 0)
#define NO_SESSIONS	LEFT(0, 0, 1)
#define NOT_FIRST	LEFT(2, 2, 1)
#define NOT_SECOND	LEFT(2, FILES + 1, 1)
#define ITEMS(_subsystems, _flbs)					\
	{ .sessions = 3, .files = FILES + 2, .subsystems = (_subsystems), \
	  .flbs = (_flbs) }
#define BAD		{ .err = -EUCLEAN }
#define UNKNOWN		{ .err = -EPROTONOSUPPORT }

#define ROOT(_name, _damage, _prop, _value, ...)			\
	{ .name = "root_" _name, .damage = (_damage), .prop = (_prop),	\
	  .value = (_value), .want = __VA_ARGS__ }
#define HEADER(_name, _word, _value)					\
	{ .name = "header_" _name, .damage = set_header,		\
	  .page = (_word), .value = (_value), .want = BAD }
#define NODE(_name, _damage, _node, _prop, _value, ...)			\
	{ .name = _name, .damage = (_damage), .node = (_node),		\
	  .prop = (_prop), .value = (_value), .want = __VA_ARGS__ }
#define PAGE(_name, _damage, _page, _value, ...)			\
	{ .name = _name, .damage = (_damage), .page = (_page),		\
	  .value = (_value), .want = __VA_ARGS__ }

/* A memfd is whole or lost */
#define MEMFD(_name, _damage, _place, _value, ...)			\
	{ .name = "memfd_" _name, .damage = (_damage),			\
	  .shape = &good_memfd, .page = (_place), .value = (_value),	\
	  .want = __VA_ARGS__ }
#define NEAR(_name, _damage, _place, _value, ...)			\
	{ .name = "memfd_near_" _name, .damage = (_damage),		\
	  .shape = &near_memfd, .page = (_place), .value = (_value),	\
	  .want = __VA_ARGS__ }
#define WITH_PAGES(_pages)						\
	{ .sessions = 1, .files = 1, .pages = (_pages), .subsystems = 2, \
	  .flbs = 2 }
#define WHOLE		WITH_PAGES(3)
#define LOST								\
	{ .sessions = 1, .quarantined = 1, .subsystems = 2, .flbs = 2 }
#define SER(_member)	offsetof(struct memfd_luo_ser, _member)
#define EXTENT(_member)	offsetof(struct memfd_luo_extent, _member)

/* Extents of one page in blocks, for all together to have all pages that there are */
#define FAR_PAGES	(MEMORY_MAX_PFN - MEMFD_LUO_NEAR)

#define SESSIONS	"/" LUO_FDT_SESSIONS
#define SUBSYSTEM_0	"/" LUO_FDT_SUBSYSTEMS "/subsystem@0"
#define FLB_1		"/" LUO_FDT_FLBS "/flb@1"

static const struct test tests[] = {
	ROOT("intact", nothing, NULL, 0, ALL),
	ROOT("cut_by_a_byte", short_root, NULL, 0, BAD),
	ROOT("checksum_wrong", wrong_checksum, NULL, 0, BAD),
	ROOT("checksum_missing", drop_prop, LUO_FDT_CHECKSUM, 0, BAD),
	ROOT("checksum_longer", set_zeros, LUO_FDT_CHECKSUM, 8, BAD),
	ROOT("checksum_shorter", set_zeros, LUO_FDT_CHECKSUM, 3, BAD),
	ROOT("compatible_missing", drop_prop, "compatible", 0, BAD),
	ROOT("compatible_other", set_string, "compatible", 13, BAD),
	ROOT("compatible_without_end", set_letters, "compatible", 13, BAD),
	ROOT("compatible_empty", set_zeros, "compatible", 0, BAD),
	ROOT("compatible_too_long", add_to_string, "compatible",
	     LIVEUPDATE_COMPATIBLE_LENGTH, BAD),
	ROOT("of_another_version", add_to_string, "compatible", 1, UNKNOWN),
	ROOT("number_missing", drop_prop, LUO_FDT_NUMBER, 0, BAD),
	ROOT("number_shorter", set_zeros, LUO_FDT_NUMBER, 4, BAD),
	ROOT("number_longer", set_zeros, LUO_FDT_NUMBER, 12, BAD),
	ROOT("number_empty", set_zeros, LUO_FDT_NUMBER, 0, BAD),
	ROOT("number_max", set_u64, LUO_FDT_NUMBER, U64_MAX, ALL),
	ROOT("counter_khz_missing", drop_prop, LUO_FDT_COUNTER_KHZ, 0, BAD),
	ROOT("reboot_at_missing", drop_prop, LUO_FDT_REBOOT_AT, 0, BAD),
	ROOT("handover_at_missing", drop_prop, LUO_FDT_HANDOVER_AT, 0, BAD),
	ROOT("handover_at_longer", set_zeros, LUO_FDT_HANDOVER_AT, 16, BAD),
	ROOT("release_missing", drop_prop, LUO_FDT_RELEASE, 0, BAD),
	ROOT("release_without_value", set_zeros, LUO_FDT_RELEASE, 0, BAD),
	ROOT("release_empty", set_string, LUO_FDT_RELEASE, 0, ALL),
	ROOT("release_longest", set_string, LUO_FDT_RELEASE, 64, ALL),
	ROOT("release_too_long", set_string, LUO_FDT_RELEASE, 65, BAD),
	ROOT("release_without_end", set_letters, LUO_FDT_RELEASE, 10, BAD),
	ROOT("release_full_without_end", set_letters, LUO_FDT_RELEASE, 65, BAD),
	ROOT("release_of_two_strings", set_zeros, LUO_FDT_RELEASE, 2, BAD),

	HEADER("magic", 0, 0xd00dfeee),
	HEADER("totalsize_0", 1, 0),
	HEADER("totalsize_beyond", 1, 4096),
	HEADER("totalsize_max", 1, 0xffffffff),
	HEADER("structure_beyond", 2, 0x7ffffff8),
	HEADER("structure_in_header", 2, 0),
	HEADER("strings_beyond", 3, 0x7fffffff),
	HEADER("strings_max", 3, 0xffffffff),
	HEADER("reservations_beyond", 4, 0xfffffff8),
	HEADER("version_0", 5, 0),
	HEADER("last_compatible_version", 6, 18),
	HEADER("strings_size_max", 8, 0xffffffff),
	HEADER("structure_size_max", 9, 0xffffffff),

	NODE("sessions_missing", drop_node, SESSIONS, NULL, 0, BAD),
	NODE("sessions_of_another_version", add_to_string, SESSIONS,
	     "compatible", 1, UNKNOWN),
	NODE("sessions_compatible_other", set_string, SESSIONS, "compatible",
	     3, BAD),
	NODE("sessions_count_missing", drop_prop, SESSIONS,
	     LUO_FDT_SESSIONS_COUNT, 0, BAD),
	NODE("sessions_count_shorter", set_zeros, SESSIONS,
	     LUO_FDT_SESSIONS_COUNT, 4, BAD),
	NODE("sessions_first_missing", drop_prop, SESSIONS,
	     LUO_FDT_SESSIONS_FIRST, 0, BAD),

	NODE("subsystems_missing", drop_node, "/" LUO_FDT_SUBSYSTEMS, NULL, 0,
	     ITEMS(0, 2)),
	NODE("flbs_missing", drop_node, "/" LUO_FDT_FLBS, NULL, 0, ITEMS(2, 0)),
	NODE("first_subsystem_missing", drop_node, SUBSYSTEM_0, NULL, 0,
	     ITEMS(1, 2)),
	NODE("subsystem_without_name", drop_prop, SUBSYSTEM_0, "compatible", 0,
	     ITEMS(1, 2)),
	NODE("subsystem_name_empty", set_string, SUBSYSTEM_0, "compatible", 0,
	     ITEMS(1, 2)),
	NODE("subsystem_name_longest", set_string, SUBSYSTEM_0, "compatible",
	     LIVEUPDATE_COMPATIBLE_LENGTH - 1, ITEMS(2, 2)),
	NODE("subsystem_name_too_long", set_string, SUBSYSTEM_0, "compatible",
	     LIVEUPDATE_COMPATIBLE_LENGTH, ITEMS(1, 2)),
	NODE("subsystem_name_without_end", set_letters, SUBSYSTEM_0,
	     "compatible", LIVEUPDATE_COMPATIBLE_LENGTH, ITEMS(1, 2)),
	NODE("subsystem_without_data", drop_prop, SUBSYSTEM_0, LUO_FDT_DATA, 0,
	     ITEMS(1, 2)),
	NODE("subsystem_data_shorter", set_zeros, SUBSYSTEM_0, LUO_FDT_DATA, 7,
	     ITEMS(1, 2)),
	NODE("flb_without_count", drop_prop, FLB_1, LUO_FDT_COUNT, 0,
	     ITEMS(2, 1)),
	NODE("flb_data_longer", set_zeros, FLB_1, LUO_FDT_DATA, 9, ITEMS(2, 1)),

	NODE("records_nowhere", set_u64, SESSIONS, LUO_FDT_SESSIONS_FIRST, 0,
	     NO_SESSIONS),
	NODE("records_out_of_memory", set_u64, SESSIONS, LUO_FDT_SESSIONS_FIRST,
	     NOWHERE, NO_SESSIONS),
	NODE("records_at_max", set_u64, SESSIONS, LUO_FDT_SESSIONS_FIRST,
	     U64_MAX, NO_SESSIONS),
	NODE("records_in_last_page", set_u64, SESSIONS, LUO_FDT_SESSIONS_FIRST,
	     U64_MAX - PAGE_SIZE + 1, NO_SESSIONS),
	NODE("records_misaligned", set_u64, SESSIONS, LUO_FDT_SESSIONS_FIRST,
	     MEMORY_PHYS(RECORDS) + 8, NO_SESSIONS),
	NODE("records_not_preserved", set_u64, SESSIONS, LUO_FDT_SESSIONS_FIRST,
	     MEMORY_PHYS(FREE_PAGE), NO_SESSIONS),
	NODE("records_are_files", set_u64, SESSIONS, LUO_FDT_SESSIONS_FIRST,
	     MEMORY_PHYS(FILES_0), NO_SESSIONS),
	NODE("records_none", set_u64, SESSIONS, LUO_FDT_SESSIONS_COUNT, 0,
	     NO_SESSIONS),
	NODE("records_one_less", set_u64, SESSIONS, LUO_FDT_SESSIONS_COUNT, 2,
	     NO_SESSIONS),
	NODE("records_one_more", set_u64, SESSIONS, LUO_FDT_SESSIONS_COUNT, 4,
	     NO_SESSIONS),
	NODE("records_too_many", set_u64, SESSIONS, LUO_FDT_SESSIONS_COUNT,
	     U64_MAX, NO_SESSIONS),

	PAGE("block_lost", lose_page, RECORDS, 0, NO_SESSIONS),
	PAGE("block_of_a_large_folio", set_order, RECORDS, 1, NO_SESSIONS),
	PAGE("block_count_0", set_count, RECORDS, 0, NO_SESSIONS),
	PAGE("block_count_max", set_count, RECORDS, U64_MAX, NO_SESSIONS),
	PAGE("block_count_full", set_count, RECORDS,
	     SESSIONS_A_BLOCK, NO_SESSIONS),
	PAGE("block_with_itself_as_next", set_next, RECORDS,
	     MEMORY_PHYS(RECORDS), NO_SESSIONS),
	PAGE("block_with_an_empty_next", add_empty_block, RECORDS, 0,
	     NO_SESSIONS),

	PAGE("files_lost", lose_page, FILES_0_MORE, 0, NOT_FIRST),
	PAGE("files_next_0", set_next, FILES_0, 0, NOT_FIRST),
	PAGE("files_next_misaligned", set_next, FILES_0,
	     MEMORY_PHYS(FILES_0_MORE) + 1, NOT_FIRST),
	PAGE("files_next_out_of_memory", set_next, FILES_0, NOWHERE, NOT_FIRST),
	PAGE("files_next_max", set_next, FILES_0, U64_MAX, NOT_FIRST),
	PAGE("files_next_not_preserved", set_next, FILES_0,
	     MEMORY_PHYS(FREE_PAGE), NOT_FIRST),
	PAGE("files_next_is_first", set_next, FILES_0, MEMORY_PHYS(FILES_0),
	     NOT_FIRST),
	PAGE("files_in_a_circle", set_next, FILES_0_MORE, MEMORY_PHYS(FILES_0),
	     NOT_FIRST),
	PAGE("files_overfull", overfull_files, FILES_1, 0, NOT_SECOND),
	PAGE("files_endless", endless_files, FILES_0, 0, NOT_FIRST),
	PAGE("files_with_a_block_more", add_block, FILES_0_MORE, 0, NOT_FIRST),
	PAGE("files_with_an_empty_block", add_empty_block, FILES_0_MORE, 0,
	     NOT_FIRST),
	PAGE("files_first_block_not_full", set_count, FILES_0, FULL - 1,
	     NOT_FIRST),
	PAGE("files_first_block_overfull", set_count, FILES_0, FULL + 1,
	     NOT_FIRST),
	PAGE("files_last_block_short", set_count, FILES_0_MORE, 1, NOT_FIRST),
	PAGE("files_last_block_full", set_count, FILES_0_MORE, FULL, NOT_FIRST),

	PAGE("session_first_0", set_files, FILES_1, 0, NOT_SECOND),
	PAGE("session_first_misaligned", set_files, FILES_1,
	     MEMORY_PHYS(FILES_1) + 64, NOT_SECOND),
	PAGE("session_first_out_of_memory", set_files, FILES_1, NOWHERE,
	     NOT_SECOND),
	PAGE("session_first_is_records", set_files, FILES_1,
	     MEMORY_PHYS(RECORDS), NOT_SECOND),
	PAGE("session_files_of_another_session", set_files, FILES_1,
	     MEMORY_PHYS(FILES_0), NOT_SECOND),
	PAGE("session_files_of_the_next_session", set_files, FILES_1,
	     MEMORY_PHYS(FILES_2), LEFT(2, FILES + 1, 1)),
	PAGE("session_nr_files_0", set_nr_files, FILES_1, 0, NOT_SECOND),
	PAGE("session_nr_files_2", set_nr_files, FILES_1, 2, NOT_SECOND),
	PAGE("session_nr_files_max", set_nr_files, FILES_1, U64_MAX, NOT_SECOND),
	PAGE("session_without_files", no_files, FILES_1, 0,
	     LEFT(3, FILES + 1, 0)),
	PAGE("session_files_crc", wrong_files_crc, FILES_1, 0, NOT_SECOND),
	PAGE("session_crc", wrong_session_crc, FILES_1, 0, NOT_SECOND),
	PAGE("session_of_another_version", other_session_version, FILES_1, 0,
	     NOT_SECOND),
	PAGE("session_name_empty", set_name, FILES_1, 0, NOT_SECOND),
	PAGE("session_name_longest", set_name, FILES_1,
	     LIVEUPDATE_SESSION_NAME_LENGTH - 1, ALL),
	PAGE("session_name_without_end", set_name, FILES_1,
	     LIVEUPDATE_SESSION_NAME_LENGTH, NOT_SECOND),

	PAGE("file_damaged", damage_file, FILES_1, 0, NOT_SECOND),
	PAGE("file_compatible_empty", set_compatible, FILES_1, 0,
	     LEFT(3, FILES + 1, 1)),
	PAGE("file_compatible_longest", set_compatible, FILES_1,
	     LIVEUPDATE_HNDL_COMPAT_LENGTH - 1, ALL),
	PAGE("file_compatible_without_end", set_compatible, FILES_1,
	     LIVEUPDATE_HNDL_COMPAT_LENGTH, LEFT(3, FILES + 1, 1)),

	MEMFD("intact", nothing, 0, 0, WHOLE),
	MEMFD("nowhere", set_data, 0, 0, LOST),
	MEMFD("misaligned", set_data, 0, MEMORY_PHYS(MEMFD) + 8, LOST),
	MEMFD("out_of_memory", set_data, 0, NOWHERE, LOST),
	MEMFD("at_max", set_data, 0, U64_MAX, LOST),
	MEMFD("not_preserved", set_data, 0, MEMORY_PHYS(MEMFD_FREE_PAGE), LOST),
	MEMFD("is_its_files_record", set_data, 0, MEMORY_PHYS(MEMFD_FILES), LOST),
	MEMFD("crc", wrong_memfd_crc, 0, 0, LOST),
	MEMFD("size_max", set_memfd, SER(attrs.size), INT64_MAX, WHOLE),
	MEMFD("size_beyond", set_memfd, SER(attrs.size), 1ULL << 63, LOST),
	MEMFD("size_0", set_memfd, SER(attrs.size), 0, LOST),
	MEMFD("size_before_last_extent", set_memfd, SER(attrs.size), 4 * PAGE_SIZE,
	      LOST),
	MEMFD("size_within_last_page", set_memfd, SER(attrs.size), 4 * PAGE_SIZE + 1,
	      WHOLE),
	MEMFD("pos_max", set_memfd, SER(attrs.pos), INT64_MAX, WHOLE),
	MEMFD("pos_beyond", set_memfd, SER(attrs.pos), U64_MAX, LOST),
	MEMFD("unknown_seal", set_memfd_half, SER(attrs.seals), 0x40, LOST),
	MEMFD("unknown_flag", set_memfd_half, SER(attrs.flags), 1U << 30, LOST),
	MEMFD("mode_with_type", set_memfd_half, SER(attrs.mode), 0100600, LOST),
	MEMFD("reopened_2", set_memfd_half, SER(attrs.reopened), 2, LOST),
	MEMFD("name_without_prefix", set_memfd_half, SER(attrs.name), 0, LOST),
	MEMFD("name_without_end", memfd_name_without_end, 0, 0, LOST),
	MEMFD("kept_nowhere", set_memfd, SER(kept.first), 0, LOST),
	MEMFD("kept_out_of_memory", set_memfd, SER(kept.first), NOWHERE, LOST),
	MEMFD("kept_is_late", set_memfd, SER(kept.first), MEMORY_PHYS(LATE),
	      LOST),
	MEMFD("kept_is_the_memfd", set_memfd, SER(kept.first),
	      MEMORY_PHYS(MEMFD), LOST),
	MEMFD("kept_count_1", set_memfd, SER(kept.count), 1, LOST),
	MEMFD("kept_count_max", set_memfd, SER(kept.count), U64_MAX, LOST),
	MEMFD("late_is_kept", set_memfd, SER(late.first), MEMORY_PHYS(KEPT),
	      LOST),
	MEMFD("late_crc", set_memfd_half, SER(late.crc), 0, LOST),
	MEMFD("extent_damaged", wrong_extents_crc, 0, 0, LOST),
	MEMFD("extent_nowhere", set_extent, EXTENT(phys), 0, LOST),
	MEMFD("extent_out_of_memory", set_extent, EXTENT(phys), NOWHERE, LOST),
	MEMFD("extent_at_max", set_extent, EXTENT(phys), ~0ULL << 12, LOST),
	MEMFD("extent_misaligned", set_extent, EXTENT(phys),
	      MEMORY_PHYS(CONTENT) | 0x800, LOST),
	MEMFD("extent_not_preserved", set_extent, EXTENT(phys),
	      MEMORY_PHYS(MEMFD_FREE_PAGE), LOST),
	MEMFD("extent_is_the_memfd", set_extent, EXTENT(phys),
	      MEMORY_PHYS(MEMFD), LOST),
	MEMFD("extent_is_its_own_record", set_extent, EXTENT(phys),
	      MEMORY_PHYS(KEPT), LOST),
	MEMFD("extent_order_1", set_extent, EXTENT(phys),
	      MEMORY_PHYS(CONTENT) | 1, LOST),
	MEMFD("extent_order_63", set_extent, EXTENT(phys),
	      MEMORY_PHYS(CONTENT) | 63, LOST),
	MEMFD("extent_index_beyond", set_extent, EXTENT(index), 6, LOST),
	MEMFD("extent_index_max", set_extent, EXTENT(index), U64_MAX, LOST),
	MEMFD("extent_pages_0", set_extent, EXTENT(pages), 0, LOST),
	MEMFD("extent_pages_max", set_extent, EXTENT(pages), U64_MAX, LOST),
	MEMFD("extent_pages_of_another", set_extent, EXTENT(pages), 7, LOST),
	MEMFD("label", set_label, 0, MEMFD_LUO_LABEL_LENGTH - 1, WHOLE),
	MEMFD("label_without_end", set_label, 0, MEMFD_LUO_LABEL_LENGTH, LOST),
	MEMFD("label_damaged", set_label, 1, 4, LOST),
	NEAR("intact", nothing, 0, 0, WHOLE),
	NEAR("label", set_label, 0, 4, WHOLE),
	NEAR("label_damaged", set_label, 1, 4, LOST),
	NEAR("extent_damaged", wrong_near_crc, 0, 0, LOST),
	NEAR("count_beyond_room", set_near_count, 0, MEMFD_LUO_NEAR + 1, LOST),
	NEAR("count_max", set_near_count, 0, UINT_MAX, LOST),
	NEAR("count_of_empty_ones", set_near_count, 0, 3, LOST),
	NEAR("nowhere", set_near, EXTENT(phys), 0, LOST),
	NEAR("out_of_memory", set_near, EXTENT(phys), NOWHERE, LOST),
	NEAR("is_the_memfd", set_near, EXTENT(phys), MEMORY_PHYS(MEMFD), LOST),
	NEAR("order_1", set_near, EXTENT(phys), MEMORY_PHYS(CONTENT) + 1, LOST),
	NEAR("index_beyond", set_near, EXTENT(index), 6, LOST),
	NEAR("index_max", set_near, EXTENT(index), U64_MAX, LOST),
	NEAR("pages_0", set_near, EXTENT(pages), 0, LOST),
	NEAR("pages_max", set_near, EXTENT(pages), U64_MAX, LOST),
	NEAR("names_all_pages", name_twice, FAR_PAGES - 1, 1,
	     WITH_PAGES(MEMORY_MAX_PFN)),
	NEAR("names_all_pages_late", name_twice, 1, FAR_PAGES - 1,
	     WITH_PAGES(MEMORY_MAX_PFN)),
	NEAR("names_one_page_more", name_twice, FAR_PAGES, 1, LOST),
	NEAR("names_one_page_more_late", name_twice, FAR_PAGES - 1, 2, LOST),
	NEAR("names_many_pages_more", name_twice, EXTENTS_A_BLOCK,
	     EXTENTS_A_BLOCK, LOST),
	MEMFD("extent_of_pieces", set_pieces, CONTENT, 0, WITH_PAGES(7)),
	MEMFD("extent_begins_on_another_node", set_pieces, CONTENT, 1,
	      WITH_PAGES(7)),
	MEMFD("extent_ends_on_another_node", set_pieces, CONTENT + 2, 1,
	      WITH_PAGES(7)),
	MEMFD("extent_cut_within", set_cut_pieces, CONTENT + 1, 1, WITH_PAGES(7)),
	MEMFD("content_on_two_nodes", set_node, CONTENT + 1, 1, WHOLE),
	MEMFD("content_not_preserved", lose_page, CONTENT, 0, LOST),
	MEMFD("content_in_a_large_folio", set_order, CONTENT, 1, LOST),
};

static bool same(const struct received *got, const struct received *want)
{
	return got->err == want->err && got->sessions == want->sessions &&
	       got->files == want->files && got->pages == want->pages &&
	       got->quarantined == want->quarantined &&
	       got->subsystems == want->subsystems && got->flbs == want->flbs;
}

static void show(const char *what, const struct received *one)
{
	printf("# %s: error %d, %llu sessions, %llu files, %llu quarantined, ",
	       what, one->err, one->sessions, one->files, one->quarantined);
	printf("%llu pages, %llu subsystems, %llu FLBs\n", one->pages,
	       one->subsystems, one->flbs);
}

static bool run(const struct test *test)
{
	struct handover handover;
	struct received got;

	memory_reset(true);
	handover_make(&handover, test->shape ?: &good);
	must(handover.records == (test->shape ? MEMFD_RECORDS : RECORDS));
	test->damage(&handover, test);
	receive(handover.fdt, handover.size, &got);
	handover_free(&handover);
	if (same(&got, &test->want))
		return true;

	show("wanted", &test->want);
	show("got", &got);
	return false;
}

/* ---- Tests of their own ---- */

/* Every bit of the root turned around, one after the other */
static bool every_bit_of_the_root(void)
{
	struct handover handover;
	struct received got;
	bool all = true;
	size_t bit;
	u8 *bytes;

	memory_reset(true);
	handover_make(&handover, &good);
	bytes = handover.fdt;
	for (bit = 0; bit < 8 * handover.size; bit++) {
		bytes[bit / 8] ^= 1 << bit % 8;
		receive(handover.fdt, handover.size, &got);
		bytes[bit / 8] ^= 1 << bit % 8;
		if (!got.err) {
			printf("# bit %zu makes no difference\n", bit);
			all = false;
		}
	}
	handover_free(&handover);

	return all;
}

static bool every_length_of_the_root(void)
{
	struct handover handover;
	struct received got;
	bool all = true;

	memory_reset(true);
	handover_make(&handover, &good);
	while (handover.size) {
		resize_root(&handover, handover.size - 1);
		receive(handover.fdt, handover.size, &got);
		if (got.err != -EUCLEAN) {
			printf("# error %d at length %zu\n", got.err,
			       handover.size);
			all = false;
		}
	}
	handover_free(&handover);

	return all;
}

/* As many sessions and files as the memory has room for, at every block's edge */
static bool every_number_of_files(void)
{
	struct shape shape = { .sessions = 1 };
	struct handover handover;
	struct received got;
	bool all = true;

	for (; shape.files <= 3 * FULL + 1; shape.files++) {
		memory_reset(true);
		handover_make(&handover, &shape);
		receive(handover.fdt, handover.size, &got);
		handover_free(&handover);
		if (got.err || got.quarantined || got.files != shape.files) {
			show("got", &got);
			all = false;
		}
	}

	return all;
}

static bool many_items(void)
{
	const struct shape shape = { .items = 1000 };
	struct handover handover;
	struct received got;

	memory_reset(true);
	handover_make(&handover, &shape);
	receive(handover.fdt, handover.size, &got);
	handover_free(&handover);

	return !got.err && got.subsystems == shape.items &&
	       got.flbs == shape.items;
}

/* Where each event leads: from each state, with nothing incoming and with it */
static bool every_event_in_every_state(void)
{
	static const struct {
		enum liveupdate_state from;
		enum liveupdate_event event;
		int to[2];
	} right[] = {
		{ LIVEUPDATE_STATE_NORMAL, LIVEUPDATE_EVENT_PREPARE,
		  { LIVEUPDATE_STATE_PREPARED, LIVEUPDATE_STATE_PREPARED } },
		{ LIVEUPDATE_STATE_UPDATED, LIVEUPDATE_EVENT_PREPARE,
		  { LIVEUPDATE_STATE_PREPARED, LIVEUPDATE_STATE_PREPARED } },
		{ LIVEUPDATE_STATE_PREPARED, LIVEUPDATE_EVENT_FREEZE,
		  { LIVEUPDATE_STATE_FROZEN, LIVEUPDATE_STATE_FROZEN } },
		{ LIVEUPDATE_STATE_UPDATED, LIVEUPDATE_EVENT_FINISH,
		  { LIVEUPDATE_STATE_NORMAL, LIVEUPDATE_STATE_NORMAL } },
		{ LIVEUPDATE_STATE_PREPARED, LIVEUPDATE_EVENT_CANCEL,
		  { LIVEUPDATE_STATE_NORMAL, LIVEUPDATE_STATE_UPDATED } },
	};
	int from, event, incoming, want;
	bool all = true;
	size_t i;

	/* And values that are no state, or no event */
	for (i = 0; i < 16 * 16 * 2; i++) {
		from = (int)(i / 32) - 4;
		event = (int)(i / 2 % 16) - 4;
		incoming = i % 2;
		want = -EINVAL;
		for (size_t r = 0; r < ARRAY_SIZE(right); r++) {
			if ((int)right[r].from == from &&
			    (int)right[r].event == event)
				want = right[r].to[incoming];
		}
		if (luo_state_next(from, event, incoming) != want ||
		    !strlen(luo_state_name(from))) {
			printf("# state %d, event %d, incoming %d\n", from,
			       event, incoming);
			all = false;
		}
	}

	return all;
}

static const struct {
	const char *name;
	bool (*run)(void);
} others[] = {
	{ "every_bit_of_the_root", every_bit_of_the_root },
	{ "every_length_of_the_root", every_length_of_the_root },
	{ "every_number_of_files", every_number_of_files },
	{ "many_items", many_items },
	{ "every_event_in_every_state", every_event_in_every_state },
};

static bool report(unsigned int nr, const char *name, bool passed)
{
	printf("%sok %u %s\n", passed ? "" : "not ", nr, name);
	fflush(stdout);
	return passed;
}

int main(void)
{
	unsigned int nr = 0, failed = 0;
	size_t i;

	printf("1..%zu\n", ARRAY_SIZE(tests) + ARRAY_SIZE(others));
	for (i = 0; i < ARRAY_SIZE(tests); i++)
		failed += !report(++nr, tests[i].name, run(&tests[i]));
	for (i = 0; i < ARRAY_SIZE(others); i++)
		failed += !report(++nr, others[i].name, others[i].run());

	return failed != 0;
}
