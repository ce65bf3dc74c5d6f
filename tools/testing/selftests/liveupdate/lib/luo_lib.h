/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the live update selftests share.
 *
 * Functions that can fail return a negative errno instead of setting errno,
 * so that a test can compare the result with what it expects in one line.
 * Nothing in here fails a test by itself.
 */
#ifndef LUO_LIB_H
#define LUO_LIB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/liveupdate.h>

#define LUO_DEVICE		"/dev/liveupdate"
#define LUO_SYSFS		"/sys/kernel/liveupdate/"
#define LUO_SYSCTL		"/proc/sys/kernel/liveupdate/"
#define MAX_SESSIONS		LUO_SYSCTL "max_sessions"
#define MAX_SESSION_FILES	LUO_SYSCTL "max_session_files"
#define LUO_LINK_PREFIX		"anon_inode:[luo_session] "

/* How many pages KHO keeps for the next kernel */
#define PRESERVED_PAGES		"/sys/kernel/debug/kho/out/preserved_pages"

#define KIB			1024UL
#define MIB			(1024UL * KIB)
#define GIB			(1024UL * MIB)
#define TIB			(1024UL * GIB)

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#endif

/* Newer than the C library that the tests may be built with */
#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY		1027
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC		0x0020
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL		0x0008U
#endif
#ifndef MFD_EXEC
#define MFD_EXEC		0x0010U
#endif

/* luo_ioctl.c: the device and its sessions */
int luo_ioctl(int fd, unsigned long cmd, void *arg);
int luo_open(void);
int luo_open_reader(void);
int luo_create(int dev, const char *name);
int luo_retrieve(int dev, const char *name);
int luo_preserve(int session, int fd, uint64_t token);
int luo_announce(int session, int fd, uint64_t token);
int luo_restore(int session, uint64_t token);
int luo_preserve_fds(int session, struct liveupdate_session_fd *entries,
		     unsigned int count, struct liveupdate_session_fds *arg);
int luo_retrieve_fds(int session, struct liveupdate_session_fd *entries,
		     unsigned int count, struct liveupdate_session_fds *arg);
bool luo_has_files(int session, uint64_t count);
int luo_finish(int session);
int luo_get_name(int session, char name[LIVEUPDATE_SESSION_NAME_LENGTH]);
int luo_unpreserve(int session, uint64_t token);
int luo_info(int dev, struct liveupdate_ioctl_get_info *info);
int luo_event(int dev, unsigned int event);
int luo_rehearse(int dev, struct liveupdate_ioctl_rehearse *result);

/* The same with the device opened and closed around it */
int luo_session_new(const char *name);
int luo_session_claim(const char *name);
int luo_info_now(struct liveupdate_ioctl_get_info *info);
int luo_send_event(unsigned int number);
int luo_rehearse_now(struct liveupdate_ioctl_rehearse *result);

/* content.c: files whose content can be told from their seed */
void content_generate(void *to, uint64_t offset, size_t len, uint64_t seed);
int content_fill(int fd, uint64_t offset, uint64_t len, uint64_t seed);
int content_check(int fd, uint64_t offset, uint64_t len, uint64_t seed);
int content_check_zero(int fd, uint64_t offset, uint64_t len);
int content_hash(int fd, uint64_t *hash);
int memfd_filled(const char *name, unsigned int flags, uint64_t len,
		 uint64_t seed);

/* words.c: files in which each word is another one, and is compared */

/**
 * struct words_wrong - words that are not as they were written
 * @count:  how many
 * @offset: of the first, in bytes
 * @last:   of the last
 * @have:   what the first is
 * @want:   what it has to be
 */
struct words_wrong {
	uint64_t count;
	uint64_t offset, last;
	uint64_t have, want;
};

uint64_t words_at(uint64_t offset, uint64_t seed);
void words_write(uint64_t *to, uint64_t offset, size_t len, uint64_t seed);
void words_compare(const uint64_t *have, uint64_t offset, size_t len,
		   uint64_t seed, struct words_wrong *wrong);
int words_fill(int fd, uint64_t offset, uint64_t len, uint64_t seed);
int words_check(int fd, uint64_t offset, uint64_t len, uint64_t seed,
		struct words_wrong *wrong);

/* memory.c: all of the machine's */
int memory_pinnable(unsigned long *free, unsigned long *present);
int memory_kernel_code(uint64_t *phys);
int64_t memory_use_up(uint64_t seed);

/* Where the kernel looks for the program that loads modules */
#define MODPROBE		"/proc/sys/kernel/modprobe"

