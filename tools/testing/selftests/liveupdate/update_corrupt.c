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

/* Extents of the memfd that is damaged: more than its head has room for */
#define PIECES	200

enum where {
	SESSION, BLOCK, RECORD, MEMFD, NEAR_EXTENT, EXTENTS, EXTENT,
};

/* At the end of the head's page: the label, and its checksum */
#define LABEL_LENGTH	252
#define LABEL_AT	(PAGE - sizeof(uint32_t) - LABEL_LENGTH)

/* What can be damaged: a part of a record, or all of a field */
enum field {
	SESSION_VERSION,
	SESSION_LETTER,
	FILE_LETTER,
	SESSION_COMPATIBLE,
	SESSION_NAME,
	SESSION_CRC,
	SESSION_FILES,
	SESSION_NR_FILES,
	SESSION_FILES_CRC,
	BLOCK_NEXT,
	BLOCK_COUNT,
	FILE_COMPATIBLE,
	FILE_TOKEN,
	FILE_DATA,
	MEMFD_SIZE,
	MEMFD_POS,
	MEMFD_SEALS,
	MEMFD_FLAGS,
	MEMFD_MODE,
	MEMFD_REOPENED,
	MEMFD_NAME,
	MEMFD_CRC,
	MEMFD_UID,
	MEMFD_KEPT_FIRST,
	MEMFD_KEPT_COUNT,
	MEMFD_KEPT_CRC,
	MEMFD_LATE_FIRST,
	MEMFD_LATE_COUNT,
	MEMFD_NEAR_COUNT,
	MEMFD_NEAR_CRC,
	MEMFD_LABEL,
	MEMFD_LABEL_CRC,
	NEAR_PHYS,
	NEAR_INDEX,
	NEAR_PAGES,
	EXTENTS_NEXT,
	EXTENTS_COUNT,
	EXTENT_PHYS,
	EXTENT_INDEX,
	EXTENT_PAGES,
};

