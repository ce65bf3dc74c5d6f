// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of what the next kernel's command line may say
 */

#include <kunit/test.h>
#include <linux/sizes.h>

#include "../kho_load.h"

/* All memory of this machine, and where nothing is preserved in it */
#define RAM		SZ_1G
#define FREE		0x30000000
#define FREE_LAST	0x33ffffff

static bool memory_any(u64 start, u64 last)
{
	return start < RAM;
}

static bool memory_unpreserved(u64 start, u64 last)
{
	return start >= FREE && last <= FREE_LAST;
}

/* How often it was asked for, which is for crashkernel= alone */
static unsigned int times_asked;

static u64 memory_room(const struct kho_memory *memory)
{
	times_asked++;
	return SZ_64M;
}

static const struct kho_memory memory = {
	.any = memory_any,
	.unpreserved = memory_unpreserved,
	.room = memory_room,
};

static void expect(struct kunit *test, const char *text, int want)
{
	char *copy = kunit_kstrdup(test, text, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, copy);
	KUNIT_EXPECT_EQ_MSG(test, kho_cmdline_check(copy, &memory), want, "%s",
			    text);
}

static void expect_all(struct kunit *test, const char *const *texts, int want)
{
	for (; *texts; texts++)
		expect(test, *texts, want);
}

static void nothing_wrong(struct kunit *test)
{
	static const char *const texts[] = {
		"", " ", "quiet", "--", "=", "mem", "mem=", "memmap", "memmap=",
		"console=ttyS0 root=/dev/vda1 ro liveupdate=1 kho=on",
		"memtest=4", "reserve_mem=12M:4096:trace", "crashkernel=64M",
		"initrd", "ramoops.mem_size=4096", "trace_instance=foo", NULL
	};

	expect_all(test, texts, 0);
}

static void hidden(struct kunit *test)
{
	static const char *const texts[] = {
		"mem=512M", "mem=1", "mem=0x3fffffff", "mem=1048575K",
		"memmap=512M", "memmap=0", "memmap=64K$0x10000000",
		"memmap=64K#0x10000000", "memmap=1!0x3fffffff",
		"memmap=2G$512M", "memmap=16E$1", "memmap=1M%256M",
		"memmap=1M%256M-1", "memmap=1M%256M-1+2", "memmap=1M%256M+12",
		"memmap=1M$2G,1M$256M", "memmap=1M@2G,1M#256M,1G!1024G",
		/* Within scratch is hidden as well */
		"memmap=1M$0x30000000", NULL
	};

	expect_all(test, texts, -EINVAL);
}

static void not_hidden(struct kunit *test)
{
	static const char *const texts[] = {
		"mem=1G", "mem=64G", "mem=nopentium", "mem=x", "mem=0",
		"memmap=1G", "memmap=x", "memmap=64K$1G", "memmap=0$256M",
		"memmap=1M@256M", "memmap=1M%256M+1", "memmap=1M%256M-2",
		"memmap=1M%256M-1+1", "memmap=1M%256M-2+12",
		"memmap=1M%256M-1x", "memmap=1M$2G,1M$3G", NULL
	};

	expect_all(test, texts, 0);
}

static void exact(struct kunit *test)
{
	static const char *const wrong[] = {
		"memmap=exactmap", "memmap=exactmap,512M@0",
		"memmap=exactmap memmap=512M@0 memmap=511M@513M",
		"memmap=exactmap memmap=1G@1",
		"memmap=1G@0 memmap=exactmap",
		"memmap=exactmap memmap=1G@0 memmap=64K$256M",
		"memmap=exactmap memmap=1G@0 mem=1G memmap=exactmap", NULL
	};
	static const char *const right[] = {
		"memmap=exactmap memmap=1G@0", "memmap=exactmap,1G@0",
		"memmap=exactmap memmap=512M@512M memmap=512M@0",
		"memmap=exactmap memmap=768M@256M memmap=512M@0",
		"memmap=exactmap memmap=16E@0",
		"memmap=exactmap memmap=1G@0,1G@8G,64K$2G", NULL
	};

	expect_all(test, wrong, -EINVAL);
	expect_all(test, right, 0);
}

/* Far more ranges than can be remembered */
static void exact_long(struct kunit *test)
{
	static const char begin[] = "memmap=exactmap,1G@0";
	char *text = kunit_kzalloc(test, SZ_2K, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, text);
	memcpy(text, begin, sizeof(begin));
	for (int i = 0; i < 100; i++)
		strlcat(text, ",1M@9G", SZ_2K);
	expect(test, text, -EINVAL);
}

