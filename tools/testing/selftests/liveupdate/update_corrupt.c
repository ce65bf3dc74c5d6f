// SPDX-License-Identifier: GPL-2.0-only
/*
 * Handovers that are damaged between the freeze and the jump.
 *
 * In the first update, each test has a session with two memfds, and damages one
 * record of it: the next kernel has to find that, report it, and serve all the rest.
 * Then come tests that damage what all sessions hang on, with an update for each.
 *
 * Checksums are made right again, unless it is they that are tested: a kernel that
 * only compares checksums would take what is written here.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/handover.h"
#include "update.h"

#define PAGE	4096UL
#define SIZE	(5 * PAGE + 123)

enum where {
	SESSION, BLOCK, FILE_RECORD, MEMFD, EXTENTS, EXTENT,
};

/* How a field gets its new value */
enum how {
	TO,		/* the value */
	ADD,		/* the value, added */
	FILL,		/* all bytes of the value */
	SCRATCH,	/* an address in memory that the next kernel starts in */
	TAKEN,		/* an address in memory that is not preserved */
	ITSELF,		/* the address of the record's own block */
	OTHER,		/* the address of the first block of all sessions */
};

/* What the next kernel makes of it */
enum outcome {
	SESSION_LOST,	/* the session is not known by its name, and reported */
	SESSION_BAD,	/* it is, and is quarantined: EUCLEAN */
	FILE_BAD,	/* the session is served, the file is quarantined */
	FILE_LOST,	/* the session is served, there is no such file, reported */
	FILE_UNKNOWN,	/* the same, but nothing is wrong: ENOENT */
};

struct corruption {
	enum where where;
	size_t offset, width;
	enum how how;
	uint64_t value;
	enum outcome outcome;
	bool bad_checksum;
};

/* ---- Writing ---- */

static uint64_t base_of(const struct place *place, enum where where)
{
	const uint64_t bases[] = {
		[SESSION] = place->session, [BLOCK] = place->block,
		[FILE_RECORD] = place->file, [MEMFD] = place->memfd,
		[EXTENTS] = place->extents, [EXTENT] = place->extent,
	};

	return bases[where];
}

/* The kernel's first scratch area */
static uint64_t scratch_address(void)
{
	char text[256];

	OK(text_read("/sys/kernel/debug/kho/out/scratch_phys", text,
		     sizeof(text)));
	return strtoull(text, NULL, 16) + 16 * PAGE;
}

static uint64_t new_value(const struct place *place,
			  const struct corruption *corruption, uint64_t old)
{
	switch (corruption->how) {
	case ADD:
		return old + corruption->value;
	case SCRATCH:
		return scratch_address();
	case TAKEN:
		/* Where the kernel itself is: nobody preserves that */
		return 16 * MIB;
	case ITSELF:
		return base_of(place, corruption->where) & ~(PAGE - 1);
	case OTHER:
		return place->first_session_block;
	default:
		return corruption->value;
	}
}

static void change(const struct place *place,
		   const struct corruption *corruption)
{
	uint64_t at = base_of(place, corruption->where) + corruption->offset;
	unsigned char bytes[512];
	uint64_t value = 0;

	if (corruption->how == FILL) {
		memset(bytes, corruption->value, sizeof(bytes));
		OK(memory_write(at, bytes, corruption->width));
		return;
	}
	OK(memory_read(at, &value, corruption->width));
	value = new_value(place, corruption, value);
	OK(memory_write(at, &value, corruption->width));
}

static void fix(const struct place *place, enum where where)
{
	switch (where) {
	case SESSION:
	case BLOCK:
		place_fix_session(place);
		break;
	case FILE_RECORD:
		place_fix_files(place);
		break;
	default:
		place_fix_memfd(place);
		break;
	}
}

static void damage(struct note *note)
{
	const struct corruption *corruption = test_data();
	struct place place = {};

	OK(place_find(session_name(note, ""), &place));
	change(&place, corruption);
	if (!corruption->bad_checksum)
		fix(&place, corruption->where);
}

/* ---- Before and after ---- */

static void preserve(int session, uint64_t token, uint64_t seed)
{
	int fd = OK(memfd_filled("corrupt", 0, SIZE, seed));

	OK(luo_preserve(session, fd, token));
	close(fd);
}

