/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_KHO_ABI_MEMFD_H
#define _LINUX_KHO_ABI_MEMFD_H

#include <linux/bits.h>
#include <linux/kho/abi/block.h>
#include <linux/stddef.h>
#include <linux/types.h>

/**
 * DOC: Handover format of a memfd
 *
 * The data word of a memfd's file record is the physical address of one page
 * that begins with a struct memfd_luo_ser. The pages of the memfd are listed as
 * extents: those that it had when it was preserved, in ascending order, and those
 * that filled its holes after that. The first %MEMFD_LUO_NEAR of the former follow
 * the structure in its page, so that most memfds need no more than that page. The
 * rest is in two chains of KHO blocks. What no extent covers is a hole.
 *
 * The page ends with a struct memfd_luo_label, of zeroes where the file has no label.
 * Version 2 of the format has none, and up to %MEMFD_LUO_NEAR extents in the page: kernels
 * that know no other do not give a file back without its label. A file that came in that
 * version is handed on in it.
 *
 * Pages of an extent of order 0 are preserved with kho_preserve_pages(), all at
 * once; folios of higher order one by one with kho_preserve_folio().
 */

/* Compatible string of the file record, and that of version 2, which is read, too */
#define MEMFD_LUO_COMPATIBLE		"liveupdate-memfd-v3"
#define MEMFD_LUO_OLD_COMPATIBLE	"liveupdate-memfd-v2"

/* Bytes of a memfd's name, NUL included: memfd_create(2) takes no longer ones */
#define MEMFD_LUO_NAME_LENGTH	256

/**
 * struct memfd_luo_extent - folios of one order and one node, adjacent in file and
 *                           memory
 * @phys:  physical address of the first; the low bits hold the folios' order,
 *         see %MEMFD_LUO_EXTENT_ORDER
 * @index: where the first one is in the file, in pages
 * @pages: length of the extent, in pages
 */
struct memfd_luo_extent {
	u64	phys;
	u64	index;
	u64	pages;
};

static_assert(sizeof(struct memfd_luo_extent) == 24);

/* Bits of phys that are the order; addresses are multiples of the page size */
#define MEMFD_LUO_EXTENT_ORDER	GENMASK_ULL(5, 0)

/**
 * struct memfd_luo_extents - one chain of extents
 * @first: physical address of its first block, or 0
 * @count: extents in the chain
 * @crc:   CRC-32C of all of them, in their order
 * @pad:   zero
 */
struct memfd_luo_extents {
	u64	first;
	u64	count;
	u32	crc;
	u32	pad;
};

static_assert(sizeof(struct memfd_luo_extents) == 24);

/**
 * struct memfd_luo_attrs - what all memfds have, whatever their pages
 * @size:   of the file, in bytes
 * @pos:    of the file descriptor, in bytes
 * @seals:  F_SEAL_* of fcntl(2)
 * @flags:  O_* of open(2) that the file descriptor had
 * @mode:   permission bits
 * @uid:    owner, in the initial user namespace
 * @gid:    group, likewise
 * @reopened: 1 if the descriptor is not memfd_create(2)'s own, but was opened by
 *          path, which makes a difference to execve(2); 0 otherwise
 * @name:   as given to memfd_create(2), with the prefix that the kernel adds
 */
struct memfd_luo_attrs {
	u64	size;
	u64	pos;
	u32	seals;
	u32	flags;
	u32	mode;
	u32	uid;
	u32	gid;
	u32	reopened;
	char	name[MEMFD_LUO_NAME_LENGTH];
};

static_assert(sizeof(struct memfd_luo_attrs) == 296);

/**
 * struct memfd_luo_ser - a memfd but for its pages
 * @attrs:  what all memfds have
 * @kept:   extents that it had when it was preserved, but for those in this page
 * @late:   extents that came after that
 * @near_count: extents that follow this structure in its page, which come before
 *          those of @kept; at most %MEMFD_LUO_NEAR_BESIDE_LABEL are written
 * @near_crc: CRC-32C of them
 * @crc:    CRC-32C of this structure up to here
 * @pad:    zero
 */
struct memfd_luo_ser {
	struct memfd_luo_attrs attrs;
	struct memfd_luo_extents kept;
	struct memfd_luo_extents late;
	u32	near_count;
	u32	near_crc;
	u32	crc;
	u32	pad;
};

static_assert(sizeof(struct memfd_luo_ser) == 360);
static_assert(offsetof(struct memfd_luo_ser, kept) == 296);
static_assert(offsetof(struct memfd_luo_ser, crc) == 352);

/* Extents that the page has room for */
#define MEMFD_LUO_NEAR							\
	((PAGE_SIZE - sizeof(struct memfd_luo_ser)) /			\
	 sizeof(struct memfd_luo_extent))

/* Bytes of a label, NUL included */
#define MEMFD_LUO_LABEL_LENGTH	252

/**
 * struct memfd_luo_label - label that a security module has given to a memfd
 * @text: as the module writes it; empty if there is none
 * @crc:  CRC-32C of @text up to its NUL, which counts; 0 if it is empty
 */
struct memfd_luo_label {
	char	text[MEMFD_LUO_LABEL_LENGTH];
	u32	crc;
};

static_assert(sizeof(struct memfd_luo_label) == 256);

/* Where it is, in the page that begins with the memfd's structure */
#define MEMFD_LUO_LABEL_OFFSET	(PAGE_SIZE - sizeof(struct memfd_luo_label))

/* Extents that the page has room for besides */
#define MEMFD_LUO_NEAR_BESIDE_LABEL					\
	((MEMFD_LUO_LABEL_OFFSET - sizeof(struct memfd_luo_ser)) /	\
	 sizeof(struct memfd_luo_extent))

#endif /* _LINUX_KHO_ABI_MEMFD_H */
