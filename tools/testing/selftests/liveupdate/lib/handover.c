// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading and changing the handover while the kernel waits before the jump.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "handover.h"
#include "luo_lib.h"

#define DIR	"/sys/kernel/debug/liveupdate-handover/"
#define BLOCK	4096UL

int handover_hold(void)
{
	return text_write(DIR "hold", "1");
}

/* Until the handover is complete, and the kernel waits; at most a minute */
int handover_await(void)
{
	char text[16];

	for (int i = 0; i < 6000; i++) {
		if (text_read(DIR "hold", text, sizeof(text)))
			return -EIO;
		if (!strcmp(text, "2"))
			return 0;
		usleep(10000);
	}
	return -ETIMEDOUT;
}

int handover_go(void)
{
	return text_write(DIR "hold", "0");
}

int kho_find(struct kho_place *kho)
{
	char text[256];
	int err;

	err = text_read(DIR "kho", text, sizeof(text));
	if (err)
		return err;
	if (sscanf(text, "%lu %lu", &kho->tree, &kho->map) != 2)
		return -EIO;
	err = text_read("/sys/kernel/debug/kho/out/scratch_phys", text,
			sizeof(text));
	if (!err)
		kho->scratch = strtoull(text, NULL, 16);
	return err;
}

int memory_read(uint64_t phys, void *data, size_t size)
{
	int fd = open(DIR "memory", O_RDONLY | O_CLOEXEC);
	ssize_t n = pread(fd, data, size, phys);

	close(fd);
	return n == (ssize_t)size ? 0 : -EIO;
}