static void victim(struct note *note)
{
	int session = session_new(note, "");

	preserve(session, 1, 1);
	preserve(session, 2, 2);
}

static uint64_t quarantined(void)
{
	return number_in(LUO_SYSFS "quarantined");
}

/* What it was is told, where user space and people look */
static void check_reported(const char *what)
{
	struct liveupdate_ioctl_get_info info;
	char list[8192];

	OK(text_read(LUO_SYSFS "quarantine", list, sizeof(list)));
	if (!strstr(list, what))
		test_fail(__FILE__, __LINE__, "\"%s\" is not reported", what);
	OK(luo_info_now(&info));
	CHECK_EQ(quarantined(), info.quarantined);
	CHECK(info.quarantine_errno);
}

static void check_intact(int session)
{
	int fd = OK(luo_restore(session, 2));

	CHECK_EQ(SIZE, SYS(lseek(fd, 0, SEEK_END)));
	OK(content_check(fd, 0, SIZE, 2));
	close(fd);
	OK(luo_finish(session));
	close(session);
}

static void check_file(struct note *note, enum outcome outcome)
{
	uint64_t before = quarantined();
	int session = session_claim(note, "");
	char what[128];

	for (int i = 0; i < 2; i++)
		CHECK_EQ(outcome == FILE_BAD ? -EUCLEAN : -ENOENT,
			 luo_restore(session, 1));
	CHECK_EQ(before + (outcome != FILE_UNKNOWN), quarantined());
	snprintf(what, sizeof(what), "file 1 of session %s", note->test);
	if (outcome != FILE_UNKNOWN)
		check_reported(what);
	check_intact(session);
}

static void check(struct note *note)
{
	const struct corruption *corruption = test_data();
	uint64_t before = quarantined();

	switch (corruption->outcome) {
	case SESSION_LOST:
		CHECK_EQ(-ENOENT, luo_session_claim(session_name(note, "")));
		CHECK_BETWEEN(1, before, 1000);
		break;
	case SESSION_BAD:
		for (int i = 0; i < 2; i++)
			CHECK_EQ(-EUCLEAN,
				 luo_session_claim(session_name(note, "")));
		CHECK_EQ(before + 1, quarantined());
		check_reported(note->test);
		break;
	default:
		check_file(note, corruption->outcome);
		break;
	}
}

