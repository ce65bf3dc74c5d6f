// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who may do what. The device's mode decides who opens it, and nothing else; from
 * then on, having a descriptor is what counts, and a session's descriptor gives
 * the session and nothing more.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "uapi.h"

#define PAGE	4096

/* What a child does: goes on while all is right */
typedef void (*act_fn)(const int *fds);

/* Where a child tells the line in which something was wrong, or 0 */
static int report;

static void tell(int line)
{
	_exit(write(report, &line, sizeof(line)) != sizeof(line));
}

static void check(bool cond, int line)
{
	if (!cond)
		tell(line);
}

#define CHECK(cond)	check(cond, __LINE__)

/* Runs @act in a child that has become somebody, and says where it went wrong */
static int in_child(int (*become)(void), act_fn act, const int *fds)
{
	int result[2], line = -1;
	pid_t pid;

	if (pipe2(result, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid) {
		report = result[1];
		CHECK(!become());
		act(fds);
		tell(0);
	}
	close(result[1]);
	if (read(result[0], &line, sizeof(line)) != sizeof(line))
		line = -1;
	close(result[0]);
	waitpid(pid, NULL, 0);
	return line;
}

/*
 * Who the child can be
 */

static int root(void)
{
	return 0;
}

/* The owner of the device, and no more than that */
static int root_without_capabilities(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct none[2] = {};

	return syscall(SYS_capset, &header, none) ? -errno : 0;
}

FIXTURE(permissions) {
	int dev;
	int session;
	int memfd;
};

FIXTURE_SETUP(permissions)
{
	ASSERT_EQ(0, setup_system());
	self->dev = luo_open();
	ASSERT_LE(0, self->dev);
	self->session = luo_create(self->dev, "permissions");
	ASSERT_LE(0, self->session);
	self->memfd = memfd_filled("file", 0, PAGE, 1);
	ASSERT_EQ(0, luo_preserve(self->session, self->memfd, 1));
}

FIXTURE_TEARDOWN(permissions)
{
	close(self->memfd);
	close(self->session);
	close(self->dev);
}

/*
 * Modes
 */

static const struct {
	const char *path;
	unsigned int mode;
} files[] = {
	{ LUO_DEVICE,					S_IFCHR | 0600 },
	{ "/sys/kernel/liveupdate",			S_IFDIR | 0755 },
	{ LUO_SYSFS "state",				S_IFREG | 0444 },
	{ LUO_SYSFS "number",				S_IFREG | 0444 },
	{ LUO_SYSFS "previous_release",			S_IFREG | 0444 },
	{ LUO_SYSFS "outgoing",				S_IFREG | 0444 },
	{ LUO_SYSFS "incoming",				S_IFREG | 0444 },
	{ LUO_SYSFS "quarantined",			S_IFREG | 0444 },
	{ LUO_SYSFS "last_failure",			S_IFREG | 0444 },
	{ LUO_SYSFS "timings",				S_IFREG | 0444 },
	{ LUO_SYSFS "blackout",				S_IFREG | 0444 },
	{ "/sys/kernel/debug",				S_IFDIR | 0700 },
	{ "/sys/kernel/debug/liveupdate/outgoing",	S_IFREG | 0400 },
	{ "/sys/kernel/debug/liveupdate/incoming",	S_IFREG | 0400 },
	{ MAX_SESSIONS,					S_IFREG | 0644 },
	{ MAX_SESSION_FILES,				S_IFREG | 0644 },
};

TEST_F(permissions, modes_and_owners)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct stat st;

		ASSERT_EQ(0, stat(files[i].path, &st))
			TH_LOG("%s", files[i].path);
		EXPECT_EQ(files[i].mode, st.st_mode)
			TH_LOG("%s: %o", files[i].path, st.st_mode);
		EXPECT_EQ(0, st.st_uid);
		EXPECT_EQ(0, st.st_gid);
	}
}

/*
 * The device
 */

