// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel tells of a live update besides the device: sysfs, uevents,
 * the log, traces and debugfs.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "luo_lib.h"

#define SYSFS	"/sys/kernel/liveupdate/"
#define DEBUGFS	"/sys/kernel/debug/liveupdate/"
#define TRACING	"/sys/kernel/tracing/"

asm(".pushsection .rodata\n"
	".globl sysfs_abi\n"
	"sysfs_abi: .incbin \"" ABI_FILE "\"\n"
	".byte 0\n"
	".popsection\n");

/* All of a file that is made while it is read, which takes more than one read */
static int text_read_all(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, buf + len, size - 1 - len)) > 0)
		len += n;
	buf[len] = '\0';
	n = n < 0 ? -errno : len == size - 1 ? -E2BIG : 0;
	close(fd);
	return n;
}

/* Content of a file in sysfs, without its last newline */
int sysfs_read(const char *name, char *buf, size_t size)
{
	char path[128];

	snprintf(path, sizeof(path), SYSFS "%s", name);
	return text_read(path, buf, size);
}

bool sysfs_says(const char *name, const char *text)
{
	char is[256];

	return !sysfs_read(name, is, sizeof(is)) && !strcmp(is, text);
}

/* The number on a line of a file in sysfs that begins with @key, or a negative errno */
long long sysfs_number(const char *name, const char *key)
{
	char text[1024], *line, *rest = text;
	size_t len = strlen(key);
	int err = sysfs_read(name, text, sizeof(text));

	if (err)
		return err;
	while ((line = strsep(&rest, "\n"))) {
		if (!strncmp(line, key, len) && line[len] == ' ')
			return strtoll(line + len + 1, NULL, 10);
	}
	return -ENOENT;
}

/* What debugfs lists: @direction is "outgoing" or "incoming" */
int debugfs_read(const char *direction, char *buf, size_t size)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS "%s", direction);
	return text_read_all(path, buf, size);
}

/* A socket that gets all uevents from now on */
int uevent_open(void)
{
	struct sockaddr_nl all = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			NETLINK_KOBJECT_UEVENT);

	if (fd < 0)
		return -errno;
	return bind(fd, (struct sockaddr *)&all, sizeof(all)) ? -errno : fd;
}

static const char *uevent_value(const char *text, size_t len, const char *key)
{
	const char *end = text + len;
	size_t key_len = strlen(key);

	for (; text < end; text += strlen(text) + 1) {
		if (!strncmp(text, key, key_len) && text[key_len] == '=')
			return text + key_len + 1;
	}
	return "";
}

/*
 * The next uevent of live update: "ACTION DEVPATH SUBSYSTEM LIVEUPDATE_STATE".
 * -EAGAIN when there is none: they come before the call that causes them returns.
 */
int uevent_next(int fd, char *buf, size_t size)
{
	char text[4096];
	ssize_t len;

	do {
		len = recv(fd, text, sizeof(text) - 1, 0);
		if (len < 0)
			return -errno;
		text[len] = '\0';
	} while (!strstr(text, "liveupdate"));

	snprintf(buf, size, "%s %s %s %s", uevent_value(text, len, "ACTION"),
		 uevent_value(text, len, "DEVPATH"),
		 uevent_value(text, len, "SUBSYSTEM"),
		 uevent_value(text, len, "LIVEUPDATE_STATE"));
	return 0;
}

/* The kernel's log, from now on */
int kmsg_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	return lseek(fd, 0, SEEK_END) < 0 ? -errno : fd;
}

/*
 * The next line that live update has logged, "LEVEL TEXT", -EAGAIN when there
 * is none.
 */
int kmsg_next(int fd, char *buf, size_t size)
{
	char record[2048], *text;
	ssize_t len;

	do {
		len = read(fd, record, sizeof(record) - 1);
		if (len < 0)
			return -errno;
		record[len] = '\0';
		text = strchr(record, ';');
	} while (!text || strncmp(text + 1, "liveupdate: ", 12));

	text[strcspn(text, "\n")] = '\0';
	snprintf(buf, size, "%d %s", atoi(record) & 7, text + 13);
	return 0;
}

