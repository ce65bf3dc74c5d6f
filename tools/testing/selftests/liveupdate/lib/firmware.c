// SPDX-License-Identifier: GPL-2.0-only
/*
 * What UEFI firmware leaves in memory: its array of configuration tables, by physical
 * address, through the kernel's test double.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>

#include "firmware.h"
#include "handover.h"
#include "luo_lib.h"

#define PAGE		4096UL

/* Of struct boot_params, and of the system table */
#define SYSTAB_LOW	0x1c4
#define SYSTAB_HIGH	0x1d8
#define NR_TABLES	104

const struct guid guid_initrd = {{
	0x27, 0xe4, 0x68, 0x55, 0xfc, 0x68, 0x3d, 0x4f,
	0xac, 0x74, 0xca, 0x55, 0x52, 0x31, 0xcc, 0x68 }};
const struct guid guid_rng = {{
	0xbc, 0xe5, 0xe1, 0x1c, 0xeb, 0x7c, 0xf2, 0x42,
	0x81, 0xe5, 0x8a, 0xad, 0xf1, 0x80, 0xf5, 0x7b }};
const struct guid guid_memreserve = {{
	0xc6, 0xb0, 0x8e, 0x88, 0xde, 0x8e, 0xf5, 0x4f,
	0xa8, 0xf0, 0x9a, 0xee, 0x5c, 0xb9, 0x77, 0xc2 }};
const struct guid guid_rtprop = {{
	0x8a, 0x91, 0x66, 0xeb, 0xef, 0x7e, 0x2a, 0x40,
	0x84, 0x2e, 0x93, 0x1d, 0x21, 0xc3, 0x8a, 0xe9 }};
const struct guid guid_tpm_log = {{
	0xb0, 0x9c, 0x79, 0xb7, 0xa2, 0xec, 0x43, 0x49,
	0x96, 0x67, 0x1f, 0xae, 0x07, 0xb7, 0x47, 0xfa }};
const struct guid guid_smbios3 = {{
	0x44, 0x15, 0xfd, 0xf2, 0x94, 0x97, 0x2c, 0x4a,
	0x99, 0x2e, 0xe5, 0xbb, 0xcf, 0x20, 0xe3, 0x94 }};
const struct guid guid_esrt = {{
	0x63, 0xa2, 0x22, 0xb1, 0x61, 0x36, 0x68, 0x4f,
	0x99, 0x29, 0x78, 0xf8, 0xb0, 0xd6, 0x21, 0x80 }};
const struct guid guid_memattr = {{
	0x1d, 0x91, 0xfa, 0xdc, 0xeb, 0x26, 0x9f, 0x46,
	0xa2, 0x20, 0x38, 0xb7, 0xdc, 0x46, 0x12, 0x20 }};

/* Those that no kernel reads, so that their places can be taken */
static const struct guid spare_guids[] = {
	/* DXE services, hand-off blocks, types of memory, debug information, LZMA */
	{{ 0xba, 0x34, 0xad, 0x05, 0x02, 0x6f, 0x14, 0x42,
	   0x95, 0x2e, 0x4d, 0xa0, 0x39, 0x8e, 0x2b, 0xb9 }},
	{{ 0x4c, 0xf2, 0x39, 0x77, 0xd7, 0x93, 0xd4, 0x11,
	   0x9a, 0x3a, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d }},
	{{ 0x9f, 0x04, 0x19, 0x4c, 0x37, 0x41, 0xd3, 0x4d,
	   0x9c, 0x10, 0x8b, 0x97, 0xa8, 0x3f, 0xfd, 0xfa }},
	{{ 0x77, 0x2e, 0x15, 0x49, 0xda, 0x1a, 0x64, 0x47,
	   0xb7, 0xa2, 0x7a, 0xfe, 0xfe, 0xd9, 0x5e, 0x8b }},
	{{ 0x98, 0x58, 0x4e, 0xee, 0x14, 0x39, 0x59, 0x42,
	   0x9d, 0x6e, 0xdc, 0x7b, 0xd7, 0x94, 0x03, 0xcf }},
};

static int bytes_copy(uint64_t phys, void *data, size_t size, bool out)
{
	int err = 0;

	while (size && !err) {
		size_t n = PAGE - phys % PAGE;

		if (n > size)
			n = size;
		err = out ? memory_write(phys, data, n) :
			    memory_read(phys, data, n);
		phys += n;
		data = (char *)data + n;
		size -= n;
	}
	return err;
}

static int params_read(size_t at, uint32_t *value)
{
	int fd = open("/sys/kernel/boot_params/data", O_RDONLY | O_CLOEXEC);
	ssize_t n = pread(fd, value, sizeof(*value), at);

	close(fd);
	return n == sizeof(*value) ? 0 : -EIO;
}

bool booted_by_efi(void)
{
	return !access("/sys/firmware/efi/config_table", F_OK);
}

/* The number of configuration tables, or a negative errno */
static int tables_count(void)
{
	uint32_t low, high;
	uint64_t count;
	int err;

	err = params_read(SYSTAB_LOW, &low) ?: params_read(SYSTAB_HIGH, &high);
	if (err)
		return err;
	err = bytes_copy((low | (uint64_t)high << 32) + NR_TABLES, &count,
			 sizeof(count), false);
	return err ?: count < 1000 ? (int)count : -EIO;
}

static int tables_array(uint64_t *phys)
{
	char text[32];
	int err = text_read("/sys/firmware/efi/config_table", text,
			    sizeof(text));

	*phys = err ? 0 : strtoull(text, NULL, 16);
	return err;
}

int firmware_table_at(unsigned int index, struct firmware_table *table)
{
	uint64_t array;
	int err = tables_array(&array);

	return err ?: bytes_copy(array + index * sizeof(*table), table,
				 sizeof(*table), false);
}

/* The place of a table in the array, or -ENOENT */
int firmware_table_find(const struct guid *guid, struct firmware_table *table)
{
	int count = tables_count(), err;

	for (int i = 0; i < count; i++) {
		err = firmware_table_at(i, table);
		if (err)
			return err;
		if (!memcmp(&table->guid, guid, sizeof(*guid)))
			return i;
	}
	return count < 0 ? count : -ENOENT;
}

static int spare_find(void)
{
	struct firmware_table table;
	int place;

	for (size_t i = 0; i < ARRAY_SIZE(spare_guids); i++) {
		place = firmware_table_find(&spare_guids[i], &table);
		if (place != -ENOENT)
			return place;
	}
	return -ENOSPC;
}

/* The firmware's table is now said to be at @phys; there need not have been one */
int firmware_table_set(const struct guid *guid, uint64_t phys)
{
	struct firmware_table table;
	int place = firmware_table_find(guid, &table);
	uint64_t array;
	int err;

	if (place == -ENOENT)
		place = spare_find();
	err = place < 0 ? place : tables_array(&array);
	if (err)
		return err;
	table.guid = *guid;
	table.phys = phys;
	return bytes_copy(array + place * sizeof(table), &table, sizeof(table),
			  true);
}