/* Who has no privilege: both a user and a group */
#define NOBODY			65534

/* system.c: /proc, /sys, cgroups, descriptors, users */
int setup_system(void);
int text_write(const char *path, const char *text);
int text_read(const char *path, char *buf, size_t size);
long meminfo_kib(const char *key);
void memory_settle(void);
long memory_free_kib(void);
long memory_of_kmemleak_kib(void);
long kho_preserved_pages(void);
int fd_link(int fd, char *buf, size_t size);
bool fd_same_file(int a, int b);
int fd_next_free(void);
int fd_limit(unsigned long limit);
int fd_send(int sock, int fd);
int fd_receive(int sock);
bool memcg_exists(void);
int memcg_create(const char *name, const char *max);
int memcg_enter(const char *name);
int memcg_remove(const char *name);
int become_nobody(void);
int become_namespace_root(void);
long memcg_stat(const char *name, const char *key);
int stay_on_cpu(int cpu);
uint64_t now_ms(void);
uint64_t now_us(void);
unsigned int slower(void);

/* kexec.c: from one kernel to the next */
int kexec_load(char **argv);
int kexec_jump(void);

/* watch.c: sysfs, uevents, the log, traces, debugfs */
extern const char sysfs_abi[]; /* its description, from Documentation/ABI */
int sysfs_read(const char *name, char *buf, size_t size);
bool sysfs_says(const char *name, const char *text);
long long sysfs_number(const char *name, const char *key);
const char *sysfs_differs(const struct liveupdate_ioctl_get_info *info);
int debugfs_read(const char *direction, char *buf, size_t size);
int uevent_open(void);
int uevent_next(int fd, char *buf, size_t size);
int kmsg_open(void);
int kmsg_next(int fd, char *buf, size_t size);
int trace_start(void);
int trace_stop(char *buf, size_t size);

/* fault.c: memory that is not there, allocations that fail */
void *page_readonly(const void *data, size_t len);
void *page_unmapped(void);
void *page_stuck(void);
int page_break(void *page);
int disk_fails(const char *disk, bool fails);
int page_take(void *page);
int page_await(int uffd);
int page_give(int uffd, void *page, const void *data);
void *page_stuck_for_writing(const void *data, size_t len);
int fault_setup(void);
int fault_arm(unsigned int nth);
int fault_disarm(void);
int fault_try(unsigned int nth, int (*call)(void *arg), void *arg, int *ret);
int fault_exhaust(unsigned long space);
int fault_exhaust_slab(unsigned long bytes);
int fault_exhaust_pages(unsigned long pages);
int fault_relieve(void);

/* mock.c: the kernel's test double, module liveupdate_test */
#define MOCK_DEVICE		"/dev/liveupdate-test"
#define MOCK_DIR		"/sys/kernel/debug/liveupdate-test/"

int mock_load(const char *rules);
int mock_unload(void);
int mock_steer(const char *format, ...) __attribute__((format(printf, 1, 2)));
int mock_log(char *buf, size_t size);
int mock_set(const char *name, uint64_t value);
int64_t mock_get(const char *name);
int mock_file(const char *name);
int mock_file_is(int fd, const char *name);

/* torture.c: every command with every wrong argument */

/* A file has to be preserved under it; the next one has to be free */
#define TORTURE_TOKEN		1

/* What is tortured, and with it: each kind has commands of its own */
enum torture_on {
	TORTURE_DEVICE,
	TORTURE_OUTGOING,
	TORTURE_INCOMING,
};

/**
 * struct torture - somebody to torture
 * @on:      what it is
 * @fd:      its descriptor
 * @dev:     the device
 * @session: a session whose files are watched
 * @file:    the file that is in it
 * @spare:   a file that is in none
 * @last:    the place of the last session of each direction
 * @calls:   how many were made
 * @failure: what went wrong
 */
struct torture {
	enum torture_on on;
	int fd;
	int dev;
	int session;
	int file;
	int spare;
	uint64_t last[2];
	unsigned long calls;
	char failure[200];
};

/* 0, or -1 and the failure is told */
int torture_by_numbers(struct torture *t);
int torture_by_sizes(struct torture *t);
int torture_by_buffers(struct torture *t);

/* census.c: how things are */
struct census {
	struct liveupdate_ioctl_get_info info;
	long preserved;
	long flb_files[2];
	int next_fd;
};

int census_take(int dev, struct census *census);
const char *census_differs(const struct census *a, const struct census *b);

#endif /* LUO_LIB_H */
