// SPDX-License-Identifier: GPL-2.0
/*
 * Test double of the Live Update Orchestrator
 *
 * A module with three subsystems, two FLBs and one type of files, which do what a
 * test wants, in /sys/kernel/debug/liveupdate-test. There is no hook for it in the
 * orchestrator: it uses what any driver can.
 */

#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

#include "mock.h"

static char *steer = "";
module_param(steer, charp, 0400);
MODULE_PARM_DESC(steer, "rules that are in force from the beginning, see mock_steer.c");

static struct dentry *dir;

static int __init mock_init(void)
{
	int err;

	err = mock_steer(steer);
	if (err)
		goto clear;

	dir = debugfs_create_dir("liveupdate-test", NULL);
	mock_steer_register(dir);
	err = mock_files_register(dir);
	if (err)
		goto remove;

	mock_subsystems_register(dir);
	return 0;

remove:
	debugfs_remove(dir);
clear:
	mock_steer_clear();
	return err;
}
module_init(mock_init);

static void __exit mock_exit(void)
{
	mock_subsystems_unregister();
	mock_files_unregister();
	debugfs_remove(dir);
	mock_steer_clear();
}
module_exit(mock_exit);

MODULE_ALIAS("liveupdate:mock-file-v1");
MODULE_DESCRIPTION("Test double of the Live Update Orchestrator");
MODULE_LICENSE("GPL");