#define CORRUPT(_name, ...)						\
	static const struct corruption corruption_##_name = __VA_ARGS__; \
	UPDATE_TEST(corrupt, corrupt_##_name, .stage = { victim, check }, \
		    .frozen = { damage }, .data = &corruption_##_name)

#define FIELD(_type, _member)						\
	offsetof(struct _type, _member), sizeof(((struct _type *)0)->_member)

#define MAX	(~0ULL)
/* Beyond all memory, and aligned */
#define NO_RAM	(1ULL << 45)

/* ---- The record of a session ---- */

CORRUPT(session_unknown, { SESSION, 0, 8, TO, 0x3276, SESSION_LOST });
CORRUPT(session_compatible_zero, { SESSION, FIELD(session_ser, compatible), FILL, 0, SESSION_LOST });
CORRUPT(session_compatible_endless, { SESSION, FIELD(session_ser, compatible), FILL, 'x', SESSION_LOST });
CORRUPT(session_name_empty, { SESSION, FIELD(session_ser, name), FILL, 0, SESSION_LOST });
CORRUPT(session_name_endless, { SESSION, FIELD(session_ser, name), FILL, 'x', SESSION_LOST });
CORRUPT(session_crc_zero, { SESSION, FIELD(session_ser, crc), TO, 0, SESSION_LOST, true });
CORRUPT(session_crc_max, { SESSION, FIELD(session_ser, crc), TO, MAX, SESSION_LOST, true });
CORRUPT(session_name_changed, { SESSION, 16, 1, ADD, 1, SESSION_LOST, true });
CORRUPT(session_files_zero, { SESSION, FIELD(session_ser, files), TO, 0, SESSION_BAD });
CORRUPT(session_files_one, { SESSION, FIELD(session_ser, files), TO, 1, SESSION_BAD });
CORRUPT(session_files_max, { SESSION, FIELD(session_ser, files), TO, MAX, SESSION_BAD });
CORRUPT(session_files_last_page, { SESSION, FIELD(session_ser, files), TO, MAX << 12, SESSION_BAD });
CORRUPT(session_files_no_ram, { SESSION, FIELD(session_ser, files), TO, NO_RAM, SESSION_BAD });
CORRUPT(session_files_scratch, { SESSION, FIELD(session_ser, files), SCRATCH, 0, SESSION_BAD });
CORRUPT(session_files_taken, { SESSION, FIELD(session_ser, files), TAKEN, 0, SESSION_BAD });
CORRUPT(session_files_misaligned, { SESSION, FIELD(session_ser, files), ADD, 8, SESSION_BAD });
CORRUPT(session_files_aliased, { SESSION, FIELD(session_ser, files), OTHER, 0, SESSION_BAD });
CORRUPT(session_count_zero, { SESSION, FIELD(session_ser, nr_files), TO, 0, SESSION_BAD });
CORRUPT(session_count_less, { SESSION, FIELD(session_ser, nr_files), ADD, MAX, SESSION_BAD });
CORRUPT(session_count_more, { SESSION, FIELD(session_ser, nr_files), ADD, 1, SESSION_BAD });
CORRUPT(session_count_block, { SESSION, FIELD(session_ser, nr_files), TO, PER_BLOCK(file_ser) + 1, SESSION_BAD });
CORRUPT(session_count_max, { SESSION, FIELD(session_ser, nr_files), TO, MAX, SESSION_BAD });
CORRUPT(session_files_crc_zero, { SESSION, FIELD(session_ser, files_crc), TO, 0, SESSION_BAD });
CORRUPT(session_files_crc_max, { SESSION, FIELD(session_ser, files_crc), TO, MAX, SESSION_BAD });

/* ---- The block that has the records of its files ---- */

CORRUPT(block_next_one, { BLOCK, FIELD(block_ser, next), TO, 1, SESSION_BAD });
CORRUPT(block_next_max, { BLOCK, FIELD(block_ser, next), TO, MAX, SESSION_BAD });
CORRUPT(block_next_itself, { BLOCK, FIELD(block_ser, next), ITSELF, 0, SESSION_BAD });
CORRUPT(block_next_scratch, { BLOCK, FIELD(block_ser, next), SCRATCH, 0, SESSION_BAD });
CORRUPT(block_next_aliased, { BLOCK, FIELD(block_ser, next), OTHER, 0, SESSION_BAD });
CORRUPT(block_count_zero, { BLOCK, FIELD(block_ser, count), TO, 0, SESSION_BAD });
CORRUPT(block_count_less, { BLOCK, FIELD(block_ser, count), ADD, MAX, SESSION_BAD });
CORRUPT(block_count_more, { BLOCK, FIELD(block_ser, count), ADD, 1, SESSION_BAD });
CORRUPT(block_count_max, { BLOCK, FIELD(block_ser, count), TO, MAX, SESSION_BAD });

/* ---- The record of a file ---- */

CORRUPT(file_unknown, { FILE_RECORD, 0, 1, ADD, 1, FILE_UNKNOWN });
CORRUPT(file_compatible_empty, { FILE_RECORD, FIELD(file_ser, compatible), FILL, 0, FILE_LOST });
CORRUPT(file_compatible_endless, { FILE_RECORD, FIELD(file_ser, compatible), FILL, 'x', FILE_LOST });
CORRUPT(file_changed, { FILE_RECORD, FIELD(file_ser, token), TO, 77, SESSION_BAD, true });
CORRUPT(file_data_zero, { FILE_RECORD, FIELD(file_ser, data), TO, 0, FILE_BAD });
CORRUPT(file_data_one, { FILE_RECORD, FIELD(file_ser, data), TO, 1, FILE_BAD });
CORRUPT(file_data_max, { FILE_RECORD, FIELD(file_ser, data), TO, MAX, FILE_BAD });
CORRUPT(file_data_no_ram, { FILE_RECORD, FIELD(file_ser, data), TO, NO_RAM, FILE_BAD });
CORRUPT(file_data_scratch, { FILE_RECORD, FIELD(file_ser, data), SCRATCH, 0, FILE_BAD });
CORRUPT(file_data_taken, { FILE_RECORD, FIELD(file_ser, data), TAKEN, 0, FILE_BAD });
CORRUPT(file_data_misaligned, { FILE_RECORD, FIELD(file_ser, data), ADD, 64, FILE_BAD });
CORRUPT(file_data_its_block, { FILE_RECORD, FIELD(file_ser, data), ITSELF, 0, FILE_BAD });
CORRUPT(file_data_aliased, { FILE_RECORD, FIELD(file_ser, data), OTHER, 0, FILE_BAD });

/* ---- The record of a memfd ---- */

CORRUPT(memfd_size_zero, { MEMFD, FIELD(memfd_ser, size), TO, 0, FILE_BAD });
CORRUPT(memfd_size_less, { MEMFD, FIELD(memfd_ser, size), TO, PAGE, FILE_BAD });
CORRUPT(memfd_size_max, { MEMFD, FIELD(memfd_ser, size), TO, MAX, FILE_BAD });
CORRUPT(memfd_size_negative, { MEMFD, FIELD(memfd_ser, size), TO, 1ULL << 63, FILE_BAD });
CORRUPT(memfd_position_max, { MEMFD, FIELD(memfd_ser, pos), TO, MAX, FILE_BAD });
CORRUPT(memfd_seals_unknown, { MEMFD, FIELD(memfd_ser, seals), TO, 1 << 20, FILE_BAD });
CORRUPT(memfd_flags_unknown, { MEMFD, FIELD(memfd_ser, flags), TO, MAX, FILE_BAD });
CORRUPT(memfd_mode_bad, { MEMFD, FIELD(memfd_ser, mode), TO, 0100777, FILE_BAD });
CORRUPT(memfd_reopened_bad, { MEMFD, FIELD(memfd_ser, reopened), TO, 2, FILE_BAD });
CORRUPT(memfd_name_endless, { MEMFD, FIELD(memfd_ser, name), FILL, 'x', FILE_BAD });
CORRUPT(memfd_name_empty, { MEMFD, FIELD(memfd_ser, name), FILL, 0, FILE_BAD });
CORRUPT(memfd_crc_zero, { MEMFD, FIELD(memfd_ser, crc), TO, 0, FILE_BAD, true });
CORRUPT(memfd_changed, { MEMFD, FIELD(memfd_ser, uid), ADD, 1, FILE_BAD, true });
CORRUPT(memfd_kept_zero, { MEMFD, FIELD(memfd_ser, kept.first), TO, 0, FILE_BAD });
CORRUPT(memfd_kept_max, { MEMFD, FIELD(memfd_ser, kept.first), TO, MAX, FILE_BAD });
CORRUPT(memfd_kept_scratch, { MEMFD, FIELD(memfd_ser, kept.first), SCRATCH, 0, FILE_BAD });
CORRUPT(memfd_kept_itself, { MEMFD, FIELD(memfd_ser, kept.first), ITSELF, 0, FILE_BAD });
CORRUPT(memfd_kept_none, { MEMFD, FIELD(memfd_ser, kept.count), TO, 0, FILE_BAD });
CORRUPT(memfd_kept_more, { MEMFD, FIELD(memfd_ser, kept.count), ADD, 1, FILE_BAD });
CORRUPT(memfd_kept_many, { MEMFD, FIELD(memfd_ser, kept.count), TO, MAX, FILE_BAD });
CORRUPT(memfd_kept_crc, { MEMFD, FIELD(memfd_ser, kept.crc), TO, 0, FILE_BAD, true });
CORRUPT(memfd_late_wild, { MEMFD, FIELD(memfd_ser, late.first), TAKEN, 0, FILE_BAD });
CORRUPT(memfd_late_count, { MEMFD, FIELD(memfd_ser, late.count), TO, 1, FILE_BAD });

/* ---- The extents of a memfd ---- */

CORRUPT(extents_next_itself, { EXTENTS, FIELD(block_ser, next), ITSELF, 0, FILE_BAD });
CORRUPT(extents_count_zero, { EXTENTS, FIELD(block_ser, count), TO, 0, FILE_BAD });
CORRUPT(extents_count_more, { EXTENTS, FIELD(block_ser, count), ADD, 1, FILE_BAD });
CORRUPT(extents_count_max, { EXTENTS, FIELD(block_ser, count), TO, MAX, FILE_BAD });
CORRUPT(extent_phys_zero, { EXTENT, FIELD(extent_ser, phys), TO, 0, FILE_BAD });
CORRUPT(extent_phys_max, { EXTENT, FIELD(extent_ser, phys), TO, MAX, FILE_BAD });
CORRUPT(extent_phys_no_ram, { EXTENT, FIELD(extent_ser, phys), TO, NO_RAM, FILE_BAD });
CORRUPT(extent_phys_scratch, { EXTENT, FIELD(extent_ser, phys), SCRATCH, 0, FILE_BAD });
CORRUPT(extent_phys_taken, { EXTENT, FIELD(extent_ser, phys), TAKEN, 0, FILE_BAD });
CORRUPT(extent_phys_its_block, { EXTENT, FIELD(extent_ser, phys), ITSELF, 0, FILE_BAD });
CORRUPT(extent_phys_aliased, { EXTENT, FIELD(extent_ser, phys), OTHER, 0, FILE_BAD });
CORRUPT(extent_order_wrong, { EXTENT, FIELD(extent_ser, phys), ADD, 1, FILE_BAD });
CORRUPT(extent_order_max, { EXTENT, FIELD(extent_ser, phys), ADD, 63, FILE_BAD });
CORRUPT(extent_index_beyond, { EXTENT, FIELD(extent_ser, index), TO, 1 << 20, FILE_BAD });
CORRUPT(extent_index_max, { EXTENT, FIELD(extent_ser, index), TO, MAX, FILE_BAD });
CORRUPT(extent_pages_zero, { EXTENT, FIELD(extent_ser, pages), TO, 0, FILE_BAD });
CORRUPT(extent_pages_more, { EXTENT, FIELD(extent_ser, pages), TO, 1 << 20, FILE_BAD });
CORRUPT(extent_pages_max, { EXTENT, FIELD(extent_ser, pages), TO, MAX, FILE_BAD });

/* Of a session that nobody touched, all is there */
static void check_untouched(struct note *note)
{
	int session = session_claim(note, "");

	OK(content_check(OK(luo_restore(session, 1)), 0, SIZE, 1));
	check_intact(session);
}

UPDATE_TEST(corrupt, corrupt_not, .stage = { victim, check_untouched });

/* ---- What all sessions hang on: each in an update of its own ---- */

/* Headers of the tree, by their offset, are not found by a name */
struct root_corruption {
	const char *node, *property;
	size_t offset;
	enum how how;
	uint64_t value;
	const char *reported;
	bool bad_checksum;
};

static void change_property(struct root *root,
			    const struct root_corruption *corruption)
{
	struct place place = {
		.first_session_block = root_get(root, "sessions", "first"),
	};
	const struct corruption like = {
		.how = corruption->how, .value = corruption->value,
	};
	size_t size;
	void *bytes = root_property(root, corruption->node,
				    corruption->property, &size);

	if (!bytes)
		test_fail(__FILE__, __LINE__, "no property %s",
			  corruption->property);
	if (corruption->how == FILL)
		memset(bytes, corruption->value, size);
	else
		OK(root_set(root, corruption->node, corruption->property,
			    new_value(&place, &like,
				      root_get(root, corruption->node,
					       corruption->property))));
}

static void change_header(struct root *root,
			  const struct root_corruption *corruption)
{
	uint32_t value = htonl(corruption->value);

	memcpy(root->fdt + corruption->offset, &value, sizeof(value));
}

static void damage_root(struct note *note)
{
	const struct root_corruption *corruption = test_data();
	static struct root root;

	OK(root_read(&root));
	if (corruption->property)
		change_property(&root, corruption);
	if (corruption->property && !corruption->bad_checksum)
		root_fix(&root);
	if (!corruption->property)
		change_header(&root, corruption);
	OK(root_write(&root));
}

static void damage_list(struct note *note)
{
	const struct corruption *corruption = test_data();
	static struct root root;
	struct place place = {};

	OK(root_read(&root));
	place.first_session_block = root_get(&root, "sessions", "first");
	place.block = place.first_session_block;
	change(&place, corruption);
}

/* Nothing came, and the machine works: the next update shows it as well */
static void check_nothing(struct note *note, const char *reported)
{
	check_text(LUO_SYSFS "state", "normal");
	check_text(LUO_SYSFS "incoming", "0 0");
	CHECK_EQ(1, quarantined());
	check_reported(reported);
	CHECK_EQ(-ENOENT, luo_session_claim(session_name(note, "")));
	close(session_new(note, ""));
}

static void check_root(struct note *note)
{
	const struct root_corruption *corruption = test_data();

	check_nothing(note, corruption->reported);
}

static void check_list(struct note *note)
{
	check_nothing(note, "list of 1 sessions");
}

#define ROOT(_stage, _name, ...)					\
	static const struct root_corruption corruption_##_name = __VA_ARGS__; \
	UPDATE_TEST(corrupt, corrupt_##_name,				\
		    .stage = { [_stage] = victim, [_stage + 1] = check_root }, \
		    .frozen = { [_stage] = damage_root },		\
		    .data = &corruption_##_name)

#define LIST(_stage, _name, ...)					\
	static const struct corruption corruption_##_name = __VA_ARGS__; \
	UPDATE_TEST(corrupt, corrupt_##_name,				\
		    .stage = { [_stage] = victim, [_stage + 1] = check_list }, \
		    .frozen = { [_stage] = damage_list },		\
		    .data = &corruption_##_name)

#define ALL	"handover"

ROOT(1, root_checksum, { "", "number", 0, ADD, 1, ALL, true });
ROOT(2, root_unknown, { "", "compatible", 0, FILL, 'x', ALL });
ROOT(3, root_release_endless, { "", "release", 0, FILL, 'x', ALL });
ROOT(4, root_magic, { NULL, NULL, 0, TO, 0, ALL });
ROOT(5, root_size_max, { NULL, NULL, 4, TO, ~0U, ALL });
ROOT(6, root_size_small, { NULL, NULL, 4, TO, 48, ALL });
ROOT(7, root_struct_max, { NULL, NULL, 8, TO, ~0U & ~3, ALL });
ROOT(8, root_strings_max, { NULL, NULL, 12, TO, ~0U, ALL });
ROOT(9, root_sessions_unknown, { "sessions", "compatible", 0, FILL, 'x', ALL });
ROOT(10, root_first_zero, { "sessions", "first", 0, TO, 0, "list of 1 sessions" });
ROOT(11, root_first_max, { "sessions", "first", 0, TO, MAX, "list of 1 sessions" });
ROOT(12, root_first_no_ram, { "sessions", "first", 0, TO, NO_RAM, "list of 1 sessions" });
ROOT(13, root_first_scratch, { "sessions", "first", 0, SCRATCH, 0, "list of 1 sessions" });
ROOT(14, root_first_misaligned, { "sessions", "first", 0, ADD, 8, "list of 1 sessions" });
ROOT(15, root_count_zero, { "sessions", "count", 0, TO, 0, "list of 0 sessions" });
ROOT(16, root_count_more, { "sessions", "count", 0, ADD, 1, "list of 2 sessions" });
ROOT(17, root_count_max, { "sessions", "count", 0, TO, MAX, "list of 18446744073709551615 sessions" });
LIST(18, list_next_itself, { BLOCK, FIELD(block_ser, next), ITSELF, 0, SESSION_LOST });
LIST(19, list_next_scratch, { BLOCK, FIELD(block_ser, next), SCRATCH, 0, SESSION_LOST });
LIST(20, list_count_zero, { BLOCK, FIELD(block_ser, count), TO, 0, SESSION_LOST });
LIST(21, list_count_max, { BLOCK, FIELD(block_ser, count), TO, MAX, SESSION_LOST });

/* ---- With liveupdate_on_error=panic, the next kernel does not get this far ---- */

static void not_panicked(struct note *note)
{
	test_fail(__FILE__, __LINE__, "the kernel did not panic");
}

static const struct corruption crc_zero = {
	SESSION, FIELD(session_ser, crc), TO, 0, SESSION_LOST, true
};

UPDATE_TEST(panic, panic_on_error, .stage = { victim, not_panicked },
	    .frozen = { damage }, .data = &crc_zero);
