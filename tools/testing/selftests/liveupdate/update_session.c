// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sessions on both sides of a live update: what crosses, who may claim it,
 * what a failure leaves behind, and when it is over.
 */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "update.h"

#define PAGE	4096UL
#define NAME_63	"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-"

/* A session of @count files, each of 3 pages and filled after its token */
static int session_with_files(struct note *note, unsigned int count)
{
	int session = session_new(note, "");

	for (unsigned int i = 1; i <= count; i++) {
		int fd = OK(memfd_filled("file", 0, 3 * PAGE, i));

		OK(luo_preserve(session, fd, i));
		close(fd);
	}
	return session;
}

static void two_files(struct note *note)
{
	session_with_files(note, 2);
}

static void check_file(int session, unsigned int token)
{
	int fd = OK(luo_restore(session, token));

	CHECK_EQ(3 * PAGE, SYS(lseek(fd, 0, SEEK_END)));
	OK(content_check(fd, 0, 3 * PAGE, token));
	close(fd);
}

static void check_two_files(struct note *note)
{
	int session = session_claim(note, "");

	check_file(session, 2);
	check_file(session, 1);
	OK(luo_finish(session));
	close(session);
	CHECK_EQ(-ENOENT, luo_session_claim(session_name(note, "")));
}

/* Runs @action in a child, and says how that ended */
static int in_child(void (*action)(void *arg), void *arg)
{
	pid_t pid = SYS(fork());
	int status;

	if (!pid) {
		action(arg);
		_exit(0);
	}
	SYS(waitpid(pid, &status, 0));
	return status;
}

/*
 * What crosses
 */

UPDATE_TEST(base, session_two_files, .stage = { two_files, check_two_files });

static void empty_before(struct note *note)
{
	session_new(note, "");
}

static void empty_after(struct note *note)
{
	int session = session_claim(note, "");

	CHECK_EQ(-ENOENT, luo_restore(session, 0));
	OK(luo_finish(session));
}

UPDATE_TEST(base, session_empty, .stage = { empty_before, empty_after });

static void name_63_before(struct note *note)
{
	int session = OK(luo_session_new(NAME_63));

	OK(luo_preserve(session, OK(memfd_filled("m", 0, PAGE, 1)), 1));
}

static void name_63_after(struct note *note)
{
	int session = OK(luo_session_claim(NAME_63));
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];
	char link[128];

	OK(luo_get_name(session, name));
	CHECK(!strcmp(NAME_63, name));
	OK(fd_link(session, link, sizeof(link)));
	CHECK(!strcmp(LUO_LINK_PREFIX NAME_63, link));
	OK(content_check(OK(luo_restore(session, 1)), 0, PAGE, 1));
}

UPDATE_TEST(base, session_name_of_63_bytes,
	    .stage = { name_63_before, name_63_after });

static const uint64_t odd_tokens[] = {
	5, 0, ~0ULL, 1, 1ULL << 63, 1ULL << 32, 4, 2,
};

static void tokens_before(struct note *note)
{
	int session = session_new(note, "");

	for (size_t i = 0; i < ARRAY_SIZE(odd_tokens); i++) {
		int fd = OK(memfd_filled("t", 0, PAGE + i, i));

		OK(luo_preserve(session, fd, odd_tokens[i]));
	}
}

static void tokens_after(struct note *note)
{
	int session = session_claim(note, "");

	CHECK_EQ(-ENOENT, luo_restore(session, 3));
	for (size_t i = ARRAY_SIZE(odd_tokens); i--;) {
		int fd = OK(luo_restore(session, odd_tokens[i]));

		CHECK_EQ(PAGE + i, SYS(lseek(fd, 0, SEEK_END)));
		OK(content_check(fd, 0, PAGE + i, i));
	}
}

UPDATE_TEST(base, session_tokens_in_any_order,
	    .stage = { tokens_before, tokens_after });

static void same_token_before(struct note *note)
{
	int a = session_new(note, "a"), b = session_new(note, "b");

	OK(luo_preserve(a, OK(memfd_filled("a", 0, PAGE, 100)), 7));
	OK(luo_preserve(b, OK(memfd_filled("b", 0, PAGE, 200)), 7));
}

static void same_token_after(struct note *note)
{
	int a = session_claim(note, "a"), b = session_claim(note, "b");

	OK(content_check(OK(luo_restore(b, 7)), 0, PAGE, 200));
	OK(content_check(OK(luo_restore(a, 7)), 0, PAGE, 100));
}

