// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many files in one command, over a live update. What RETRIEVE_FDS does not say that
 * it has done has left no descriptor behind, and can be done later.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "update.h"

#define PAGE	4096UL
#define FILES	300U
#define MANY	20000U

/* @count files of 16 bytes in one session, filled after their tokens */
static int preserve_many(const struct note *note, unsigned int count)
{
	struct liveupdate_session_fd *entries = calloc(count, sizeof(*entries));
	int session = session_new(note, "");
	struct liveupdate_session_fds fds;

	for (unsigned int i = 0; i < count; i++) {
		entries[i].token = i;
		entries[i].fd = OK(memfd_filled("batch", 0, 16, i));
	}
	OK(luo_preserve_fds(session, entries, count, &fds));
	CHECK_EQ(count, fds.done);
	for (unsigned int i = 0; i < count; i++)
		close(entries[i].fd);
	free(entries);
	return session;
}

static void preserve_files(struct note *note)
{
	preserve_many(note, FILES);
}

/* The tokens 0 to @count - 1, to retrieve */
static void fill(struct liveupdate_session_fd *entries, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		entries[i] = (struct liveupdate_session_fd) {
			.fd = -1, .token = i,
		};
}

static struct liveupdate_session_fd *want(unsigned int count)
{
	struct liveupdate_session_fd *entries = calloc(count, sizeof(*entries));

	CHECK(entries);
	fill(entries, count);
	return entries;
}

/* They are what they have to be, and are closed */
static void check_entries(const struct liveupdate_session_fd *entries,
			  unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		CHECK_EQ(FD_CLOEXEC, SYS(fcntl(entries[i].fd, F_GETFD)));
		CHECK_EQ(16, SYS(lseek(entries[i].fd, 0, SEEK_END)));
		OK(content_check(entries[i].fd, 0, 16, entries[i].token));
		close(entries[i].fd);
	}
}

static void retrieve_files(struct note *note)
{
	int session = session_claim(note, ""), next = fd_next_free();
	struct liveupdate_session_fd *entries = want(FILES), *again = want(FILES);
	struct liveupdate_session_fds fds;

	OK(luo_retrieve_fds(session, entries, 0, &fds));
	CHECK_EQ(0, fds.done);
	CHECK_EQ(0, fds.error);
	OK(luo_retrieve_fds(session, entries, FILES, &fds));
	CHECK_EQ(FILES, fds.done);
	CHECK_EQ(0, fds.error);
	OK(luo_retrieve_fds(session, again, FILES, &fds));
	CHECK_EQ(FILES, fds.done);
	for (unsigned int i = 0; i < FILES; i++) {
		CHECK_EQ(i, entries[i].token);
		CHECK(fd_same_file(entries[i].fd, again[i].fd));
		close(again[i].fd);
	}
	check_entries(entries, FILES);
	CHECK_EQ(next, fd_next_free());
	OK(luo_finish(session));
	CHECK_EQ(-ENOENT, luo_retrieve_fds(session, entries, 1, &fds));
	CHECK_EQ(next, fd_next_free());
}

UPDATE_TEST(base, batch_of_files,
	    .stage = { preserve_files, retrieve_files });

/* It ends at entry @done with @error, and the others are not there */
static void ends_at(int session, struct liveupdate_session_fd *entries,
		    unsigned int done, int error)
{
	int next = fd_next_free();
	struct liveupdate_session_fds fds;

	if (done) {
		OK(luo_retrieve_fds(session, entries, FILES, &fds));
		CHECK_EQ(done, fds.done);
		CHECK_EQ(error, fds.error);
	} else {
		CHECK_EQ(-error, luo_retrieve_fds(session, entries, FILES,
						  &fds));
	}
	check_entries(entries, done);
	CHECK_EQ(next, fd_next_free());
}

static const unsigned int places[] = { 0, 1, 63, 64, 65, 128, 200, FILES - 1 };

static void unknown_tokens(int session, struct liveupdate_session_fd *entries,
			   unsigned int at)
{
	entries[at].token = FILES;
	ends_at(session, entries, at, ENOENT);
	entries[at].token = at;
	entries[at].reserved = 1;
	ends_at(session, entries, at, EINVAL);
	entries[at].reserved = 0;
}

/* The limit that leaves @count descriptors free */
static int limit_for(int session, unsigned int count)
{
	int limit = fd_next_free(), *fds = calloc(count + 1, sizeof(*fds));

	for (unsigned int i = 0; i < count; i++) {
		fds[i] = SYS(dup(session));
		limit = fds[i] + 1;
	}
	for (unsigned int i = 0; i < count; i++)
		close(fds[i]);
	free(fds);
	return limit;
}

/* No more than @at descriptors are free */
static void no_descriptors(int session, struct liveupdate_session_fd *entries,
			   unsigned int at)
{
	struct rlimit limit, low;
	struct liveupdate_session_fds fds;
	int err;

	SYS(getrlimit(RLIMIT_NOFILE, &limit));
	low = limit;
	low.rlim_cur = limit_for(session, at);
	SYS(setrlimit(RLIMIT_NOFILE, &low));
	err = luo_retrieve_fds(session, entries, FILES, &fds);
	SYS(setrlimit(RLIMIT_NOFILE, &limit));
	CHECK_EQ(at ? 0 : -EMFILE, err);
	if (!at)
		return;
	CHECK_EQ(at, fds.done);
	CHECK_EQ(EMFILE, fds.error);
	check_entries(entries, at);
}