static const struct {
	enum where where;
	size_t offset, width;
} fields[] = {
	[SESSION_VERSION] = { SESSION, 0, 8 },
	[SESSION_LETTER] = { SESSION, 16, 1 },
	[FILE_LETTER] = { RECORD, 0, 1 },
	[SESSION_COMPATIBLE] = { SESSION, offsetof(struct session_ser, compatible),
		sizeof(((struct session_ser *)0)->compatible) },
	[SESSION_NAME] = { SESSION, offsetof(struct session_ser, name),
		sizeof(((struct session_ser *)0)->name) },
	[SESSION_CRC] = { SESSION, offsetof(struct session_ser, crc),
		sizeof(((struct session_ser *)0)->crc) },
	[SESSION_FILES] = { SESSION, offsetof(struct session_ser, files),
		sizeof(((struct session_ser *)0)->files) },
	[SESSION_NR_FILES] = { SESSION, offsetof(struct session_ser, nr_files),
		sizeof(((struct session_ser *)0)->nr_files) },
	[SESSION_FILES_CRC] = { SESSION, offsetof(struct session_ser, files_crc),
		sizeof(((struct session_ser *)0)->files_crc) },
	[BLOCK_NEXT] = { BLOCK, offsetof(struct block_ser, next),
		sizeof(((struct block_ser *)0)->next) },
	[BLOCK_COUNT] = { BLOCK, offsetof(struct block_ser, count),
		sizeof(((struct block_ser *)0)->count) },
	[FILE_COMPATIBLE] = { RECORD, offsetof(struct file_ser, compatible),
		sizeof(((struct file_ser *)0)->compatible) },
	[FILE_TOKEN] = { RECORD, offsetof(struct file_ser, token),
		sizeof(((struct file_ser *)0)->token) },
	[FILE_DATA] = { RECORD, offsetof(struct file_ser, data),
		sizeof(((struct file_ser *)0)->data) },
	[MEMFD_SIZE] = { MEMFD, offsetof(struct memfd_ser, size),
		sizeof(((struct memfd_ser *)0)->size) },
	[MEMFD_POS] = { MEMFD, offsetof(struct memfd_ser, pos),
		sizeof(((struct memfd_ser *)0)->pos) },
	[MEMFD_SEALS] = { MEMFD, offsetof(struct memfd_ser, seals),
		sizeof(((struct memfd_ser *)0)->seals) },
	[MEMFD_FLAGS] = { MEMFD, offsetof(struct memfd_ser, flags),
		sizeof(((struct memfd_ser *)0)->flags) },
	[MEMFD_MODE] = { MEMFD, offsetof(struct memfd_ser, mode),
		sizeof(((struct memfd_ser *)0)->mode) },
	[MEMFD_REOPENED] = { MEMFD, offsetof(struct memfd_ser, reopened),
		sizeof(((struct memfd_ser *)0)->reopened) },
	[MEMFD_NAME] = { MEMFD, offsetof(struct memfd_ser, name),
		sizeof(((struct memfd_ser *)0)->name) },
	[MEMFD_CRC] = { MEMFD, offsetof(struct memfd_ser, crc),
		sizeof(((struct memfd_ser *)0)->crc) },
	[MEMFD_UID] = { MEMFD, offsetof(struct memfd_ser, uid),
		sizeof(((struct memfd_ser *)0)->uid) },
	[MEMFD_KEPT_FIRST] = { MEMFD, offsetof(struct memfd_ser, kept.first),
		sizeof(((struct memfd_ser *)0)->kept.first) },
	[MEMFD_KEPT_COUNT] = { MEMFD, offsetof(struct memfd_ser, kept.count),
		sizeof(((struct memfd_ser *)0)->kept.count) },
	[MEMFD_KEPT_CRC] = { MEMFD, offsetof(struct memfd_ser, kept.crc),
		sizeof(((struct memfd_ser *)0)->kept.crc) },
	[MEMFD_LATE_FIRST] = { MEMFD, offsetof(struct memfd_ser, late.first),
		sizeof(((struct memfd_ser *)0)->late.first) },
	[MEMFD_LATE_COUNT] = { MEMFD, offsetof(struct memfd_ser, late.count),
		sizeof(((struct memfd_ser *)0)->late.count) },
	[MEMFD_NEAR_COUNT] = { MEMFD, offsetof(struct memfd_ser, near_count),
		sizeof(((struct memfd_ser *)0)->near_count) },
	[MEMFD_NEAR_CRC] = { MEMFD, offsetof(struct memfd_ser, near_crc),
		sizeof(((struct memfd_ser *)0)->near_crc) },
	[MEMFD_LABEL] = { MEMFD, LABEL_AT, LABEL_LENGTH },
	[MEMFD_LABEL_CRC] = { MEMFD, LABEL_AT + LABEL_LENGTH, sizeof(uint32_t) },
	[NEAR_PHYS] = { NEAR_EXTENT, offsetof(struct extent_ser, phys),
		sizeof(((struct extent_ser *)0)->phys) },
	[NEAR_INDEX] = { NEAR_EXTENT, offsetof(struct extent_ser, index),
		sizeof(((struct extent_ser *)0)->index) },
	[NEAR_PAGES] = { NEAR_EXTENT, offsetof(struct extent_ser, pages),
		sizeof(((struct extent_ser *)0)->pages) },
	[EXTENTS_NEXT] = { EXTENTS, offsetof(struct block_ser, next),
		sizeof(((struct block_ser *)0)->next) },
	[EXTENTS_COUNT] = { EXTENTS, offsetof(struct block_ser, count),
		sizeof(((struct block_ser *)0)->count) },
	[EXTENT_PHYS] = { EXTENT, offsetof(struct extent_ser, phys),
		sizeof(((struct extent_ser *)0)->phys) },
	[EXTENT_INDEX] = { EXTENT, offsetof(struct extent_ser, index),
		sizeof(((struct extent_ser *)0)->index) },
	[EXTENT_PAGES] = { EXTENT, offsetof(struct extent_ser, pages),
		sizeof(((struct extent_ser *)0)->pages) },
};

/* How a field gets its new value */
enum how {
	TO,		/* the value */
	ADD,		/* the value, added */
	FILL,		/* all bytes of the value */
	NEXT,		/* what the next extent has there */
	KHO_TREE,	/* the address of the tree that tells KHO of all others */
	SCRATCH,	/* an address in memory that the next kernel starts in */
	TAKEN,		/* an address in memory that is not preserved */
	ITSELF,		/* the address of the record's own block */
	OTHER,		/* the address of the first block of all sessions */
	ROOT_OF_ALL,	/* the address of the tree that all hangs on */
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
	enum field field;
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
		[RECORD] = place->file, [MEMFD] = place->memfd,
		[NEAR_EXTENT] = place->near, [EXTENTS] = place->extents,
		[EXTENT] = place->extent,
	};

	return bases[where];
}

