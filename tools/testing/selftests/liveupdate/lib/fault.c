// SPDX-License-Identifier: GPL-2.0-only
/*
 * Arguments that the kernel cannot write, cannot read, or can only wait for,
 * and allocations that fail on request.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "luo_lib.h"

static void *page_new(int prot)
{
	void *page = mmap(NULL, sysconf(_SC_PAGESIZE), prot,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? NULL : page;
}

/* A page that starts with @data and that not even the kernel may write */
void *page_readonly(const void *data, size_t len)
{
	void *page = page_new(PROT_READ | PROT_WRITE);

	if (!page)
		return NULL;
	memcpy(page, data, len);
	if (mprotect(page, sysconf(_SC_PAGESIZE), PROT_READ))
		return NULL;
	return page;
}

void *page_unmapped(void)
{
	return page_new(PROT_NONE);
}

/* Leaves faults in @page to a handler that does not exist */
static int abandon(void *page, unsigned long long mode)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = mode == UFFDIO_REGISTER_MODE_WP ?
			    UFFD_FEATURE_PAGEFAULT_FLAG_WP : 0,
	};
	struct uffdio_register reg = {
		.range = {
			.start = (unsigned long)page,
			.len = sysconf(_SC_PAGESIZE),
		},
		.mode = mode,
	};
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) ||
	    ioctl(uffd, UFFDIO_REGISTER, &reg))
		return -errno;
	return uffd;
}

/*
 * A page that nobody ever provides: who touches it sleeps until killed, be it
 * the program or the kernel on its behalf.
 */
void *page_stuck(void)
{
	void *page = page_new(PROT_READ | PROT_WRITE);

	if (!page || abandon(page, UFFDIO_REGISTER_MODE_MISSING) < 0)
		return NULL;
	return page;
}

/*
 * Takes the content of @page away. Who touches it then sleeps until page_give().
 * Returns what the two functions below take.
 */
int page_take(void *page)
{
	if (madvise(page, sysconf(_SC_PAGESIZE), MADV_DONTNEED))
		return -errno;
	return abandon(page, UFFDIO_REGISTER_MODE_MISSING);
}

/* Waits until somebody touches the page */
int page_await(int uffd)
{
	struct uffd_msg msg;

	return read(uffd, &msg, sizeof(msg)) == sizeof(msg) ? 0 : -EIO;
}

int page_give(int uffd, void *page, const void *data)
{
	struct uffdio_copy copy = {
		.dst = (unsigned long)page,
		.src = (unsigned long)data,
		.len = sysconf(_SC_PAGESIZE),
	};

	return ioctl(uffd, UFFDIO_COPY, &copy) ? -errno : 0;
}

/* page_stuck() for who writes to it; reading gives @data */
void *page_stuck_for_writing(const void *data, size_t len)
{
	struct uffdio_writeprotect wp = { .mode = UFFDIO_WRITEPROTECT_MODE_WP };
	void *page = page_new(PROT_READ | PROT_WRITE);
	int uffd;

	if (!page)
		return NULL;
	memcpy(page, data, len);
	uffd = abandon(page, UFFDIO_REGISTER_MODE_WP);
	wp.range.start = (unsigned long)page;
	wp.range.len = sysconf(_SC_PAGESIZE);
	if (uffd < 0 || ioctl(uffd, UFFDIO_WRITEPROTECT, &wp))
		return NULL;
	return page;
}

static void survive(int signal)
{
}

/* Makes memory look broken; who does that is told by SIGBUS, ignored or not */
int page_break(void *page)
{
	sighandler_t before = signal(SIGBUS, survive);
	int err = madvise(page, sysconf(_SC_PAGESIZE), MADV_HWPOISON) ?
		  -errno : 0;

	signal(SIGBUS, before);
	return err;
}

static int set(const char *file, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s", file);
	return text_write(path, value);
}

