/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What libFuzzer calls, and fuzz_bytes(), which it has. Makefile gives them the
 * names that it knows.
 */
#ifndef _LIVEUPDATE_TEST_FUZZ_H
#define _LIVEUPDATE_TEST_FUZZ_H

int fuzz_one(const u8 *data, size_t length);
size_t fuzz_change(u8 *data, size_t size, size_t most, unsigned int seed);
size_t fuzz_bytes(u8 *data, size_t size, size_t most);

#endif /* _LIVEUPDATE_TEST_FUZZ_H */
