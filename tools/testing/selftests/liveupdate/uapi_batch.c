// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many files in one command. However it ends, it has done the entries that it says
 * it has, and no others.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "uapi.h"

#define PAGE	4096
/* Fill whole pages */
#define MANY	20480U

/* What the kernel takes in at a time; it shows only where memory ends */
#define BATCH	64U

struct many {
	int dev;
	int session;
	struct census before;
	struct liveupdate_session_fd *entries;
	struct liveupdate_session_fds arg;
	unsigned int made;
};

FIXTURE(batch) {
	struct many m;
};

FIXTURE_SETUP(batch)
{
	ASSERT_EQ(0, setup_system());
	ASSERT_EQ(0, fd_limit(MANY + 100));
	self->m.dev = luo_open();
	ASSERT_LE(0, self->m.dev);
	ASSERT_EQ(0, census_take(self->m.dev, &self->m.before));
	self->m.session = luo_create(self->m.dev, "batch");
	ASSERT_LE(0, self->m.session);
	self->m.entries = aligned_alloc(PAGE, MANY * sizeof(*self->m.entries));
	ASSERT_NE(NULL, self->m.entries);
	memset(self->m.entries, 0, MANY * sizeof(*self->m.entries));
}

FIXTURE_TEARDOWN(batch)
{
	struct census now;

	for (unsigned int i = 0; i < self->m.made; i++)
		close(self->m.entries[i].fd);
	close(self->m.session);
	EXPECT_EQ(0, census_take(self->m.dev, &now));
	EXPECT_EQ(NULL, census_differs(&self->m.before, &now))
		TH_LOG("%s", census_differs(&self->m.before, &now));
	close(self->m.dev);
	free(self->m.entries);
}

/* Empty memfds with the tokens 0 to @count - 1 */
static int make_files(struct many *many, unsigned int count)
{
	for (; many->made < count; many->made++) {
		struct liveupdate_session_fd *entry = &many->entries[many->made];

		entry->token = many->made;
		entry->fd = memfd_create("batch", MFD_CLOEXEC);
		if (entry->fd < 0)
			return -errno;
	}
	return 0;
}

/* Entries from @first on */
static int preserve(struct many *many, unsigned int first,
		    unsigned int count)
{
	return luo_preserve_fds(many->session, many->entries + first, count,
				&many->arg);
}

static void unpreserve(int session, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		luo_unpreserve(session, i);
}

static bool is_preserved(int fd)
{
	/* The size of a preserved file is fixed */
	return ftruncate(fd, PAGE) == -1 && errno == EPERM;
}

/* The arrays that need one, two, and many batches, and those around them */
TEST_F_TIMEOUT(batch, counts, 240)
{
	static const unsigned int counts[] = {
		0, 1, 2, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH - 1, 2 * BATCH,
		2 * BATCH + 1, 1000, MANY,
	};

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		unsigned int count = counts[i];

		ASSERT_EQ(0, make_files(&self->m, count));
		ASSERT_EQ(0, preserve(&self->m, 0, count));
		EXPECT_EQ(count, self->m.arg.done);
		EXPECT_EQ(0, self->m.arg.error);
		EXPECT_TRUE(luo_has_files(self->m.session, count));
		unpreserve(self->m.session, count);
		EXPECT_TRUE(luo_has_files(self->m.session, 0));
	}
}

TEST_F(batch, no_entry_needs_no_array)
{
	EXPECT_EQ(0, luo_preserve_fds(self->m.session, NULL, 0, &self->m.arg));
	EXPECT_EQ(0, self->m.arg.done);
	EXPECT_EQ(0, self->m.arg.error);
	EXPECT_EQ(-EFAULT, luo_preserve_fds(self->m.session, NULL, 1,
					    &self->m.arg));
}

/* Its input is as it was */
TEST_F(batch, leaves_the_entries_alone)
{
	struct liveupdate_session_fd before[100];

	ASSERT_EQ(0, make_files(&self->m, 100));
	memcpy(before, self->m.entries, sizeof(before));
	ASSERT_EQ(0, preserve(&self->m, 0, 100));
	EXPECT_EQ(0, memcmp(before, self->m.entries, sizeof(before)));
	EXPECT_EQ(100, self->m.arg.count);
	EXPECT_EQ((uintptr_t)self->m.entries, self->m.arg.entries);
}