static int set_both(const char *setting, const char *value)
{
	char file[64];
	int err;

	snprintf(file, sizeof(file), "failslab/%s", setting);
	err = set(file, value);
	snprintf(file, sizeof(file), "fail_page_alloc/%s", setting);
	return err ?: set(file, value);
}

/*
 * Lets every kind of allocation fail, those that may sleep included, and
 * keeps the log quiet about it. Who fails, and when, the functions below say.
 */
int fault_setup(void)
{
	return set_both("ignore-gfp-wait", "N") ?:
	       set_both("verbose", "0") ?:
	       set_both("task-filter", "Y") ?:
	       set_both("probability", "100") ?:
	       set_both("times", "-1") ?:
	       set("fail_page_alloc/ignore-gfp-highmem", "N") ?:
	       set("fail_page_alloc/min-order", "0");
}

/* Whether all requests to a disk fail */
int disk_fails(const char *disk, bool fails)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/block/%s/make-it-fail", disk);
	return set("fail_make_request/verbose", "0") ?:
	       set("fail_make_request/times", "-1") ?:
	       set("fail_make_request/probability", fails ? "100" : "0") ?:
	       text_write(path, fails ? "1" : "0");
}

static int fail_nth_fd(void)
{
	static int fd = -1;
	static pid_t owner;

	if (owner != getpid()) {
		fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
		owner = getpid();
	}
	return fd < 0 ? -errno : fd;
}

/* From now on, the @nth allocation of this thread fails, once */
int fault_arm(unsigned int nth)
{
	int fd = fail_nth_fd();
	char buf[16];
	int len;

	if (fd < 0)
		return fd;
	len = snprintf(buf, sizeof(buf), "%u", nth);
	return pwrite(fd, buf, len, 0) == len ? 0 : -errno;
}

/* 1 if the allocation did fail, 0 if there were fewer of them */
int fault_disarm(void)
{
	int fd = fail_nth_fd();
	char buf[16] = "";
	ssize_t n;

	if (fd < 0)
		return fd;
	n = pread(fd, buf, sizeof(buf) - 1, 0);
	/* What is left may hit these two calls themselves */
	if (n < 0 && errno != EFAULT)
		return -errno;
	if (pwrite(fd, "0", 1, 0) != 1 && pwrite(fd, "0", 1, 0) != 1)
		return -errno;
	return n > 0 && atoi(buf) == 0;
}

/*
 * One call, whose @nth allocation fails. 1 if that many were made, 0 if not; what
 * the call says goes to @ret.
 */
int fault_try(unsigned int nth, int (*call)(void *arg), void *arg, int *ret)
{
	int err = fault_arm(nth);

	if (err)
		return err;
	*ret = call(arg);
	return fault_disarm();
}

/* More memory than there is */
#define PLENTY		"1000000000"

/* It is kept open: opening it takes memory */
static int exhausted = -1;

/* Turns it on; how much there is has been said */
static int exhaust(void)
{
	exhausted = open("/proc/self/make-it-fail", O_RDWR | O_CLOEXEC);
	if (exhausted < 0)
		return -errno;
	return write(exhausted, "1", 1) == 1 ? 0 : -errno;
}

/*
 * From now on, this process gets @space bytes of slab memory and as many pages, and
 * then nothing at all until fault_relieve().
 */
int fault_exhaust(unsigned long space)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", space);
	return set_both("space", text) ?: exhaust();
}

/* The same for one of the two only */
int fault_exhaust_slab(unsigned long bytes)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", bytes);
	return set("failslab/space", text) ?:
	       set("fail_page_alloc/space", PLENTY) ?: exhaust();
}

int fault_exhaust_pages(unsigned long pages)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", pages);
	return set("fail_page_alloc/space", text) ?:
	       set("failslab/space", PLENTY) ?: exhaust();
}

int fault_relieve(void)
{
	int err = pwrite(exhausted, "0", 1, 0) == 1 ? 0 : -errno;

	close(exhausted);
	return err;
}
