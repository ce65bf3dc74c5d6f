// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls that nobody would make, on sessions that came from the previous kernel,
 * and limits that must not cost what came.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "update.h"

#define PAGE	4096UL

/* Records that a block of KHO holds */
#define SESSIONS_PER_BLOCK	((PAGE - 16) / 104)
#define FILES_PER_BLOCK		((PAGE - 16) / 64)

static int session_with_file(const struct note *note, const char *suffix)
{
	int session = session_new(note, suffix);
	int fd = OK(memfd_filled("file", 0, 3 * PAGE, 1));

	OK(luo_preserve(session, fd, TORTURE_TOKEN));
	close(fd);
	return session;
}

static void one_file(struct note *note)
{
	session_with_file(note, "");
}

static void check_file(int session)
{
	int fd = OK(luo_restore(session, TORTURE_TOKEN));

	OK(content_check(fd, 0, 3 * PAGE, 1));
	close(fd);
}

static void check_and_finish(int session)
{
	check_file(session);
	OK(luo_finish(session));
	close(session);
}

/* Retrieved once before: the first time makes things that stay */
static struct torture start(struct note *note)
{
	struct torture t = {
		.on = TORTURE_INCOMING,
		.dev = OK(luo_open()),
		.spare = OK(memfd_filled("spare", 0, PAGE, 2)),
	};

	t.fd = OK(luo_retrieve(t.dev, session_name(note, "")));
	t.session = t.fd;
	t.file = OK(luo_restore(t.fd, TORTURE_TOKEN));
	return t;
}

static void run(struct note *note, int (*torture)(struct torture *t))
{
	struct torture t = start(note);

	if (torture(&t))
		test_fail(__FILE__, __LINE__, "%s", t.failure);
	snprintf(note->text, sizeof(note->text), "%lu calls", t.calls);
	check_and_finish(t.fd);
	close(t.dev);
}

static void numbers_after(struct note *note)
{
	run(note, torture_by_numbers);
}

static void sizes_after(struct note *note)
{
	run(note, torture_by_sizes);
}

static void buffers_after(struct note *note)
{
	run(note, torture_by_buffers);
}

UPDATE_TEST(base, torture_numbers, .stage = { one_file, numbers_after },
	    .timeout = 60);
UPDATE_TEST(base, torture_sizes, .stage = { one_file, sizes_after },
	    .timeout = 300);
UPDATE_TEST(base, torture_buffers, .stage = { one_file, buffers_after },
	    .timeout = 60);

/* Sessions in sessions, and files in two: none of it goes */
static void directions_after(struct note *note)
{
	int incoming = session_claim(note, "");
	int outgoing = session_new(note, "");
	int file = OK(luo_restore(incoming, TORTURE_TOKEN));
	int spare = OK(memfd_filled("spare", 0, PAGE, 2));

	CHECK_EQ(-ENOENT, luo_preserve(outgoing, incoming, 1));
	CHECK_EQ(-ENOENT, luo_preserve(outgoing, outgoing, 1));
	CHECK_EQ(-EINVAL, luo_preserve(incoming, outgoing, 9));
	CHECK_EQ(-EINVAL, luo_preserve(incoming, incoming, 9));
	CHECK_EQ(-EINVAL, luo_preserve(incoming, spare, 9));
	CHECK_EQ(-EINVAL, luo_unpreserve(incoming, TORTURE_TOKEN));
	CHECK_EQ(-EINVAL, luo_restore(outgoing, TORTURE_TOKEN));
	CHECK_EQ(-EINVAL, luo_finish(outgoing));
	/* It goes on with its session; until that is finished, with no other */
	CHECK_EQ(-EBUSY, luo_preserve(outgoing, file, 1));
	OK(luo_preserve(outgoing, spare, 1));
	check_and_finish(incoming);
	OK(luo_preserve(outgoing, file, 2));
	OK(content_check(file, 0, 3 * PAGE, 1));
	close(outgoing);
}

UPDATE_TEST(base, torture_wrong_directions,
	    .stage = { one_file, directions_after });

