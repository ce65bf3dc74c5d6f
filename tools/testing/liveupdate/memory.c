// SPDX-License-Identifier: GPL-2.0
/*
 * Memory, and what KHO knows of it. See memory.h.
 */

#include <sanitizer/asan_interface.h>

#include "memory.h"

struct folio {
	enum memory_state state;
	unsigned int order;
	int node;
};

/* The second half of each is a zone that is never to be touched */
static u8 pool[MEMORY_PAGES][2 * PAGE_SIZE] __attribute__((__aligned__(4096)));
static struct folio folios[MEMORY_PAGES];
static bool with_checksums = true;
static unsigned long asked;

unsigned long max_pfn = MEMORY_MAX_PFN;

static void set_state(unsigned int page, enum memory_state state)
{
	folios[page].state = state;
	if (state == MEMORY_UNUSED)
		__asan_poison_memory_region(pool[page], PAGE_SIZE);
	else
		__asan_unpoison_memory_region(pool[page], PAGE_SIZE);
}

/**
 * memory_reset - begin with memory that nobody has preserved
 * @checksums: whether crc32c() computes any; without, all of them are 0, so that
 *             a fuzzer gets beyond them
 */
void memory_reset(bool checksums)
{
	unsigned int page;

	with_checksums = checksums;
	for (page = 0; page < MEMORY_PAGES; page++) {
		__asan_unpoison_memory_region(pool[page], PAGE_SIZE);
		memset(pool[page], 0, PAGE_SIZE);
		__asan_poison_memory_region(pool[page], sizeof(pool[page]));
		set_state(page, MEMORY_UNUSED);
		memory_set_node(page, 0);
	}
}

/**
 * memory_preserve - have a page be one that the previous kernel preserved
 * @page:  its number
 * @order: of what is preserved there
 *
 * Return: its content, to be written.
 */
void *memory_preserve(unsigned int page, unsigned int order)
{
	must(page < MEMORY_PAGES);
	folios[page].order = order;
	set_state(page, MEMORY_PRESERVED);
	return pool[page];
}

/**
 * memory_is_preserved - see whether a page is, and nobody took it
 * @page: its number
 *
 * Return: true if so.
 */
bool memory_is_preserved(unsigned int page)
{
	return folios[page].state == MEMORY_PRESERVED;
}

/**
 * memory_lose - have a page be one that nobody preserved
 * @page: its number
 */
void memory_lose(unsigned int page)
{
	set_state(page, MEMORY_UNUSED);
}

/**
 * memory_set_node - have a page be on a node
 * @page: its number
 * @node: likewise; memory that was reset is all on node 0
 */
void memory_set_node(unsigned int page, int node)
{
	folios[page].node = node;
}

/**
 * memory_node - see on which node a page is
 * @page: its number
 *
 * Return: the node.
 */
int memory_node(unsigned int page)
{
	return folios[page].node;
}

/**
 * memory_look - content of a page
 * @page: its number; preserved
 *
 * Return: the content.
 */
const void *memory_look(unsigned int page)
{
	return pool[page];
}

/**
 * memory_order - order of what is preserved at a page
 * @page: its number
 *
 * Return: the order.
 */
unsigned int memory_order(unsigned int page)
{
	return folios[page].order;
}

/**
 * memory_taken - count pages that were taken and not given back
 *
 * Return: the number.
 */
unsigned int memory_taken(void)
{
	unsigned int page, taken = 0;

	for (page = 0; page < MEMORY_PAGES; page++)
		taken += folios[page].state == MEMORY_TAKEN;

	return taken;
}

/**
 * memory_asked - count how often somebody asked what is preserved
 *
 * Return: the number.
 */
unsigned long memory_asked(void)
{
	return asked;
}

static struct folio *folio_at(phys_addr_t phys)
{
	u64 page = (phys - MEMORY_BASE) >> PAGE_SHIFT;

	return phys >= MEMORY_BASE && page < MEMORY_PAGES ? &folios[page] : NULL;
}

void *phys_to_virt(phys_addr_t phys)
{
	const struct folio *folio = folio_at(phys);

	/* No processor has these addresses */
	if (!folio)
		return (void *)(0xdead000000000000UL | (u32)phys);

	return pool[folio - folios] + phys % PAGE_SIZE;
}

struct folio *virt_to_folio(const void *virt)
{
	size_t offset = (const u8 *)virt - pool[0];

	must((const u8 *)virt >= pool[0] && offset < sizeof(pool));
	return &folios[offset / sizeof(pool[0])];
}

void folio_put(struct folio *folio)
{
	must(folio->state == MEMORY_TAKEN);
	set_state(folio - folios, MEMORY_UNUSED);
}

/* Of other pages there may be nothing that tells */
int pfn_to_nid(unsigned long pfn)
{
	const struct folio *folio = folio_at((phys_addr_t)pfn << PAGE_SHIFT);

	must(folio && folio->state == MEMORY_PRESERVED);
	return folio->node;
}

int kho_preserved_order(phys_addr_t phys)
{
	const struct folio *folio = folio_at(phys);

	asked++;
	if (phys % PAGE_SIZE || !folio || folio->state != MEMORY_PRESERVED)
		return -ENOENT;

	return folio->order;
}

/* Here nothing that was preserved is on more than one node */
int kho_preserved_whole(phys_addr_t phys)
{
	return kho_preserved_order(phys);
}

struct folio *kho_try_restore_folio(phys_addr_t phys, unsigned int order)
{
	if (kho_preserved_order(phys) != (int)order)
		return NULL;

	set_state(folio_at(phys) - folios, MEMORY_TAKEN);
	return folio_at(phys);
}

/* The memory is read also when the result does not depend on it */
u32 crc32c(u32 crc, const void *from, size_t length)
{
	const u8 *byte = from, *end = byte + length;
	unsigned int bit;

	for (; byte < end; byte++) {
		crc ^= *byte;
		for (bit = 0; with_checksums && bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}

	return with_checksums ? crc : 0;
}
