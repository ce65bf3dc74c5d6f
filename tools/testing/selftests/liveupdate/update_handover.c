// SPDX-License-Identifier: GPL-2.0-only
/*
 * The handover as KHO's debugfs shows it: a flattened device tree, with the
 * header and the root node that it must have, and that dtc can read.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "update.h"

#define INCOMING	"/sys/kernel/debug/kho/in/sub_fdts/liveupdate"
#define COPY		"handover.dtb"
#define TEXT		"handover.dts"

#define FDT_MAGIC	0xd00dfeed
#define FDT_BEGIN_NODE	1
#define FDT_PROP	3
#define FDT_NOP		4

static unsigned char blob[4 * MIB];
static size_t blob_size;

static void read_blob(void)
{
	int fd = SYS(open(INCOMING, O_RDONLY));
	ssize_t n;

	while ((n = SYS(read(fd, blob + blob_size,
			     sizeof(blob) - blob_size))) > 0)
		blob_size += n;
	close(fd);
	CHECK(blob_size >= 40);
}

static uint32_t word(size_t offset)
{
	uint32_t value;

	CHECK(offset + 4 <= blob_size);
	memcpy(&value, blob + offset, 4);
	return ntohl(value);
}

/* The value of a property of the root node */
static const char *root_property(const char *name)
{
	size_t at = word(8), strings = word(12);

	CHECK_EQ(FDT_BEGIN_NODE, word(at));
	CHECK_EQ(0, word(at + 4));
	for (at += 8; word(at) == FDT_PROP || word(at) == FDT_NOP;) {
		uint32_t len, nameoff;

		if (word(at) == FDT_NOP) {
			at += 4;
			continue;
		}
		len = word(at + 4);
		nameoff = word(at + 8);
		CHECK(strings + nameoff < blob_size);
		CHECK(at + 12 + len <= blob_size);
		if (!strcmp((char *)blob + strings + nameoff, name))
			return (char *)blob + at + 12;
		at += 12 + ((len + 3) & ~3);
	}
	return NULL;
}

static void handover_before(struct note *note)
{
	session_new(note, "");
}

static void handover_after(struct note *note)
{
	const char *compatible;

	read_blob();
	CHECK_EQ(FDT_MAGIC, word(0));
	CHECK(word(4) <= blob_size);
	compatible = root_property("compatible");
	CHECK(compatible);
	CHECK(!strcmp(compatible, "liveupdate-v1"));
}

UPDATE_TEST(base, handover_is_a_device_tree,
	    .stage = { handover_before, handover_after });

/* The file names say where to find both when this fails */
static void dtc_after(struct note *note)
{
	char text[64 * KIB];
	int fd, status;

	read_blob();
	fd = SYS(open(COPY, O_WRONLY | O_CREAT | O_TRUNC, 0600));
	CHECK_EQ(blob_size, SYS(write(fd, blob, blob_size)));
	close(fd);
	status = system("dtc -I dtb -O dts -o " TEXT " " COPY);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		test_skip("no dtc");
	CHECK_EQ(0, status);
	OK(text_read(TEXT, text, sizeof(text)));
	CHECK(strstr(text, "compatible = \"liveupdate-v1\""));
	CHECK(strstr(text, "sessions {"));
}

UPDATE_TEST(base, handover_is_read_by_dtc,
	    .stage = { handover_before, dtc_after });
