// SPDX-License-Identifier: GPL-2.0
/*
 * Test double: a subsystem that is built in, and needs its state early
 *
 * It takes part when the kernel is booted with mock_early.on=1. What came for it is
 * in its parameters: "early", asked for when the first initcalls ran, and "booted",
 * given to its boot callback. It hands over "generation", which is one more than
 * what came. "too_early" has the errno that it gets when it registers before there
 * are initcalls.
 */

#include <linux/init.h>
#include <linux/liveupdate.h>
#include <linux/moduleparam.h>

static bool on;
module_param(on, bool, 0400);

static unsigned long early;
module_param(early, ulong, 0400);

static unsigned long booted;
module_param(booted, ulong, 0400);

static unsigned long generation = 1;
module_param(generation, ulong, 0400);

static int too_early;
module_param(too_early, int, 0400);

static int mock_prepare(struct liveupdate_subsystem_args *args)
{
	args->data = generation;
	return 0;
}

static int mock_boot(struct liveupdate_subsystem_args *args)
{
	booted = args->data;
	generation = args->data + 1;
	return 0;
}

static const struct liveupdate_subsystem_ops mock_ops = {
	.prepare	= mock_prepare,
	.boot		= mock_boot,
};

static struct liveupdate_subsystem mock = {
	.ops = &mock_ops,
	.name = "mock-early",
};

/* A console is the first thing that drivers can be asked for */
static int __init mock_too_early(void)
{
	if (on)
		too_early = -liveupdate_register_subsystem(&mock);

	return 0;
}
console_initcall(mock_too_early);

static int __init mock_early_look(void)
{
	u64 data;

	if (on && !liveupdate_subsystem_get_data(&mock, &data))
		early = data;

	return 0;
}
core_initcall(mock_early_look);

static int __init mock_early_init(void)
{
	return on ? liveupdate_register_subsystem(&mock) : 0;
}
device_initcall(mock_early_init);
