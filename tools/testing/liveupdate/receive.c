// SPDX-License-Identifier: GPL-2.0
/*
 * A handover received. See receive.h.
 *
 * The order of the calls is that of luo_kho.c, luo_session.c and memfd_luo.c, which
 * give each session and file to its user; here one after the other is used and
 * given up.
 */

#include "luo_internal.h"
#include "memfd_luo.h"
#include "memory.h"
#include "receive.h"

static u64 blocks_of(const struct luo_chain *chain)
{
	const u64 per_block = (KHO_BLOCK_SIZE -
			       sizeof(struct kho_block_header_ser)) /
			      chain->entry_size;

	return (chain->count + per_block - 1) / per_block;
}

/* Just the blocks of a good chain are taken, and only once */
static int take(struct luo_chain *chain)
{
	const unsigned int taken = memory_taken();
	int err = luo_chain_take(chain);

	must(!err || err == -EUCLEAN);
	must(chain->taken == !err);
	if (err)
		return err;
	must(!luo_chain_take(chain));
	must(memory_taken() == taken + blocks_of(chain));

	return 0;
}

static void give_back(struct luo_chain *chain)
{
	const unsigned int taken = memory_taken();
	const u64 blocks = blocks_of(chain);

	luo_chain_free(chain);
	must(memory_taken() + blocks == taken);
	must(!chain->first && !chain->count);
}

static u64 read_items(const void *fdt, size_t size, const char *parent)
{
	struct luo_item item, found;
	int cursor = 0;
	u64 nr = 0;

	while (luo_item_next(fdt, parent, &cursor, &item)) {
		must(luo_string_fits(item.compatible, sizeof(item.compatible)));
		must(nr < 8 || luo_item_find(fdt, parent, item.compatible, &found));
		must(cursor > 0 && (size_t)cursor < size);
		must(++nr < size);
	}

	return nr;
}

/* Each piece of a good extent is preserved, and within the file */
static u64 read_extent(const struct memfd_luo_extent *extent, u64 size)
{
	const u64 end = DIV_ROUND_UP_ULL(size, PAGE_SIZE);
	u64 done;
	int order;

	must(extent->pages);
	for (done = 0; done < extent->pages; done += 1ULL << order) {
		must(extent->index + done < end);
		order = kho_preserved_order(extent_phys(extent) +
					    (done << PAGE_SHIFT));
		must(memfd_luo_piece_ok(extent, done, order));
	}
	must(done == extent->pages);

	return done;
}

static u64 read_near(const struct memfd_luo_ser *ser)
{
	u64 pages = 0;

	must(ser->near_count <= MEMFD_LUO_NEAR);
	for (u32 i = 0; i < ser->near_count; i++)
		pages += read_extent(&memfd_luo_near(ser)[i], ser->attrs.size);

	return pages;
}

static u64 read_extents(const struct luo_chain *chain, u64 size)
{
	const struct memfd_luo_extent *extent;
	struct luo_chain_it it;
	u64 pages = 0;

	luo_chain_start(&it, chain);
	while ((extent = luo_chain_next(&it)))
		pages += read_extent(extent, size);

	return pages;
}

static int take_extents(const struct memfd_luo_extents *extents,
			struct luo_chain *chain)
{
	*chain = LUO_CHAIN(extents->first, extents->count,
			   struct memfd_luo_extent);

	return take(chain) ?: luo_chain_crc(chain) == extents->crc ? 0 : -EUCLEAN;
}

/* However often memory is named, it is not looked at more often than it is large */
static bool extents_ok(const struct memfd_luo_ser *ser,
		       const struct luo_chain *kept,
		       const struct luo_chain *late)
{
	const unsigned long asked = memory_asked();
	bool ok = memfd_luo_extents_ok(ser, kept, late);

	must(memory_asked() - asked <= max_pfn);
	return ok;
}

static bool read_memfd(u64 phys, struct received *got)
{
	const struct memfd_luo_ser *ser;
	struct luo_chain kept, late;

	if (!phys || !kho_try_restore_folio(phys, 0))
		return false;

	ser = phys_to_virt(phys);
	if (!memfd_luo_ser_ok(ser) || take_extents(&ser->kept, &kept) ||
	    take_extents(&ser->late, &late))
		return false;
	must(strlen(ser->attrs.name) < sizeof(ser->attrs.name));
	if (!extents_ok(ser, &kept, &late))
		return false;

	got->pages += read_near(ser) + read_extents(&kept, ser->attrs.size) +
		      read_extents(&late, ser->attrs.size);
	give_back(&kept);
	give_back(&late);
	folio_put(virt_to_folio(ser));
	return true;
}

