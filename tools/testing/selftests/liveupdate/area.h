/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Areas of reserve_mem=, as KHO's tree tells of them, and what is in them.
 */
#ifndef AREA_H
#define AREA_H

#include <stdbool.h>
#include <stdint.h>

struct area {
	uint64_t start, size;
};

struct area area_find(const char *name);
bool area_in_scratch(const struct area *area);
void area_fill(const struct area *area, uint64_t seed);
void area_check(const struct area *area, uint64_t seed);

#endif /* AREA_H */