/* Tokens that nobody used, and a session that is over */
static void tokens_after(struct note *note)
{
	static const uint64_t tokens[] = { 0, ~0ULL, 1ULL << 63, 1ULL << 32 };
	struct liveupdate_session_next_file next = { .size = sizeof(next) };
	int session = session_claim(note, "");
	int free = fd_next_free();

	for (size_t i = 0; i < ARRAY_SIZE(tokens); i++)
		CHECK_EQ(-ENOENT, luo_restore(session, tokens[i]));
	CHECK_EQ(free, fd_next_free());
	check_file(session);
	OK(luo_finish(session));
	OK(luo_finish(session));
	CHECK_EQ(-ENOENT, luo_restore(session, TORTURE_TOKEN));
	CHECK_EQ(-ENOENT, luo_ioctl(session, LIVEUPDATE_SESSION_NEXT_FILE,
				    &next));
	CHECK_EQ(-EINVAL, luo_preserve(session, 0, TORTURE_TOKEN));
	CHECK_EQ(free, fd_next_free());
	close(session);
	CHECK_EQ(-ENOENT, luo_session_claim(session_name(note, "")));
}

UPDATE_TEST(base, torture_tokens, .stage = { one_file, tokens_after });

/*
 * Numbers of files around the ends of blocks
 */

static unsigned int file_count(unsigned int i)
{
	return (i / 3 + 1) * FILES_PER_BLOCK + i % 3 - 1;
}

#define FILE_COUNTS	9

static void blocks_before(struct note *note)
{
	char suffix[8];

	for (unsigned int i = 0; i < FILE_COUNTS; i++) {
		int session;

		snprintf(suffix, sizeof(suffix), "%u", i);
		session = session_new(note, suffix);
		for (unsigned int token = 0; token < file_count(i); token++) {
			int fd = OK(memfd_filled("m", MFD_CLOEXEC, 8, token));

			OK(luo_preserve(session, fd, token));
			/* One that is refused leaves nothing in the block */
			CHECK_EQ(-EBUSY, luo_preserve(session, fd, ~0ULL));
			close(fd);
		}
	}
}

static void check_count(int session, unsigned int count)
{
	struct liveupdate_session_next_file next = { .size = sizeof(next) };

	for (unsigned int token = 0; token < count; token++) {
		int fd;

		OK(luo_ioctl(session, LIVEUPDATE_SESSION_NEXT_FILE, &next));
		CHECK_EQ(token, next.token);
		fd = OK(luo_restore(session, token));
		OK(content_check(fd, 0, 8, token));
		close(fd);
	}
	CHECK_EQ(-ENOENT, luo_ioctl(session, LIVEUPDATE_SESSION_NEXT_FILE,
				    &next));
	CHECK_EQ(-ENOENT, luo_restore(session, count));
}

static void blocks_after(struct note *note)
{
	char suffix[8];

	for (unsigned int i = 0; i < FILE_COUNTS; i++) {
		int session;

		snprintf(suffix, sizeof(suffix), "%u", i);
		session = session_claim(note, suffix);
		check_count(session, file_count(i));
		OK(luo_finish(session));
		close(session);
	}
}

UPDATE_TEST(base, torture_blocks_of_files,
	    .stage = { blocks_before, blocks_after }, .timeout = 60);

/*
 * Limits. Those of the next kernel are not those of this one, and what comes is
 * there whatever they are.
 */

static void limits_before(struct note *note)
{
	OK(text_write(MAX_SESSION_FILES, "1"));
	session_with_file(note, "a");
	session_with_file(note, "b");
	OK(text_write(MAX_SESSION_FILES, "2147483647"));
}

static void limits_after(struct note *note)
{
	int a, b, memfd = OK(memfd_filled("file", 0, PAGE, 2));

	check_text(MAX_SESSIONS, "2147483647");
	check_text(MAX_SESSION_FILES, "2147483647");
	OK(text_write(MAX_SESSIONS, "0"));
	OK(text_write(MAX_SESSION_FILES, "0"));
	a = session_claim(note, "a");
	CHECK_EQ(-ENOSPC, luo_session_new(session_name(note, "a")));
	check_file(a);
	close(a);
	check_and_finish(session_claim(note, "a"));
	/* Incoming sessions do not count */
	OK(text_write(MAX_SESSIONS, "1"));
	a = session_new(note, "c");
	CHECK_EQ(-ENOSPC, luo_preserve(a, memfd, 1));
	CHECK_EQ(-ENOSPC, luo_session_new(session_name(note, "d")));
	b = session_claim(note, "b");
	check_and_finish(b);
	close(a);
	OK(text_write(MAX_SESSIONS, "2147483647"));
	OK(text_write(MAX_SESSION_FILES, "2147483647"));
}

UPDATE_TEST(base, torture_limits_do_not_bind_what_comes,
	    .stage = { limits_before, limits_after });
