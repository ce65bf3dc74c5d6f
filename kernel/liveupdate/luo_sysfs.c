// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: /sys/kernel/liveupdate, and uevents
 *
 * Documentation/ABI/testing/sysfs-kernel-liveupdate describes it.
 */

#include <linux/device.h>
#include <linux/kobject.h>
#include <linux/math64.h>
#include <linux/slab.h>
#include <linux/sprintf.h>
#include <linux/sysfs.h>

#include "luo_internal.h"

/**
 * struct luo_attribute - a file of the folder
 * @attr: as sysfs knows it
 * @luo:  whose it is
 * @show: writes its content
 */
struct luo_attribute {
	struct kobj_attribute attr;
	struct luo *luo;
	ssize_t (*show)(struct luo *luo, char *buf);
};

static ssize_t show_state(struct luo *luo, char *buf)
{
	return sysfs_emit(buf, "%s\n", luo_state_name(READ_ONCE(luo->state)));
}

static ssize_t show_number(struct luo *luo, char *buf)
{
	return sysfs_emit(buf, "%llu\n", luo->number);
}

static ssize_t show_previous_release(struct luo *luo, char *buf)
{
	return sysfs_emit(buf, "%s\n", luo->root.release);
}

static ssize_t show_sessions(struct luo *luo, char *buf,
			     enum liveupdate_direction direction)
{
	u64 sessions, files;

	luo_sessions_count(luo, direction, &sessions, &files);
	return sysfs_emit(buf, "%llu %llu\n", sessions, files);
}

static ssize_t show_outgoing(struct luo *luo, char *buf)
{
	return show_sessions(luo, buf, LIVEUPDATE_OUTGOING);
}

static ssize_t show_incoming(struct luo *luo, char *buf)
{
	return show_sessions(luo, buf, LIVEUPDATE_INCOMING);
}

static ssize_t show_quarantined(struct luo *luo, char *buf)
{
	return sysfs_emit(buf, "%llu\n", READ_ONCE(luo->quarantine.count));
}

static ssize_t show_quarantine(struct luo *luo, char *buf)
{
	return luo_quarantine_show(luo, buf);
}

static ssize_t show_last_failure(struct luo *luo, char *buf)
{
	const struct luo_failure *failure = &luo->failure;

	guard(spinlock)(&luo->failure.lock);
	if (!failure->err)
		return sysfs_emit(buf, "none\n");

	return sysfs_emit(buf, "%d %s %s\n", -failure->err,
			  luo_phase_name(failure->phase), failure->who);
}

static ssize_t show_last_rehearsal(struct luo *luo, char *buf)
{
	return luo_rehearsals_show(&luo->rehearsals, buf);
}

static ssize_t show_timings(struct luo *luo, char *buf)
{
	unsigned int phase;
	int len = 0;
	u64 ns;

	/* While a transition is under way, it is what is done by now */
	for (phase = 1; phase < ARRAY_SIZE(luo->phase_ns); phase++) {
		ns = READ_ONCE(luo->phase_ns[phase]);
		if (ns)
			len += sysfs_emit_at(buf, len, "%s %llu\n",
					     luo_phase_name(phase),
					     div_u64(ns, NSEC_PER_USEC));
	}

	return len;
}

static ssize_t show_blackout(struct luo *luo, char *buf)
{
	const struct luo_blackout *blackout = &luo->blackout;

	return sysfs_emit(buf,
			  "freeze %llu\nkernel %llu\ninit %llu\nretrieve %llu\n",
			  blackout->freeze_us, blackout->kernel_us,
			  blackout->init_us, READ_ONCE(blackout->retrieve_us));
}

static ssize_t show(struct kobject *kobj, struct kobj_attribute *attr,
		    char *buf)
{
	struct luo_attribute *attribute =
		container_of(attr, struct luo_attribute, attr);

	return attribute->show(attribute->luo, buf);
}

#define LUO_ATTRIBUTE(_name)						\
	{								\
		.attr = __ATTR(_name, 0444, show, NULL),		\
		.show = show_##_name,					\
	}

/* The first one is notified of changes. @luo is filled in once, at boot. */
static struct luo_attribute attributes[] __ro_after_init = {
	LUO_ATTRIBUTE(state),
	LUO_ATTRIBUTE(number),
	LUO_ATTRIBUTE(previous_release),
	LUO_ATTRIBUTE(outgoing),
	LUO_ATTRIBUTE(incoming),
	LUO_ATTRIBUTE(quarantined),
	LUO_ATTRIBUTE(quarantine),
	LUO_ATTRIBUTE(last_failure),
	LUO_ATTRIBUTE(last_rehearsal),
	LUO_ATTRIBUTE(timings),
	LUO_ATTRIBUTE(blackout),
};

/**
 * luo_sysfs_register - make the folder
 * @luo: the orchestrator
 *
 * Context: Process context, at boot.
 * Return: 0, -ENOMEM, or what sysfs_create_file() fails with.
 */
int __init luo_sysfs_register(struct luo *luo)
{
	unsigned int i;
	int err;

	luo->kobj = kobject_create_and_add("liveupdate", kernel_kobj);
	if (!luo->kobj)
		return -ENOMEM;

	for (i = 0; i < ARRAY_SIZE(attributes); i++) {
		attributes[i].luo = luo;
		sysfs_attr_init(&attributes[i].attr.attr);
		err = sysfs_create_file(luo->kobj, &attributes[i].attr.attr);
		if (err) {
			kobject_put(luo->kobj);
			luo->kobj = NULL;
			return err;
		}
	}

	return 0;
}

/**
 * luo_sysfs_changed - tell user space that the state has changed
 * @luo: the orchestrator
 *
 * Context: Process context. What cannot be told for want of memory is not.
 */
void luo_sysfs_changed(struct luo *luo)
{
	struct device *dev = luo->chardev.misc.this_device;
	char *env[2] = {};

	if (!luo->kobj)
		return;

	sysfs_notify(luo->kobj, NULL, "state");
	if (!dev)
		return;

	env[0] = kasprintf(GFP_KERNEL, "LIVEUPDATE_STATE=%s",
			   luo_state_name(luo->state));
	if (env[0])
		kobject_uevent_env(&dev->kobj, KOBJ_CHANGE, env);
	kfree(env[0]);
}
