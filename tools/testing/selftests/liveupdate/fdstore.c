// SPDX-License-Identifier: GPL-2.0-only
/*
 * fdstore keep KERNEL
 * fdstore put|take KERNEL
 *
 * A service of systemd whose state is in descriptors that systemd holds for it:
 * those it gets are compared with what they have to be in the KERNEL-th kernel, 1
 * being the one before all live updates, and brought to what the next one expects.
 * The exit status is 0 when all was right; stdout says what was not.
 *
 *   keep       memfds in the descriptor store
 *   put, take  memfds in sessions, as LUOSession= gives them, which the service
 *              fills, or empties and finishes: WORK in each kernel, and LEFT, which
 *              is filled in the first kernel and not touched before the last one
 *
 * Descriptors come as sd_listen_fds(3) describes, and go as sd_notify(3) does.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/luo_lib.h"

#define FIRST_FD	3
#define WORK		"work"
#define LEFT		"left"
#define LAST_KERNEL	3
#define SESSION_FILES	8
#define BARRIER_MS	60000

/* What a memfd in the store has to be, in the kernels from @first to @last */
struct item {
	const char *name;
	uint64_t size;
	uint64_t data;		/* where its data begins, behind a hole */
	unsigned int seals;
	unsigned int first, last;
	bool changes;		/* other content in each kernel */
};

#define ALWAYS		.first = 1, .last = LAST_KERNEL
#define SEALS		(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static const struct item items[] = {
	{ .name = "empty", ALWAYS },
	{ .name = "byte", .size = 1, ALWAYS },
	{ .name = "odd", .size = 64 * KIB + 17, ALWAYS },
	{ .name = "large", .size = 8 * MIB, ALWAYS },
	{ .name = "sparse", .size = 4 * GIB, .data = 4 * GIB - 64 * KIB, ALWAYS },
	{ .name = "sealed", .size = 100 * KIB, .seals = SEALS, ALWAYS },
	{ .name = "changing", .size = MIB, .changes = true, ALWAYS },
	{ .name = "removed", .size = 4 * KIB, .first = 1, .last = 2 },
	{ .name = "added", .size = 2 * MIB, .first = 2, .last = LAST_KERNEL },
};

static unsigned int kernel;

/* Tells what is wrong with one descriptor, and returns false */
static bool say(const char *name, const char *what, long long have, long long want)
{
	printf("# kernel %u, %s: %s is %lld, not %lld\n", kernel, name, what, have,
	       want);
	return false;
}

static bool same(const char *name, const char *what, long long have, long long want)
{
	return have == want || say(name, what, have, want);
}

/* How many descriptors have the name; *fd is the last of them */
static unsigned int fd_by_name(const char *name, int *fd)
{
	const char *list = getenv("LISTEN_FDNAMES");
	size_t len = strlen(name);
	unsigned int found = 0;
	int i;

	for (i = FIRST_FD; list && *list; i++) {
		size_t this = strcspn(list, ":");

		if (this == len && !memcmp(list, name, len)) {
			*fd = i;
			found++;
		}
		list += this + (list[this] == ':');
	}
	return found;
}

static unsigned int fd_count(void)
{
	const char *count = getenv("LISTEN_FDS");

	return count ? atoi(count) : 0;
}

static int notify_socket(struct sockaddr_un *to, socklen_t *len)
{
	const char *path = getenv("NOTIFY_SOCKET");

	if (!path || strlen(path) >= sizeof(to->sun_path))
		return -ENOENT;
	memset(to, 0, sizeof(*to));
	to->sun_family = AF_UNIX;
	strcpy(to->sun_path, path);
	*len = offsetof(struct sockaddr_un, sun_path) + strlen(path);
	if (path[0] == '@')
		to->sun_path[0] = 0;
	return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

/* Sends @text to systemd, and @fd with it unless that is negative */
static int notify(const char *text, int fd)
{
	struct iovec iov = { (void *)text, strlen(text) };
	char control[CMSG_SPACE(sizeof(fd))] = {};
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct sockaddr_un to;
	int sock = notify_socket(&to, &msg.msg_namelen);
	int err = 0;

	if (sock < 0)
		return -ENOTCONN;
	msg.msg_name = &to;
	if (fd >= 0) {
		struct cmsghdr *cmsg = (struct cmsghdr *)control;

		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	}
	if (sendmsg(sock, &msg, MSG_NOSIGNAL) < 0)
		err = -errno;
	close(sock);
	return err;
}

/* Waits until systemd has dealt with all that was sent before */
static int notify_settle(void)
{
	struct pollfd poller;
	int fds[2], err;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	err = notify("BARRIER=1", fds[1]);
	close(fds[1]);
	poller.fd = fds[0];
	if (!err && poll(&poller, 1, BARRIER_MS * (int)slower()) != 1)
		err = -ETIMEDOUT;
	close(fds[0]);
	return err;
}

static int store_add(const char *name, int fd)
{
	char text[128];

	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name);
	return notify(text, fd);
}

static int store_remove(const char *name)
{
	char text[128];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	return notify(text, -1);
}

static uint64_t item_seed(const struct item *item, unsigned int written)
{
	return 1 + (item - items) + (item->changes ? 1000 * written : 0);
}

/* Where the descriptor stands: anywhere but at the beginning */
static off_t item_position(const struct item *item)
{
	return item->size / 3;
}