static int open_as(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* Whoever the device is not for has these, and no others */
static void outside(const int *fds)
{
	char text[64];
	int path;

	CHECK(open_as(LUO_DEVICE, O_RDONLY) == -EACCES);
	CHECK(open_as(LUO_DEVICE, O_WRONLY) == -EACCES);
	CHECK(open_as(LUO_DEVICE, O_RDWR) == -EACCES);
	CHECK(chmod(LUO_DEVICE, 0666) && errno == EPERM);
	CHECK(chown(LUO_DEVICE, getuid(), getgid()) && errno == EPERM);
	path = open(LUO_DEVICE, O_PATH);
	CHECK(path >= 0);
	CHECK(luo_create(path, "x") == -EBADF);
	close(path);

	CHECK(!text_read(LUO_SYSFS "state", text, sizeof(text)));
	CHECK(!strcmp(text, "normal"));
	CHECK(open_as(LUO_SYSFS "state", O_WRONLY) == -EACCES);
	CHECK(open_as("/sys/kernel/debug/liveupdate/outgoing", O_RDONLY) ==
	      -EACCES);
	CHECK(!text_read(MAX_SESSIONS, text, sizeof(text)));
	CHECK(open_as(MAX_SESSIONS, O_WRONLY) == -EACCES);
}

/* Nor can it make a device of its own */
static void outside_as_root(const int *fds)
{
	dev_t number = makedev(fds[0], fds[1]);

	CHECK(getuid() == 0);
	CHECK(!mount("none", "/tmp", "tmpfs", 0, NULL));
	CHECK(mknod("/tmp/device", S_IFCHR | 0666, number) && errno == EPERM);
	CHECK(mount("none", "/tmp", "devtmpfs", 0, NULL) && errno == EPERM);
	/* A place of its own for it changes nothing */
	CHECK(!mkdir("/tmp/dev", 0755));
	CHECK(!mount("/dev", "/tmp/dev", NULL, MS_BIND | MS_REC, NULL));
	CHECK(open_as("/tmp/dev/liveupdate", O_RDWR) == -EACCES);
	outside(fds);
}

TEST_F(permissions, others_cannot_open_the_device)
{
	close(self->dev);
	EXPECT_EQ(0, in_child(become_nobody, outside, NULL));
	self->dev = luo_open();
	ASSERT_LE(0, self->dev);
}

TEST_F(permissions, root_of_a_user_namespace_cannot_open_the_device)
{
	int numbers[2];
	struct stat st;

	ASSERT_EQ(0, fstat(self->dev, &st));
	numbers[0] = major(st.st_rdev);
	numbers[1] = minor(st.st_rdev);
	close(self->dev);
	EXPECT_EQ(0, in_child(become_namespace_root, outside_as_root, numbers));
	self->dev = luo_open();
	ASSERT_LE(0, self->dev);
}

/* All that the device is for: nothing of it asks for a capability */
static void conduct(int dev)
{
	struct liveupdate_ioctl_get_info info;
	int session, memfd;

	CHECK(!luo_info(dev, &info));
	session = luo_create(dev, "mine");
	CHECK(session >= 0);
	memfd = memfd_filled("file", 0, PAGE, 2);
	CHECK(!luo_preserve(session, memfd, 1));
	CHECK(luo_retrieve(dev, "nobody's") == -ENOENT);
	CHECK(!luo_event(dev, LIVEUPDATE_EVENT_PREPARE));
	CHECK(!luo_event(dev, LIVEUPDATE_EVENT_CANCEL));
	close(session);
}

static void conduct_opened(const int *fds)
{
	int dev = luo_open();

	CHECK(dev >= 0);
	conduct(dev);
}

static void conduct_passed(const int *fds)
{
	conduct(fds[0]);
}

TEST_F(permissions, owner_needs_no_capability)
{
	close(self->dev);
	EXPECT_EQ(0, in_child(root_without_capabilities, conduct_opened, NULL));
	self->dev = luo_open();
	ASSERT_LE(0, self->dev);
}

/* An administrator who gives the device to somebody gives all of it */
TEST_F(permissions, mode_is_all_that_decides)
{
	close(self->dev);
	ASSERT_EQ(0, chmod(LUO_DEVICE, 0660));
	ASSERT_EQ(0, chown(LUO_DEVICE, 0, NOBODY));
	EXPECT_EQ(0, in_child(become_nobody, conduct_opened, NULL));
	ASSERT_EQ(0, chown(LUO_DEVICE, 0, 0));
	ASSERT_EQ(0, chmod(LUO_DEVICE, 0600));
	EXPECT_EQ(0, in_child(become_nobody, outside, NULL));
	self->dev = luo_open();
	ASSERT_LE(0, self->dev);
}

TEST_F(permissions, passed_device_works)
{
	EXPECT_EQ(0, in_child(become_nobody, conduct_passed, &self->dev));
	EXPECT_EQ(0, in_child(become_namespace_root, conduct_passed, &self->dev));
	EXPECT_EQ(-EEXIST, luo_create(self->dev, "permissions"));
}

/*
 * A session that was passed
 */

/* What a session gives: its files and its own, and nothing of the device */
static void use_session(const int *fds)
{
	struct liveupdate_ioctl_get_info info = { .size = sizeof(info) };
	char name[LIVEUPDATE_SESSION_NAME_LENGTH], path[64];
	int session = fds[0];
	int memfd = memfd_filled("mine", 0, PAGE, 3);
	int err;

	CHECK(!luo_get_name(session, name));
	CHECK(!strcmp(name, "permissions"));
	CHECK(!luo_preserve(session, memfd, 2));
	CHECK(luo_preserve(session, memfd, 3) == -EBUSY);
	CHECK(luo_preserve(session, memfd, 1) == -EEXIST);
	CHECK(ftruncate(memfd, 0) && errno == EPERM);
	CHECK(!luo_unpreserve(session, 2));
	CHECK(!luo_preserve(session, memfd, 2));
	CHECK(luo_create(session, "x") == -ENOTTY);
	CHECK(luo_retrieve(session, "permissions") == -ENOTTY);
	CHECK(luo_event(session, LIVEUPDATE_EVENT_PREPARE) == -ENOTTY);
	CHECK(luo_ioctl(session, LIVEUPDATE_IOCTL_GET_INFO, &info) == -ENOTTY);
	CHECK(luo_ioctl(session, LIVEUPDATE_IOCTL_NEXT_SESSION, &info) ==
	      -ENOTTY);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", session);
	/* Nobody can; some are told already that they may not */
	err = open_as(path, O_RDWR);
	CHECK(err == -ENXIO || err == -EACCES);
	/* Its own descriptor is all that it can close */
	close(session);
	CHECK(luo_get_name(session, name) == -EBADF);
}

/* Received by a socket, as services get theirs */
static void receive_and_use(const int *fds)
{
	int session = fd_receive(fds[0]);

	CHECK(session >= 0);
	use_session(&session);
}

static void check_session(struct __test_metadata *_metadata, int dev,
			  int session)
{
	struct liveupdate_ioctl_get_info info;

	ASSERT_EQ(0, luo_info(dev, &info));
	EXPECT_EQ(1, info.outgoing_sessions);
	EXPECT_EQ(2, info.outgoing_files);
	EXPECT_EQ(0, luo_unpreserve(session, 2));
	EXPECT_EQ(LIVEUPDATE_STATE_NORMAL, info.state);
}

TEST_F(permissions, passed_session_works)
{
	static int (*const whoever[])(void) = {
		root, become_nobody, root_without_capabilities,
		become_namespace_root,
	};
	int pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	for (size_t i = 0; i < ARRAY_SIZE(whoever); i++) {
		EXPECT_EQ(0, in_child(whoever[i], use_session, &self->session))
			TH_LOG("inherited, %zu", i);
		check_session(_metadata, self->dev, self->session);
		ASSERT_EQ(0, fd_send(pair[0], self->session));
		EXPECT_EQ(0, in_child(whoever[i], receive_and_use, &pair[1]))
			TH_LOG("received, %zu", i);
		check_session(_metadata, self->dev, self->session);
	}
	close(pair[0]);
	close(pair[1]);
}

/* Somebody else's session cannot be had by way of /proc */
static void look_at(const int *fds)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", fds[0], fds[1]);
	CHECK(open_as(path, O_RDWR) == -EACCES);
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", fds[0], fds[1]);
	CHECK(open_as(path, O_RDONLY) == -EACCES);
	CHECK(syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, fds[0], 0),
		      fds[1], 0) == -1 && errno == EPERM);
}

TEST_F(permissions, sessions_of_others_are_out_of_reach)
{
	int where[] = { getpid(), self->session };

	EXPECT_EQ(0, in_child(become_nobody, look_at, where));
	EXPECT_EQ(0, in_child(become_namespace_root, look_at, where));
}

TEST_HARNESS_MAIN
