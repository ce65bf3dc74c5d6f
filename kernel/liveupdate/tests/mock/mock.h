/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Test double of the Live Update Orchestrator: what its files share
 *
 * Mock subsystems, FLBs and files, which user space tells what to do when they
 * are called: see mock_steer.c. What they hand over is in struct mock_ser.
 */
#ifndef _LIVEUPDATE_TESTS_MOCK_H
#define _LIVEUPDATE_TESTS_MOCK_H

#include <linux/types.h>

struct dentry;
struct folio;

/* Length of a participant's name, its NUL included */
#define MOCK_NAME_LENGTH	32

/* ---- mock_steer.c: what was called, and what it has to do ---- */

int mock_called(const char *op, const char *who);
int mock_steer(const char *rules);
void mock_steer_register(struct dentry *dir);
void mock_steer_clear(void);

/* ---- mock_ser.c: memory that crosses ---- */

/**
 * struct mock_ser - what a mock hands over
 * @magic: %MOCK_MAGIC
 * @value: a number that user space has set, or a count
 * @name:  of the mock, terminated
 */
struct mock_ser {
	u64 magic;
	u64 value;
	char name[MOCK_NAME_LENGTH];
};

#define MOCK_MAGIC	0x6b636f6d6f756c76ULL

struct mock_ser *mock_ser_alloc(const char *name, u64 value);
void mock_ser_free(struct mock_ser *ser);
const struct mock_ser *mock_ser_peek(u64 phys);
struct mock_ser *mock_ser_take(u64 phys);
void mock_ser_put(struct mock_ser *ser);

/* ---- mock_subsystem.c, mock_flb.c, mock_file.c ---- */

void mock_subsystems_register(struct dentry *dir);
void mock_subsystems_unregister(void);

struct liveupdate_file_handler;

void mock_flbs_register(struct liveupdate_file_handler *handler,
			struct dentry *dir);
int mock_flbs_add_file(int change);

int mock_files_register(struct dentry *dir);
void mock_files_unregister(void);

#endif /* _LIVEUPDATE_TESTS_MOCK_H */
