// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's test double: subsystems, FLBs and files that do what they are told.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "luo_lib.h"

#define MODULE		"liveupdate_test"
#define MODULE_PATH	"/lib/modules/%s/kernel/kernel/liveupdate/tests/mock/" \
			MODULE ".ko"

/* @rules are in force before anything is called */
int mock_load(const char *rules)
{
	char path[256], parameters[512];
	struct utsname name;
	int fd, err;

	uname(&name);
	snprintf(path, sizeof(path), MODULE_PATH, name.release);
	snprintf(parameters, sizeof(parameters), "steer=\"%s\"", rules);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = syscall(SYS_finit_module, fd, parameters, 0) ? -errno : 0;
	close(fd);
	return err;
}

int mock_unload(void)
{
	return syscall(SYS_delete_module, MODULE, O_NONBLOCK) ? -errno : 0;
}

int mock_steer(const char *format, ...)
{
	char rules[512];
	va_list args;

	va_start(args, format);
	vsnprintf(rules, sizeof(rules), format, args);
	va_end(args);
	return text_write(MOCK_DIR "steer", rules);
}

/* What was called since the last time, "OP WHO; OP WHO; ..." */
int mock_log(char *buf, size_t size)
{
	char *lines = malloc(size);
	size_t length = 0;
	char *line, *rest = lines;
	int err;

	if (!lines)
		return -ENOMEM;
	err = text_read(MOCK_DIR "log", lines, size);
	*buf = '\0';
	while (!err && (line = strsep(&rest, "\n")) && length < size)
		length += snprintf(buf + length, size - length, "%s%s",
				   length ? "; " : "", line);
	free(lines);
	return err ?: text_write(MOCK_DIR "log", "clear");
}

int mock_set(const char *name, uint64_t value)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), MOCK_DIR "%s", name);
	snprintf(text, sizeof(text), "%lu", value);
	return text_write(path, text);
}

/* A subsystem's number, an FLB's count, or an error */
int64_t mock_get(const char *name)
{
	char path[128], text[32];
	int err;

	snprintf(path, sizeof(path), MOCK_DIR "%s", name);
	err = text_read(path, text, sizeof(text));
	return err ?: strtoll(text, NULL, 10);
}

int mock_file(const char *name)
{
	int fd = open(MOCK_DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (write(fd, name, strlen(name)) == (ssize_t)strlen(name))
		return fd;
	close(fd);
	return -EIO;
}

/* 0 if it is the file of that name */
int mock_file_is(int fd, const char *name)
{
	char text[64] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return -errno;
	return strcmp(text, name) ? -EILSEQ : 0;
}
