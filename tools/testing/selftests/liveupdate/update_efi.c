// SPDX-License-Identifier: GPL-2.0-only
/*
 * What UEFI firmware and the boot stub left in memory, which by now is in files that
 * are preserved: the next kernel neither writes to it nor believes it. What lies in
 * memory of the firmware's own is there as before.
 *
 * The set runs with an initrd, and without one: then the next kernel has nothing but
 * what the table of the first one's initrd tells.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include "lib/firmware.h"
#include "lib/handover.h"
#include "update.h"

#define PAGE		4096UL
#define STEP		(16 * MIB)

#define EFI		"/sys/firmware/efi/"
#define EFIVARS		EFI "efivars"
#define MEMMAP		"/sys/firmware/memmap"
#define VENDOR		"/sys/class/dmi/id/sys_vendor"

/* Beyond all memory, and aligned */
#define NO_RAM		0x200000000000ULL

/* ---- Pages that must be certain ones ---- */

static unsigned char *page_map(int fd, uint64_t offset)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_POPULATE, fd, offset);

	CHECK(page != MAP_FAILED);
	return page;
}

static uint64_t phys_of(const unsigned char *page)
{
	return pfn_of(page) * PAGE;
}

/* What pagemap has of all pages of a mapping of STEP bytes */
static void entries_read(const unsigned char *map, uint64_t *entries)
{
	int fd = SYS(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
	size_t size = STEP / PAGE * sizeof(*entries);

	CHECK_EQ(size, SYS(pread(fd, entries, size,
				 (uintptr_t)map / PAGE * sizeof(*entries))));
	close(fd);
}

/* Where a page of a file is that lies from @start to @end in memory, or -1 */
static int64_t page_within(int fd, uint64_t from, uint64_t start, uint64_t end)
{
	static uint64_t entries[STEP / PAGE];
	unsigned char *map = mmap(NULL, STEP, PROT_READ,
				  MAP_SHARED | MAP_POPULATE, fd, from);
	int64_t found = -1;

	CHECK(map != MAP_FAILED);
	entries_read(map, entries);
	for (size_t i = 0; i < STEP / PAGE && found < 0; i++) {
		uint64_t phys = (entries[i] & ((1ULL << 55) - 1)) * PAGE;

		CHECK(entries[i] >> 63);
		if (phys >= start && phys + PAGE <= end)
			found = from + i * PAGE;
	}
	munmap(map, STEP);
	return found;
}

/*
 * A memfd that has but one page, at *@offset, which lies from @start to @end: all
 * memory is taken, until it is found there.
 */
static int page_take_within(uint64_t start, uint64_t end, uint64_t *offset)
{
	uint64_t size = 0, most = (meminfo_kib("MemFree") - 65536) * KIB;
	int fd = SYS(memfd_create("page", 0));
	int64_t found = -1;

	for (; found < 0 && size + STEP <= most; size += STEP) {
		SYS(fallocate(fd, 0, size, STEP));
		found = page_within(fd, size, start, end);
	}
	if (found < 0)
		test_fail(__FILE__, __LINE__, "no free page at %#llx",
			  (unsigned long long)start);
	if (found)
		SYS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			      found));
	SYS(ftruncate(fd, found + PAGE));
	*offset = found;
	return fd;
}

/* ---- The table of the initrd ---- */

/* Of the first one in memory, as the boot stub left it */
struct initrd {
	uint64_t base, size;
};

enum {
	AT_PHYS,	/* of the table */
	AT_OFFSET,	/* in the file */
	AT_VICTIM,	/* what the table says the initrd is */
};

/* The page that the table is in, with what a next kernel could believe */
static void initrd_expected(const struct note *note, unsigned char *page)
{
	struct initrd *table = (void *)(page + note->value[AT_PHYS] % PAGE);

	content_generate(page, 0, PAGE, 1);
	table->base = note->value[AT_VICTIM];
	table->size = PAGE;
}