static uint64_t next_value(const struct place *place, enum field field)
{
	uint64_t at = base_of(place, fields[field].where) +
		      fields[field].offset + sizeof(struct extent_ser);
	uint64_t value;

	OK(memory_read(at, &value, sizeof(value)));
	return value;
}

static struct kho_place kho_now(void)
{
	struct kho_place kho = {};

	OK(kho_find(&kho));
	return kho;
}

/* The kernel's first scratch area */
static uint64_t scratch_address(void)
{
	return kho_now().scratch + 16 * PAGE;
}

static uint64_t root_address(void)
{
	static struct root root;

	OK(root_read(&root));
	return root.phys;
}

/* Nobody preserves that, wherever it was put at random */
static uint64_t kernel_code(void)
{
	uint64_t phys;

	OK(memory_kernel_code(&phys));
	return phys;
}

static uint64_t new_value(const struct place *place,
			  const struct corruption *corruption, uint64_t old)
{
	switch (corruption->how) {
	case ADD:
		return old + corruption->value;
	case NEXT:
		return next_value(place, corruption->field);
	case KHO_TREE:
		return kho_now().tree;
	case SCRATCH:
		return scratch_address();
	case TAKEN:
		return kernel_code();
	case ITSELF:
		return base_of(place, fields[corruption->field].where) &
		       ~(PAGE - 1);
	case OTHER:
		return place->first_session_block;
	case ROOT_OF_ALL:
		return root_address();
	default:
		return corruption->value;
	}
}

static void change(const struct place *place,
		   const struct corruption *corruption)
{
	size_t width = fields[corruption->field].width;
	uint64_t at = base_of(place, fields[corruption->field].where) +
		      fields[corruption->field].offset;
	unsigned char bytes[512];
	uint64_t value = 0;

	if (corruption->how == FILL) {
		memset(bytes, corruption->value, sizeof(bytes));
		OK(memory_write(at, bytes, width));
		return;
	}
	OK(memory_read(at, &value, width));
	value = new_value(place, corruption, value);
	OK(memory_write(at, &value, width));
}