UPDATE_TEST(base, session_same_token_in_two,
	    .stage = { same_token_before, same_token_after });

/* Block sizes are the kernel's business: these counts are around all of them */
static const unsigned int file_counts[] = { 1, 62, 63, 64, 126, 127, 200 };

static void counts_before(struct note *note)
{
	for (size_t i = 0; i < ARRAY_SIZE(file_counts); i++) {
		int session;
		char suffix[16];

		snprintf(suffix, sizeof(suffix), "%u", file_counts[i]);
		session = session_new(note, suffix);
		for (unsigned int token = 0; token < file_counts[i]; token++) {
			int fd = OK(memfd_filled("n", 0, 16, token));

			OK(luo_preserve(session, fd, token));
			/* One that fails right at the boundary, too */
			CHECK_EQ(-EBUSY, luo_preserve(session, fd, token + 1));
			close(fd);
		}
	}
}

static void counts_after(struct note *note)
{
	for (size_t i = 0; i < ARRAY_SIZE(file_counts); i++) {
		int session;
		char suffix[16];

		snprintf(suffix, sizeof(suffix), "%u", file_counts[i]);
		session = session_claim(note, suffix);
		for (unsigned int token = 0; token < file_counts[i]; token++) {
			int fd = OK(luo_restore(session, token));

			OK(content_check(fd, 0, 16, token));
			close(fd);
		}
		CHECK_EQ(-ENOENT, luo_restore(session, file_counts[i]));
		OK(luo_finish(session));
		close(session);
	}
}

UPDATE_TEST(base, session_file_counts,
	    .stage = { counts_before, counts_after });

/* Files that a session refused have left no trace in it */
static void refusals_before(struct note *note)
{
	int session = session_new(note, "");
	int fd = OK(memfd_filled("good", 0, 3 * PAGE, 1));
	int pipes[2];

	SYS(pipe(pipes));
	CHECK_EQ(-ENOENT, luo_preserve(session, pipes[0], 1));
	OK(luo_preserve(session, fd, 1));
	CHECK_EQ(-EBUSY, luo_preserve(session, fd, 2));
	CHECK_EQ(-EBADF, luo_preserve(session, -1, 2));
	CHECK_EQ(-ENOENT, luo_preserve(session, session, 2));
	fd = SYS(open("/dev/shm", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
	CHECK_EQ(-EOPNOTSUPP, luo_preserve(session, fd, 2));
	fd = OK(memfd_filled("good", 0, 3 * PAGE, 2));
	CHECK_EQ(-EEXIST, luo_preserve(session, fd, 1));
	OK(luo_preserve(session, fd, 2));
}

UPDATE_TEST(base, session_with_refused_files,
	    .stage = { refusals_before, check_two_files });

/* A session that ended before the jump is not there after it */
static void closed_before(struct note *note)
{
	close(session_with_files(note, 3));
}

static void closed_after(struct note *note)
{
	CHECK_EQ(-ENOENT, luo_session_claim(session_name(note, "")));
}

UPDATE_TEST(base, session_closed_does_not_cross,
	    .stage = { closed_before, closed_after });

/* Nobody has it open, but it is on its way */
static void in_socket_before(struct note *note)
{
	int session = session_with_files(note, 2);
	int pair[2];

	SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	OK(fd_send(pair[0], session));
	close(session);
}

UPDATE_TEST(base, session_in_a_socket,
	    .stage = { in_socket_before, check_two_files });

/*
 * Late, as systemd does it: the next kernel is loaded, and a jump without one has
 * failed before
 */

static void late_first(struct note *note)
{
	note->value[0] = session_with_files(note, 1);
}

static void late_second(struct note *note)
{
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];
	int session = note->value[0];

	OK(luo_get_name(session, name));
	CHECK(!strcmp(session_name(note, ""), name));
	CHECK_EQ(-EINVAL, luo_finish(session));
	OK(luo_preserve(session, OK(memfd_filled("late", 0, 3 * PAGE, 2)), 2));
}

UPDATE_TEST(base, session_used_after_a_refused_jump, .late = { late_second },
	    .stage = { late_first, check_two_files });

static void nothing(struct note *note)
{
}

UPDATE_TEST(base, session_made_after_the_load, .late = { two_files },
	    .stage = { nothing, check_two_files });

/*
 * Claiming
 */

static void unknown_after(struct note *note)
{
	int session = session_claim(note, "");
	int fd = OK(memfd_filled("m", 0, PAGE, 1));

	CHECK_EQ(-ENOENT, luo_restore(session, 99));
	CHECK_EQ(-EINVAL, luo_preserve(session, fd, 99));
	CHECK_EQ(-EINVAL, luo_preserve(session, -1, 1));
	/* The file was not touched */
	SYS(ftruncate(fd, 0));
	check_file(session, 1);
	check_file(session, 2);
}

UPDATE_TEST(base, incoming_errors, .stage = { two_files, unknown_after });

static void looks_after(struct note *note)
{
	int session = session_claim(note, "");
	struct pollfd p = { .fd = session, .events = POLLIN | POLLOUT };
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];
	char link[128], want[128];
	struct statfs fs;

	OK(luo_get_name(session, name));
	CHECK(!strcmp(session_name(note, ""), name));
	snprintf(want, sizeof(want), LUO_LINK_PREFIX "%s", name);
	OK(fd_link(session, link, sizeof(link)));
	CHECK(!strcmp(want, link));
	SYS(fstatfs(session, &fs));
	CHECK_EQ(0x09041934, fs.f_type);
	SYS(poll(&p, 1, 0));
	CHECK_EQ(0, p.revents & (POLLHUP | POLLERR));
	CHECK_EQ(FD_CLOEXEC, SYS(fcntl(session, F_GETFD)));
	check_file(session, 1);
}