static void taken(struct kunit *test)
{
	static const char *const texts[] = {
		"initrdmem=0x10000000,16M", "initrd=0x10000000,16M",
		"initrdmem=0x3fffffff,1", "initrdmem=0x10000000,16E",
		"initrdmem=0x30000000,65M",
		"ramoops.mem_address=0x10000000 ramoops.mem_size=0x1000",
		"ramoops.mem_size=4096 x ramoops.mem_address=268435456",
		"trace_instance=a@0x10000000:12M",
		"trace_instance=a^traceoff@0x10000000:12M,sched",
		"crashkernel=64M@256M", "crashkernel=0-1G:1M,1G-:64M@816M",
		"crashkernel=512M-2G:64M,2G-:128M@16M",
		"cma=64M@256M", "elfcorehdr=0x1000000", "elfcorehdr=",
		NULL
	};

	expect_all(test, texts, -EINVAL);
}

static void not_taken(struct kunit *test)
{
	static const char *const texts[] = {
		"initrdmem=0x40000000,16M", "initrdmem=0x10000000",
		"initrdmem=0x10000000,0", "initrdmem=0x30000000,64M",
		"ramoops.mem_address=0x10000000", "ramoops.mem_size=0x1000",
		"ramoops.mem_address=0x10000000 ramoops.mem_size=1M",
		"ramoops.mem_address=x ramoops.mem_size=4096",
		"ramoops.mem_address=0x40000000 ramoops.mem_size=4096",
		"trace_instance=a@name", "trace_instance=a,b@0x10000000:12M",
		"trace_instance=a@0x10000000", "trace_instance=a@0x80000000:1M",
		"crashkernel=64M@0", "crashkernel=64M@768M",
		"crashkernel=512M-2G:64M,2G-:32M@0x30000000",
		"crashkernel=256M,high crashkernel=64M,low",
		"cma=64M@256M-512M", "cma=64M", "cma=64M@768M", "cma=0@256M",
		NULL
	};

	expect_all(test, texts, 0);
}

static void expect_asked(struct kunit *test, const char *text, unsigned int want)
{
	times_asked = 0;
	expect(test, text, 0);
	KUNIT_EXPECT_EQ_MSG(test, times_asked, want, "%s", text);
}

/* A crash kernel that has no place of its own needs room; without one, all is loaded */
static void crash_room(struct kunit *test)
{
	expect_asked(test, "crashkernel=64M", 1);
	expect_asked(test, "crashkernel=16E", 1);
	expect_asked(test, "crashkernel=64M@0", 1);
	expect_asked(test, "crashkernel=1G-:128M crashkernel=128M,high", 2);
	expect_asked(test, "crashkernel=64M@768M", 0);
	expect_asked(test, "crashkernel=0 crashkernel= crashkernel", 0);
	expect_asked(test, "crashkernel=1G-:0,: crashkernel=x", 0);
}

/* As the kernel takes a command line apart */
static void words(struct kunit *test)
{
	static const char *const wrong[] = {
		"  mem=512M", "quiet\tmem=512M", "\"mem=512M\"", "mem=\"512M\"",
		"mem=1G mem=512M", "mem=512M mem=1G",
		"a=\"b c\" mem=512M", "trace-instance=a@0x10000000:12M",
		"ramoops.mem-address=0x10000000 ramoops.mem_size=0x1000",
		"--x mem=512M", "--=x mem=512M", NULL
	};
	static const char *const right[] = {
		"init=/bin/sh -- mem=512M", "a=\"b mem=512M c\"", "\"a mem=512M\"",
		"xmem=512M", "mem.mem=512M", "MEM=512M", "mem =512M", NULL
	};

	expect_all(test, wrong, -EINVAL);
	expect_all(test, right, 0);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(nothing_wrong),
	KUNIT_CASE(hidden),
	KUNIT_CASE(not_hidden),
	KUNIT_CASE(exact),
	KUNIT_CASE(exact_long),
	KUNIT_CASE(taken),
	KUNIT_CASE(not_taken),
	KUNIT_CASE(crash_room),
	KUNIT_CASE(words),
	{}
};

static struct kunit_suite suite = {
	.name = "luo_kho_cmdline",
	.test_cases = cases,
};

kunit_test_suite(suite);
