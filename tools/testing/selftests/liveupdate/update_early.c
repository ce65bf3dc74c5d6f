// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the next kernel does, or is told to do, with memory before it knows what is
 * preserved.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/kexec.h>

#include "lib/handover.h"
#include "update.h"

#define PAGE		4096UL

#define SCRATCH_PHYS	"/sys/kernel/debug/kho/out/scratch_phys"
#define SCRATCH_LEN	"/sys/kernel/debug/kho/out/scratch_len"

/* ---- Set "cmdline": command lines that are refused, and others ---- */

#define LONG_ENOUGH	2048

/* Loads that kernel, without an initrd; what was loaded before is no longer */
int kernel_load_with(const char *words)
{
	const char *kernel = getenv("KERNEL");
	char image[64], cmdline[LONG_ENOUGH];
	int fd, err;

	snprintf(image, sizeof(image), "/build/bzImage%s%s-b",
		 kernel && *kernel ? "-" : "", kernel ?: "");
	snprintf(cmdline, sizeof(cmdline), "console=ttyS0 %s", words);
	fd = SYS(open(image, O_RDONLY | O_CLOEXEC));
	err = syscall(SYS_kexec_file_load, fd, -1, strlen(cmdline) + 1, cmdline,
		      KEXEC_FILE_NO_INITRAMFS) ? -errno : 0;
	close(fd);
	return err;
}

void kernel_unload(void)
{
	SYS(syscall(SYS_kexec_file_load, -1, -1, 0, NULL, KEXEC_FILE_UNLOAD));
}

static void check_refused(struct note *note)
{
	const char *const *words = test_data();

	for (; *words; words++) {
		int err = kernel_load_with(*words);

		if (err != -EINVAL)
			test_fail(__FILE__, __LINE__, "%s: %s", *words,
				  strerror(-err));
	}
	/* Nothing is loaded */
	CHECK_EQ(-EINVAL, try_jump());
}

static void check_loaded(struct note *note)
{
	const char *const *words = test_data();

	for (; *words; words++) {
		int err = kernel_load_with(*words);

		if (err)
			test_fail(__FILE__, __LINE__, "%s: %s", *words,
				  strerror(-err));
		kernel_unload();
	}
}

#define CMDLINE(_name, _check, ...)					\
	static const char *const words_##_name[] = { __VA_ARGS__, NULL }; \
	UPDATE_TEST(cmdline, cmdline_##_name, .stage = { _check },	\
		    .data = words_##_name)

/* The machine has 1 GiB of memory, of which nothing is hidden from this kernel */
CMDLINE(hides, check_refused, "mem=512M", "mem=512M mem=64G", "memmap=512M",
	"memmap=exactmap", "memmap=exactmap memmap=512M@0",
	"memmap=64K$0x10000000", "memmap=64K#0x10000000",
	"memmap=64K!0x10000000", "memmap=64K%0x10000000-1+2");
CMDLINE(uses, check_refused, "initrdmem=0x10000000,16M", "initrd=256M,16M",
	"ramoops.mem_address=0x10000000 ramoops.mem_size=65536",
	"trace_instance=boot@0x10000000:12M", "crashkernel=64M@256M",
	"cma=64M@256M", "elfcorehdr=0x10000000");
/* Beyond all memory, or nowhere */
CMDLINE(beyond, check_loaded, "mem=64G", "memmap=64K$64G", "memmap=1G@64G",
	"initrdmem=64G,16M", "trace_instance=boot@64G:12M",
	"ramoops.mem_address=0x1000000000 ramoops.mem_size=65536",
	"crashkernel=64M", "cma=64M", "reserve_mem=12M:4096:trace", "memtest=4",
	"-- mem=512M");

/* How often it was said that there is no room for a crash kernel */
static unsigned int told_of_crash(const char *words)
{
	unsigned int before = times_logged("may have no crash kernel");

	OK(kernel_load_with(words));
	kernel_unload();
	return times_logged("may have no crash kernel") - before;
}

#define MOST_OF_ROOM	(600 * MIB)

/* The next kernel may have little memory beside what is preserved, but for scratch */
static void crash_room(struct note *note)
{
	int fd = SYS(memfd_create("room", 0)), session = session_new(note, "");

	CHECK_EQ(0, told_of_crash("crashkernel=128M"));
	CHECK_EQ(1, told_of_crash("crashkernel=2G"));
	CHECK_EQ(1, told_of_crash("crashkernel=1G-4G:64M,4G-:2G"));

	SYS(ftruncate(fd, MOST_OF_ROOM));
	SYS(fallocate(fd, 0, 0, MOST_OF_ROOM));
	OK(luo_preserve(session, fd, 1));
	CHECK_EQ(1, told_of_crash("crashkernel=512M"));
	CHECK_EQ(0, told_of_crash("crashkernel=1M crashkernel=1M,low"));

	OK(luo_unpreserve(session, 1));
	CHECK_EQ(0, told_of_crash("crashkernel=128M"));
	close(session);
}

UPDATE_TEST(cmdline, cmdline_crash_room, .stage = { crash_room });

/* ---- Set "memtest": nearly all memory is preserved, and the next kernel tests it ---- */

#define TESTED		(500 * MIB)

static void memtest_before(struct note *note)
{
	int fd = SYS(memfd_create("tested", 0));

	SYS(ftruncate(fd, TESTED));
	OK(words_fill(fd, 0, TESTED, 1));
	OK(luo_preserve(session_new(note, ""), fd, 1));
}

static void memtest_after(struct note *note)
{
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));
	struct words_wrong wrong = {};

	if (words_check(fd, 0, TESTED, 1, &wrong))
		test_fail(__FILE__, __LINE__, "%lu words are wrong, from %lu on",
			  wrong.count, wrong.offset);
	OK(luo_finish(session));
	CHECK_EQ(0, number_in(LUO_SYSFS "quarantined"));
}