UPDATE_TEST(base, incoming_looks_like_a_session,
	    .stage = { two_files, looks_after });

static void twice_after(struct note *note)
{
	int session = session_claim(note, "");
	int a, b;

	CHECK_EQ(-EINVAL, luo_session_claim(session_name(note, "")));
	a = OK(luo_restore(session, 1));
	b = OK(luo_restore(session, 1));
	CHECK(fd_same_file(a, b));
	CHECK_EQ(1, SYS(fcntl(a, F_DUPFD_QUERY, b)));
	CHECK_EQ(4, SYS(pwrite(a, "abcd", 4, 0)));
	close(a);
	a = OK(luo_restore(session, 1));
	CHECK(fd_same_file(a, b));
	OK(content_check(a, 4, 3 * PAGE - 4, 1));
	check_file(session, 2);
	CHECK_EQ(0, fcntl(a, F_DUPFD_QUERY, OK(luo_restore(session, 2))));
}

UPDATE_TEST(base, incoming_file_twice_is_the_same,
	    .stage = { two_files, twice_after });

/* Whoever asks at the same time gets the same file too */
static void race_after(struct note *note)
{
	enum { RACERS = 8 };
	int session = session_claim(note, "");
	int pair[2], go[2], fds[RACERS];
	char byte;

	SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	SYS(pipe(go));
	for (int i = 0; i < RACERS; i++) {
		if (SYS(fork()))
			continue;
		close(go[1]);
		SYS(read(go[0], &byte, 1));
		OK(fd_send(pair[0], OK(luo_restore(session, 1))));
		_exit(0);
	}
	close(go[1]);
	for (int i = 0; i < RACERS; i++)
		SYS(wait(NULL));
	for (int i = 0; i < RACERS; i++) {
		fds[i] = OK(fd_receive(pair[1]));
		CHECK_EQ(1, fcntl(fds[i], F_DUPFD_QUERY, fds[0]));
	}
	OK(content_check(fds[0], 0, 48 * MIB, 1));
	OK(luo_finish(session));
}

static void large_before(struct note *note)
{
	int session = session_new(note, "");

	OK(luo_preserve(session, OK(memfd_filled("l", 0, 48 * MIB, 1)), 1));
}

UPDATE_TEST(base, incoming_racing_retrievers,
	    .stage = { large_before, race_after });

static void sizes_after(struct note *note)
{
	struct {
		struct liveupdate_session_retrieve_fd cmd;
		uint64_t tail;
	} arg = {
		.cmd = { .size = sizeof(arg), .token = 1 },
		.tail = 1,
	};
	int session = session_claim(note, "");

	CHECK_EQ(-E2BIG, luo_ioctl(session, LIVEUPDATE_SESSION_RETRIEVE_FD,
				   &arg));
	arg.tail = 0;
	OK(luo_ioctl(session, LIVEUPDATE_SESSION_RETRIEVE_FD, &arg));
	OK(content_check(arg.cmd.fd, 0, 3 * PAGE, 1));
	arg.cmd.size = sizeof(arg.cmd) - 1;
	CHECK_EQ(-EINVAL, luo_ioctl(session, LIVEUPDATE_SESSION_RETRIEVE_FD,
				    &arg));
	check_file(session, 2);
}

