// SPDX-License-Identifier: GPL-2.0
/*
 * Test double: memory that goes to the next kernel
 */

#include <linux/err.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "mock.h"

/**
 * mock_ser_alloc - have memory that crosses
 * @name:  of the mock
 * @value: its value
 *
 * Return: the memory, which mock_ser_free() frees, or -ENOMEM.
 */
struct mock_ser *mock_ser_alloc(const char *name, u64 value)
{
	struct mock_ser *ser = kho_alloc_preserve(sizeof(*ser));

	if (IS_ERR(ser))
		return ser;

	ser->magic = MOCK_MAGIC;
	ser->value = value;
	strscpy(ser->name, name);
	return ser;
}

/**
 * mock_ser_free - undo mock_ser_alloc()
 * @ser: the memory
 */
void mock_ser_free(struct mock_ser *ser)
{
	kho_unpreserve_free(ser);
}

static bool is_whole(const struct mock_ser *ser)
{
	return ser->magic == MOCK_MAGIC &&
	       strnlen(ser->name, sizeof(ser->name)) < sizeof(ser->name);
}

/**
 * mock_ser_peek - look at what came, and leave it where it is
 * @phys: its physical address, which is not trusted
 *
 * Return: the memory, or NULL when there is none that can be looked at.
 */
const struct mock_ser *mock_ser_peek(u64 phys)
{
	const struct mock_ser *ser;

	if (kho_preserved_order(phys))
		return NULL;

	ser = phys_to_virt(phys);
	return is_whole(ser) ? ser : NULL;
}

/**
 * mock_ser_take - take what came
 * @phys: its physical address, which is not trusted
 *
 * Return: the memory, which mock_ser_put() frees, or NULL when it is damaged.
 */
struct mock_ser *mock_ser_take(u64 phys)
{
	struct folio *folio = kho_try_restore_folio(phys, 0);
	struct mock_ser *ser;

	if (!folio)
		return NULL;

	ser = folio_address(folio);
	if (is_whole(ser))
		return ser;

	folio_put(folio);
	return NULL;
}

/**
 * mock_ser_put - free what mock_ser_take() took
 * @ser: the memory
 */
void mock_ser_put(struct mock_ser *ser)
{
	folio_put(virt_to_folio(ser));
}
