/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The handover as it lies in memory, between the freeze and the jump: layouts as in
 * include/linux/kho/abi/, which programs cannot include, and the way to read and
 * change them, by the kernel's test double.
 */
#ifndef HANDOVER_H
#define HANDOVER_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/liveupdate.h>

struct block_ser {
	uint64_t next, count;
};

struct session_ser {
	char compatible[16];
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];
	uint64_t files, nr_files;
	uint32_t files_crc, crc;
};

struct file_ser {
	char compatible[LIVEUPDATE_COMPATIBLE_LENGTH];
	uint64_t data, token;
};

struct extents_ser {
	uint64_t first, count;
	uint32_t crc, pad;
};

struct extent_ser {
	uint64_t phys, index, pages;
};

struct memfd_ser {
	uint64_t size, pos;
	uint32_t seals, flags, mode, uid, gid, reopened;
	char name[256];
	struct extents_ser kept, late;
	uint32_t near_count, near_crc, crc, pad;
};

struct hugetlb_extent_ser {
	uint64_t phys, index, count;
};

struct hugetlb_region_ser {
	uint64_t from, to;
};

struct hugetlb_ser {
	uint64_t size, pos;
	uint32_t seals, flags, mode, uid, gid, reopened;
	char name[256];
	struct extents_ser kept, late, regions;
	uint32_t order, crc;
};

struct pool_entry_ser {
	uint32_t order, nid;
	uint64_t pages;
};

/* A page */
struct pool_ser {
	uint32_t version, nr, crc, pad;
	struct pool_entry_ser entries[255];
};

static_assert(sizeof(struct session_ser) == 104, "layout");
static_assert(sizeof(struct file_ser) == 64, "layout");
static_assert(sizeof(struct extent_ser) == 24, "layout");
static_assert(sizeof(struct memfd_ser) == 360, "layout");
static_assert(sizeof(struct hugetlb_ser) == 376, "layout");
static_assert(sizeof(struct pool_ser) == 4096, "layout");

/* Records in a block, which is a page */
#define PER_BLOCK(_type)						\
	((4096 - sizeof(struct block_ser)) / sizeof(struct _type))

int handover_hold(void);
int handover_await(void);
int handover_go(void);

/* KHO's own tree, the root of its memory map, and its first scratch area */
struct kho_place {
	uint64_t tree, map, scratch;
};

int kho_find(struct kho_place *kho);
int kho_find_subtree(const char *name, uint64_t *phys);

int memory_read(uint64_t phys, void *data, size_t size);
int memory_write(uint64_t phys, const void *data, size_t size);

uint32_t crc32c(uint32_t crc, const void *data, size_t size);

/* The root: a flattened device tree, whose numbers are big-endian */
struct root {
	uint64_t phys, size;
	unsigned char fdt[65536];
};

int root_read(struct root *root);
int root_write(const struct root *root);
void *root_property(struct root *root, const char *node, const char *name,
		    size_t *size);
uint64_t root_get(struct root *root, const char *node, const char *name);
int root_set(struct root *root, const char *node, const char *name,
	     uint64_t value);
void root_fix(struct root *root);

/* Extents in the page of a memfd's head */
#define NEAR								\
	((4096 - sizeof(struct memfd_ser)) / sizeof(struct extent_ser))

/* Where the records of a session are, by physical address */
struct place {
	uint64_t session, first_session_block;
	uint64_t block, file, memfd, near, extents, extent;
};

int place_find(const char *session, struct place *place);
void place_fix_memfd(const struct place *place);
void place_fix_files(const struct place *place);
void place_fix_session(const struct place *place);

#endif /* HANDOVER_H */