/*
 * An entry that fails
 */

static void spoil_fd(struct liveupdate_session_fd *entry)
{
	entry->fd = -1;
}

static void spoil_closed_fd(struct liveupdate_session_fd *entry)
{
	entry->fd = 1 << 20;
}

static void spoil_token(struct liveupdate_session_fd *entry)
{
	entry->token--;
}

static void spoil_file(struct liveupdate_session_fd *entry)
{
	entry->fd = entry[-1].fd;
}

static void spoil_type(struct liveupdate_session_fd *entry)
{
	entry->fd = STDIN_FILENO;
}

static void spoil_reserved(struct liveupdate_session_fd *entry)
{
	entry->reserved = 1U << 31;
}

/* What is wrong with an entry, and whether it takes another one before it */
static const struct wrong {
	int error;
	void (*spoil)(struct liveupdate_session_fd *entry);
	unsigned int first;
} wrongs[] = {
	{ EBADF, spoil_fd, 0 },
	{ EBADF, spoil_closed_fd, 0 },
	{ EEXIST, spoil_token, 1 },
	{ EBUSY, spoil_file, 1 },
	{ ENOENT, spoil_type, 0 },
	{ EINVAL, spoil_reserved, 0 },
};

#define PLACES	(2 * BATCH + 2)

static void try_wrong(struct __test_metadata *_metadata,
		      struct many *many, const struct wrong *wrong,
		      unsigned int at)
{
	struct liveupdate_session_fd *entry = &many->entries[at], good = *entry;

	wrong->spoil(entry);
	ASSERT_EQ(at ? 0 : -wrong->error, preserve(many, 0, PLACES));
	if (at) {
		ASSERT_EQ(at, many->arg.done);
		ASSERT_EQ(wrong->error, many->arg.error);
	}
	ASSERT_TRUE(luo_has_files(many->session, at));
	/* From there on it is the first one that fails */
	ASSERT_EQ(-wrong->error, preserve(many, at, PLACES - at));

	*entry = good;
	ASSERT_FALSE(is_preserved(good.fd));
	ASSERT_EQ(0, ftruncate(good.fd, 0));
	ASSERT_EQ(0, preserve(many, at, PLACES - at));
	ASSERT_EQ(PLACES - at, many->arg.done);
	ASSERT_EQ(0, many->arg.error);
	ASSERT_TRUE(luo_has_files(many->session, PLACES));
	ASSERT_TRUE(is_preserved(good.fd));
	unpreserve(many->session, PLACES);
}

TEST_F_TIMEOUT(batch, stops_at_what_is_wrong, 120)
{
	static const unsigned int places[] = {
		0, 1, 2, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH, PLACES - 1,
	};

	ASSERT_EQ(0, make_files(&self->m, PLACES));
	for (size_t i = 0; i < ARRAY_SIZE(wrongs); i++)
		for (size_t j = 0; j < ARRAY_SIZE(places); j++)
			if (places[j] >= wrongs[i].first)
				try_wrong(_metadata, &self->m, &wrongs[i],
					  places[j]);
}

/* As many as the operator allows */
TEST_F(batch, stops_at_the_limit)
{
	ASSERT_EQ(0, make_files(&self->m, 2 * BATCH));
	ASSERT_EQ(0, text_write(MAX_SESSION_FILES, "70"));
	EXPECT_EQ(0, preserve(&self->m, 0, 2 * BATCH));
	EXPECT_EQ(70, self->m.arg.done);
	EXPECT_EQ(ENOSPC, self->m.arg.error);
	EXPECT_TRUE(luo_has_files(self->m.session, 70));
	EXPECT_EQ(-ENOSPC, preserve(&self->m, 70, 1));
	EXPECT_EQ(0, text_write(MAX_SESSION_FILES, "2147483647"));
}

/*
 * Memory that ends
 */

