// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device and its sessions, as far as one kernel alone can show: who may
 * open what, names, sizes, errors, and how long a session lives.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "uapi.h"

#define ANON_INODE_FS_MAGIC	0x09041934
#define NAME_63 "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-"
#define NAME_64 NAME_63 "+"

/* A command's argument with room after it for what a later kernel may add */
struct create_arg {
	struct liveupdate_ioctl_create_session cmd;
	__u8 tail[64];
};

struct name_arg {
	struct liveupdate_session_get_name cmd;
	__u8 tail[64];
};

static struct create_arg create_arg(const char *name)
{
	struct create_arg arg = {
		.cmd.size = sizeof(arg.cmd),
		.cmd.fd = -1,
	};

	memcpy(arg.cmd.name, name, strlen(name));
	return arg;
}

/* Whether a session of this name can be made, that is, none is there */
static bool name_is_free(int dev, const char *name)
{
	int session = luo_create(dev, name);

	if (session < 0)
		return false;
	close(session);
	return true;
}

FIXTURE(device) {
	int fd;
};

FIXTURE_SETUP(device)
{
	ASSERT_EQ(0, setup_system());
	self->fd = luo_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(device)
{
	close(self->fd);
}

TEST_F(device, is_a_character_device_for_root_only)
{
	struct stat st;

	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	EXPECT_EQ(0600, st.st_mode & 0777);
	EXPECT_EQ(0, st.st_uid);
}

TEST_F(device, second_opener_gets_ebusy)
{
	EXPECT_EQ(-EBUSY, luo_open());
}

/* Any number of readers is let in, before the one that writes, and beside it */
TEST_F(device, readers_are_let_in)
{
	int readers[8], writer;

	for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
		if (i == 4)
			close(self->fd);
		readers[i] = luo_open_reader();
		ASSERT_LE(0, readers[i]);
	}
	self->fd = luo_open();
	ASSERT_LE(0, self->fd);
	EXPECT_EQ(-EBUSY, luo_open());
	writer = open(LUO_DEVICE, O_WRONLY);
	EXPECT_EQ(-1, writer);
	EXPECT_EQ(EBUSY, errno);
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
		close(readers[i]);
	/* It is not they who keep the writer's place */
	EXPECT_EQ(-EBUSY, luo_open());
}

/* They ask and walk, and change nothing */
TEST_F(device, readers_only_read)
{
	struct liveupdate_ioctl_next_session next = { .size = sizeof(next) };
	int session = luo_create(self->fd, "seen");
	struct liveupdate_ioctl_get_info info;
	int reader = luo_open_reader();

	ASSERT_LE(0, session);
	ASSERT_LE(0, reader);
	ASSERT_EQ(0, luo_info(reader, &info));
	EXPECT_EQ(1, info.outgoing_sessions);
	EXPECT_TRUE(info.features & LIVEUPDATE_FEATURE_READERS);
	ASSERT_EQ(0, luo_ioctl(reader, LIVEUPDATE_IOCTL_NEXT_SESSION, &next));
	EXPECT_STREQ("seen", (char *)next.name);

	EXPECT_EQ(-EBADF, luo_create(reader, "mine"));
	EXPECT_EQ(-EBADF, luo_retrieve(reader, "seen"));
	for (unsigned int event = 0; event < 5; event++)
		EXPECT_EQ(-EBADF, luo_event(reader, event));
	EXPECT_EQ(-ENOTTY, luo_ioctl(reader, _IO(LIVEUPDATE_IOCTL_TYPE, 0x1f),
				     &info));
	EXPECT_TRUE(name_is_free(self->fd, "mine"));
	close(reader);
	close(session);
}

TEST_F(device, opens_again_after_the_last_close)
{
	int copy = dup(self->fd);

	ASSERT_LE(0, copy);
	close(self->fd);
	EXPECT_EQ(-EBUSY, luo_open());
	close(copy);
	self->fd = luo_open();
	EXPECT_LE(0, self->fd);
}

