// SPDX-License-Identifier: GPL-2.0-only
/*
 * One function per command of /dev/liveupdate and of its sessions.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "luo_lib.h"

/* The interface is what it is: numbers and layouts that must never move */
static_assert(LIVEUPDATE_IOCTL_CREATE_SESSION == 0xba00, "number");
static_assert(LIVEUPDATE_IOCTL_RETRIEVE_SESSION == 0xba01, "number");
static_assert(LIVEUPDATE_IOCTL_REHEARSE == 0xba23, "number");
static_assert(LIVEUPDATE_SESSION_PRESERVE_FD == 0xba40, "number");
static_assert(LIVEUPDATE_SESSION_RETRIEVE_FD == 0xba41, "number");
static_assert(LIVEUPDATE_SESSION_FINISH == 0xba42, "number");
static_assert(LIVEUPDATE_SESSION_GET_NAME == 0xba43, "number");
static_assert(LIVEUPDATE_SESSION_PRESERVE_FDS == 0xba61, "number");
static_assert(LIVEUPDATE_SESSION_RETRIEVE_FDS == 0xba62, "number");

#define AT(_offset, _type, _member)					\
	static_assert(offsetof(struct _type, _member) == (_offset), "offset")
#define BYTES(_size, _type)						\
	static_assert(sizeof(struct _type) == (_size), "size")

AT(0, liveupdate_ioctl_create_session, size);
AT(4, liveupdate_ioctl_create_session, fd);
AT(8, liveupdate_ioctl_create_session, name);
BYTES(72, liveupdate_ioctl_create_session);
AT(0, liveupdate_ioctl_retrieve_session, size);
AT(4, liveupdate_ioctl_retrieve_session, fd);
AT(8, liveupdate_ioctl_retrieve_session, name);
BYTES(72, liveupdate_ioctl_retrieve_session);
AT(0, liveupdate_ioctl_rehearse, size);
AT(4, liveupdate_ioctl_rehearse, error);
AT(8, liveupdate_ioctl_rehearse, phase);
AT(12, liveupdate_ioctl_rehearse, image);
AT(16, liveupdate_ioctl_rehearse, prepare_us);
AT(48, liveupdate_ioctl_rehearse, undo_us);
AT(56, liveupdate_ioctl_rehearse, bytes);
AT(64, liveupdate_ioctl_rehearse, participant);
AT(192, liveupdate_ioctl_rehearse, release);
BYTES(264, liveupdate_ioctl_rehearse);
AT(0, liveupdate_session_preserve_fd, size);
AT(4, liveupdate_session_preserve_fd, fd);
AT(8, liveupdate_session_preserve_fd, token);
BYTES(16, liveupdate_session_preserve_fd);
AT(0, liveupdate_session_retrieve_fd, size);
AT(4, liveupdate_session_retrieve_fd, fd);
AT(8, liveupdate_session_retrieve_fd, token);
BYTES(16, liveupdate_session_retrieve_fd);
AT(0, liveupdate_session_finish, size);
AT(4, liveupdate_session_finish, reserved);
BYTES(8, liveupdate_session_finish);
AT(0, liveupdate_session_get_name, size);
AT(4, liveupdate_session_get_name, reserved);
AT(8, liveupdate_session_get_name, name);
BYTES(72, liveupdate_session_get_name);
AT(0, liveupdate_session_fd, fd);
AT(4, liveupdate_session_fd, reserved);
AT(8, liveupdate_session_fd, token);
BYTES(16, liveupdate_session_fd);
AT(0, liveupdate_session_fds, size);
AT(4, liveupdate_session_fds, count);
AT(8, liveupdate_session_fds, entries);
AT(16, liveupdate_session_fds, done);
AT(20, liveupdate_session_fds, error);
BYTES(24, liveupdate_session_fds);

