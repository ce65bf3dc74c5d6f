// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory of the machine: how much of it can be pinned, where the kernel itself is,
 * and all that is free.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "luo_lib.h"

/* Free and present pages of zones that are not movable, without those of CMA */
int memory_pinnable(unsigned long *free, unsigned long *present)
{
	FILE *zones = fopen("/proc/zoneinfo", "re");
	char line[256], name[32] = "";
	unsigned long pages;

	if (!zones)
		return -errno;
	*free = 0;
	*present = 0;
	while (fgets(line, sizeof(line), zones)) {
		if (sscanf(line, "Node %*u, zone %31s", name) == 1)
			continue;
		if (!strcmp(name, "Movable"))
			continue;
		if (sscanf(line, " pages free %lu", &pages) == 1)
			*free += pages;
		if (sscanf(line, " present %lu", &pages) == 1)
			*present += pages;
		if (sscanf(line, " nr_free_cma %lu", &pages) == 1)
			*free -= pages;
	}
	fclose(zones);
	return 0;
}

/* Where the code of the running kernel begins, which is never preserved */
int memory_kernel_code(uint64_t *phys)
{
	FILE *map = fopen("/proc/iomem", "re");
	unsigned long long start;
	int err = -ENOENT;
	char line[256];

	if (!map)
		return -errno;
	while (err && fgets(line, sizeof(line), map)) {
		if (!strstr(line, " : Kernel code") ||
		    sscanf(line, " %llx-", &start) != 1)
			continue;
		*phys = start;
		err = 0;
	}
	fclose(map);
	return err;
}

#define STEP	MIB

/* Takes and fills memory until the kernel kills it for that, before all others */
static void take_all(uint64_t *taken, uint64_t seed)
{
	if (text_write("/proc/self/oom_score_adj", "1000"))
		_exit(1);
	/* What it runs must not go, and come back, for ever while memory is short */
	mlockall(MCL_CURRENT);
	for (;;) {
		void *map = mmap(NULL, STEP, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (map == MAP_FAILED || madvise(map, STEP, MADV_POPULATE_WRITE))
			_exit(errno == ENOMEM ? 0 : 1);
		words_write(map, *taken, STEP, seed);
		*taken += STEP;
	}
}

static int was_used_up(int status)
{
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGKILL;
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

/*
 * Fills all memory that is free, or can be freed, with words of this seed, that of
 * CMA, too, and gives it back. A process of its own does it, which is killed when
 * there is no more; nobody else is. Returns how many bytes it was, or an error.
 */
int64_t memory_use_up(uint64_t seed)
{
	uint64_t *taken = mmap(NULL, sizeof(*taken), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int64_t sum;
	int status;
	pid_t pid;

	if (taken == MAP_FAILED)
		return -errno;
	pid = fork();
	if (!pid)
		take_all(taken, seed);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -errno;
	sum = *taken;
	munmap(taken, sizeof(*taken));
	return was_used_up(status) ? sum : -EIO;
}
