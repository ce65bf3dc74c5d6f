// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a kernel sizes by its memory when it boots is as large in one of which more than
 * half is preserved. The set is "sized".
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "update.h"

#define PRESERVED	(560 * MIB)
#define THP		"/sys/kernel/mm/transparent_hugepage/enabled"

/* Each is one number, or several, of which the last is looked at */
static const char *const sized[] = {
	"/proc/sys/vm/min_free_kbytes",
	"/proc/sys/vm/user_reserve_kbytes",
	"/proc/sys/vm/admin_reserve_kbytes",
	"/proc/sys/net/ipv4/tcp_mem",
	"/proc/sys/net/ipv4/udp_mem",
	"/proc/sys/fs/file-max",
	"/proc/sys/fs/epoll/max_user_watches",
	"/proc/sys/fs/inotify/max_user_watches",
	"/proc/sys/kernel/threads-max",
};

static uint64_t last_number_in(const char *path)
{
	char text[128], *number;

	OK(text_read(path, text, sizeof(text)));
	text[strcspn(text, "\n")] = '\0';
	number = strrchr(text, '\t');
	return strtoull(number ? number + 1 : text, NULL, 10);
}

/* Of a new one, without a size */
static uint64_t tmpfs_blocks(void)
{
	char dir[] = "/tmp/sized.XXXXXX";
	struct statfs fs;

	CHECK(mkdtemp(dir));
	SYS(mount("none", dir, "tmpfs", 0, NULL));
	SYS(statfs(dir, &fs));
	SYS(umount(dir));
	SYS(rmdir(dir));
	return fs.f_blocks;
}

static uint64_t watermarks(void)
{
	FILE *zones = fopen("/proc/zoneinfo", "re");
	unsigned long pages, sum = 0;
	char line[256];

	CHECK(zones);
	while (fgets(line, sizeof(line), zones))
		if (sscanf(line, " low %lu", &pages) == 1)
			sum += pages;
	fclose(zones);
	return sum;
}

#define NR	ARRAY_SIZE(sized)
#define OTHERS	3

static const char *const others[OTHERS] = {
	"MemTotal", "size of tmpfs", "low watermarks",
};

static void sizes_now(uint64_t sizes[NR + OTHERS])
{
	for (unsigned int i = 0; i < NR; i++)
		sizes[i] = access(sized[i], R_OK) ? 0 : last_number_in(sized[i]);
	sizes[NR] = meminfo_kib("MemTotal");
	sizes[NR + 1] = tmpfs_blocks();
	sizes[NR + 2] = watermarks();
}

static void thp_now(char text[128])
{
	if (text_read(THP, text, 128))
		*text = '\0';
}

/* The first kernel has not seen its scratch memory when it sized things */
static void sizes_compare(const uint64_t *want)
{
	uint64_t have[NR + OTHERS];

	sizes_now(have);
	for (unsigned int i = 0; i < NR + OTHERS; i++)
		if (have[i] < want[i] - want[i] / 8 || have[i] > 2 * want[i])
			test_fail(__FILE__, __LINE__, "%s is %lu, not %lu",
				  i < NR ? sized[i] : others[i - NR],
				  (unsigned long)have[i],
				  (unsigned long)want[i]);
}

static void sized_before(struct note *note)
{
	int fd = SYS(memfd_create("most", MFD_CLOEXEC));

	sizes_now(note->value);
	thp_now(note->text);
	SYS(fallocate(fd, 0, 0, PRESERVED));
	OK(luo_preserve(session_new(note, ""), fd, 1));
}

static void sized_after(struct note *note)
{
	int session = session_claim(note, ""), fd;
	char thp[128];

	thp_now(thp);
	if (strcmp(thp, note->text))
		test_fail(__FILE__, __LINE__, "huge pages are %s, not %s", thp,
			  note->text);
	sizes_compare(note->value);

	/* Nothing is counted twice */
	fd = OK(luo_restore(session, 1));
	sizes_compare(note->value);
	OK(luo_finish(session));
	close(session);
	close(fd);
	sizes_compare(note->value);
	*note->text = '\0';
}

UPDATE_TEST(sized, sized_by_all_memory, .timeout = 120,
	    .stage = { sized_before, sized_after });
