// SPDX-License-Identifier: GPL-2.0-only
/*
 * The threads of races. Sessions that they share are in slots, by descriptor: who
 * uses one does not know whether it is closed meanwhile, or is another by now. Those
 * who must know what they have are processes with descriptors of their own.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kselftest.h"
#include "races.h"

#define SLOTS		24
#define MAX_FILES	6
/* What a kexec may take with all of them at work, on a slow machine */
#define JUMP_MS_MAX	20000

struct racer {
	const char *name;
	void (*step)(struct racer *racer);
	unsigned int instances;
	bool process;
	struct luck luck;
	pthread_t thread;
	pid_t pid;
	unsigned long done;
};

#define RACERS		11
#define INSTANCES_MAX	2

/* Shared with the processes */
static struct {
	int dev;
	atomic_int slots[SLOTS];
	atomic_bool stop;
	/* A jump can take place now: then nothing can be done any more */
	atomic_bool leaving;
	int sockets[2];
	pid_t receiver;
	pid_t stuck;
	uint64_t slowest_jump;
	struct racer running[RACERS][INSTANCES_MAX];
} *races;

/* One of a list of errnos that ends with 0 */
static bool expected(int ret, const int *errnos)
{
	if (ret >= 0 || (ret == -EBUSY && atomic_load(&races->leaving)))
		return true;
	for (; *errnos; errnos++)
		if (ret == -*errnos)
			return true;
	return false;
}