/* The memfd, as the kernel @written left it */
static bool item_check(const struct item *item, int fd, unsigned int written)
{
	const char *name = item->name;
	uint64_t seed = item_seed(item, written);
	struct stat stat;
	bool right;

	if (fstat(fd, &stat))
		return say(name, "errno of fstat()", errno, 0);
	right = same(name, "its size", stat.st_size, item->size) &
		same(name, "its position", lseek(fd, 0, SEEK_CUR), item_position(item)) &
		same(name, "its seals", fcntl(fd, F_GET_SEALS) & ~F_SEAL_EXEC, item->seals);
	if (item->data)
		right &= same(name, "where its data begins", lseek(fd, 0, SEEK_DATA),
			      item->data);
	lseek(fd, item_position(item), SEEK_SET);
	return right & same(name, "the check of its content",
			    content_check(fd, item->data, item->size - item->data, seed), 0);
}

static int item_make(const struct item *item)
{
	int fd = memfd_create(item->name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int err = -EIO;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, item->size) ||
	    content_fill(fd, item->data, item->size - item->data, item_seed(item, kernel)) ||
	    lseek(fd, item_position(item), SEEK_SET) < 0 ||
	    (item->seals && fcntl(fd, F_ADD_SEALS, item->seals)))
		goto out;
	err = store_add(item->name, fd);
out:
	close(fd);
	return err;
}

/* What came, and is it right?  @came counts it. */
static bool item_came(const struct item *item, unsigned int *came)
{
	bool expected = item->first < kernel && kernel <= item->last;
	int fd = -1;
	unsigned int found = fd_by_name(item->name, &fd);

	*came += found;
	if (!same(item->name, "the number of descriptors", found, expected))
		return false;
	return !found || item_check(item, fd, kernel - 1);
}

/* Makes it what the next kernel expects */
static bool item_update(const struct item *item)
{
	int fd = -1, err = 0;

	if (kernel == item->first)
		err = item_make(item);
	else if (kernel == item->last)
		err = store_remove(item->name);
	else if (item->changes && fd_by_name(item->name, &fd))
		err = content_fill(fd, 0, item->size, item_seed(item, kernel));
	return same(item->name, "the result of its update", err, 0);
}

static bool keep(void)
{
	unsigned int i, came = 0;
	bool right = true;

	for (i = 0; i < ARRAY_SIZE(items); i++)
		right &= item_came(&items[i], &came);
	right &= same("store", "the number of its descriptors", fd_count(), came);
	for (i = 0; i < ARRAY_SIZE(items) && kernel < LAST_KERNEL; i++)
		right &= item_update(&items[i]);
	return right & same("store", "the end of its update", notify_settle(), 0);
}

static uint64_t file_size(unsigned int i)
{
	return i * i * 40000;
}

static uint64_t file_seed(const char *session, unsigned int i, unsigned int written)
{
	return 100000 * written + 100 * session[0] + i;
}

static bool session_put(const char *name, int session)
{
	unsigned int i;
	int fd, err = 0;

	for (i = 0; i < SESSION_FILES && !err; i++) {
		fd = memfd_filled(name, MFD_CLOEXEC, file_size(i), file_seed(name, i, kernel));
		if (fd < 0)
			return say(name, "the making of a file", fd, 0);
		err = luo_preserve(session, fd, i);
		close(fd);
	}
	return same(name, "the result of preserving", err, 0);
}

static bool file_check(const char *name, int session, unsigned int i,
		       unsigned int written)
{
	int fd = luo_restore(session, i);
	struct stat stat;
	bool right;

	if (fd < 0)
		return say(name, "the result of retrieving", fd, 0);
	right = same(name, "the result of fstat()", fstat(fd, &stat), 0) &&
		same(name, "the size of a file", stat.st_size, file_size(i)) &&
		same(name, "the check of a file's content",
		     content_check(fd, 0, file_size(i), file_seed(name, i, written)), 0);
	close(fd);
	return right;
}

/* systemd's copy goes as well, or it would hand the finished session over again */
static bool session_take(const char *name, int session, unsigned int written)
{
	bool right = true;
	unsigned int i;

	for (i = 0; i < SESSION_FILES; i++)
		right &= file_check(name, session, i, written);
	right &= same(name, "the result of FINISH", luo_finish(session), 0);
	return right & same(name, "the removal from the store", store_remove(name), 0);
}

static bool session_by_name(const char *name, int *fd)
{
	return same(name, "the number of sessions", fd_by_name(name, fd), 1);
}

static bool sessions(bool take)
{
	bool right = true;
	int fd = -1;

	if (session_by_name(WORK, &fd))
		right &= take ? session_take(WORK, fd, kernel - 1) : session_put(WORK, fd);
	else
		right = false;
	if (!session_by_name(LEFT, &fd))
		right = false;
	else if (kernel == 1)
		right &= session_put(LEFT, fd);
	else if (kernel == LAST_KERNEL)
		right &= session_take(LEFT, fd, 1);
	return right & same("sessions", "the end of their update", notify_settle(), 0);
}

int main(int argc, char **argv)
{
	const char *what = argc == 3 ? argv[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	kernel = argc == 3 ? atoi(argv[2]) : 0;
	if (kernel && !strcmp(what, "keep"))
		return !keep();
	if (kernel && (!strcmp(what, "put") || !strcmp(what, "take")))
		return !sessions(what[0] == 't');
	fprintf(stderr, "usage: fdstore keep|put|take KERNEL\n");
	return 2;
}