/* The array, of which the last @beyond bytes are not there */
static void *end_of_memory(const struct liveupdate_session_fd *entries,
			   unsigned int count, size_t beyond)
{
	size_t size = count * sizeof(*entries) - beyond;
	size_t pages = (size + PAGE - 1) / PAGE * PAGE;
	char *map = mmap(NULL, pages + PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED || mprotect(map + pages, PAGE, PROT_NONE))
		return NULL;
	memcpy(map + pages - size, entries, size);
	return map + pages - size;
}

TEST_F_TIMEOUT(batch, stops_where_memory_ends, 120)
{
	static const unsigned int there[] = {
		1, 2, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH, 300,
	};

	ASSERT_EQ(0, make_files(&self->m, 302));
	for (size_t i = 0; i < ARRAY_SIZE(there); i++) {
		/* The first byte of the next entry is missing, or the last */
		for (size_t beyond = 1; beyond <= 16; beyond += 15) {
			void *entries = end_of_memory(self->m.entries,
						      there[i] + 1, beyond);

			ASSERT_NE(NULL, entries);
			ASSERT_EQ(0, luo_preserve_fds(self->m.session, entries,
						      302, &self->m.arg));
			ASSERT_EQ(there[i], self->m.arg.done);
			ASSERT_EQ(EFAULT, self->m.arg.error);
			ASSERT_TRUE(luo_has_files(self->m.session, there[i]));
			unpreserve(self->m.session, there[i]);
		}
	}
}

/* Addresses that nobody has, and arrays that wrap around */
TEST_F(batch, bad_addresses_get_efault)
{
	static const uint64_t addresses[] = {
		0, PAGE - 1, 1ULL << 47, 0xffff888000000000ULL, -16ULL, -1ULL,
	};

	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		void *entries = (void *)addresses[i];

		EXPECT_EQ(-EFAULT, luo_preserve_fds(self->m.session, entries, 1,
						    &self->m.arg));
		EXPECT_EQ(-EFAULT, luo_preserve_fds(self->m.session, entries,
						    ~0U, &self->m.arg));
	}
	EXPECT_TRUE(luo_has_files(self->m.session, 0));
}

/* An array at any address will do */
TEST_F(batch, unaligned_entries_work)
{
	static char bytes[100 * sizeof(struct liveupdate_session_fd) + 1];

	ASSERT_EQ(0, make_files(&self->m, 100));
	memcpy(bytes + 1, self->m.entries, sizeof(bytes) - 1);
	EXPECT_EQ(0, luo_preserve_fds(self->m.session, (void *)(bytes + 1), 100,
				      &self->m.arg));
	EXPECT_EQ(100, self->m.arg.done);
	EXPECT_TRUE(luo_has_files(self->m.session, 100));
}

TEST_F(batch, nothing_is_done_that_cannot_be_told)
{
	struct liveupdate_session_fds arg = {
		.size = sizeof(arg), .count = 100,
	};

	ASSERT_EQ(0, make_files(&self->m, 100));
	arg.entries = (uintptr_t)self->m.entries;
	EXPECT_EQ(-EFAULT, luo_ioctl(self->m.session,
				     LIVEUPDATE_SESSION_PRESERVE_FDS,
				     page_readonly(&arg, sizeof(arg))));
	EXPECT_TRUE(luo_has_files(self->m.session, 0));
	EXPECT_FALSE(is_preserved(self->m.entries[0].fd));
}

/* Entries that fill a page; what is behind them comes late */
#define EARLY	(PAGE / (unsigned int)sizeof(struct liveupdate_session_fd))

struct thief {
	struct liveupdate_session_fds *arg;
	struct liveupdate_session_fd *late;
	struct liveupdate_session_fd entries[EARLY];
	int uffd;
};

/* Takes the argument away when the kernel comes for the late entries */
static void *take_away(void *arg)
{
	struct thief *thief = arg;

	if (!page_await(thief->uffd))
		mprotect(thief->arg, PAGE, PROT_READ);
	page_give(thief->uffd, thief->late, thief->entries);
	return NULL;
}