int memory_write(uint64_t phys, const void *data, size_t size)
{
	int fd = open(DIR "memory", O_WRONLY | O_CLOEXEC);
	ssize_t n = pwrite(fd, data, size, phys);

	close(fd);
	return n == (ssize_t)size ? 0 : -EIO;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
	const unsigned char *byte = data;

	while (size--) {
		crc ^= *byte++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return crc;
}

/* ---- The root ---- */

int root_read(struct root *root)
{
	char text[64];
	int err;

	err = text_read(DIR "root", text, sizeof(text));
	if (err)
		return err;
	if (sscanf(text, "%lu %lu", &root->phys, &root->size) != 2 ||
	    root->size > sizeof(root->fdt))
		return -EIO;
	for (uint64_t at = 0; !err && at < root->size; at += BLOCK)
		err = memory_read(root->phys + at, root->fdt + at, BLOCK);
	return err;
}

int root_write(const struct root *root)
{
	int err = 0;

	for (uint64_t at = 0; !err && at < root->size; at += BLOCK)
		err = memory_write(root->phys + at, root->fdt + at, BLOCK);
	return err;
}

static uint32_t word_at(const struct root *root, size_t at)
{
	uint32_t word;

	memcpy(&word, root->fdt + at, sizeof(word));
	return ntohl(word);
}

/*
 * Tokens of a tree: 1 begins a node, with its name; 2 ends it; 3 is a property, with
 * its length and the offset of its name among the strings; 9 is the end. Each is
 * padded to four bytes.
 */
void *root_property(struct root *root, const char *node, const char *name,
		    size_t *size)
{
	size_t at = word_at(root, 8), strings = word_at(root, 12), length;
	const char *in = "";
	int depth = 0;

	for (;;) {
		switch (word_at(root, at)) {
		case 1:
			depth++;
			in = (char *)root->fdt + at + 4;
			at += 4 + (strlen(in) + 4) / 4 * 4;
			break;
		case 2:
			depth--;
			at += 4;
			break;
		case 3:
			length = word_at(root, at + 4);
			if (!strcmp(in, node) &&
			    !strcmp((char *)root->fdt + strings +
				    word_at(root, at + 8), name)) {
				if (size)
					*size = length;
				return root->fdt + at + 12;
			}
			at += 12 + (length + 3) / 4 * 4;
			break;
		default:
			return NULL;
		}
	}
}

/* Where the blob of a subtree of KHO's tree is. The tree's numbers are as in memory. */
int kho_find_subtree(const char *name, uint64_t *phys)
{
	static struct root tree;
	struct kho_place kho;
	void *property;
	size_t size;
	int err;

	err = kho_find(&kho);
	if (!err)
		err = memory_read(kho.tree, tree.fdt, BLOCK);
	if (err)
		return err;
	property = root_property(&tree, name, "preserved-data", &size);
	if (!property || size != sizeof(*phys))
		return -ENOENT;
	memcpy(phys, property, size);
	return 0;
}

uint64_t root_get(struct root *root, const char *node, const char *name)
{
	unsigned char *bytes = root_property(root, node, name, NULL);
	uint64_t value = 0;

	for (int i = 0; bytes && i < 8; i++)
		value = value << 8 | bytes[i];
	return value;
}

int root_set(struct root *root, const char *node, const char *name,
	     uint64_t value)
{
	size_t size;
	unsigned char *bytes = root_property(root, node, name, &size);

	if (!bytes || size != 8)
		return -ENOENT;
	for (int i = 7; i >= 0; i--, value >>= 8)
		bytes[i] = value;
	return 0;
}

/* The checksum is that of the tree with zero in its place */
void root_fix(struct root *root)
{
	uint32_t *sum = root_property(root, "", "checksum", NULL);

	memset(sum, 0, sizeof(*sum));
	*sum = htonl(crc32c(0, root->fdt, word_at(root, 4)));
}

/* ---- Records ---- */

/* The record @index of a chain of blocks, or 0 */
static uint64_t record_at(uint64_t block, uint64_t index, uint64_t per_block,
			  size_t size)
{
	struct block_ser header;

	for (; block; block = header.next, index -= per_block) {
		if (index < per_block)
			return block + sizeof(header) + index * size;
		if (memory_read(block, &header, sizeof(header)))
			return 0;
	}
	return 0;
}

static int find_session(const char *name, struct place *place)
{
	static struct root root;
	struct session_ser ser;
	uint64_t count;

	if (root_read(&root))
		return -EIO;
	place->first_session_block = root_get(&root, "sessions", "first");
	count = root_get(&root, "sessions", "count");
	for (uint64_t i = 0; i < count; i++) {
		place->session = record_at(place->first_session_block, i,
					   PER_BLOCK(session_ser), sizeof(ser));
		if (memory_read(place->session, &ser, sizeof(ser)))
			return -EIO;
		if (!strcmp(ser.name, name))
			return 0;
	}
	return -ENOENT;
}

/* The session, its first file, and what a memfd that this is has in turn */
int place_find(const char *session, struct place *place)
{
	struct session_ser ser;
	struct file_ser file;
	struct memfd_ser memfd;
	int err = find_session(session, place);

	if (err)
		return err;
	if (memory_read(place->session, &ser, sizeof(ser)))
		return -EIO;
	place->block = ser.files;
	place->file = ser.files + sizeof(struct block_ser);
	if (memory_read(place->file, &file, sizeof(file)))
		return -EIO;
	place->memfd = file.data;
	if (memory_read(place->memfd, &memfd, sizeof(memfd)))
		return -EIO;
	place->near = place->memfd + sizeof(memfd);
	place->extents = memfd.kept.first;
	place->extent = memfd.kept.first + sizeof(struct block_ser);
	return 0;
}

static uint32_t near_crc(const struct place *place, uint32_t count)
{
	struct extent_ser near[NEAR];

	memory_read(place->near, near, sizeof(near));
	return crc32c(0, near, count * sizeof(near[0]));
}

/* Of all records of a chain that is whole */
static uint32_t chain_crc(uint64_t first, uint64_t count, uint64_t per_block,
			  size_t size)
{
	unsigned char record[128];
	uint32_t crc = 0;

	for (uint64_t i = 0; i < count; i++) {
		memory_read(record_at(first, i, per_block, size), record, size);
		crc = crc32c(crc, record, size);
	}
	return crc;
}

/*
 * Checksums are made right by what the chains were before they were damaged: their
 * places are known, and the numbers are told by the records.
 */
void place_fix_memfd(const struct place *place)
{
	struct block_ser header;
	struct memfd_ser memfd;

	memory_read(place->memfd, &memfd, sizeof(memfd));
	if (memfd.kept.first == place->extents &&
	    !memory_read(place->extents, &header, sizeof(header)) &&
	    header.count == memfd.kept.count)
		memfd.kept.crc = chain_crc(place->extents, memfd.kept.count,
					   PER_BLOCK(extent_ser),
					   sizeof(struct extent_ser));
	if (memfd.near_count <= NEAR)
		memfd.near_crc = near_crc(place, memfd.near_count);
	memfd.crc = crc32c(0, &memfd, offsetof(struct memfd_ser, crc));
	memory_write(place->memfd, &memfd, sizeof(memfd));
}

void place_fix_files(const struct place *place)
{
	struct session_ser ser;

	memory_read(place->session, &ser, sizeof(ser));
	ser.files_crc = chain_crc(place->block, ser.nr_files,
				  PER_BLOCK(file_ser), sizeof(struct file_ser));
	memory_write(place->session, &ser, sizeof(ser));
	place_fix_session(place);
}

void place_fix_session(const struct place *place)
{
	struct session_ser ser;

	memory_read(place->session, &ser, sizeof(ser));
	ser.crc = crc32c(0, &ser, offsetof(struct session_ser, crc));
	memory_write(place->session, &ser, sizeof(ser));
}