static void initrd_before(struct note *note)
{
	int victim = OK(memfd_filled("victim", 0, PAGE, 2));
	int session = session_new(note, ""), fd;
	struct firmware_table table;
	unsigned char *page;
	uint64_t start;

	CHECK(booted_by_efi());
	OK(firmware_table_find(&guid_initrd, &table));
	start = table.phys / PAGE * PAGE;
	note->value[AT_PHYS] = table.phys;
	OK(luo_preserve(session, victim, 2));
	note->value[AT_VICTIM] = phys_of(page_map(victim, 0));
	fd = page_take_within(start, start + PAGE, &note->value[AT_OFFSET]);
	page = page_map(fd, note->value[AT_OFFSET]);
	initrd_expected(note, page);
	OK(luo_preserve(session, fd, 1));
	CHECK_EQ(start, phys_of(page_map(fd, note->value[AT_OFFSET])));
}

static void initrd_after(struct note *note)
{
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));
	unsigned char want[PAGE];
	char line[64];

	initrd_expected(note, want);
	CHECK_EQ(0, memcmp(want, page_map(fd, note->value[AT_OFFSET]), PAGE));
	OK(content_check(OK(luo_restore(session, 2)), 0, PAGE, 2));
	OK(luo_finish(session));
	snprintf(line, sizeof(line), "(INITRD=0x%llx unusable)",
		 (unsigned long long)note->value[AT_PHYS]);
	CHECK_EQ(1, times_logged(line));
}

UPDATE_TEST(efi, efi_initrd, .stage = { initrd_before, initrd_after },
	    .timeout = 120);

/* ---- Other tables, said to be in a page of a memfd ---- */

struct table {
	const struct guid *guid;
	/* As the log calls it */
	const char *name;
	void (*fill)(unsigned char *page);
	/* In the next kernel */
	void (*check)(struct note *note);
};

static void table_expected(const struct table *table, unsigned char *page)
{
	content_generate(page, 0, PAGE, 3);
	if (table->fill)
		table->fill(page);
}

static void table_before(struct note *note)
{
	int fd = OK(memfd_filled("table", 0, PAGE, 3));
	unsigned char *page = page_map(fd, 0);

	CHECK(booted_by_efi());
	table_expected(test_data(), page);
	OK(luo_preserve(session_new(note, ""), fd, 1));
	note->value[0] = phys_of(page);
}

static void table_set(struct note *note)
{
	const struct table *table = test_data();

	OK(firmware_table_set(table->guid, note->value[0]));
}

static void table_after(struct note *note)
{
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));
	const struct table *table = test_data();
	unsigned char want[PAGE];
	char line[64];

	table_expected(table, want);
	CHECK_EQ(0, memcmp(want, page_map(fd, 0), PAGE));
	OK(luo_finish(session));
	if (table->check)
		table->check(note);
	snprintf(line, sizeof(line), "(%s=0x%llx unusable)", table->name,
		 (unsigned long long)note->value[0]);
	CHECK_EQ(1, times_logged(line));
}