/* The kernel can tell of the entries of a page, and of those behind it no more */
static int preserve_until_taken_away(struct many *many)
{
	struct liveupdate_session_fds arg = {
		.size = sizeof(arg), .count = 2 * EARLY,
		.entries = (uintptr_t)many->entries,
	};
	struct thief thief = { .late = many->entries + EARLY };
	pthread_t thread;
	int err;

	memcpy(thief.entries, thief.late, sizeof(thief.entries));
	thief.arg = page_readonly(&arg, sizeof(arg));
	thief.uffd = page_take(thief.late);
	if (!thief.arg || thief.uffd < 0 ||
	    mprotect(thief.arg, PAGE, PROT_READ | PROT_WRITE) ||
	    pthread_create(&thread, NULL, take_away, &thief))
		return -EIO;
	err = luo_ioctl(many->session, LIVEUPDATE_SESSION_PRESERVE_FDS,
			thief.arg);
	pthread_join(thread, NULL);
	many->arg = *thief.arg;
	munmap(thief.arg, PAGE);
	close(thief.uffd);
	return err;
}

/* What was done since it told the last time is undone */
TEST_F(batch, undoes_what_it_cannot_tell_any_more)
{
	ASSERT_EQ(0, make_files(&self->m, 2 * EARLY));
	ASSERT_EQ(0, preserve_until_taken_away(&self->m));
	EXPECT_EQ(EARLY, self->m.arg.done);
	EXPECT_EQ(0, self->m.arg.error);
	EXPECT_TRUE(luo_has_files(self->m.session, EARLY));
	EXPECT_FALSE(is_preserved(self->m.entries[EARLY].fd));
	EXPECT_TRUE(is_preserved(self->m.entries[EARLY - 1].fd));
}

static int announce_files(struct many *many, unsigned int count)
{
	int err = make_files(many, count);

	for (unsigned int i = 0; i < count && !err; i++)
		err = luo_announce(many->session, many->entries[i].fd, i);
	return err;
}

/* Those that the kernel told of are preserved, the others are announced as before */
static void check_announced(struct __test_metadata *_metadata,
			    const struct many *many)
{
	int fd = many->entries[EARLY].fd;

	EXPECT_EQ(EARLY, many->arg.done);
	EXPECT_TRUE(luo_has_files(many->session, 2 * EARLY));
	EXPECT_TRUE(is_preserved(many->entries[EARLY - 1].fd));
	EXPECT_EQ(-EEXIST, luo_preserve(many->session,
					many->entries[EARLY - 1].fd, EARLY - 1));
	EXPECT_FALSE(is_preserved(fd));
	EXPECT_EQ(-EEXIST, luo_announce(many->session, fd, EARLY));
	EXPECT_EQ(0, luo_preserve(many->session, fd, EARLY));
	EXPECT_EQ(-EEXIST, luo_preserve(many->session, fd, EARLY));
}

TEST_F(batch, undone_files_are_announced_again)
{
	ASSERT_EQ(0, announce_files(&self->m, 2 * EARLY));
	ASSERT_EQ(0, preserve_until_taken_away(&self->m));
	check_announced(_metadata, &self->m);
}

/* PREPARE preserves them, and CANCEL gives up those that nobody else preserved */
TEST_F(batch, undone_files_stay_prepared)
{
	ASSERT_EQ(0, announce_files(&self->m, 2 * EARLY));
	ASSERT_EQ(0, luo_event(self->m.dev, LIVEUPDATE_EVENT_PREPARE));
	ASSERT_EQ(0, preserve_until_taken_away(&self->m));
	EXPECT_TRUE(luo_has_files(self->m.session, 2 * EARLY));
	EXPECT_TRUE(is_preserved(self->m.entries[2 * EARLY - 1].fd));
	ASSERT_EQ(0, luo_event(self->m.dev, LIVEUPDATE_EVENT_CANCEL));
	check_announced(_metadata, &self->m);
}

/*
 * Signals
 */

static void ignore(int signal)
{
}