UPDATE_TEST(base, incoming_argument_sizes, .stage = { two_files, sizes_after });

/* An answer that cannot be given must not use up what was asked for */
static void efault_session_after(struct note *note)
{
	struct liveupdate_ioctl_retrieve_session arg = { .size = sizeof(arg) };
	int dev = OK(luo_open());
	int next = fd_next_free();

	strcpy((char *)arg.name, session_name(note, ""));
	CHECK_EQ(-EFAULT, luo_ioctl(dev, LIVEUPDATE_IOCTL_RETRIEVE_SESSION,
				    page_readonly(&arg, sizeof(arg))));
	CHECK_EQ(next, fd_next_free());
	close(dev);
	check_two_files(note);
}

UPDATE_TEST(base, incoming_session_into_read_only_buffer,
	    .stage = { two_files, efault_session_after });

static void efault_file_after(struct note *note)
{
	struct liveupdate_session_retrieve_fd arg = {
		.size = sizeof(arg),
		.token = 1,
	};
	int session = session_claim(note, "");
	int next = fd_next_free();
	void *page = page_readonly(&arg, sizeof(arg));

	CHECK_EQ(-EFAULT, luo_ioctl(session, LIVEUPDATE_SESSION_RETRIEVE_FD,
				    page));
	CHECK_EQ(-EFAULT, luo_ioctl(session, LIVEUPDATE_SESSION_RETRIEVE_FD,
				    page_unmapped()));
	CHECK_EQ(next, fd_next_free());
	close(session);
	check_two_files(note);
}

UPDATE_TEST(base, incoming_file_into_read_only_buffer,
	    .stage = { two_files, efault_file_after });

static void emfile_after(struct note *note)
{
	int dev = OK(luo_open());
	int session;

	OK(fd_limit(fd_next_free()));
	CHECK_EQ(-EMFILE, luo_retrieve(dev, session_name(note, "")));
	OK(fd_limit(fd_next_free() < 0 ? dev + 2 : 65536));
	session = OK(luo_retrieve(dev, session_name(note, "")));
	CHECK_EQ(-EMFILE, luo_restore(session, 1));
	OK(fd_limit(65536));
	close(session);
	close(dev);
	check_two_files(note);
}

UPDATE_TEST(base, incoming_without_free_descriptor,
	    .stage = { two_files, emfile_after });

/*
 * Without FINISH, nothing is lost
 */

static void put_back_after(struct note *note)
{
	int session = session_claim(note, "");

	check_file(session, 1);
	close(session);
	session = session_claim(note, "");
	close(session);
	check_two_files(note);
}

UPDATE_TEST(base, incoming_closed_is_put_back,
	    .stage = { two_files, put_back_after });

/* The file that is still in somebody's hands is the one that comes again */
static void put_back_open_after(struct note *note)
{
	int session = session_claim(note, "");
	int a = OK(luo_restore(session, 1)), b;

	close(session);
	SYS(pwrite(a, "xyz", 3, 0));
	session = session_claim(note, "");
	b = OK(luo_restore(session, 1));
	CHECK(fd_same_file(a, b));
	OK(content_check(b, 8, 3 * PAGE - 8, 1));
	check_file(session, 2);
}

UPDATE_TEST(base, incoming_closed_with_open_file,
	    .stage = { two_files, put_back_open_after });

static void claim_and_die(void *arg)
{
	int session = session_claim(arg, "");

	check_file(session, 1);
	OK(luo_restore(session, 2));
	kill(getpid(), SIGKILL);
}

static void killed_after(struct note *note)
{
	for (int i = 0; i < 3; i++)
		CHECK(WIFSIGNALED(in_child(claim_and_die, note)));
	check_two_files(note);
}

UPDATE_TEST(base, incoming_retriever_killed,
	    .stage = { two_files, killed_after });