static bool read_file(const struct luo_file_ser *ser, struct received *got)
{
	int err = luo_file_ser_check(ser);

	must(!err || err == -EUCLEAN);
	if (err)
		return false;
	must(strlen(ser->compatible) < sizeof(ser->compatible));

	if (strcmp(ser->compatible, MEMFD_LUO_COMPATIBLE) &&
	    strcmp(ser->compatible, MEMFD_LUO_OLD_COMPATIBLE))
		return true;

	return read_memfd(ser->data, got);
}

static void read_files(const struct luo_chain *chain, struct received *got)
{
	const struct luo_file_ser *ser;
	struct luo_chain_it it;
	u64 nr = 0;

	luo_chain_start(&it, chain);
	while ((ser = luo_chain_next(&it))) {
		if (read_file(ser, got))
			got->files++;
		else
			got->quarantined++;
		nr++;
	}
	must(nr == chain->count);
}

static void read_session(const struct luo_session_ser *ser,
			 struct received *got)
{
	struct luo_chain chain = LUO_CHAIN(ser->files, ser->nr_files,
					   struct luo_file_ser);

	if (chain.first || chain.count) {
		if (take(&chain) || luo_chain_crc(&chain) != ser->files_crc) {
			got->quarantined++;
			return;
		}
		read_files(&chain, got);
		give_back(&chain);
	}
	got->sessions++;
}

/* Copies of all records that are good, for the chain goes before its files come */
static struct luo_session_ser *copy_records(const struct luo_chain *chain,
					    struct received *got, u64 *good)
{
	struct luo_session_ser *copy = calloc(chain->count + 1, sizeof(*copy));
	const struct luo_session_ser *ser;
	struct luo_chain_it it;
	u64 nr = 0;
	int err;

	must(copy);
	luo_chain_start(&it, chain);
	while ((ser = luo_chain_next(&it))) {
		err = luo_session_ser_check(ser);
		must(!err || err == -EUCLEAN || err == -EPROTONOSUPPORT);
		must(err || strlen(ser->name) < sizeof(ser->name));
		if (err)
			got->quarantined++;
		else
			copy[(*good)++] = *ser;
		nr++;
	}
	must(nr == chain->count);

	return copy;
}

static void read_sessions(struct received *got)
{
	struct luo_chain chain = LUO_CHAIN(got->root.sessions,
					   got->root.nr_sessions,
					   struct luo_session_ser);
	struct luo_session_ser *copy;
	u64 i, good = 0;

	if (take(&chain)) {
		got->quarantined++;
		return;
	}
	copy = copy_records(&chain, got, &good);
	give_back(&chain);
	for (i = 0; i < good; i++)
		read_session(&copy[i], got);
	free(copy);
}

static bool is_zero(const void *from, size_t size)
{
	const u8 *byte = from;

	while (size && !*byte) {
		byte++;
		size--;
	}

	return !size;
}

/* What was decoded can be encoded, and is the same then */
static void round_trip(const struct luo_root *root)
{
	const size_t size = luo_root_size(root);
	void *fdt = calloc(1, size);
	struct luo_root again;

	must(fdt);
	must(!luo_root_encode(fdt, size, root));
	must(!luo_root_decode(fdt, size, &again));
	must(!memcmp(root, &again, sizeof(again)));
	free(fdt);
}

/**
 * receive - receive a handover
 * @fdt:  its root
 * @size: bytes of it that can be read
 * @got:  to fill
 */
void receive(const void *fdt, size_t size, struct received *got)
{
	memset(got, 0, sizeof(*got));
	got->err = luo_root_decode(fdt, size, &got->root);
	must(!got->err || got->err == -EUCLEAN || got->err == -EPROTONOSUPPORT);
	if (got->err) {
		must(is_zero(&got->root, sizeof(got->root)));
		return;
	}

	must(strlen(got->root.release) < sizeof(got->root.release));
	round_trip(&got->root);
	got->subsystems = read_items(fdt, size, LUO_FDT_SUBSYSTEMS);
	got->flbs = read_items(fdt, size, LUO_FDT_FLBS);
	read_sessions(got);
}