TEST_F(device, closes_when_its_opener_is_killed)
{
	int status;
	pid_t pid;

	close(self->fd);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		luo_open();
		kill(getpid(), SIGKILL);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status));
	self->fd = luo_open();
	EXPECT_LE(0, self->fd);
}

/* Every number but the known ones, with an argument that could be right */
TEST_F(device, unknown_numbers_get_enotty)
{
	for (unsigned int nr = 0; nr < 256; nr++) {
		struct create_arg arg = create_arg("unknown");
		int ret;

		if (nr < 0x02 || (nr >= 0x20 && nr < 0x40))
			continue;
		ret = luo_ioctl(self->fd, _IO(LIVEUPDATE_IOCTL_TYPE, nr), &arg);
		ASSERT_EQ(-ENOTTY, ret)
			TH_LOG("number 0x%02x", nr);
	}
}

TEST_F(device, other_type_or_direction_gets_enotty)
{
	struct create_arg arg = create_arg("type");

	EXPECT_EQ(-ENOTTY, luo_ioctl(self->fd, _IO(0xBB, 0), &arg));
	EXPECT_EQ(-ENOTTY, luo_ioctl(self->fd,
				     _IOWR(LIVEUPDATE_IOCTL_TYPE, 0, int),
				     &arg));
	EXPECT_EQ(-ENOTTY, luo_ioctl(self->fd, TIOCGWINSZ, &arg));
	EXPECT_TRUE(name_is_free(self->fd, "type"));
}

/* The number decides before the argument is looked at */
TEST_F(device, unknown_number_with_bad_pointer_gets_enotty)
{
	EXPECT_EQ(-ENOTTY, luo_ioctl(self->fd, _IO(LIVEUPDATE_IOCTL_TYPE, 0xff),
				     page_unmapped()));
}

TEST_F(device, too_small_gets_einval)
{
	for (unsigned int size = 0; size < sizeof(struct create_arg); size++) {
		struct create_arg arg = create_arg("small");

		if (size == sizeof(arg.cmd))
			break;
		arg.cmd.size = size;
		EXPECT_EQ(-EINVAL, luo_ioctl(self->fd,
					     LIVEUPDATE_IOCTL_CREATE_SESSION,
					     &arg))
			TH_LOG("create, size %u", size);
		EXPECT_EQ(-EINVAL, luo_ioctl(self->fd,
					     LIVEUPDATE_IOCTL_RETRIEVE_SESSION,
					     &arg))
			TH_LOG("retrieve, size %u", size);
	}
	EXPECT_TRUE(name_is_free(self->fd, "small"));
}

TEST_F(device, larger_with_zero_tail_works)
{
	struct create_arg arg = create_arg("larger");

	arg.cmd.size = sizeof(arg);
	ASSERT_EQ(0, luo_ioctl(self->fd, LIVEUPDATE_IOCTL_CREATE_SESSION, &arg));
	EXPECT_LE(0, arg.cmd.fd);
	EXPECT_EQ(sizeof(arg), arg.cmd.size);
	EXPECT_EQ(-EEXIST, luo_create(self->fd, "larger"));
	close(arg.cmd.fd);
}

TEST_F(device, larger_with_nonzero_tail_gets_e2big)
{
	for (size_t i = 0; i < sizeof(((struct create_arg *)0)->tail); i += 9) {
		struct create_arg arg = create_arg("tail");

		arg.cmd.size = sizeof(arg);
		arg.tail[i] = 1;
		EXPECT_EQ(-E2BIG, luo_ioctl(self->fd,
					    LIVEUPDATE_IOCTL_CREATE_SESSION,
					    &arg));
		EXPECT_EQ(-E2BIG, luo_ioctl(self->fd,
					    LIVEUPDATE_IOCTL_RETRIEVE_SESSION,
					    &arg));
		EXPECT_EQ(-1, arg.cmd.fd);
	}
	EXPECT_TRUE(name_is_free(self->fd, "tail"));
}

