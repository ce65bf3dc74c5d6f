/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The configuration tables of UEFI firmware.
 */
#ifndef FIRMWARE_H
#define FIRMWARE_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

struct guid {
	uint8_t bytes[16];
};

/* As in the firmware's array */
struct firmware_table {
	struct guid guid;
	uint64_t phys;
};

static_assert(sizeof(struct firmware_table) == 24, "layout");

extern const struct guid guid_esrt, guid_initrd, guid_memattr, guid_memreserve,
			 guid_rng, guid_rtprop, guid_smbios3, guid_tpm_log;

bool booted_by_efi(void);
int firmware_table_at(unsigned int index, struct firmware_table *table);
int firmware_table_find(const struct guid *guid, struct firmware_table *table);
int firmware_table_set(const struct guid *guid, uint64_t phys);

#endif /* FIRMWARE_H */