/* Memory that is @prot from entry @at on */
static void end_of_memory(int session, unsigned int at, int prot)
{
	struct liveupdate_session_fd *entries;
	size_t size = (FILES * sizeof(*entries) + PAGE - 1) / PAGE * PAGE;
	char *map = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(map != MAP_FAILED);
	entries = (void *)(map + size - at * sizeof(*entries));
	fill(entries, FILES);
	SYS(mprotect(map + size, size, prot));
	ends_at(session, entries, at, EFAULT);
	SYS(munmap(map, 2 * size));
}

/* Nothing is retrieved, no descriptor made, that cannot be told of */
static void cannot_tell(int session, struct liveupdate_session_fd *entries)
{
	struct liveupdate_session_fds fds = {
		.size = sizeof(fds),
		.count = FILES,
		.entries = (uintptr_t)entries,
	};
	int next = fd_next_free();

	CHECK_EQ(-EFAULT, luo_ioctl(session, LIVEUPDATE_SESSION_RETRIEVE_FDS,
				    page_readonly(&fds, sizeof(fds))));
	CHECK_EQ(next, fd_next_free());
	CHECK_EQ(-1, entries[0].fd);
}

static void retrieve_wrongly(struct note *note)
{
	int session = session_claim(note, "");
	struct liveupdate_session_fd *entries = want(FILES);
	struct liveupdate_session_fds fds;

	CHECK_EQ(-EINVAL, luo_preserve_fds(session, entries, 1, &fds));
	cannot_tell(session, entries);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		unknown_tokens(session, entries, places[i]);
		no_descriptors(session, entries, places[i]);
		end_of_memory(session, places[i], PROT_READ);
		end_of_memory(session, places[i], PROT_NONE);
	}
	OK(luo_retrieve_fds(session, entries, FILES, &fds));
	CHECK_EQ(FILES, fds.done);
	check_entries(entries, FILES);
	OK(luo_finish(session));
}

UPDATE_TEST(base, batch_retrieved_wrongly,
	    .stage = { preserve_files, retrieve_wrongly });

/* shmem says ENOSPC where it finds no memory for an inode */
static void check_no_memory(int err)
{
	if (err != ENOSPC)
		CHECK_EQ(ENOMEM, err);
}

#define SWEEP_MAX	2000

#define BATCH		3U

/*
 * Every allocation fails once: what is done stays, and the rest can go on. Where a
 * batch gets along without, the next batch takes over.
 */
static void sweep_retrieval(struct note *note)
{
	int session = session_claim(note, "");
	struct liveupdate_session_fd *entries = want(FILES);
	unsigned int stopped = 0, passed = 0, nth = 0;
	struct liveupdate_session_fds fds;
	int err, hit;

	OK(fault_arm(0));
	do {
		struct liveupdate_session_fd *batch = entries + passed * BATCH;
		int next = fd_next_free();

		CHECK(++nth < SWEEP_MAX);
		CHECK((passed + 1) * BATCH <= FILES);
		OK(fault_arm(nth));
		err = luo_retrieve_fds(session, batch, BATCH, &fds);
		hit = OK(fault_disarm());
		check_entries(batch, err ? 0 : fds.done);
		CHECK_EQ(next, fd_next_free());
		if (err || fds.error) {
			check_no_memory(err ? -err : fds.error);
			CHECK_EQ(1, hit);
			stopped++;
		} else {
			CHECK_EQ(BATCH, fds.done);
			passed++;
		}
	} while (hit);
	snprintf(note->text, sizeof(note->text),
		 "RETRIEVE_FDS: %u points, %u stop it", nth - 1, stopped);
	CHECK(stopped > 3);
	OK(luo_finish(session));
}

UPDATE_TEST(refused, batch_retrieval_without_memory,
	    .stage = { preserve_files, sweep_retrieval });

static void ignore(int signal)
{
}

/* Signals come faster than the calls are through */
static void retrieve_interrupted(struct liveupdate_session_fd *entries,
				 int session, struct liveupdate_session_fds *fds)
{
	const struct itimerval often = { { 0, 2000 }, { 0, 2000 } }, never = {};
	const struct sigaction action = { .sa_handler = ignore };
	unsigned int done = 0, interrupted = 0;

	SYS(sigaction(SIGALRM, &action, NULL));
	SYS(setitimer(ITIMER_REAL, &often, NULL));
	while (done < MANY) {
		int err = luo_retrieve_fds(session, entries + done,
					   MANY - done, fds);

		if (err == -EINTR)
			continue;
		OK(err);
		CHECK(fds->done > 0);
		done += fds->done;
		CHECK_EQ(done < MANY ? EINTR : 0, fds->error);
		interrupted += done < MANY;
	}
	SYS(setitimer(ITIMER_REAL, &never, NULL));
	CHECK(interrupted > 0);
}

static void preserve_20000(struct note *note)
{
	uint64_t start = now_ms();

	preserve_many(note, MANY);
	note->value[0] = now_ms() - start;
}

static void retrieve_20000(struct note *note)
{
	int session = session_claim(note, ""), next = fd_next_free();
	struct liveupdate_session_fd *entries = want(MANY);
	uint64_t start = now_ms();
	struct liveupdate_session_fds fds;

	OK(luo_retrieve_fds(session, entries, MANY, &fds));
	start = now_ms() - start;
	CHECK_EQ(MANY, fds.done);
	check_entries(entries, MANY);
	retrieve_interrupted(entries, session, &fds);
	check_entries(entries, MANY);
	CHECK_EQ(next, fd_next_free());
	OK(luo_finish(session));
	snprintf(note->text, sizeof(note->text),
		 "made and preserved in %llu ms, retrieved in %llu ms",
		 (unsigned long long)note->value[0],
		 (unsigned long long)start);
}

UPDATE_TEST(scale, scale_20000_files_in_a_batch, .timeout = 240,
	    .stage = { preserve_20000, retrieve_20000 });