/* Sizes beyond a page, or beyond any memory, are no reason to trip either */
TEST_F(device, absurd_sizes_are_refused)
{
	struct create_arg arg = create_arg("absurd");
	int ret;

	arg.cmd.size = ~0U;
	ret = luo_ioctl(self->fd, LIVEUPDATE_IOCTL_CREATE_SESSION, &arg);
	EXPECT_TRUE(ret == -E2BIG || ret == -EFAULT)
		TH_LOG("returned %d", ret);
	EXPECT_TRUE(name_is_free(self->fd, "absurd"));
}

TEST_F(device, tail_that_cannot_be_read_gets_efault)
{
	size_t page_size = sysconf(_SC_PAGESIZE);
	struct create_arg arg = create_arg("edge");
	char *pages = mmap(NULL, 2 * page_size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *edge;

	ASSERT_NE(MAP_FAILED, (void *)pages);
	ASSERT_EQ(0, munmap(pages + page_size, page_size));
	edge = pages + page_size - sizeof(arg.cmd);
	memcpy(edge, &arg.cmd, sizeof(arg.cmd));
	((struct create_arg *)edge)->cmd.size = sizeof(arg);
	EXPECT_EQ(-EFAULT, luo_ioctl(self->fd, LIVEUPDATE_IOCTL_CREATE_SESSION,
				     edge));
	EXPECT_TRUE(name_is_free(self->fd, "edge"));
}

TEST_F(device, empty_name_is_none)
{
	EXPECT_EQ(-EINVAL, luo_create(self->fd, ""));
	EXPECT_EQ(-EINVAL, luo_retrieve(self->fd, ""));
}

TEST_F(device, unterminated_name_is_none)
{
	EXPECT_EQ(-EINVAL, luo_create(self->fd, NAME_64));
	EXPECT_EQ(-EINVAL, luo_retrieve(self->fd, NAME_64));
}

TEST_F(device, name_of_63_bytes_works)
{
	char name[LIVEUPDATE_SESSION_NAME_LENGTH] = "";
	int session = luo_create(self->fd, NAME_63);

	ASSERT_LE(0, session);
	ASSERT_EQ(0, luo_get_name(session, name));
	EXPECT_STREQ(NAME_63, name);
	EXPECT_EQ(-EEXIST, luo_create(self->fd, NAME_63));
	close(session);
}

/* What follows the terminator is no part of the name */
TEST_F(device, bytes_after_the_terminator_do_not_count)
{
	struct create_arg arg = create_arg("garbage");
	struct liveupdate_session_get_name get = { .size = sizeof(get) };
	int session;

	memset(arg.cmd.name + sizeof("garbage"), 0xa5,
	       sizeof(arg.cmd.name) - sizeof("garbage"));
	ASSERT_EQ(0, luo_ioctl(self->fd, LIVEUPDATE_IOCTL_CREATE_SESSION, &arg));
	session = arg.cmd.fd;
	EXPECT_EQ(-EEXIST, luo_create(self->fd, "garbage"));
	memset(get.name, 0xff, sizeof(get.name));
	ASSERT_EQ(0, luo_ioctl(session, LIVEUPDATE_SESSION_GET_NAME, &get));
	EXPECT_STREQ("garbage", (char *)get.name);
	for (size_t i = sizeof("garbage"); i < sizeof(get.name); i++)
		EXPECT_EQ(0, get.name[i]);
	close(session);
}

TEST_F(device, odd_bytes_in_names_are_kept)
{
	static const char name[] = "sl/ash sp ace \t\x80\xff%s%n";
	char got[LIVEUPDATE_SESSION_NAME_LENGTH] = "";
	int session = luo_create(self->fd, name);

	ASSERT_LE(0, session);
	ASSERT_EQ(0, luo_get_name(session, got));
	EXPECT_STREQ(name, got);
	close(session);
}

TEST_F(device, duplicate_name_gets_eexist)
{
	int session = luo_create(self->fd, "twin");

	ASSERT_LE(0, session);
	EXPECT_EQ(-EEXIST, luo_create(self->fd, "twin"));
	EXPECT_TRUE(name_is_free(self->fd, "twin "));
	EXPECT_TRUE(name_is_free(self->fd, "twi"));
	EXPECT_TRUE(name_is_free(self->fd, "Twin"));
	/* The failed attempts have not hurt the one that is there */
	EXPECT_EQ(-EEXIST, luo_create(self->fd, "twin"));
	close(session);
	EXPECT_TRUE(name_is_free(self->fd, "twin"));
}

/* Even the session that this kernel is to hand over is not incoming in it */
TEST_F(device, retrieve_session_unknown_gets_enoent)
{
	int session = luo_create(self->fd, "outgoing");

	ASSERT_LE(0, session);
	EXPECT_EQ(-ENOENT, luo_retrieve(self->fd, "nobody"));
	EXPECT_EQ(-ENOENT, luo_retrieve(self->fd, "outgoing"));
	close(session);
}

TEST_F(device, descriptor_is_close_on_exec)
{
	int session = luo_create(self->fd, "cloexec");

	ASSERT_LE(0, session);
	EXPECT_EQ(FD_CLOEXEC, fcntl(session, F_GETFD));
	EXPECT_EQ(O_RDWR, fcntl(session, F_GETFL) & O_ACCMODE);
	close(session);
}

/* A buffer that takes no answer must not leave a session that nobody holds */
TEST_F(device, create_into_read_only_buffer_changes_nothing)
{
	struct create_arg arg = create_arg("read-only");
	void *page = page_readonly(&arg, sizeof(arg));
	int next = fd_next_free();

	ASSERT_NE(NULL, page);
	EXPECT_EQ(-EFAULT, luo_ioctl(self->fd, LIVEUPDATE_IOCTL_CREATE_SESSION,
				     page));
	EXPECT_EQ(next, fd_next_free());
	EXPECT_TRUE(name_is_free(self->fd, "read-only"));
}

TEST_F(device, unmapped_buffer_gets_efault)
{
	int next = fd_next_free();

	EXPECT_EQ(-EFAULT, luo_ioctl(self->fd, LIVEUPDATE_IOCTL_CREATE_SESSION,
				     page_unmapped()));
	EXPECT_EQ(-EFAULT, luo_ioctl(self->fd, LIVEUPDATE_IOCTL_CREATE_SESSION,
				     NULL));
	EXPECT_EQ(-EFAULT, luo_ioctl(self->fd,
				     LIVEUPDATE_IOCTL_RETRIEVE_SESSION,
				     page_unmapped()));
	EXPECT_EQ(next, fd_next_free());
}

TEST_F(device, no_free_descriptor_gets_emfile)
{
	int next = fd_next_free();

	ASSERT_EQ(0, fd_limit(next));
	EXPECT_EQ(-EMFILE, luo_create(self->fd, "emfile"));
	ASSERT_EQ(0, fd_limit(next + 1));
	EXPECT_TRUE(name_is_free(self->fd, "emfile"));
}

FIXTURE(session) {
	int dev;
	int fd;
};

FIXTURE_SETUP(session)
{
	ASSERT_EQ(0, setup_system());
	self->dev = luo_open();
	ASSERT_LE(0, self->dev);
	self->fd = luo_create(self->dev, "session");
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(session)
{
	close(self->fd);
	close(self->dev);
}

TEST_F(session, unknown_numbers_get_enotty)
{
	for (unsigned int nr = 0; nr < 256; nr++) {
		struct name_arg arg = { .cmd.size = sizeof(arg.cmd) };
		int ret;

		if (nr >= 0x40 && nr < 0x44)
			continue;
		if (nr >= 0x60 && nr < 0x80)
			continue;
		ret = luo_ioctl(self->fd, _IO(LIVEUPDATE_IOCTL_TYPE, nr), &arg);
		ASSERT_EQ(-ENOTTY, ret)
			TH_LOG("number 0x%02x", nr);
	}
}

TEST_F(session, device_does_not_know_session_commands)
{
	struct name_arg arg = { .cmd.size = sizeof(arg.cmd) };

	for (unsigned int nr = 0x40; nr < 0x60; nr++)
		ASSERT_EQ(-ENOTTY, luo_ioctl(self->dev,
					     _IO(LIVEUPDATE_IOCTL_TYPE, nr),
					     &arg));
}

TEST_F(session, too_small_gets_einval)
{
	static const struct {
		unsigned int cmd, size;
	} commands[] = {
		{ LIVEUPDATE_SESSION_PRESERVE_FD,
		  sizeof(struct liveupdate_session_preserve_fd) },
		{ LIVEUPDATE_SESSION_RETRIEVE_FD,
		  sizeof(struct liveupdate_session_retrieve_fd) },
		{ LIVEUPDATE_SESSION_FINISH,
		  sizeof(struct liveupdate_session_finish) },
		{ LIVEUPDATE_SESSION_GET_NAME,
		  sizeof(struct liveupdate_session_get_name) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		for (unsigned int size = 0; size < commands[i].size; size++) {
			struct name_arg arg = { .cmd.size = size };

			EXPECT_EQ(-EINVAL, luo_ioctl(self->fd, commands[i].cmd,
						     &arg))
				TH_LOG("command %zu, size %u", i, size);
		}
	}
}

TEST_F(session, larger_with_zero_tail_works)
{
	struct name_arg arg = { .cmd.size = sizeof(arg) };

	ASSERT_EQ(0, luo_ioctl(self->fd, LIVEUPDATE_SESSION_GET_NAME, &arg));
	EXPECT_STREQ("session", (char *)arg.cmd.name);
}

TEST_F(session, larger_with_nonzero_tail_gets_e2big)
{
	struct name_arg arg = { .cmd.size = sizeof(arg) };

	arg.tail[sizeof(arg.tail) - 1] = 1;
	EXPECT_EQ(-E2BIG, luo_ioctl(self->fd, LIVEUPDATE_SESSION_GET_NAME,
				    &arg));
	EXPECT_EQ(0, arg.cmd.name[0]);
}

TEST_F(session, reserved_fields_must_be_zero)
{
	struct name_arg arg = {
		.cmd.size = sizeof(arg.cmd),
		.cmd.reserved = 1,
	};

	EXPECT_EQ(-EINVAL, luo_ioctl(self->fd, LIVEUPDATE_SESSION_GET_NAME,
				     &arg));
}

TEST_F(session, get_name_into_read_only_buffer_gets_efault)
{
	struct name_arg arg = { .cmd.size = sizeof(arg.cmd) };

	EXPECT_EQ(-EFAULT, luo_ioctl(self->fd, LIVEUPDATE_SESSION_GET_NAME,
				     page_readonly(&arg, sizeof(arg))));
	EXPECT_EQ(-EFAULT, luo_ioctl(self->fd, LIVEUPDATE_SESSION_GET_NAME,
				     page_unmapped()));
}

TEST_F(session, outgoing_refuses_retrieve_and_finish)
{
	int memfd = memfd_filled("m", 0, 4096, 1);

	ASSERT_LE(0, memfd);
	ASSERT_EQ(0, luo_preserve(self->fd, memfd, 5));
	EXPECT_EQ(-EINVAL, luo_restore(self->fd, 5));
	EXPECT_EQ(-EINVAL, luo_restore(self->fd, 6));
	EXPECT_EQ(-EINVAL, luo_finish(self->fd));
	/* It is still there and still holds the file */
	EXPECT_EQ(-EEXIST, luo_create(self->dev, "session"));
	EXPECT_EQ(-EEXIST, luo_preserve(self->fd, memfd, 5));
	close(memfd);
}

TEST_F(session, survives_the_close_of_the_device)
{
	char name[LIVEUPDATE_SESSION_NAME_LENGTH] = "";
	int memfd = memfd_filled("m", 0, 4096, 1);

	ASSERT_LE(0, memfd);
	close(self->dev);
	ASSERT_EQ(0, luo_get_name(self->fd, name));
	EXPECT_STREQ("session", name);
	EXPECT_EQ(0, luo_preserve(self->fd, memfd, 0));
	self->dev = luo_open();
	ASSERT_LE(0, self->dev);
	EXPECT_EQ(-EEXIST, luo_create(self->dev, "session"));
	close(memfd);
}

TEST_F(session, link_text_tells_its_name)
{
	char link[128];

	ASSERT_EQ(0, fd_link(self->fd, link, sizeof(link)));
	EXPECT_STREQ(LUO_LINK_PREFIX "session", link);
}

TEST_F(session, link_text_takes_the_longest_name)
{
	int session = luo_create(self->dev, NAME_63);
	char link[128];

	ASSERT_LE(0, session);
	ASSERT_EQ(0, fd_link(session, link, sizeof(link)));
	EXPECT_STREQ(LUO_LINK_PREFIX NAME_63, link);
	close(session);
}

TEST_F(session, lives_on_anon_inodefs)
{
	struct statfs fs;

	ASSERT_EQ(0, fstatfs(self->fd, &fs));
	EXPECT_EQ(ANON_INODE_FS_MAGIC, fs.f_type);
}

TEST_F(session, dupfd_query_tells_sessions_apart)
{
	int other = luo_create(self->dev, "other");
	int copy = dup(self->fd);

	ASSERT_LE(0, other);
	ASSERT_LE(0, copy);
	EXPECT_EQ(1, fcntl(self->fd, F_DUPFD_QUERY, copy));
	EXPECT_EQ(0, fcntl(self->fd, F_DUPFD_QUERY, other));
	EXPECT_EQ(0, fcntl(self->fd, F_DUPFD_QUERY, self->dev));
	close(copy);
	close(other);
}

TEST_F(session, poll_never_reports_hup_or_err)
{
	struct pollfd p = { .fd = self->fd, .events = POLLIN | POLLOUT };

	ASSERT_LE(0, poll(&p, 1, 0));
	EXPECT_EQ(0, p.revents & (POLLHUP | POLLERR | POLLNVAL));
	close(self->dev);
	p.events = 0;
	EXPECT_EQ(0, poll(&p, 1, 0));
	self->dev = luo_open();
}

/* A file without poll cannot be added, which is no error for those who try */
TEST_F(session, epoll_never_reports_hup_or_err)
{
	struct epoll_event ev = {};
	int ep = epoll_create1(EPOLL_CLOEXEC);
	int ret;

	ASSERT_LE(0, ep);
	ret = epoll_ctl(ep, EPOLL_CTL_ADD, self->fd, &ev);
	EXPECT_TRUE(ret ? errno == EPERM : !epoll_wait(ep, &ev, 1, 0));
	close(ep);
}

TEST_F(session, cannot_be_read_written_or_mapped)
{
	char byte = 0;

	EXPECT_EQ(-1, read(self->fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, write(self->fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->fd,
				   0));
	EXPECT_EQ(ENODEV, errno);
}

TEST_F(session, last_close_frees_the_name)
{
	int copy = dup(self->fd);

	ASSERT_LE(0, copy);
	close(self->fd);
	EXPECT_EQ(-EEXIST, luo_create(self->dev, "session"));
	close(copy);
	self->fd = luo_create(self->dev, "session");
	EXPECT_LE(0, self->fd);
}

TEST_F(session, lives_in_a_child_after_the_parent_closes)
{
	int status, go[2];
	pid_t pid;

	ASSERT_EQ(0, pipe2(go, O_CLOEXEC));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		char byte;

		close(go[1]);
		_exit(read(go[0], &byte, 1) != 0);
	}
	close(go[0]);
	close(self->fd);
	EXPECT_EQ(-EEXIST, luo_create(self->dev, "session"));
	close(go[1]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	self->fd = luo_create(self->dev, "session");
	EXPECT_LE(0, self->fd);
}

TEST_F(session, lives_while_it_is_in_a_socket)
{
	char name[LIVEUPDATE_SESSION_NAME_LENGTH] = "";
	int pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	ASSERT_EQ(0, fd_send(pair[0], self->fd));
	close(self->fd);
	EXPECT_EQ(-EEXIST, luo_create(self->dev, "session"));
	self->fd = fd_receive(pair[1]);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, luo_get_name(self->fd, name));
	EXPECT_STREQ("session", name);
	/* One that is never received goes with the socket */
	ASSERT_EQ(0, fd_send(pair[0], self->fd));
	close(self->fd);
	close(pair[0]);
	close(pair[1]);
	self->fd = luo_create(self->dev, "session");
	EXPECT_LE(0, self->fd);
}

/*
 * A program that runs "true" inherits the session where the descriptor is
 * not close-on-exec. The shell stays until its standard input closes.
 */
TEST_F(session, survives_exec)
{
	char command[64];
	int status, go[2];
	pid_t pid;

	ASSERT_EQ(0, pipe2(go, O_CLOEXEC));
	ASSERT_EQ(0, fcntl(self->fd, F_SETFD, 0));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		dup2(go[0], STDIN_FILENO);
		snprintf(command, sizeof(command),
			 "readlink /proc/self/fd/%d >/dev/null; read -r x",
			 self->fd);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	close(go[0]);
	close(self->fd);
	usleep(200 * 1000);
	EXPECT_EQ(-EEXIST, luo_create(self->dev, "session"));
	close(go[1]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_NE(127, WEXITSTATUS(status));
	self->fd = luo_create(self->dev, "session");
	EXPECT_LE(0, self->fd);
}

TEST_F(session, goes_when_its_holder_is_killed)
{
	int status;
	pid_t pid;

	close(self->fd);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		luo_create(self->dev, "session");
		kill(getpid(), SIGKILL);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	self->fd = luo_create(self->dev, "session");
	EXPECT_LE(0, self->fd);
}

/* A process that creates a session as soon as @go ends, holds it to @stop's end */
static pid_t start_racer(int dev, int go[2], int stop[2], int result)
{
	pid_t pid = fork();
	char byte;
	int ret;

	if (pid)
		return pid;
	close(go[1]);
	close(stop[1]);
	read(go[0], &byte, 1);
	ret = luo_create(dev, "race");
	byte = ret >= 0 ? 'w' : ret == -EEXIST ? 'l' : 'x';
	write(result, &byte, 1);
	read(stop[0], &byte, 1);
	_exit(0);
}

/* Creators of the same name race; exactly one may win each round */
TEST_F(session, racing_creators_have_one_winner)
{
	enum { RACERS = 8, ROUNDS = 20 };

	for (int round = 0; round < ROUNDS; round++) {
		int winners = 0, losers = 0;
		int go[2], stop[2], result[2];
		char byte;

		ASSERT_EQ(0, pipe2(go, O_CLOEXEC));
		ASSERT_EQ(0, pipe2(stop, O_CLOEXEC));
		ASSERT_EQ(0, pipe2(result, O_CLOEXEC));
		for (int i = 0; i < RACERS; i++)
			ASSERT_LT(0, start_racer(self->dev, go, stop,
						 result[1]));
		close(go[0]);
		close(go[1]);
		for (int i = 0; i < RACERS; i++) {
			ASSERT_EQ(1, read(result[0], &byte, 1));
			winners += byte == 'w';
			losers += byte == 'l';
		}
		EXPECT_EQ(1, winners);
		EXPECT_EQ(RACERS - 1, losers);
		close(stop[0]);
		close(stop[1]);
		while (wait(NULL) > 0)
			;
		close(result[0]);
		close(result[1]);
	}
	EXPECT_TRUE(name_is_free(self->dev, "race"));
}

TEST_F(session, names_of_two_sessions_stay_apart)
{
	char name[LIVEUPDATE_SESSION_NAME_LENGTH] = "";
	int other = luo_create(self->dev, "other");

	ASSERT_LE(0, other);
	ASSERT_EQ(0, luo_get_name(other, name));
	EXPECT_STREQ("other", name);
	ASSERT_EQ(0, luo_get_name(self->fd, name));
	EXPECT_STREQ("session", name);
	close(other);
}

TEST_HARNESS_MAIN