static void fix(const struct place *place, enum where where)
{
	switch (where) {
	case SESSION:
	case BLOCK:
		place_fix_session(place);
		break;
	case RECORD:
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
		fix(&place, fields[corruption->field].where);
}

/* ---- Before and after ---- */

/* Behind its content, the first one has single pages with holes between them */
static void preserve(int session, uint64_t token, unsigned int pieces)
{
	int fd = OK(memfd_filled("corrupt", 0, SIZE, token));

	for (unsigned int i = 0; i < pieces; i++)
		OK(content_fill(fd, (8 + 2 * i) * PAGE, 8, token));
	OK(luo_preserve(session, fd, token));
	close(fd);
}

static void victim(struct note *note)
{
	int session = session_new(note, "");

	preserve(session, 1, PIECES);
	preserve(session, 2, 0);
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
		    .frozen = damage, .data = &corruption_##_name)

#define MAX	(~0ULL)
/* Beyond all memory, and aligned */
#define NO_RAM	0x200000000000ULL

/* ---- The record of a session ---- */

CORRUPT(session_unknown, { SESSION_VERSION, TO, 0x3276, SESSION_LOST, false });
CORRUPT(session_compatible_zero, { SESSION_COMPATIBLE, FILL, 0, SESSION_LOST, false });
CORRUPT(session_compatible_endless, { SESSION_COMPATIBLE, FILL, 'x', SESSION_LOST, false });
CORRUPT(session_name_empty, { SESSION_NAME, FILL, 0, SESSION_LOST, false });
CORRUPT(session_name_endless, { SESSION_NAME, FILL, 'x', SESSION_LOST, false });
CORRUPT(session_crc_zero, { SESSION_CRC, TO, 0, SESSION_LOST, true });
CORRUPT(session_crc_max, { SESSION_CRC, TO, MAX, SESSION_LOST, true });
CORRUPT(session_name_changed, { SESSION_LETTER, ADD, 1, SESSION_LOST, true });
CORRUPT(session_files_zero, { SESSION_FILES, TO, 0, SESSION_BAD, false });
CORRUPT(session_files_one, { SESSION_FILES, TO, 1, SESSION_BAD, false });
CORRUPT(session_files_max, { SESSION_FILES, TO, MAX, SESSION_BAD, false });
CORRUPT(session_files_last_page, { SESSION_FILES, TO, MAX << 12, SESSION_BAD, false });
CORRUPT(session_files_no_ram, { SESSION_FILES, TO, NO_RAM, SESSION_BAD, false });
CORRUPT(session_files_scratch, { SESSION_FILES, SCRATCH, 0, SESSION_BAD, false });
CORRUPT(session_files_taken, { SESSION_FILES, TAKEN, 0, SESSION_BAD, false });
CORRUPT(session_files_misaligned, { SESSION_FILES, ADD, 8, SESSION_BAD, false });
CORRUPT(session_files_aliased, { SESSION_FILES, OTHER, 0, SESSION_BAD, false });
CORRUPT(session_count_zero, { SESSION_NR_FILES, TO, 0, SESSION_BAD, false });
CORRUPT(session_count_less, { SESSION_NR_FILES, ADD, MAX, SESSION_BAD, false });
CORRUPT(session_count_more, { SESSION_NR_FILES, ADD, 1, SESSION_BAD, false });
CORRUPT(session_count_block, { SESSION_NR_FILES, TO, PER_BLOCK(file_ser) + 1, SESSION_BAD, false });
CORRUPT(session_count_max, { SESSION_NR_FILES, TO, MAX, SESSION_BAD, false });
CORRUPT(session_files_crc_zero, { SESSION_FILES_CRC, TO, 0, SESSION_BAD, false });
CORRUPT(session_files_crc_max, { SESSION_FILES_CRC, TO, MAX, SESSION_BAD, false });

/* ---- The block that has the records of its files ---- */

CORRUPT(block_next_one, { BLOCK_NEXT, TO, 1, SESSION_BAD, false });
CORRUPT(block_next_max, { BLOCK_NEXT, TO, MAX, SESSION_BAD, false });
CORRUPT(block_next_itself, { BLOCK_NEXT, ITSELF, 0, SESSION_BAD, false });
CORRUPT(block_next_scratch, { BLOCK_NEXT, SCRATCH, 0, SESSION_BAD, false });
CORRUPT(block_next_aliased, { BLOCK_NEXT, OTHER, 0, SESSION_BAD, false });
CORRUPT(block_count_zero, { BLOCK_COUNT, TO, 0, SESSION_BAD, false });
CORRUPT(block_count_less, { BLOCK_COUNT, ADD, MAX, SESSION_BAD, false });
CORRUPT(block_count_more, { BLOCK_COUNT, ADD, 1, SESSION_BAD, false });
CORRUPT(block_count_max, { BLOCK_COUNT, TO, MAX, SESSION_BAD, false });

/* ---- The record of a file ---- */

CORRUPT(file_unknown, { FILE_LETTER, ADD, 1, FILE_UNKNOWN, false });
CORRUPT(file_compatible_empty, { FILE_COMPATIBLE, FILL, 0, FILE_LOST, false });
CORRUPT(file_compatible_endless, { FILE_COMPATIBLE, FILL, 'x', FILE_LOST, false });
CORRUPT(file_changed, { FILE_TOKEN, TO, 77, SESSION_BAD, true });
CORRUPT(file_data_zero, { FILE_DATA, TO, 0, FILE_BAD, false });
CORRUPT(file_data_one, { FILE_DATA, TO, 1, FILE_BAD, false });
CORRUPT(file_data_max, { FILE_DATA, TO, MAX, FILE_BAD, false });
CORRUPT(file_data_no_ram, { FILE_DATA, TO, NO_RAM, FILE_BAD, false });
CORRUPT(file_data_scratch, { FILE_DATA, SCRATCH, 0, FILE_BAD, false });
CORRUPT(file_data_taken, { FILE_DATA, TAKEN, 0, FILE_BAD, false });
CORRUPT(file_data_misaligned, { FILE_DATA, ADD, 64, FILE_BAD, false });
CORRUPT(file_data_kho, { FILE_DATA, KHO_TREE, 0, FILE_BAD, false });
CORRUPT(file_data_its_block, { FILE_DATA, ITSELF, 0, FILE_BAD, false });
CORRUPT(file_data_root, { FILE_DATA, ROOT_OF_ALL, 0, FILE_BAD, false });
CORRUPT(file_data_aliased, { FILE_DATA, OTHER, 0, FILE_BAD, false });

/* ---- The record of a memfd ---- */

CORRUPT(memfd_size_zero, { MEMFD_SIZE, TO, 0, FILE_BAD, false });
CORRUPT(memfd_size_less, { MEMFD_SIZE, TO, PAGE, FILE_BAD, false });
CORRUPT(memfd_size_max, { MEMFD_SIZE, TO, MAX, FILE_BAD, false });
CORRUPT(memfd_size_negative, { MEMFD_SIZE, TO, 1ULL << 63, FILE_BAD, false });
CORRUPT(memfd_position_max, { MEMFD_POS, TO, MAX, FILE_BAD, false });
CORRUPT(memfd_seals_unknown, { MEMFD_SEALS, TO, 1 << 20, FILE_BAD, false });
CORRUPT(memfd_flags_unknown, { MEMFD_FLAGS, TO, MAX, FILE_BAD, false });
CORRUPT(memfd_mode_bad, { MEMFD_MODE, TO, 0100777, FILE_BAD, false });
CORRUPT(memfd_reopened_bad, { MEMFD_REOPENED, TO, 2, FILE_BAD, false });
CORRUPT(memfd_name_endless, { MEMFD_NAME, FILL, 'x', FILE_BAD, false });
CORRUPT(memfd_name_empty, { MEMFD_NAME, FILL, 0, FILE_BAD, false });
CORRUPT(memfd_crc_zero, { MEMFD_CRC, TO, 0, FILE_BAD, true });
CORRUPT(memfd_changed, { MEMFD_UID, ADD, 1, FILE_BAD, true });
CORRUPT(memfd_kept_zero, { MEMFD_KEPT_FIRST, TO, 0, FILE_BAD, false });
CORRUPT(memfd_kept_max, { MEMFD_KEPT_FIRST, TO, MAX, FILE_BAD, false });
CORRUPT(memfd_kept_scratch, { MEMFD_KEPT_FIRST, SCRATCH, 0, FILE_BAD, false });
CORRUPT(memfd_kept_itself, { MEMFD_KEPT_FIRST, ITSELF, 0, FILE_BAD, false });
CORRUPT(memfd_kept_none, { MEMFD_KEPT_COUNT, TO, 0, FILE_BAD, false });
CORRUPT(memfd_kept_more, { MEMFD_KEPT_COUNT, ADD, 1, FILE_BAD, false });
CORRUPT(memfd_kept_many, { MEMFD_KEPT_COUNT, TO, MAX, FILE_BAD, false });
CORRUPT(memfd_kept_crc, { MEMFD_KEPT_CRC, TO, 0, FILE_BAD, true });
CORRUPT(memfd_late_wild, { MEMFD_LATE_FIRST, TAKEN, 0, FILE_BAD, false });
CORRUPT(memfd_late_count, { MEMFD_LATE_COUNT, TO, 1, FILE_BAD, false });

CORRUPT(memfd_near_fewer, { MEMFD_NEAR_COUNT, TO, 0, FILE_BAD, true });
CORRUPT(memfd_near_more, { MEMFD_NEAR_COUNT, ADD, 1, FILE_BAD, false });
CORRUPT(memfd_near_many, { MEMFD_NEAR_COUNT, TO, MAX, FILE_BAD, false });
CORRUPT(memfd_near_crc, { MEMFD_NEAR_CRC, TO, 0, FILE_BAD, true });
CORRUPT(memfd_label_endless, { MEMFD_LABEL, FILL, 'x', FILE_BAD, false });
CORRUPT(memfd_label_crc, { MEMFD_LABEL_CRC, TO, 1, FILE_BAD, false });

/* ---- The extents of a memfd: in the page of its head, and in blocks ---- */

CORRUPT(near_phys_zero, { NEAR_PHYS, TO, 0, FILE_BAD, false });
CORRUPT(near_phys_max, { NEAR_PHYS, TO, MAX, FILE_BAD, false });
CORRUPT(near_phys_no_ram, { NEAR_PHYS, TO, NO_RAM, FILE_BAD, false });
CORRUPT(near_phys_scratch, { NEAR_PHYS, SCRATCH, 0, FILE_BAD, false });
CORRUPT(near_phys_taken, { NEAR_PHYS, TAKEN, 0, FILE_BAD, false });
CORRUPT(near_phys_its_head, { NEAR_PHYS, ITSELF, 0, FILE_BAD, false });
CORRUPT(near_phys_root, { NEAR_PHYS, ROOT_OF_ALL, 0, FILE_BAD, false });
CORRUPT(near_phys_aliased, { NEAR_PHYS, OTHER, 0, FILE_BAD, false });
CORRUPT(near_order_wrong, { NEAR_PHYS, ADD, 1, FILE_BAD, false });
CORRUPT(near_order_max, { NEAR_PHYS, ADD, 63, FILE_BAD, false });
CORRUPT(near_index_beyond, { NEAR_INDEX, TO, 1 << 20, FILE_BAD, false });
CORRUPT(near_index_max, { NEAR_INDEX, TO, MAX, FILE_BAD, false });
CORRUPT(near_index_twice, { NEAR_INDEX, TO, 8, FILE_BAD, false });
CORRUPT(near_phys_twice, { NEAR_PHYS, NEXT, 0, FILE_BAD, false });
CORRUPT(near_phys_kho, { NEAR_PHYS, KHO_TREE, 0, FILE_BAD, false });
CORRUPT(near_pages_zero, { NEAR_PAGES, TO, 0, FILE_BAD, false });
CORRUPT(near_pages_more, { NEAR_PAGES, TO, 1 << 20, FILE_BAD, false });
CORRUPT(near_pages_max, { NEAR_PAGES, TO, MAX, FILE_BAD, false });

CORRUPT(extents_next_itself, { EXTENTS_NEXT, ITSELF, 0, FILE_BAD, false });
CORRUPT(extents_count_zero, { EXTENTS_COUNT, TO, 0, FILE_BAD, false });
CORRUPT(extents_count_more, { EXTENTS_COUNT, ADD, 1, FILE_BAD, false });
CORRUPT(extents_count_max, { EXTENTS_COUNT, TO, MAX, FILE_BAD, false });
CORRUPT(extent_phys_zero, { EXTENT_PHYS, TO, 0, FILE_BAD, false });
CORRUPT(extent_phys_max, { EXTENT_PHYS, TO, MAX, FILE_BAD, false });
CORRUPT(extent_phys_no_ram, { EXTENT_PHYS, TO, NO_RAM, FILE_BAD, false });
CORRUPT(extent_phys_scratch, { EXTENT_PHYS, SCRATCH, 0, FILE_BAD, false });
CORRUPT(extent_phys_taken, { EXTENT_PHYS, TAKEN, 0, FILE_BAD, false });
CORRUPT(extent_phys_its_block, { EXTENT_PHYS, ITSELF, 0, FILE_BAD, false });
CORRUPT(extent_phys_root, { EXTENT_PHYS, ROOT_OF_ALL, 0, FILE_BAD, false });
CORRUPT(extent_phys_aliased, { EXTENT_PHYS, OTHER, 0, FILE_BAD, false });
CORRUPT(extent_order_wrong, { EXTENT_PHYS, ADD, 1, FILE_BAD, false });
CORRUPT(extent_order_max, { EXTENT_PHYS, ADD, 63, FILE_BAD, false });
CORRUPT(extent_index_beyond, { EXTENT_INDEX, TO, 1 << 20, FILE_BAD, false });
CORRUPT(extent_index_max, { EXTENT_INDEX, TO, MAX, FILE_BAD, false });
CORRUPT(extent_phys_twice, { EXTENT_PHYS, NEXT, 0, FILE_BAD, false });
CORRUPT(extent_phys_kho, { EXTENT_PHYS, KHO_TREE, 0, FILE_BAD, false });
CORRUPT(extent_pages_zero, { EXTENT_PAGES, TO, 0, FILE_BAD, false });
CORRUPT(extent_pages_more, { EXTENT_PAGES, TO, 1 << 20, FILE_BAD, false });
CORRUPT(extent_pages_max, { EXTENT_PAGES, TO, MAX, FILE_BAD, false });

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
		    .stage = { [_stage] = victim, check_root },		\
		    .frozen = damage_root,				\
		    .data = &corruption_##_name)

#define LIST(_stage, _name, ...)					\
	static const struct corruption corruption_##_name = __VA_ARGS__; \
	UPDATE_TEST(corrupt, corrupt_##_name,				\
		    .stage = { [_stage] = victim, check_list },		\
		    .frozen = damage_list,				\
		    .data = &corruption_##_name)

#define ALL	"handover"

ROOT(1, root_checksum, { "", "number", 0, ADD, 1, ALL, true });
ROOT(2, root_unknown, { "", "compatible", 0, FILL, 'x', ALL, false });
ROOT(3, root_release_endless, { "", "release", 0, FILL, 'x', ALL, false });
ROOT(4, root_magic, { NULL, NULL, 0, TO, 0, ALL, false });
ROOT(5, root_size_max, { NULL, NULL, 4, TO, ~0U, ALL, false });
ROOT(6, root_size_small, { NULL, NULL, 4, TO, 48, ALL, false });
ROOT(7, root_struct_max, { NULL, NULL, 8, TO, ~0U & ~3, ALL, false });
ROOT(8, root_strings_max, { NULL, NULL, 12, TO, ~0U, ALL, false });
ROOT(9, root_sessions_unknown, { "sessions", "compatible", 0, FILL, 'x', ALL, false });
ROOT(10, root_first_zero, { "sessions", "first", 0, TO, 0, "list of 1 sessions", false });
ROOT(11, root_first_max, { "sessions", "first", 0, TO, MAX, "list of 1 sessions", false });
ROOT(12, root_first_no_ram, { "sessions", "first", 0, TO, NO_RAM, "list of 1 sessions", false });
ROOT(13, root_first_scratch, { "sessions", "first", 0, SCRATCH, 0, "list of 1 sessions", false });
ROOT(14, root_first_misaligned, { "sessions", "first", 0, ADD, 8, "list of 1 sessions", false });
ROOT(15, root_count_zero, { "sessions", "count", 0, TO, 0, "list of 0 sessions", false });
ROOT(16, root_count_more, { "sessions", "count", 0, ADD, 1, "list of 2 sessions", false });
ROOT(17, root_count_max, { "sessions", "count", 0, TO, MAX, "list of 184467440737", false });
LIST(18, list_next_itself, { BLOCK_NEXT, ITSELF, 0, SESSION_LOST, false });
LIST(19, list_next_scratch, { BLOCK_NEXT, SCRATCH, 0, SESSION_LOST, false });
LIST(20, list_count_zero, { BLOCK_COUNT, TO, 0, SESSION_LOST, false });
LIST(21, list_count_max, { BLOCK_COUNT, TO, MAX, SESSION_LOST, false });

/*
 * Time stamps that would not let a quotient fit into 64 bits, and dividing trap.
 * They are only for people to see: all else goes on.
 */
struct stamps {
	uint64_t khz, reboot_at, handover_at;
};

static void damage_stamps(struct note *note)
{
	const struct stamps *stamps = test_data();
	static struct root root;

	OK(root_read(&root));
	OK(root_set(&root, "", "counter-khz", stamps->khz));
	OK(root_set(&root, "", "reboot-at", stamps->reboot_at));
	OK(root_set(&root, "", "handover-at", stamps->handover_at));
	root_fix(&root);
	OK(root_write(&root));
}

#define STAMPS(_stage, _name, ...)					\
	static const struct stamps corruption_##_name = __VA_ARGS__;	\
	UPDATE_TEST(corrupt, corrupt_##_name,				\
		    .stage = { [_stage] = victim, check_untouched },	\
		    .frozen = damage_stamps,				\
		    .data = &corruption_##_name)

STAMPS(22, stamps_zero, { 0, 0, 0 });
STAMPS(23, stamps_slow, { 1, 1, MAX });
STAMPS(24, stamps_slowest, { 1000, 1, MAX });
STAMPS(25, stamps_fast, { MAX, 1, MAX });
STAMPS(26, stamps_fastest, { 100000000, 1, MAX });

/* ---- With liveupdate_on_error=panic, the next kernel does not get this far ---- */

static void not_panicked(struct note *note)
{
	test_fail(__FILE__, __LINE__, "the kernel did not panic");
}

static const struct corruption crc_zero = { SESSION_CRC, TO, 0, SESSION_LOST, true
};

UPDATE_TEST(panic, panic_on_error, .stage = { victim, not_panicked },
	    .frozen = damage, .data = &crc_zero);