int luo_ioctl(int fd, unsigned long cmd, void *arg)
{
	int ret = ioctl(fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

int luo_open(void)
{
	int fd = open(LUO_DEVICE, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int luo_open_reader(void)
{
	int fd = open(LUO_DEVICE, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/*
 * A name of 64 bytes or more goes in without its terminator, which is what a
 * test of that error wants.
 */
static void put_name(__u8 *field, const char *name)
{
	size_t len = strnlen(name, LIVEUPDATE_SESSION_NAME_LENGTH);

	memcpy(field, name, len);
}

int luo_create(int dev, const char *name)
{
	struct liveupdate_ioctl_create_session arg = {
		.size = sizeof(arg),
		.fd = -1,
	};
	int ret;

	put_name(arg.name, name);
	ret = luo_ioctl(dev, LIVEUPDATE_IOCTL_CREATE_SESSION, &arg);
	return ret ? ret : arg.fd;
}

int luo_retrieve(int dev, const char *name)
{
	struct liveupdate_ioctl_retrieve_session arg = {
		.size = sizeof(arg),
		.fd = -1,
	};
	int ret;

	put_name(arg.name, name);
	ret = luo_ioctl(dev, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, &arg);
	return ret ? ret : arg.fd;
}

int luo_preserve(int session, int fd, uint64_t token)
{
	struct liveupdate_session_preserve_fd arg = {
		.size = sizeof(arg),
		.fd = fd,
		.token = token,
	};

	return luo_ioctl(session, LIVEUPDATE_SESSION_PRESERVE_FD, &arg);
}

int luo_announce(int session, int fd, uint64_t token)
{
	struct liveupdate_session_announce_fd arg = {
		.size = sizeof(arg),
		.fd = fd,
		.token = token,
	};

	return luo_ioctl(session, LIVEUPDATE_SESSION_ANNOUNCE_FD, &arg);
}

int luo_restore(int session, uint64_t token)
{
	struct liveupdate_session_retrieve_fd arg = {
		.size = sizeof(arg),
		.fd = -1,
		.token = token,
	};
	int ret;

	ret = luo_ioctl(session, LIVEUPDATE_SESSION_RETRIEVE_FD, &arg);
	return ret ? ret : arg.fd;
}

static int many(int session, unsigned long cmd,
		struct liveupdate_session_fd *entries, unsigned int count,
		struct liveupdate_session_fds *arg)
{
	memset(arg, 0xff, sizeof(*arg));
	arg->size = sizeof(*arg);
	arg->count = count;
	arg->entries = (uintptr_t)entries;
	return luo_ioctl(session, cmd, arg);
}

/* What the kernel does not fill in of @arg shows */
int luo_preserve_fds(int session, struct liveupdate_session_fd *entries,
		     unsigned int count, struct liveupdate_session_fds *arg)
{
	return many(session, LIVEUPDATE_SESSION_PRESERVE_FDS, entries, count,
		    arg);
}

int luo_retrieve_fds(int session, struct liveupdate_session_fd *entries,
		     unsigned int count, struct liveupdate_session_fds *arg)
{
	return many(session, LIVEUPDATE_SESSION_RETRIEVE_FDS, entries, count,
		    arg);
}

/* The tokens of a session's files are 0 to @count - 1, in this order */
bool luo_has_files(int session, uint64_t count)
{
	struct liveupdate_session_next_file next = { .size = sizeof(next) };
	uint64_t nr = 0;

	while (!luo_ioctl(session, LIVEUPDATE_SESSION_NEXT_FILE, &next))
		if (next.token != nr++)
			return false;
	return nr == count;
}

int luo_finish(int session)
{
	struct liveupdate_session_finish arg = { .size = sizeof(arg) };

	return luo_ioctl(session, LIVEUPDATE_SESSION_FINISH, &arg);
}

int luo_get_name(int session, char name[LIVEUPDATE_SESSION_NAME_LENGTH])
{
	struct liveupdate_session_get_name arg = { .size = sizeof(arg) };
	int ret;

	ret = luo_ioctl(session, LIVEUPDATE_SESSION_GET_NAME, &arg);
	if (!ret)
		memcpy(name, arg.name, sizeof(arg.name));
	return ret;
}

static int with_device(const char *name, int (*call)(int dev, const char *name))
{
	int dev, ret;

	dev = luo_open();
	if (dev < 0)
		return dev;
	ret = call(dev, name);
	close(dev);
	return ret;
}

int luo_session_new(const char *name)
{
	return with_device(name, luo_create);
}

int luo_session_claim(const char *name)
{
	return with_device(name, luo_retrieve);
}

int luo_unpreserve(int session, uint64_t token)
{
	struct liveupdate_session_unpreserve_fd arg = {
		.size = sizeof(arg),
		.token = token,
	};

	return luo_ioctl(session, LIVEUPDATE_SESSION_UNPRESERVE_FD, &arg);
}

/* What the kernel does not fill in shows */
int luo_info(int dev, struct liveupdate_ioctl_get_info *info)
{
	memset(info, 0xff, sizeof(*info));
	info->size = sizeof(*info);
	info->reserved = 0;
	return luo_ioctl(dev, LIVEUPDATE_IOCTL_GET_INFO, info);
}

int luo_event(int dev, unsigned int number)
{
	struct liveupdate_ioctl_set_event event = {
		.size = sizeof(event),
		.event = number,
	};

	return luo_ioctl(dev, LIVEUPDATE_IOCTL_SET_EVENT, &event);
}

int luo_send_event(unsigned int number)
{
	int dev = luo_open();
	int err;

	if (dev < 0)
		return dev;
	err = luo_event(dev, number);
	close(dev);
	return err;
}

/* What a rehearsal found; 0 also when reboot(2) would be refused */
int luo_rehearse(int dev, struct liveupdate_ioctl_rehearse *result)
{
	memset(result, 0xff, sizeof(*result));
	result->size = sizeof(*result);
	return luo_ioctl(dev, LIVEUPDATE_IOCTL_REHEARSE, result);
}

int luo_rehearse_now(struct liveupdate_ioctl_rehearse *result)
{
	int dev = luo_open();
	int err;

	if (dev < 0)
		return dev;
	err = luo_rehearse(dev, result);
	close(dev);
	return err;
}

int luo_info_now(struct liveupdate_ioctl_get_info *info)
{
	int dev = luo_open();
	int err;

	if (dev < 0)
		return dev;
	err = luo_info(dev, info);
	close(dev);
	return err;
}