UPDATE_TEST(memtest, memory_tested, .stage = { memtest_before, memtest_after },
	    .timeout = 180);

/*
 * ---- Set "areas": two scratch areas are the same memory ----
 *
 * The array of areas is copied when the image is loaded. It is wrong at that time only,
 * as this kernel reads it, too.
 */

struct area {
	uint64_t addr, size;
};

static uint64_t first_number(const char *path)
{
	char text[256];

	OK(text_read(path, text, sizeof(text)));
	return strtoull(text, NULL, 16);
}

/* Where the array begins: with a page, of which there are enough to look at */
static uint64_t areas_find(struct area *first)
{
	struct area area;

	first->addr = first_number(SCRATCH_PHYS);
	first->size = first_number(SCRATCH_LEN);
	for (uint64_t phys = 1024 * MIB; (phys -= PAGE) >= MIB;)
		if (!memory_read(phys, &area, sizeof(area)) &&
		    area.addr == first->addr && area.size == first->size)
			return phys;
	CHECK(!"there is an array of scratch areas");
	return 0;
}

/* The second is empty where all memory is low */
static void areas_damage(struct note *note)
{
	struct area first, second;

	OK(luo_preserve(session_new(note, ""),
			OK(memfd_filled("lost", 0, MIB, 2)), 1));
	note->value[0] = areas_find(&first) + sizeof(first);
	OK(memory_read(note->value[0], &second, sizeof(second)));
	note->value[1] = second.addr;
	note->value[2] = second.size;
	OK(memory_write(note->value[0], &first, sizeof(first)));
}

static void areas_repair(struct note *note)
{
	struct area second = { note->value[1], note->value[2] };

	OK(memory_write(note->value[0], &second, sizeof(second)));
}

static void areas_after(struct note *note)
{
	check_handover_lost();
}

UPDATE_TEST(areas, areas_overlap, .stage = { areas_damage, areas_after },
	    .late = { areas_repair });

/* ---- Set "entries": the map of memory is long ---- */

#define SPLIT		"/sys/kernel/debug/liveupdate-handover/split"

static void entries_before(struct note *note)
{
	OK(text_write(SPLIT, "200"));
	note->value[0] = meminfo_kib("MemTotal");
	OK(luo_preserve(session_new(note, ""),
			OK(memfd_filled("far", 0, 64 * MIB, 3)), 1));
}

static void entries_after(struct note *note)
{
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));

	OK(content_check(fd, 0, 64 * MIB, 3));
	OK(luo_finish(session));
	/* Some is for the kernel, of which there are two */
	CHECK_BETWEEN(note->value[0] - 4096, meminfo_kib("MemTotal"),
		      note->value[0] + 4096);
}

UPDATE_TEST(entries, map_of_many_entries,
	    .stage = { entries_before, entries_after });

/* ---- Set "initrd": there is none but where the command line says, outside of scratch ---- */

static void initrd_before(struct note *note)
{
}

static void initrd_after(struct note *note)
{
	CHECK_EQ(1, times_logged("RAMDISK: not in scratch memory"));
}

UPDATE_TEST(initrd, initrd_out_of_scratch,
	    .stage = { initrd_before, initrd_after });