#define TABLE(_name, _log, ...)						\
	static const struct table table_##_name = {			\
		.guid = &guid_##_name, .name = _log, __VA_ARGS__	\
	};								\
	UPDATE_TEST(efi, efi_##_name,					\
		    .stage = { table_before, table_after },		\
		    .frozen = table_set, .data = &table_##_name)

/* Read, and cleared */
TABLE(rng, "RNG");

/* A list, whose next entry is far away: the next kernel dies when it goes there */
static void fill_memreserve(unsigned char *page)
{
	static const struct {
		int32_t size, count;
		uint64_t next;
	} header = { 1, 0, NO_RAM };

	memcpy(page, &header, sizeof(header));
}

TABLE(memreserve, "MEMRESERVE", .fill = fill_memreserve);

/* The firmware is said to have no services; then there are no variables */
static void fill_rtprop(unsigned char *page)
{
	static const struct {
		uint16_t version, length;
		uint32_t services;
	} header = { 1, 8, 0 };

	memcpy(page, &header, sizeof(header));
}

static unsigned int count_entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned int count = 0;

	CHECK(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void check_variables(struct note *note)
{
	SYS(mount("efivars", EFIVARS, "efivarfs", 0, NULL));
	CHECK(count_entries(EFIVARS) > 2);
	SYS(umount(EFIVARS));
}

TABLE(rtprop, "RTPROP", .fill = fill_rtprop, .check = check_variables);

/* A machine of another make. Where its description is, is within the page. */
static void fill_smbios3(unsigned char *page)
{
	static const struct {
		uint8_t type, length, handle[2], strings[4], uuid[16], rest[3];
		char string[8];
		uint8_t end[6];
	} system = { 1, 27, { 0, 1 }, { 1, 1, 1, 1 }, {}, { 6, 1, 1 }, "forged",
		     { 127, 4, 0, 2 } };
	uint64_t phys = phys_of(page) + 64;
	uint32_t size = sizeof(system);
	unsigned char sum = 0;

	memset(page, 0, 64 + sizeof(system));
	memcpy(page, "_SM3_\0\x18\x03", 8);
	page[10] = 1;
	memcpy(page + 12, &size, sizeof(size));
	memcpy(page + 16, &phys, sizeof(phys));
	for (int i = 0; i < 24; i++)
		sum += page[i];
	page[5] = -sum;
	memcpy(page + 64, &system, sizeof(system));
}

static void smbios3_before(struct note *note)
{
	int fd = OK(memfd_filled("table", 0, PAGE, 3));
	unsigned char *page = page_map(fd, 0);

	CHECK(booted_by_efi());
	fill_smbios3(page);
	OK(luo_preserve(session_new(note, ""), fd, 1));
	note->value[0] = phys_of(page);
}

static void smbios3_after(struct note *note)
{
	char vendor[64] = "";

	text_read(VENDOR, vendor, sizeof(vendor));
	CHECK(strcmp(vendor, "forged"));
}

static const struct table table_smbios3 = { .guid = &guid_smbios3 };

UPDATE_TEST(efi, efi_smbios3, .stage = { smbios3_before, smbios3_after },
	    .frozen = table_set, .data = &table_smbios3);

/* ---- The log of the TPM: kernels reserve it, and read it where it lies ---- */

/*
 * Nothing preserves the page; the process has it until the jump. A memfd's is out of
 * scratch memory, in which no kernel would keep a log.
 */
static void tpm_before(struct note *note)
{
	static const struct {
		uint32_t size, final_size;
		uint8_t version;
	} header = { 64, 0, 1 };
	int fd = SYS(memfd_create("log", 0));
	unsigned char *page;

	SYS(ftruncate(fd, PAGE));
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_LOCKED,
		    fd, 0);
	CHECK(page != MAP_FAILED);
	content_generate(page, 0, PAGE, 4);
	memcpy(page, &header, sizeof(header));
	note->value[0] = phys_of(page);
}

static void tpm_after(struct note *note)
{
	unsigned char want[64], have[64];
	char line[64];

	snprintf(line, sizeof(line), " TPMEventLog=0x%llx ",
		 (unsigned long long)note->value[0]);
	CHECK_EQ(1, times_logged(line));
	/* All but the header; it is still there */
	content_generate(want, 16, 48, 4);
	OK(memory_read(note->value[0] + 16, have, 48));
	CHECK_EQ(0, memcmp(want, have, 48));
}

static const struct table table_tpm = { .guid = &guid_tpm_log };

UPDATE_TEST(efi, efi_tpm_log, .stage = { tpm_before, tpm_after },
	    .frozen = table_set, .data = &table_tpm);

/* ---- What is in nobody's memory but the firmware's stays ---- */

static const char *const kept_files[] = {
	EFI "config_table", EFI "fw_vendor", EFI "fw_platform_size",
};

static void kept_before(struct note *note)
{
	CHECK(booted_by_efi());
	for (size_t i = 0; i < ARRAY_SIZE(kept_files); i++)
		OK(text_read(kept_files[i], (char *)&note->value[4 * i], 32));
	check_variables(note);
}

static void kept_after(struct note *note)
{
	for (size_t i = 0; i < ARRAY_SIZE(kept_files); i++)
		check_text(kept_files[i], (char *)&note->value[4 * i]);
	check_variables(note);
}

UPDATE_TEST(efi, efi_kept, .stage = { kept_before, kept_after, kept_after });

/* What the map that the next kernel gets says of an address; false if nothing */
static bool memmap_type(uint64_t phys, char *type, size_t size)
{
	char path[64], text[32];
	uint64_t start, end;

	for (int i = 0;; i++) {
		snprintf(path, sizeof(path), MEMMAP "/%d/start", i);
		if (text_read(path, text, sizeof(text)))
			return false;
		start = strtoull(text, NULL, 16);
		snprintf(path, sizeof(path), MEMMAP "/%d/end", i);
		OK(text_read(path, text, sizeof(text)));
		end = strtoull(text, NULL, 16);
		snprintf(path, sizeof(path), MEMMAP "/%d/type", i);
		OK(text_read(path, type, size));
		if (phys >= start && phys <= end)
			return true;
	}
}

/* Is this memory of the kernel's own? In the map that it uses itself. */
static bool is_system_ram(uint64_t phys)
{
	FILE *file = fopen("/proc/iomem", "re");
	unsigned long long start, end;
	bool found = false;
	char line[256];

	CHECK(file);
	while (!found && fgets(line, sizeof(line), file))
		found = *line != ' ' && strstr(line, "System RAM") &&
			sscanf(line, "%llx-%llx", &start, &end) == 2 &&
			phys >= start && phys <= end;
	fclose(file);
	return found;
}

static void told_after(struct note *note)
{
	char type[32];

	CHECK(memmap_type(note->value[0], type, sizeof(type)));
	CHECK_EQ(0, strcmp(type, "Reserved"));
}

/*
 * A table that lies in ordinary memory, but that the first kernel reserves for good. Of
 * all such tables OVMF has this one.
 */
static void told_before(struct note *note)
{
	struct firmware_table table;

	OK(firmware_table_find(&guid_memattr, &table));
	note->value[0] = table.phys;
	CHECK(is_system_ram(table.phys));
	told_after(note);
}

UPDATE_TEST(efi, efi_told, .stage = { told_before, told_after, told_after });

/* ---- Memory of boot services: by now, free but for some tables ---- */

struct region {
	uint64_t start, end;
};

static uint64_t region_number(int i, const char *name)
{
	char path[80], text[32];

	snprintf(path, sizeof(path), EFI "runtime-map/%d/%s", i, name);
	return text_read(path, text, sizeof(text)) ? 0 : strtoull(text, NULL, 0);
}

/* The largest region of boot services' code or data that is in the map still */
static struct region boot_services(void)
{
	struct region found = {};
	uint64_t start, size, type;

	for (int i = 0; (size = region_number(i, "num_pages") * PAGE); i++) {
		type = region_number(i, "type");
		start = region_number(i, "phys_addr");
		if ((type == 3 || type == 4) && start >= MIB &&
		    size > found.end - found.start)
			found = (struct region){ start, start + size };
	}
	return found;
}

static void services_before(struct note *note)
{
	struct region region = boot_services();
	int fd;

	CHECK(booted_by_efi());
	if (region.end - region.start < 16 * PAGE)
		test_skip("no memory of boot services");
	fd = page_take_within(region.start, region.end, &note->value[0]);
	OK(content_fill(fd, note->value[0], PAGE, 5));
	OK(luo_preserve(session_new(note, ""), fd, 1));
	note->value[1] = phys_of(page_map(fd, note->value[0]));
	CHECK_BETWEEN(region.start, note->value[1], region.end - 1);
}

static void services_after(struct note *note)
{
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));

	OK(content_check(fd, note->value[0], PAGE, 5));
	OK(luo_finish(session));
	CHECK_EQ(0, number_in(LUO_SYSFS "quarantined"));
}

UPDATE_TEST(efi, efi_boot_services,
	    .stage = { services_before, services_after }, .timeout = 120);
