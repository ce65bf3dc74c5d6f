// SPDX-License-Identifier: GPL-2.0
/*
 * Test double: two objects that all mock files share
 *
 * Each counts the files that were preserved with it. Its files of debugfs, with
 * "-outgoing" and "-incoming" behind its name, have the count, or the error with
 * which the object cannot be had: reading the latter has it retrieved.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/io.h>
#include <linux/liveupdate.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/sprintf.h>

#include "mock.h"

static int mock_preserve(struct liveupdate_flb_op_args *args)
{
	struct mock_ser *ser;
	int err;

	err = mock_called("preserve", args->flb->compatible);
	if (err)
		return err;

	ser = mock_ser_alloc(args->flb->compatible, 0);
	if (IS_ERR(ser))
		return PTR_ERR(ser);

	args->data = virt_to_phys(ser);
	args->obj = ser;
	return 0;
}

static void mock_unpreserve(struct liveupdate_flb_op_args *args)
{
	mock_called("unpreserve", args->flb->compatible);
	mock_ser_free(args->obj);
}

static int mock_retrieve(struct liveupdate_flb_op_args *args)
{
	int err;

	err = mock_called("retrieve", args->flb->compatible);
	if (err)
		return err;

	args->obj = mock_ser_take(args->data);
	return args->obj ? 0 : -EUCLEAN;
}

static void mock_finish(struct liveupdate_flb_op_args *args)
{
	mock_called("finish", args->flb->compatible);
	mock_ser_put(args->obj);
}

static const struct liveupdate_flb_ops mock_ops = {
	.preserve	= mock_preserve,
	.unpreserve	= mock_unpreserve,
	.retrieve	= mock_retrieve,
	.finish		= mock_finish,
	.owner		= THIS_MODULE,
};

static struct liveupdate_flb mocks[] = {
	{ .ops = &mock_ops, .compatible = "mock-x" },
	{ .ops = &mock_ops, .compatible = "mock-y" },
};

static int add_file(struct liveupdate_flb *flb, int change)
{
	struct mock_ser *ser;
	void *obj;
	int err;

	err = liveupdate_flb_get_outgoing(flb, &obj);
	if (err)
		return err;

	ser = obj;
	__atomic_fetch_add(&ser->value, change, __ATOMIC_RELAXED);
	liveupdate_flb_put_outgoing(flb);
	return 0;
}

/**
 * mock_flbs_add_file - count a file in all outgoing objects
 * @change: 1 or -1
 *
 * Return: 0, or what liveupdate_flb_get_outgoing() fails with.
 */
int mock_flbs_add_file(int change)
{
	return add_file(&mocks[0], change) ?: add_file(&mocks[1], change);
}

static void show_count(struct seq_file *m, int err, const struct mock_ser *ser)
{
	if (err)
		seq_printf(m, "%d\n", err);
	else
		seq_printf(m, "%llu\n", ser->value);
}

static int outgoing_show(struct seq_file *m, void *unused)
{
	void *obj = NULL;
	int err;

	err = liveupdate_flb_get_outgoing(m->private, &obj);
	show_count(m, err, obj);
	if (!err)
		liveupdate_flb_put_outgoing(m->private);

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(outgoing);

static int incoming_show(struct seq_file *m, void *unused)
{
	void *obj = NULL;
	int err;

	err = liveupdate_flb_get_incoming(m->private, &obj);
	show_count(m, err, obj);
	if (!err)
		liveupdate_flb_put_incoming(m->private);

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(incoming);

/**
 * mock_flbs_register - have mock files need them all
 * @handler: of mock files
 * @dir:     for their files of debugfs
 *
 * They go with the handler.
 */
void mock_flbs_register(struct liveupdate_file_handler *handler,
			struct dentry *dir)
{
	struct liveupdate_flb *flb;
	char name[MOCK_NAME_LENGTH];
	int err;

	for (flb = mocks; flb < mocks + ARRAY_SIZE(mocks); flb++) {
		err = liveupdate_register_flb(handler, flb);
		if (err)
			pr_info("%s is not registered: %pe\n", flb->compatible,
				ERR_PTR(err));
		snprintf(name, sizeof(name), "%s-outgoing", flb->compatible);
		debugfs_create_file(name, 0400, dir, flb, &outgoing_fops);
		snprintf(name, sizeof(name), "%s-incoming", flb->compatible);
		debugfs_create_file(name, 0400, dir, flb, &incoming_fops);
	}
}