/* Killed in the middle of a large file */
static void interrupted_after(struct note *note)
{
	int session = session_claim(note, "");

	for (int delay = 0; delay < 40; delay += 4) {
		pid_t pid = SYS(fork());

		if (!pid) {
			luo_restore(session, 1);
			_exit(0);
		}
		usleep(delay * 1000);
		kill(pid, SIGKILL);
		SYS(waitpid(pid, NULL, 0));
	}
	OK(content_check(OK(luo_restore(session, 1)), 0, 48 * MIB, 1));
	OK(luo_finish(session));
}

UPDATE_TEST(base, incoming_restore_interrupted,
	    .stage = { large_before, interrupted_after });

/* Round and round: nothing gets lost, and nothing is left behind */
static void again_and_again_after(struct note *note)
{
	long before = 0;

	for (int i = 0; i < 60; i++) {
		int session = session_claim(note, "");

		check_file(session, 1 + i % 2);
		OK(luo_restore(session, 2 - i % 2));
		close(session);
		if (i == 20)
			before = memory_free_kib();
	}
	CHECK_BETWEEN(-1024, before - memory_free_kib(), 1024);
	check_two_files(note);
}

UPDATE_TEST(base, incoming_claimed_again_and_again,
	    .stage = { two_files, again_and_again_after });

/* Claims, looks and lets go, as often as it gets a turn */
static void grab(int dev, const char *name)
{
	for (uint64_t end = now_ms() + 1500; now_ms() < end;) {
		int session = luo_retrieve(dev, name);

		CHECK(session >= 0 || session == -EINVAL);
		if (session < 0)
			continue;
		check_file(session, 1);
		check_file(session, 2);
		close(session);
	}
	_exit(0);
}

static void grabbed_after(struct note *note)
{
	int dev = OK(luo_open());
	int status;

	for (int i = 0; i < 4; i++)
		if (!SYS(fork()))
			grab(dev, session_name(note, ""));
	for (int i = 0; i < 4; i++) {
		SYS(wait(&status));
		CHECK_EQ(0, status);
	}
	close(dev);
	check_two_files(note);
}

UPDATE_TEST(base, incoming_racing_claims,
	    .stage = { two_files, grabbed_after });

#define RACED	300

static void raced_before(struct note *note)
{
	for (int i = 0; i < RACED; i++) {
		char suffix[8];

		snprintf(suffix, sizeof(suffix), "%d", i);
		session_new(note, suffix);
	}
}

/* Claims, until there is nothing to claim; returns how often it could */
static unsigned int claim_until_gone(int dev, const char *name)
{
	unsigned int claims = 0;
	int session;

	while ((session = luo_retrieve(dev, name)) != -ENOENT) {
		CHECK(session >= 0 || session == -EINVAL);
		if (session < 0)
			continue;
		close(session);
		claims++;
	}
	return claims;
}

/* What is being finished can be claimed by nobody */
static void raced_after(struct note *note)
{
	int dev = OK(luo_open()), status;

	for (int i = 0; i < RACED; i++) {
		char suffix[8];
		int session;

		snprintf(suffix, sizeof(suffix), "%d", i);
		session = OK(luo_retrieve(dev, session_name(note, suffix)));
		if (!SYS(fork()))
			_exit(claim_until_gone(dev, session_name(note, suffix)));
		usleep(i % 10 * 200);
		OK(luo_finish(session));
		SYS(wait(&status));
		CHECK_EQ(0, status);
		close(session);
	}
	close(dev);
}

UPDATE_TEST(base, incoming_claimed_while_finished,
	    .stage = { raced_before, raced_after });

/*
 * FINISH
 */

static void finish_after(struct note *note)
{
	int session = session_claim(note, "");
	struct liveupdate_session_finish arg = { .size = sizeof(arg) };
	int fd = OK(luo_restore(session, 1));
	int err;

	arg.reserved = 1;
	CHECK_EQ(-EINVAL, luo_ioctl(session, LIVEUPDATE_SESSION_FINISH, &arg));
	arg.reserved = 0;
	/* It answers nothing, so that it needs no buffer to answer into */
	OK(luo_ioctl(session, LIVEUPDATE_SESSION_FINISH,
		     page_readonly(&arg, sizeof(arg))));
	OK(luo_finish(session));
	OK(luo_finish(session));
	err = luo_restore(session, 2);
	CHECK(err == -ENOENT || err == -EINVAL);
	close(session);
	CHECK_EQ(-ENOENT, luo_session_claim(session_name(note, "")));
	OK(content_check(fd, 0, 3 * PAGE, 1));
	/* An ordinary memfd again, in every respect */
	SYS(ftruncate(fd, 10 * PAGE));
	OK(content_fill(fd, 0, 10 * PAGE, 5));
	OK(content_check(fd, 0, 10 * PAGE, 5));
	OK(luo_preserve(session_new(note, ""), fd, 1));
	CHECK_EQ(-1, ftruncate(fd, 0));
}

