// SPDX-License-Identifier: GPL-2.0
/*
 * Test double: three subsystems
 *
 * mock-b depends on mock-a, and mock-c on both. Each has a number, in its file of
 * debugfs, which goes from kernel to kernel.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/liveupdate.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/sprintf.h>

#include "mock.h"

/**
 * struct mock_subsystem - a mock subsystem
 * @subsystem: as the orchestrator knows it
 * @value:     its number
 * @came:      what came for it, until it is finished
 * @here:      it is registered
 */
struct mock_subsystem {
	struct liveupdate_subsystem subsystem;
	u64 value;
	struct mock_ser *came;
	bool here;
};

static struct mock_subsystem *mock_of(struct liveupdate_subsystem_args *args)
{
	return container_of(args->subsystem, struct mock_subsystem, subsystem);
}

static int mock_prepare(struct liveupdate_subsystem_args *args)
{
	const char *name = args->subsystem->name;
	struct mock_ser *ser;
	int err;

	err = mock_called("prepare", name);
	if (err)
		return err;

	ser = mock_ser_alloc(name, 0);
	if (IS_ERR(ser))
		return PTR_ERR(ser);

	args->data = virt_to_phys(ser);
	return 0;
}

/* The number can change until now */
static int mock_freeze(struct liveupdate_subsystem_args *args)
{
	struct mock_ser *ser = phys_to_virt(args->data);
	int err;

	err = mock_called("freeze", args->subsystem->name);
	if (!err)
		ser->value = mock_of(args)->value;

	return err;
}

static void mock_unfreeze(struct liveupdate_subsystem_args *args)
{
	struct mock_ser *ser = phys_to_virt(args->data);

	mock_called("unfreeze", args->subsystem->name);
	ser->value = 0;
}

static void mock_cancel(struct liveupdate_subsystem_args *args)
{
	mock_called("cancel", args->subsystem->name);
	mock_ser_free(phys_to_virt(args->data));
}

static int mock_boot(struct liveupdate_subsystem_args *args)
{
	struct mock_subsystem *mock = mock_of(args);
	int err;

	err = mock_called("boot", args->subsystem->name);
	if (err)
		return err;

	mock->came = mock_ser_take(args->data);
	if (!mock->came)
		return -EUCLEAN;

	mock->value = mock->came->value;
	return 0;
}

static void mock_finish(struct liveupdate_subsystem_args *args)
{
	struct mock_subsystem *mock = mock_of(args);

	mock_called("finish", args->subsystem->name);
	mock_ser_put(mock->came);
	mock->came = NULL;
}

static const struct liveupdate_subsystem_ops mock_ops = {
	.prepare	= mock_prepare,
	.freeze		= mock_freeze,
	.unfreeze	= mock_unfreeze,
	.cancel		= mock_cancel,
	.boot		= mock_boot,
	.finish		= mock_finish,
	.owner		= THIS_MODULE,
};

static const char * const after_a[] = { "mock-a", NULL };
static const char * const after_a_b[] = { "mock-a", "mock-b", NULL };

static struct mock_subsystem mocks[] = {
	{ .subsystem = { .ops = &mock_ops, .name = "mock-a" } },
	{ .subsystem = { .ops = &mock_ops, .name = "mock-b", .after = after_a } },
	{ .subsystem = { .ops = &mock_ops, .name = "mock-c", .after = after_a_b } },
};

static void register_one(struct mock_subsystem *mock)
{
	int err;

	if (mock->here)
		return;

	err = liveupdate_register_subsystem(&mock->subsystem);
	if (err)
		pr_info("%s is not registered: %pe\n", mock->subsystem.name,
			ERR_PTR(err));
	mock->here = !err;
}

/* One that cannot be registered, as a test has its boot fail, is left out */
static void register_all(void)
{
	struct mock_subsystem *mock;

	for (mock = mocks; mock < mocks + ARRAY_SIZE(mocks); mock++)
		register_one(mock);
}

static ssize_t register_write(struct file *file, const char __user *from,
			      size_t size, loff_t *pos)
{
	register_all();
	return size;
}

static const struct file_operations register_fops = {
	.owner	= THIS_MODULE,
	.write	= register_write,
};

/* ---- Many more, so that the handover is large ---- */

#define MANY_MAX	1000

static struct liveupdate_subsystem *many;
static u64 nr_many;

static int many_prepare(struct liveupdate_subsystem_args *args)
{
	args->data = 1;
	return 0;
}

static const struct liveupdate_subsystem_ops many_ops = {
	.prepare	= many_prepare,
	.owner		= THIS_MODULE,
};

static int many_register(u64 nr)
{
	struct liveupdate_subsystem *subsystem = &many[nr];

	subsystem->ops = &many_ops;
	snprintf((char *)subsystem->name, sizeof(subsystem->name),
		 "mock-many-%llu", nr);
	return liveupdate_register_subsystem(subsystem);
}

/* Those that cannot be registered any more are left out */
static int many_set(void *data, u64 nr)
{
	int err = 0;

	if (many || nr > MANY_MAX)
		return -EINVAL;

	many = kzalloc_objs(*many, nr);
	if (!many)
		return -ENOMEM;

	while (!err && nr_many < nr) {
		err = many_register(nr_many);
		if (!err)
			nr_many++;
	}

	return err;
}
DEFINE_DEBUGFS_ATTRIBUTE(many_fops, NULL, many_set, "%llu\n");

/**
 * mock_subsystems_register - register them all
 * @dir: for their files of debugfs; writing to "register" tries again with those
 *       that could not be registered, and a number to "many" has as many more
 */
void mock_subsystems_register(struct dentry *dir)
{
	struct mock_subsystem *mock;

	register_all();
	for (mock = mocks; mock < mocks + ARRAY_SIZE(mocks); mock++)
		debugfs_create_u64(mock->subsystem.name, 0600, dir,
				   &mock->value);
	debugfs_create_file("register", 0200, dir, NULL, &register_fops);
	debugfs_create_file("many", 0200, dir, NULL, &many_fops);
}

/**
 * mock_subsystems_unregister - undo mock_subsystems_register()
 */
void mock_subsystems_unregister(void)
{
	struct mock_subsystem *mock = mocks + ARRAY_SIZE(mocks);

	while (nr_many)
		liveupdate_unregister_subsystem(&many[--nr_many]);
	kfree(many);
	while (mock-- > mocks) {
		if (mock->here)
			liveupdate_unregister_subsystem(&mock->subsystem);
	}
}
