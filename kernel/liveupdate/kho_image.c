// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kexec Handover: what the file of a kernel tells about it
 */

#include <linux/minmax.h>
#include <linux/string.h>
#include <linux/types.h>

#include "kho_load.h"

#ifdef CONFIG_X86

#include <asm/bootparam.h>

/* See Documentation/arch/x86/boot.rst: kernel_version counts from there */
#define SETUP_SECOND_SECTOR	0x200
#define SETUP_MAGIC		0x53726448	/* "HdrS" */

/* The text that begins with the release, and bytes of the file from there on */
static const char *image_find_version(const void *file, size_t size, size_t *left)
{
	const struct setup_header *header;
	size_t at;

	if (size < offsetof(struct boot_params, hdr) + sizeof(*header))
		return NULL;

	header = file + offsetof(struct boot_params, hdr);
	at = SETUP_SECOND_SECTOR + header->kernel_version;
	if (header->header != SETUP_MAGIC || !header->kernel_version ||
	    at >= size)
		return NULL;

	*left = size - at;
	return file + at;
}

#else

static const char *image_find_version(const void *file, size_t size, size_t *left)
{
	return NULL;
}

#endif

static bool image_char_ok(char c)
{
	return c > ' ' && c <= '~';
}

/**
 * kho_image_release - find the release of the kernel in a file
 * @file: the file, which is not trusted
 * @size: bytes of @file
 * @release: where to; empty if it is not there, not printable, or longer than that
 * @room: bytes of @release
 *
 * Context: Any.
 * Return: true if it is there.
 */
bool kho_image_release(const void *file, size_t size, char *release, size_t room)
{
	const char *version;
	size_t left, len;

	release[0] = '\0';
	version = image_find_version(file, size, &left);
	if (!version)
		return false;

	left = min(left, room);
	for (len = 0; len < left && image_char_ok(version[len]); len++)
		;
	if (!len || len == left || (version[len] && version[len] != ' '))
		return false;

	memcpy(release, version, len);
	release[len] = '\0';
	return true;
}