UPDATE_TEST(base, finish_sets_files_free, .stage = { two_files, finish_after });

static void finish_frees_after(struct note *note)
{
	int session = session_claim(note, "");
	long before = memory_free_kib(), freed;

	OK(luo_finish(session));
	freed = memory_free_kib() - before;
	close(session);
	CHECK_BETWEEN(44 * 1024, freed, 64 * 1024);
}

UPDATE_TEST(base, finish_frees_unretrieved_files,
	    .stage = { large_before, finish_frees_after });

/* What was retrieved and closed is freed at FINISH, not before */
static void finish_frees_retrieved_after(struct note *note)
{
	int session = session_claim(note, "");
	long before, freed;

	close(OK(luo_restore(session, 1)));
	close(OK(luo_restore(session, 1)));
	before = memory_free_kib();
	OK(luo_finish(session));
	close(session);
	freed = memory_free_kib() - before;
	CHECK_BETWEEN(44 * 1024, freed, 64 * 1024);
}

UPDATE_TEST(base, finish_frees_retrieved_files,
	    .stage = { large_before, finish_frees_retrieved_after });

/*
 * Who may do what
 */

static void reopened_after(struct note *note)
{
	int fd = OK(luo_restore(session_claim(note, ""), 1));
	char path[64];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = SYS(open(path, O_RDWR));
	CHECK(fd_same_file(fd, again));
	CHECK_EQ(0, fcntl(fd, F_DUPFD_QUERY, again));
	OK(content_check(again, 0, 3 * PAGE, 1));
	SYS(pwrite(again, "z", 1, 0));
	again = SYS(open(path, O_RDONLY));
	OK(content_check(again, 8, 3 * PAGE - 8, 1));
}

UPDATE_TEST(base, retrieved_file_reopened,
	    .stage = { two_files, reopened_after });

static void preserve_passed(int session)
{
	CHECK_EQ(-EACCES, luo_open());
	for (int token = 1; token <= 2; token++)
		OK(luo_preserve(session, OK(memfd_filled("n", 0, 3 * PAGE,
							 token)), token));
}

static void preserve_as_nobody(void *arg)
{
	OK(become_nobody());
	preserve_passed(*(int *)arg);
}

static void nobody_before(struct note *note)
{
	int session = session_new(note, "");

	CHECK_EQ(0, in_child(preserve_as_nobody, &session));
}

static void retrieve_passed(int session)
{
	CHECK_EQ(-EACCES, luo_open());
	check_file(session, 1);
	check_file(session, 2);
}

static void retrieve_as_nobody(void *arg)
{
	OK(become_nobody());
	retrieve_passed(*(int *)arg);
}

/* The session comes by a socket, as it would from a service manager */
static void nobody_after(struct note *note)
{
	int session, pair[2];

	SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	session = session_claim(note, "");
	OK(fd_send(pair[0], session));
	close(session);
	session = OK(fd_receive(pair[1]));
	CHECK_EQ(0, in_child(retrieve_as_nobody, &session));
	check_file(session, 1);
	OK(luo_finish(session));
}

UPDATE_TEST(base, session_passed_to_nobody,
	    .stage = { nobody_before, nobody_after });

static void preserve_in_namespace(void *arg)
{
	OK(become_namespace_root());
	preserve_passed(*(int *)arg);
}

static void namespace_before(struct note *note)
{
	int session = session_new(note, "");

	CHECK_EQ(0, in_child(preserve_in_namespace, &session));
}

static void retrieve_in_namespace(void *arg)
{
	OK(become_namespace_root());
	retrieve_passed(*(int *)arg);
}

/* What was made in a user namespace has the owner that it has outside of it */
static void namespace_after(struct note *note)
{
	int session = session_claim(note, "");
	struct stat st;

	CHECK_EQ(0, in_child(retrieve_in_namespace, &session));
	SYS(fstat(OK(luo_restore(session, 1)), &st));
	CHECK_EQ(NOBODY, st.st_uid);
	CHECK_EQ(NOBODY, st.st_gid);
	OK(luo_finish(session));
}