/* So many that they outrun the calls; each call gets on nevertheless */
TEST_F_TIMEOUT(batch, signals_interrupt_between_entries, 240)
{
	const struct itimerval often = { { 0, 2000 }, { 0, 2000 } }, never = {};
	const struct sigaction action = { .sa_handler = ignore };
	unsigned int done = 0, interrupted = 0;

	ASSERT_EQ(0, make_files(&self->m, MANY));
	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &often, NULL));
	while (done < MANY) {
		int err = preserve(&self->m, done, MANY - done);

		/* Preserving one file can be interrupted, too */
		if (err == -EINTR)
			continue;
		ASSERT_EQ(0, err);
		ASSERT_LT(0, self->m.arg.done);
		done += self->m.arg.done;
		if (done == MANY)
			break;
		ASSERT_EQ(EINTR, self->m.arg.error);
		interrupted++;
	}
	setitimer(ITIMER_REAL, &never, NULL);
	TH_LOG("interrupted %u times", interrupted);
	EXPECT_LT(0, interrupted);
	EXPECT_EQ(0, self->m.arg.error);
	EXPECT_TRUE(luo_has_files(self->m.session, MANY));
}

/* A client that is killed leaves whole files, from the first one on */
TEST_F_TIMEOUT(batch, being_killed_ends_it, 240)
{
	struct liveupdate_session_get_info info = { .size = sizeof(info) };
	int status;
	pid_t pid;

	ASSERT_EQ(0, make_files(&self->m, MANY));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(preserve(&self->m, 0, MANY) ? 1 : 0);
	do {
		ASSERT_EQ(0, luo_ioctl(self->m.session,
				       LIVEUPDATE_SESSION_GET_INFO, &info));
	} while (info.files < 100);
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	ASSERT_EQ(0, luo_ioctl(self->m.session, LIVEUPDATE_SESSION_GET_INFO,
			       &info));
	TH_LOG("killed after %llu", (unsigned long long)info.files);
	EXPECT_LE(100, info.files);
	EXPECT_GT(MANY, info.files);
	EXPECT_TRUE(luo_has_files(self->m.session, info.files));
	EXPECT_EQ(0, preserve(&self->m, info.files, MANY - info.files));
	EXPECT_EQ(MANY - info.files, self->m.arg.done);
	EXPECT_TRUE(luo_has_files(self->m.session, MANY));
}

/* As PRESERVE_FD, it needs no privilege but the descriptor */
TEST_F(batch, unprivileged_client_preserves)
{
	int status;
	pid_t pid;

	ASSERT_EQ(0, make_files(&self->m, 100));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(become_nobody() || preserve(&self->m, 0, 100) ||
		      self->m.arg.done != 100);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_TRUE(luo_has_files(self->m.session, 100));
}

/* Several at a time share the session: every file gets in once */
static void *preserve_all(void *data)
{
	struct many *many = data;
	struct liveupdate_session_fds arg;
	uintptr_t count = 0;
	unsigned int at = 0;

	while (at < 2000) {
		int err = luo_preserve_fds(many->session, many->entries + at,
					   2000 - at, &arg);

		if (!err)
			count += arg.done;
		at += err ? 1 : arg.done;
		if (err && err != -EEXIST)
			return (void *)-1L;
	}
	return (void *)count;
}

TEST_F_TIMEOUT(batch, racing_batches_take_each_file_once, 120)
{
	pthread_t threads[4];
	uintptr_t sum = 0;

	ASSERT_EQ(0, make_files(&self->m, 2000));
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, preserve_all,
					    &self->m));
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		void *count;

		pthread_join(threads[i], &count);
		ASSERT_NE((void *)-1L, count);
		sum += (uintptr_t)count;
	}
	EXPECT_EQ(2000, sum);
}

/* One call for all costs less than one for each */
TEST_F_TIMEOUT(batch, is_not_slower_than_one_by_one, 240)
{
	uint64_t start, single, all;

	ASSERT_EQ(0, make_files(&self->m, MANY));
	start = now_ms();
	for (unsigned int i = 0; i < MANY; i++)
		ASSERT_EQ(0, luo_preserve(self->m.session, self->m.entries[i].fd,
					  i));
	single = now_ms() - start;
	unpreserve(self->m.session, MANY);
	start = now_ms();
	ASSERT_EQ(0, preserve(&self->m, 0, MANY));
	all = now_ms() - start;
	ASSERT_EQ(MANY, self->m.arg.done);
	TH_LOG("%llu ms one by one, %llu ms at once", (unsigned long long)single,
	       (unsigned long long)all);
	EXPECT_LT(all, 2 * single + 500);
}

TEST_HARNESS_MAIN
