// SPDX-License-Identifier: GPL-2.0
/*
 * Valid handovers. See handover.h.
 */

#include "handover.h"
#include "memfd_luo.h"
#include "memory.h"

/* A chain of records, in the next pages. Returns the address of the first block */
static u64 write_chain(struct handover *handover, const void *records,
		       size_t size, unsigned int count)
{
	const unsigned int per_block = BLOCK_ROOM / size;
	const u64 first = count ? MEMORY_PHYS(handover->pages) : 0;
	struct kho_block_header_ser *block;

	while (count) {
		block = memory_preserve(handover->pages++, 0);
		block->count = min(count, per_block);
		memcpy(block + 1, records, block->count * size);
		records += block->count * size;
		count -= block->count;
		block->next = count ? MEMORY_PHYS(handover->pages) : 0;
	}

	return first;
}

/* The first ones are near the head, the last one came late. Returns its address */
static u64 write_memfd(struct handover *handover, unsigned int count,
		       unsigned int near)
{
	struct memfd_luo_extent *extents = calloc(count, sizeof(*extents));
	const size_t size = sizeof(*extents);
	struct memfd_luo_ser *ser;
	unsigned int i, far;

	must(extents);
	for (i = 0; i < count; i++) {
		extents[i].phys = MEMORY_PHYS(handover->pages);
		extents[i].index = 2 * i;
		extents[i].pages = 1;
		memory_preserve(handover->pages++, 0);
	}

	ser = memory_preserve(handover->pages++, 0);
	strscpy_pad(ser->attrs.name, MEMFD_PREFIX "cache");
	ser->attrs.size = 2 * count * PAGE_SIZE;
	ser->attrs.flags = O_RDWR;
	ser->attrs.mode = 0600;
	ser->attrs.seals = F_SEAL_SHRINK;
	ser->near_count = min(near, count - 1);
	memcpy(memfd_luo_near(ser), extents, ser->near_count * size);
	ser->near_crc = crc32c(0, extents, ser->near_count * size);
	far = count - 1 - ser->near_count;
	ser->kept.count = far;
	ser->kept.first = write_chain(handover, extents + ser->near_count, size,
				      far);
	ser->kept.crc = crc32c(0, extents + ser->near_count, far * size);
	ser->late.count = 1;
	ser->late.first = write_chain(handover, extents + count - 1, size, 1);
	ser->late.crc = crc32c(0, extents + count - 1, size);
	ser->crc = crc32c(0, ser, offsetof(struct memfd_luo_ser, crc));
	free(extents);

	return MEMORY_PHYS(count);
}

static void write_session(struct handover *handover,
			  struct luo_session_ser *ser, unsigned int seq,
			  unsigned int nr_files, unsigned int extents,
			  unsigned int near)
{
	struct luo_file_ser *files = calloc(nr_files + 1, sizeof(*files));
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];
	unsigned int i;
	u64 first;

	must(files);
	for (i = 0; i < nr_files; i++) {
		strscpy_pad(files[i].compatible, "test-v1");
		files[i].data = MEMORY_PHYS(i % MEMORY_PAGES);
		files[i].token = i;
	}
	if (extents) {
		strscpy_pad(files[0].compatible, MEMFD_LUO_COMPATIBLE);
		files[0].data = write_memfd(handover, extents, near);
	}
	first = write_chain(handover, files, sizeof(*files), nr_files);
	snprintf(name, sizeof(name), "session %u", seq);
	luo_session_ser_fill(ser, name, first, nr_files,
			     crc32c(0, files, nr_files * sizeof(*files)));
	free(files);
}

static void write_sessions(struct handover *handover, const struct shape *shape,
			   struct luo_root *root)
{
	struct luo_session_ser *sers = calloc(shape->sessions + 1,
					      sizeof(*sers));
	unsigned int i;

	must(sers);
	for (i = 0; i < shape->sessions; i++)
		write_session(handover, &sers[i], i,
			      i ? i <= shape->others : shape->files,
			      i ? 0 : shape->extents, shape->near);

	handover->records = handover->pages;
	root->nr_sessions = shape->sessions;
	root->sessions = write_chain(handover, sers, sizeof(*sers),
				     shape->sessions);
	free(sers);
}

static void make_items(struct luo_items *items, const char *kind,
		       unsigned int nr)
{
	unsigned int i;

	items->items = calloc(nr + 1, sizeof(*items->items));
	must(items->items);
	items->nr = nr;
	for (i = 0; i < nr; i++) {
		snprintf(items->items[i].compatible,
			 sizeof(items->items[i].compatible), "%s-%u", kind, i);
		items->items[i].data = i;
		items->items[i].count = 2 * i;
	}
}

/**
 * handover_make - make a handover, in memory that was reset
 * @handover: to fill
 * @shape:    what it is to have
 */
void handover_make(struct handover *handover, const struct shape *shape)
{
	struct luo_root root = {
		.number = 3,
		.release = "7.3.4-test",
		.counter_khz = 2400000,
		.reboot_at = 1000000,
		.handover_at = 2000000,
	};
	size_t size;

	memset(handover, 0, sizeof(*handover));
	write_sessions(handover, shape, &root);
	make_items(&root.subsystems, "subsystem", shape->items);
	make_items(&root.flbs, "flb", shape->items);

	size = luo_root_size(&root);
	handover->fdt = malloc(size);
	must(handover->fdt);
	must(!luo_root_encode(handover->fdt, size, &root));
	handover->size = fdt_totalsize(handover->fdt);
	handover->fdt = realloc(handover->fdt, handover->size);
	must(handover->fdt);
	free(root.subsystems.items);
	free(root.flbs.items);
}

/**
 * handover_free - give up the root of a handover
 * @handover: made by handover_make()
 */
void handover_free(struct handover *handover)
{
	free(handover->fdt);
}