UPDATE_TEST(base, session_passed_into_user_namespace,
	    .stage = { namespace_before, namespace_after });

/*
 * Both directions at once
 */

static void both_ways_after(struct note *note)
{
	int outgoing = session_new(note, "");
	int incoming = session_claim(note, "");
	int fd = OK(memfd_filled("new", 0, 3 * PAGE, 50));

	OK(luo_preserve(outgoing, fd, 1));
	check_file(incoming, 1);
	CHECK_EQ(-EEXIST, luo_session_new(session_name(note, "")));
	OK(luo_finish(incoming));
	close(incoming);
	CHECK_EQ(-ENOENT, luo_session_claim(session_name(note, "")));
	CHECK_EQ(-EEXIST, luo_session_new(session_name(note, "")));
	close(outgoing);
	SYS(ftruncate(fd, 0));
	close(session_new(note, ""));
}

UPDATE_TEST(base, same_name_in_both_directions,
	    .stage = { two_files, both_ways_after });

/*
 * Memory
 */

#define CHARGED	(16 * MIB)

static void charged_before(struct note *note)
{
	int session = session_new(note, "");

	OK(luo_preserve(session, OK(memfd_filled("c", 0, CHARGED, 1)), 1));
}

static void restore_in_small_memcg(void *arg)
{
	int session = *(int *)arg;

	/* Without this, the kernel would kill instead of saying ENOMEM */
	OK(text_write("/proc/self/oom_score_adj", "-1000"));
	OK(memcg_enter("luo-small"));
	CHECK_EQ(-ENOMEM, luo_restore(session, 1));
	CHECK_EQ(-ENOMEM, luo_restore(session, 1));
}

static void restore_and_be_killed(void *arg)
{
	int session = *(int *)arg;

	OK(memcg_enter("luo-small"));
	luo_restore(session, 1);
	luo_restore(session, 1);
}

static void small_memcg_after(struct note *note)
{
	int session = session_claim(note, "");

	need_memcg();
	OK(memcg_create("luo-small", "2M"));
	CHECK_EQ(0, in_child(restore_in_small_memcg, &session));
	in_child(restore_and_be_killed, &session);
	OK(content_check(OK(luo_restore(session, 1)), 0, CHARGED, 1));
	OK(luo_finish(session));
	OK(memcg_remove("luo-small"));
}

UPDATE_TEST(base, restore_in_small_memcg,
	    .stage = { charged_before, small_memcg_after });

static long memcg_current(const char *name)
{
	char path[128], text[64];

	snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/memory.current", name);
	OK(text_read(path, text, sizeof(text)));
	return strtol(text, NULL, 10);
}

static void charged_after(struct note *note)
{
	int session = session_claim(note, "");
	long before;
	int fd;

	need_memcg();
	OK(memcg_create("luo-charged", "max"));
	OK(memcg_enter("luo-charged"));
	before = memcg_current("luo-charged");
	fd = OK(luo_restore(session, 1));
	/* Some may have been charged in advance, by each processor */
	CHECK_BETWEEN((long)CHARGED - 2 * 64 * 4096,
		      memcg_current("luo-charged") - before, LONG_MAX);
	OK(luo_finish(session));
	close(session);
	close(fd);
	CHECK(memcg_current("luo-charged") - before < (long)CHARGED / 4);
	OK(memcg_enter("."));
}

UPDATE_TEST(base, restored_pages_are_charged_to_the_retriever,
	    .stage = { charged_before, charged_after });

#define OVERCOMMIT	"/proc/sys/vm/overcommit_"

/* A system that promises no more memory keeps what it was given before */
static void no_commit_after(struct note *note)
{
	int session = session_claim(note, "");
	int err;

	OK(text_write(OVERCOMMIT "kbytes", "1"));
	OK(text_write(OVERCOMMIT "memory", "2"));
	err = luo_restore(session, 1);
	OK(text_write(OVERCOMMIT "memory", "0"));
	CHECK(err == -ENOMEM || err == -ENOSPC);
	OK(content_check(OK(luo_restore(session, 1)), 0, CHARGED, 1));
	OK(luo_finish(session));
}

UPDATE_TEST(base, restore_with_all_memory_promised,
	    .stage = { charged_before, no_commit_after });
