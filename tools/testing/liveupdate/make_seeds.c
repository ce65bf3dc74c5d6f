// SPDX-License-Identifier: GPL-2.0
/*
 * make_seeds FOLDER: writes images of valid handovers there, for the fuzzer to
 * begin with. Each is there with checksums and without.
 */

#include "handover.h"
#include "image.h"
#include "receive.h"

static const struct shape shapes[] = {
	{},
	{ .items = 2 },
	{ .sessions = 1 },
	{ .sessions = 1, .files = 1 },
	{ .sessions = 1, .files = FILES_A_BLOCK },
	{ .sessions = 1, .files = 2 * FILES_A_BLOCK + 1 },
	{ .sessions = 3, .files = 2, .others = 2, .items = 3 },
	{ .sessions = SESSIONS_A_BLOCK, .others = 1 },
	{ .sessions = SESSIONS_A_BLOCK + 1, .files = 1 },
	{ .sessions = 1, .files = 1, .extents = 1 },
	{ .sessions = 2, .files = 2, .others = 1, .extents = 3 },
	{ .sessions = 1, .files = 1, .extents = 4, .near = 2 },
};

static void write_file(const char *folder, unsigned int seq, bool checksums,
		       const u8 *data, size_t size)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/seed-%u%s", folder, seq,
		 checksums ? "-checksums" : "");
	file = fopen(path, "w");
	if (!file || fwrite(data, 1, size, file) != size || fclose(file)) {
		perror(path);
		exit(1);
	}
}

/* A seed that is no good would leave the fuzzer with nothing */
static void must_be_good(const struct shape *shape, const u8 *data, size_t size)
{
	struct received got;
	size_t root_size;
	void *root = image_load(data, size, &root_size);

	receive(root, root_size, &got);
	must(!got.err && !got.quarantined && got.sessions == shape->sessions);
	must(got.files == shape->files + shape->others);
	must(got.pages == shape->extents);
	must(got.subsystems == shape->items && got.flbs == shape->items);
	free(root);
}

static void write_seed(const char *folder, unsigned int seq, bool checksums)
{
	static u8 data[IMAGE_MAX];
	struct handover handover;
	size_t size;

	memory_reset(checksums);
	handover_make(&handover, &shapes[seq]);
	size = image_save(data, checksums, handover.fdt, handover.size);
	must_be_good(&shapes[seq], data, size);
	write_file(folder, seq, checksums, data, size);
	handover_free(&handover);
}

int main(int argc, char **argv)
{
	unsigned int i;

	if (argc != 2) {
		fprintf(stderr, "usage: make_seeds FOLDER\n");
		return 2;
	}
	for (i = 0; i < ARRAY_SIZE(shapes); i++) {
		write_seed(argv[1], i, false);
		write_seed(argv[1], i, true);
	}

	return 0;
}
