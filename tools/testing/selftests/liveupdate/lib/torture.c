// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every command with every wrong argument: numbers, sizes, and memory that is
 * not there, cannot be written, or ends too soon.
 *
 * Each command has a whole argument and what that results in. Wrong ones have an
 * errno of their own, and after each that failed all has to be as it was.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "luo_lib.h"

#define PAGE	4096U

/* The most that a command's argument may take */
#define LARGEST	PAGE

/**
 * struct command - a command and an argument that is whole
 * @name:    for messages
 * @number:  the command
 * @size:    of its argument
 * @least:   if set, what of it has to be given: it has grown since
 * @want:    what the whole argument results in
 * @answers: the command writes to its argument
 * @stride:  if set, most sizes are tried in steps of that: it is slow
 * @fill:    makes the argument
 * @undo:    undoes what the command did
 */
struct command {
	const char *name;
	unsigned long number;
	size_t size;
	size_t least;
	int want;
	bool answers;
	unsigned int stride;
	void (*fill)(const struct torture *t, void *arg);
	int (*undo)(const struct torture *t, const void *arg);
};

/*
 * Arguments
 */

static void fill_name(const struct torture *t, void *arg)
{
	struct liveupdate_ioctl_create_session *create = arg;

	strcpy((char *)create->name, "torture");
}

static int close_session(const struct torture *t, const void *arg)
{
	const struct liveupdate_ioctl_create_session *create = arg;

	return close(create->fd) ? -errno : 0;
}

static void fill_event(const struct torture *t, void *arg)
{
	struct liveupdate_ioctl_set_event *event = arg;

	event->event = LIVEUPDATE_EVENT_PREPARE;
}

static int cancel(const struct torture *t, const void *arg)
{
	return luo_event(t->dev, LIVEUPDATE_EVENT_CANCEL);
}

static void fill_spare(const struct torture *t, void *arg)
{
	struct liveupdate_session_preserve_fd *preserve = arg;

	preserve->fd = t->spare;
	preserve->token = TORTURE_TOKEN + 1;
}

static int unpreserve_spare(const struct torture *t, const void *arg)
{
	return luo_unpreserve(t->fd, TORTURE_TOKEN + 1);
}

static void fill_token(const struct torture *t, void *arg)
{
	struct liveupdate_session_retrieve_fd *retrieve = arg;

	retrieve->token = TORTURE_TOKEN;
}

static int close_file(const struct torture *t, const void *arg)
{
	const struct liveupdate_session_retrieve_fd *retrieve = arg;

	return close(retrieve->fd) ? -errno : 0;
}

static void fill_unpreserve(const struct torture *t, void *arg)
{
	struct liveupdate_session_unpreserve_fd *unpreserve = arg;

	unpreserve->token = TORTURE_TOKEN;
}

static int preserve_again(const struct torture *t, const void *arg)
{
	return luo_preserve(t->fd, t->file, TORTURE_TOKEN);
}

/* One entry, which no wrong argument is to reach */
static struct liveupdate_session_fd entry;

static void fill_entries(void *arg, int fd, uint64_t token)
{
	struct liveupdate_session_fds *fds = arg;

	entry = (struct liveupdate_session_fd){ .fd = fd, .token = token };
	fds->count = 1;
	fds->entries = (uintptr_t)&entry;
}

static void fill_spares(const struct torture *t, void *arg)
{
	fill_entries(arg, t->spare, TORTURE_TOKEN + 1);
}

static void fill_tokens(const struct torture *t, void *arg)
{
	fill_entries(arg, -1, TORTURE_TOKEN);
}

static int close_entry(const struct torture *t, const void *arg)
{
	return close(entry.fd) ? -errno : 0;
}

/* A FINISH that went through could not be undone */
static void fill_reserved(const struct torture *t, void *arg)
{
	struct liveupdate_session_finish *finish = arg;

	finish->reserved = 1;
}

static void fill_nothing(const struct torture *t, void *arg)
{
}

static int undo_nothing(const struct torture *t, const void *arg)
{
	return 0;
}