/* Opening it is what empties it */
static int trace_empty(void)
{
	int fd = open(TRACING "trace", O_WRONLY | O_TRUNC | O_CLOEXEC);

	return fd < 0 ? -errno : close(fd);
}

/* Live update's tracepoints, and nothing else, go into an empty trace from now on */
int trace_start(void)
{
	return text_write(TRACING "events/enable", "0") ?:
	       trace_empty() ?:
	       text_write(TRACING "events/liveupdate/enable", "1") ?:
	       text_write(TRACING "tracing_on", "1");
}

/* "liveupdate_state: from=1 to=2", without who, where and when */
static void copy_event(char *to, size_t size, const char *line)
{
	const char *event = strstr(line, ": liveupdate_");
	char *duration, *end;

	snprintf(to, size, "%s", event ? event + 2 : line);
	duration = strstr(to, "duration=");
	if (!duration || strtoull(duration + 9, &end, 10) == 0)
		return;
	/* Some time is all that can be known of it */
	duration[9] = 'N';
	memmove(duration + 10, end, strlen(end) + 1);
}

/* Stops the trace: its events, one a line. A duration that is not 0 is N. */
int trace_stop(char *buf, size_t size)
{
	static char text[256 * KIB];
	char *line, *rest = text;
	size_t len = 0;
	int err;

	err = text_write(TRACING "events/liveupdate/enable", "0") ?:
	      text_read_all(TRACING "trace", text, sizeof(text));
	if (err)
		return err;

	*buf = '\0';
	while ((line = strsep(&rest, "\n")) && len < size) {
		if (!*line || *line == '#')
			continue;
		copy_event(buf + len, size - len, line);
		len += strlen(buf + len);
		len += snprintf(buf + len, size - len, "\n");
	}
	return len < size ? 0 : -E2BIG;
}

static const char *const states[] = {
	"undefined", "normal", "prepared", "frozen", "updated",
};

static const char *const phases[] = {
	"none", "prepare", "carry", "freeze", "handover", "unfreeze", "cancel",
	"boot", "retrieve", "finish",
};

static const char *name_in(const char *const *names, size_t nr, unsigned int i)
{
	return i < nr ? names[i] : "invalid";
}

static bool sysfs_says_numbers(const char *name, uint64_t a, uint64_t b)
{
	char text[64];

	snprintf(text, sizeof(text), "%llu %llu", (unsigned long long)a,
		 (unsigned long long)b);
	return sysfs_says(name, text);
}

static bool sysfs_says_number(const char *name, uint64_t number)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	return sysfs_says(name, text);
}

static bool sysfs_says_failure(const struct liveupdate_ioctl_get_info *info)
{
	char text[256];

	if (!info->last_errno)
		return sysfs_says("last_failure", "none");

	snprintf(text, sizeof(text), "%u %s %s", info->last_errno,
		 name_in(phases, ARRAY_SIZE(phases), info->last_phase),
		 (const char *)info->last_participant);
	return sysfs_says("last_failure", text);
}

/* What sysfs tells and the device tells otherwise, or NULL */
const char *sysfs_differs(const struct liveupdate_ioctl_get_info *info)
{
	if (!sysfs_says("state", name_in(states, ARRAY_SIZE(states),
					 info->state)))
		return "state";
	if (!sysfs_says_number("number", info->number))
		return "number";
	if (!sysfs_says_numbers("outgoing", info->outgoing_sessions,
				info->outgoing_files))
		return "outgoing";
	if (!sysfs_says_numbers("incoming", info->incoming_sessions,
				info->incoming_files))
		return "incoming";
	if (!sysfs_says_number("quarantined", info->quarantined))
		return "quarantined";
	return sysfs_says_failure(info) ? NULL : "last_failure";
}
