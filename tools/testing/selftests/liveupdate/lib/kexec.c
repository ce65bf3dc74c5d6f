// SPDX-License-Identifier: GPL-2.0-only
/*
 * From one kernel to the next.
 */
#include <errno.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "luo_lib.h"

/* Runs load-kernel, which is argv[0], with its arguments: see scripts/guest */
int kexec_load(char **argv)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = vfork();
	if (!pid) {
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -errno;
	return status ? -ENOEXEC : 0;
}

/* Returns only when it failed */
int kexec_jump(void)
{
	return syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
		       LINUX_REBOOT_CMD_KEXEC, NULL) ? -errno : 0;
}