#define COMMAND(_number, _struct, _want, _answers, _fill, _undo, ...)	\
	{								\
		.name = #_number,					\
		.number = LIVEUPDATE_##_number,				\
		.size = sizeof(struct liveupdate_##_struct),		\
		.want = (_want),					\
		.answers = (_answers),					\
		.fill = (_fill),					\
		.undo = (_undo),					\
		__VA_ARGS__						\
	}

static const struct command device_commands[] = {
	COMMAND(IOCTL_CREATE_SESSION, ioctl_create_session, 0, true,
		fill_name, close_session),
	COMMAND(IOCTL_RETRIEVE_SESSION, ioctl_retrieve_session, -ENOENT, true,
		fill_name, undo_nothing),
	COMMAND(IOCTL_GET_INFO, ioctl_get_info, 0, true,
		fill_nothing, undo_nothing,
		.least = offsetof(struct liveupdate_ioctl_get_info,
				  quarantine_errno)),
	COMMAND(IOCTL_SET_EVENT, ioctl_set_event, 0, false,
		fill_event, cancel, .stride = 511),
	COMMAND(IOCTL_NEXT_SESSION, ioctl_next_session, 0, true,
		fill_nothing, undo_nothing),
	COMMAND(IOCTL_REHEARSE, ioctl_rehearse, 0, true,
		fill_nothing, undo_nothing, .stride = 511),
	{}
};

static const struct command outgoing_commands[] = {
	COMMAND(SESSION_PRESERVE_FD, session_preserve_fd, 0, false,
		fill_spare, unpreserve_spare),
	COMMAND(SESSION_RETRIEVE_FD, session_retrieve_fd, -EINVAL, true,
		fill_token, undo_nothing),
	COMMAND(SESSION_FINISH, session_finish, -EINVAL, false,
		fill_nothing, undo_nothing),
	COMMAND(SESSION_GET_NAME, session_get_name, 0, true,
		fill_nothing, undo_nothing),
	COMMAND(SESSION_UNPRESERVE_FD, session_unpreserve_fd, 0, false,
		fill_unpreserve, preserve_again),
	COMMAND(SESSION_PRESERVE_FDS, session_fds, 0, true,
		fill_spares, unpreserve_spare),
	COMMAND(SESSION_RETRIEVE_FDS, session_fds, -EINVAL, true,
		fill_tokens, undo_nothing),
	COMMAND(SESSION_NEXT_FILE, session_next_file, 0, true,
		fill_nothing, undo_nothing),
	COMMAND(SESSION_GET_INFO, session_get_info, 0, true,
		fill_nothing, undo_nothing),
	COMMAND(SESSION_ANNOUNCE_FD, session_announce_fd, 0, false,
		fill_spare, unpreserve_spare),
	{}
};

static const struct command incoming_commands[] = {
	COMMAND(SESSION_PRESERVE_FD, session_preserve_fd, -EINVAL, false,
		fill_spare, undo_nothing),
	COMMAND(SESSION_RETRIEVE_FD, session_retrieve_fd, 0, true,
		fill_token, close_file),
	COMMAND(SESSION_FINISH, session_finish, -EINVAL, false,
		fill_reserved, undo_nothing),
	COMMAND(SESSION_GET_NAME, session_get_name, 0, true,
		fill_nothing, undo_nothing),
	COMMAND(SESSION_UNPRESERVE_FD, session_unpreserve_fd, -EINVAL, false,
		fill_unpreserve, undo_nothing),
	COMMAND(SESSION_PRESERVE_FDS, session_fds, -EINVAL, true,
		fill_spares, undo_nothing),
	COMMAND(SESSION_RETRIEVE_FDS, session_fds, 0, true,
		fill_tokens, close_entry),
	COMMAND(SESSION_NEXT_FILE, session_next_file, 0, true,
		fill_nothing, undo_nothing),
	COMMAND(SESSION_GET_INFO, session_get_info, 0, true,
		fill_nothing, undo_nothing),
	COMMAND(SESSION_ANNOUNCE_FD, session_announce_fd, -EINVAL, false,
		fill_spare, undo_nothing),
	{}
};

static const struct command *commands_of(const struct torture *t)
{
	switch (t->on) {
	case TORTURE_DEVICE:
		return device_commands;
	case TORTURE_OUTGOING:
		return outgoing_commands;
	default:
		return incoming_commands;
	}
}

/*
 * How things are
 */

/**
 * struct world - all that a failing command must not change
 * @info:     counts of sessions and files
 * @last:     the place of the last session of each direction
 * @files:    number of the session's files, and the place of the last one
 * @next_fd:  the descriptor that is free
 * @pages:    preserved for the next kernel
 */
struct world {
	struct liveupdate_ioctl_get_info info;
	uint64_t last[2];
	uint64_t files[2];
	int next_fd;
	char pages[64];
};

/* From where the last look ended: there can be very many before */
static uint64_t last_session(struct torture *t, unsigned int direction)
{
	struct liveupdate_ioctl_next_session next = {
		.size = sizeof(next),
		.direction = direction,
		.cursor = t->last[direction],
	};

	while (!luo_ioctl(t->dev, LIVEUPDATE_IOCTL_NEXT_SESSION, &next))
		;
	t->last[direction] = next.cursor;
	return next.cursor;
}

static void walk_files(int session, uint64_t files[2])
{
	struct liveupdate_session_next_file next = { .size = sizeof(next) };

	while (!luo_ioctl(session, LIVEUPDATE_SESSION_NEXT_FILE, &next))
		files[0]++;
	files[1] = next.token;
}

static void look(struct torture *t, struct world *world)
{
	memset(world, 0, sizeof(*world));
	luo_info(t->dev, &world->info);
	for (unsigned int i = 0; i < 2; i++)
		world->last[i] = last_session(t, i);
	walk_files(t->session, world->files);
	world->next_fd = dup(t->dev);
	close(world->next_fd);
	text_read(PRESERVED_PAGES, world->pages, sizeof(world->pages));
}

static int __attribute__((format(printf, 2, 3)))
fail(struct torture *t, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(t->failure, sizeof(t->failure), format, args);
	va_end(args);
	return -1;
}

/*
 * One call
 */

/**
 * struct attempt - a call that is to be made
 * @command: which
 * @arg:     where its argument is
 * @want:    the result
 * @what:    is wrong with the argument, for messages
 * @detail:  likewise
 */
struct attempt {
	const struct command *command;
	void *arg;
	int want;
	const char *what;
	unsigned long detail;
};

/* Make the call, and see that it does what it has to do, or nothing */
static int attempt(struct torture *t, const struct attempt *a)
{
	struct world before, after;
	int ret;

	look(t, &before);
	ret = luo_ioctl(t->fd, a->command->number, a->arg);
	if (ret != a->want)
		return fail(t, "%s, %s %#lx: %d, not %d", a->command->name,
			    a->what, a->detail, ret, a->want);
	if (!ret && a->command->undo(t, a->arg))
		return fail(t, "%s, %s %#lx: cannot be undone",
			    a->command->name, a->what, a->detail);
	t->calls++;
	look(t, &after);
	/* What was done and undone has its place in the order */
	if (!ret)
		return 0;
	if (memcmp(&before, &after, sizeof(before)))
		return fail(t, "%s, %s %#lx: it changed something",
			    a->command->name, a->what, a->detail);
	return 0;
}

static void whole(const struct torture *t, const struct command *command,
		  void *arg, unsigned int size)
{
	memset(arg, 0, command->size);
	command->fill(t, arg);
	memcpy(arg, &size, sizeof(size));
}

/*
 * Numbers
 */

static bool is_command(const struct torture *t, unsigned long number)
{
	for (const struct command *c = commands_of(t); c->name; c++)
		if (c->number == number)
			return true;
	return false;
}

/* Asked of every file, before its own commands are */
static bool is_general(unsigned int type)
{
	return type == 0x00 || type == 0x94 || type == 'T' || type == 'X' ||
	       type == 'f';
}

/* The numbers that could be commands: after each, all is as it was */
static int own_numbers(struct torture *t, void *arg)
{
	struct command command = { .name = "number", .undo = undo_nothing };
	struct attempt a = { &command, arg, -ENOTTY, "number", 0 };

	for (; a.detail < 256; a.detail++) {
		command.number = _IO(LIVEUPDATE_IOCTL_TYPE, a.detail);
		if (!is_command(t, command.number) && attempt(t, &a))
			return -1;
	}
	return 0;
}

/* All numbers of all types in all directions, with a size that many have */
int torture_by_numbers(struct torture *t)
{
	static const unsigned long forms[] = {
		_IO(0, 0), _IOR(0, 0, int), _IOW(0, 0, int), _IOWR(0, 0, int),
		_IOC(_IOC_NONE, 0, 0, 8), _IOC(_IOC_READ, 0, 0, 0),
	};
	char arg[PAGE] = {};
	unsigned long i, number;
	int ret;

	for (i = 0; i < 0x10000 * ARRAY_SIZE(forms); i++) {
		number = forms[i >> 16] | (i & 0xffff);
		if (is_general(_IOC_TYPE(number)) || is_command(t, number))
			continue;
		*(uint32_t *)arg = 72;
		ret = luo_ioctl(t->fd, number, arg);
		if (ret != -ENOTTY)
			return fail(t, "number %#lx: %d", number, ret);
		t->calls++;
	}
	return own_numbers(t, arg);
}

/*
 * Sizes
 */

static int want_for_size(const struct command *command, unsigned long size)
{
	if (size < (command->least ?: command->size))
		return -EINVAL;
	return size > LARGEST ? -E2BIG : command->want;
}

static bool is_zero(const char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (bytes[i])
			return false;
	return true;
}

/* All that is not known is zero, before and after */
static int try_size(struct torture *t, const struct command *command,
		    char *arg, unsigned long size)
{
	struct attempt a = { command, arg, want_for_size(command, size),
			     "size", size };

	whole(t, command, arg, size);
	if (attempt(t, &a))
		return -1;
	if (!is_zero(arg + command->size, 2 * PAGE - command->size))
		return fail(t, "%s, size %lu: wrote beyond what it knows",
			    command->name, size);
	return 0;
}

/* One byte that is not known is not zero: each in turn, from size to size */
static int try_tail(struct torture *t, const struct command *command,
		    char *arg, unsigned long size)
{
	unsigned long at = command->size + size * 31 % (size - command->size);
	struct attempt a = { command, arg, -E2BIG, "tail of size", size };
	int err;

	whole(t, command, arg, size);
	arg[at] = 1;
	err = attempt(t, &a);
	arg[at] = 0;
	return err;
}

static unsigned int step(const struct command *command, unsigned long size)
{
	return size < 256 || !command->stride ? 1 : command->stride;
}

int torture_by_sizes(struct torture *t)
{
	static const unsigned int absurd[] = {
		PAGE + 1, 2 * PAGE, 1U << 16, 1U << 31, (1U << 31) - 1, ~0U,
	};
	static char arg[2 * PAGE];
	const struct command *c;
	unsigned long i;
	int err = 0;

	for (c = commands_of(t); c->name && !err; c++) {
		for (i = 0; i <= LARGEST && !err; i += step(c, i))
			err = try_size(t, c, arg, i);
		for (i = c->size + 1; i <= LARGEST && !err; i += i < 256 ? 1 : 7)
			err = try_tail(t, c, arg, i);
		for (i = 0; i < ARRAY_SIZE(absurd) && !err; i++)
			err = try_size(t, c, arg, absurd[i]);
		memset(arg, 0, sizeof(arg));
	}
	return err;
}

/*
 * Buffers
 */

/* What a command that cannot write all of its answer results in */
static int want_unwritable(const struct command *command)
{
	return !command->want && command->answers ? -EFAULT : command->want;
}

/* An argument of which the first @first bytes are in one page, the rest in another */
static int try_split(struct torture *t, const struct command *command,
		     int prot_one, int prot_two, size_t first)
{
	char *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct attempt a = { command, pages + PAGE - first, 0, "split", first };
	int err, prot = prot_one & prot_two;

	if (pages == MAP_FAILED)
		return fail(t, "no memory");
	whole(t, command, a.arg, command->size);
	mprotect(pages, PAGE, prot_one);
	mprotect(pages + PAGE, PAGE, prot_two);
	if (!(prot & PROT_READ))
		a.want = -EFAULT;
	else if (!(prot & PROT_WRITE))
		a.want = want_unwritable(command);
	else
		a.want = command->want;
	err = attempt(t, &a);
	munmap(pages, 2 * PAGE);
	return err;
}

static int try_splits(struct torture *t, const struct command *command)
{
	static const struct {
		int one, two;
	} prots[] = {
		{ PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE },
		{ PROT_READ | PROT_WRITE, PROT_READ },
		{ PROT_READ, PROT_READ | PROT_WRITE },
		{ PROT_READ, PROT_READ },
		{ PROT_READ | PROT_WRITE, PROT_NONE },
		{ PROT_NONE, PROT_READ | PROT_WRITE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(prots); i++)
		for (size_t first = 1; first < command->size; first++)
			if (try_split(t, command, prots[i].one, prots[i].two,
				      first))
				return -1;
	/* An argument that ends where memory ends */
	return try_split(t, command, PROT_READ | PROT_WRITE,
			 PROT_READ | PROT_WRITE, command->size);
}

/* Nowhere, in the kernel, in no man's land, at the end of everything */
static int try_nowhere(struct torture *t, const struct command *command)
{
	static const unsigned long addresses[] = {
		0, 1, PAGE - 1, 0x7ffffffff000UL, 0x7fffffffffffUL,
		0x800000000000UL, 1UL << 63, 0xffff888000000000UL,
		0xffffffff81000000UL, 0xffffffffff600000UL, -(unsigned long)PAGE, ~0UL,
	};

	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		struct attempt a = { command, (void *)addresses[i], -EFAULT,
				     "address", addresses[i] };

		if (attempt(t, &a))
			return -1;
	}
	return 0;
}

/* The size promises more than there is memory for; and a file that is too short */
static int try_short(struct torture *t, const struct command *command)
{
	char *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int empty = memfd_create("empty", 0);
	void *beyond = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			    empty, 0);
	struct attempt a = { command, pages + PAGE - command->size, -EFAULT,
			     "short", 0 };
	int err;

	if (pages == MAP_FAILED || beyond == MAP_FAILED)
		return fail(t, "no memory");
	munmap(pages + PAGE, PAGE);
	whole(t, command, a.arg, command->size + 1);
	err = attempt(t, &a);
	a.arg = beyond;
	err = err ?: attempt(t, &a);
	munmap(pages, PAGE);
	munmap(beyond, PAGE);
	close(empty);
	return err;
}

int torture_by_buffers(struct torture *t)
{
	for (const struct command *c = commands_of(t); c->name; c++)
		if (try_nowhere(t, c) || try_short(t, c) || try_splits(t, c))
			return -1;
	return 0;
}