#define EXPECT(call, ...)						\
({									\
	int _ret = (call);						\
									\
	if (!expected(_ret, (const int[]){ 0, ##__VA_ARGS__, 0 } + 1))	\
		race_fail("%s: %s", #call, strerror(-_ret));		\
	_ret;								\
})

/* Of a descriptor that may be anything by now */
#define EXPECT_OF_ANY(call, ...)					\
	EXPECT(call, EBADF, ENOTTY, EINVAL, EBUSY, ##__VA_ARGS__)

static uint64_t new_token(struct racer *racer)
{
	return luck_next(&racer->luck);
}

static int some_session(struct racer *racer)
{
	return atomic_load(&races->slots[luck_below(&racer->luck, SLOTS)]);
}

/* ---- One step of each ---- */

static void share(struct racer *racer)
{
	atomic_int *slot = &races->slots[luck_below(&racer->luck, SLOTS)];
	char name[32];
	int fd, old;

	snprintf(name, sizeof(name), "race %u", luck_below(&racer->luck, 64));
	fd = EXPECT(luo_create(races->dev, name), EEXIST, EBUSY);
	if (fd < 0)
		return;
	old = atomic_exchange(slot, fd);
	if (old >= 0)
		close(old);
}

static void put_in(struct racer *racer)
{
	uint64_t token = new_token(racer);
	int fd = EXPECT(file_new(token));

	EXPECT_OF_ANY(luo_preserve(some_session(racer), fd, token), ENOENT,
		      EEXIST);
	close(fd);
}

static void take_out(struct racer *racer)
{
	struct liveupdate_session_next_file next = { .size = sizeof(next) };
	int session = some_session(racer);

	if (EXPECT_OF_ANY(luo_ioctl(session, LIVEUPDATE_SESSION_NEXT_FILE,
				    &next), ENOENT) < 0)
		return;
	EXPECT_OF_ANY(luo_unpreserve(session, next.token), ENOENT);
}

/* A session that no other thread knows of: all is exactly as it says */
static void have_own(struct racer *racer)
{
	struct liveupdate_session_get_info info = { .size = sizeof(info) };
	unsigned int files = luck_below(&racer->luck, MAX_FILES) + 1;
	uint64_t token = 0;
	char name[32];
	int session, fd;

	snprintf(name, sizeof(name), "own %p %lu", racer, racer->done);
	session = EXPECT(luo_create(races->dev, name));
	if (session < 0)
		return;
	for (unsigned int i = 0; i < files; i++) {
		token = new_token(racer);
		fd = EXPECT(file_new(token));
		EXPECT(luo_preserve(session, fd, token));
		close(fd);
	}
	EXPECT(luo_ioctl(session, LIVEUPDATE_SESSION_GET_INFO, &info));
	if (info.files != files && !atomic_load(&races->leaving))
		race_fail("%u files were preserved, and there are %llu", files,
			  (unsigned long long)info.files);
	EXPECT(luo_unpreserve(session, token));
	close(session);
}

static void walk_sessions(struct racer *racer)
{
	struct liveupdate_ioctl_next_session next = {
		.size = sizeof(next),
		.direction = luck_below(&racer->luck, 2),
	};
	uint64_t before = 0;

	while (!EXPECT(luo_ioctl(races->dev, LIVEUPDATE_IOCTL_NEXT_SESSION,
				 &next), ENOENT, EBUSY)) {
		if (next.cursor <= before || !*next.name) {
			race_fail("NEXT_SESSION goes from %llu to %llu, \"%s\"",
				  (unsigned long long)before,
				  (unsigned long long)next.cursor, next.name);
			return;
		}
		before = next.cursor;
	}
}

static void read_all(struct racer *racer)
{
	static const char * const paths[] = {
		LUO_SYSFS "state", LUO_SYSFS "outgoing", LUO_SYSFS "incoming",
		LUO_SYSFS "last_failure",
		"/sys/kernel/debug/liveupdate/outgoing",
		"/sys/kernel/debug/liveupdate/incoming",
		"/sys/kernel/debug/kho/out/preserved_pages",
		MOCK_DIR "mock-x-outgoing",
	};
	char path[64], text[4096];
	struct pollfd p[2] = {
		{ .fd = races->dev, .events = POLLPRI },
		{ .fd = some_session(racer), .events = POLLIN },
	};
	int session = some_session(racer);

	EXPECT(text_read(paths[luck_below(&racer->luck, ARRAY_SIZE(paths))],
			 text, sizeof(text)));
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", session);
	EXPECT(text_read(path, text, sizeof(text)), ENOENT);
	poll(p, 2, luck_below(&racer->luck, 5));
}

static void send_events(struct racer *racer)
{
	struct liveupdate_ioctl_get_info info;

	EXPECT(luo_event(races->dev, LIVEUPDATE_EVENT_PREPARE), EINVAL);
	EXPECT(luo_info(races->dev, &info));
	EXPECT(luo_event(races->dev, LIVEUPDATE_EVENT_CANCEL), EINVAL);
	/* Somebody always has a session that came, if any did */
	if (!EXPECT(luo_event(races->dev, LIVEUPDATE_EVENT_FINISH), EINVAL, EBUSY))
		race_fail("the update could be finished");
}

/* Passed on, and closed here while it is on its way */
static void pass(struct racer *racer)
{
	int session = dup(some_session(racer));

	if (session < 0)
		return;
	if (EXPECT(fd_send(races->sockets[0], session), EAGAIN, ETOOMANYREFS))
		usleep(1000);
	close(session);
}

/* Some session that came: claimed, looked at, put back or finished */
static void take_up(struct racer *racer)
{
	struct liveupdate_ioctl_next_session next = {
		.size = sizeof(next),
		.direction = LIVEUPDATE_INCOMING,
		.cursor = luck_below(&racer->luck, 200),
	};
	int session;

	if (EXPECT(luo_ioctl(races->dev, LIVEUPDATE_IOCTL_NEXT_SESSION, &next),
		   ENOENT, EBUSY)) {
		usleep(1000);
		return;
	}
	session = EXPECT(luo_retrieve(races->dev, (char *)next.name), ENOENT,
			 EINVAL, EBUSY);
	if (session < 0)
		return;
	if (luck_below(&racer->luck, 2))
		EXPECT(session_check(session));
	if (strncmp((char *)next.name, KEPT, strlen(KEPT)) &&
	    !luck_below(&racer->luck, 40))
		EXPECT(luo_finish(session));
	close(session);
}

static int reboot_kexec(void)
{
	return syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
		       LINUX_REBOOT_CMD_KEXEC, NULL) ? -errno : 0;
}

/* A mock makes it fail as late as anything can; until it is told to stop that */
static void try_jump(struct racer *racer)
{
	uint64_t start = now_ms(), ms;
	int err = reboot_kexec();

	ms = now_ms() - start;
	if (ms > races->slowest_jump)
		races->slowest_jump = ms;
	if (err != -EOWNERDEAD)
		race_fail("a jump that has to be refused: %s", strerror(-err));
	if (ms > JUMP_MS_MAX)
		race_fail("a jump was refused after %lu ms only", ms);
	usleep(luck_below(&racer->luck, 20000));
}

/*
 * The mock makes it fail as well, until it is told to stop that; and a jump that is under
 * way can have the image
 */
static void rehearse(struct racer *racer)
{
	struct liveupdate_ioctl_rehearse result;

	if (!EXPECT(luo_rehearse(races->dev, &result), EBUSY) && result.error &&
	    result.error != EOWNERDEAD)
		race_fail("a rehearsal finds %s in phase %u of %s",
			  strerror(result.error), result.phase,
			  result.participant);
	usleep(luck_below(&racer->luck, 50000));
}

static const struct racer racers[] = {
	{ .name = "share", .step = share, .instances = 2 },
	{ .name = "put in", .step = put_in, .instances = 2 },
	{ .name = "take out", .step = take_out, .instances = 1 },
	{ .name = "own", .step = have_own, .instances = 2, .process = true },
	{ .name = "walk", .step = walk_sessions, .instances = 1 },
	{ .name = "read", .step = read_all, .instances = 1 },
	{ .name = "events", .step = send_events, .instances = 1 },
	{ .name = "pass", .step = pass, .instances = 1 },
	{ .name = "take up", .step = take_up, .instances = 2, .process = true },
	{ .name = "rehearse", .step = rehearse, .instances = 1 },
	{ .name = "jump", .step = try_jump, .instances = 1 },
};

#define RACER_JUMP	(RACERS - 1)
static_assert(ARRAY_SIZE(racers) == RACERS, "all of them run");

static void *race(void *arg)
{
	struct racer *racer = arg;

	while (!atomic_load(&races->stop) && !race_failed()) {
		racer->step(racer);
		racer->done++;
	}
	return NULL;
}

/* ---- Other processes, which have but what is passed to them ---- */

static void receive(uint64_t seed)
{
	struct racer racer = { .luck = { seed } };
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];
	int session;

	while ((session = fd_receive(races->sockets[1])) >= 0) {
		uint64_t token = new_token(&racer);
		int fd = file_new(token);

		luo_get_name(session, name);
		luo_preserve(session, fd, token);
		close(fd);
		close(session);
	}
}

/* In an ioctl that waits for a page for ever, with the only session it has */
static void be_stuck(int session)
{
	luo_ioctl(session, LIVEUPDATE_SESSION_PRESERVE_FD, page_stuck());
}

static pid_t start_process(uint64_t seed)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(races->dev);
	close(races->sockets[0]);
	receive(seed);
	_exit(0);
}

static pid_t start_stuck(void)
{
	int session = luo_create(races->dev, "race stuck");
	pid_t pid = fork();

	if (pid) {
		close(session);
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(races->dev);
	be_stuck(session);
	_exit(0);
}

static void start_racer(struct racer *racer)
{
	pid_t pid;

	if (!racer->process) {
		if (pthread_create(&racer->thread, NULL, race, racer))
			race_fail("no thread");
		return;
	}
	pid = fork();
	if (pid) {
		racer->pid = pid;
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	race(racer);
	_exit(0);
}

/* Processes before threads, as a fork copies only one of these */
static void start_racers(uint64_t seed, bool processes)
{
	for (size_t r = 0; r < RACERS; r++) {
		if (racers[r].process != processes)
			continue;
		for (unsigned int i = 0; i < racers[r].instances; i++) {
			struct racer *racer = &races->running[r][i];

			*racer = racers[r];
			racer->luck.state = seed + 100 * r + i;
			start_racer(racer);
		}
	}
}

void races_start(int dev, uint64_t seed)
{
	if (!races)
		races = mmap(NULL, sizeof(*races), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	races->dev = dev;
	races->slowest_jump = 0;
	atomic_store(&races->stop, false);
	for (int i = 0; i < SLOTS; i++)
		atomic_store(&races->slots[i], -1);
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, races->sockets))
		race_fail("no sockets");
	fcntl(races->sockets[0], F_SETFL, O_NONBLOCK);
	fflush(stdout);
	races->stuck = start_stuck();
	races->receiver = start_process(seed + 10000);
	start_racers(seed, true);
	start_racers(seed, false);
}

/* From now on, a jump may succeed */
void races_leave(void)
{
	atomic_store(&races->leaving, true);
}

static void await_racer(struct racer *racer)
{
	int status = 0;

	if (!racer->process)
		pthread_join(racer->thread, NULL);
	else if (waitpid(racer->pid, &status, 0) != racer->pid || status)
		race_fail("\"%s\" died: %d", racer->name, status);
}

static void end_process(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

void races_stop(void)
{
	atomic_store(&races->stop, true);
	for (size_t r = 0; r < RACERS; r++)
		for (unsigned int i = 0; i < racers[r].instances; i++)
			await_racer(&races->running[r][i]);
	end_process(races->receiver);
	end_process(races->stuck);
	close(races->sockets[0]);
	close(races->sockets[1]);
	for (int i = 0; i < SLOTS; i++) {
		int fd = atomic_exchange(&races->slots[i], -1);

		if (fd >= 0)
			close(fd);
	}
}

void races_report(void)
{
	for (size_t r = 0; r < RACERS; r++) {
		unsigned long done = 0;

		for (unsigned int i = 0; i < racers[r].instances; i++)
			done += races->running[r][i].done;
		ksft_print_msg("%s: %lu times\n", racers[r].name, done);
	}
	ksft_print_msg("the slowest refusal of a jump took %lu ms\n",
		       races->slowest_jump);
}

unsigned int races_refused(void)
{
	return races->running[RACER_JUMP][0].done;
}
