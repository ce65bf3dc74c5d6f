// SPDX-License-Identifier: GPL-2.0
/*
 * Sample: a subsystem that takes part in live updates
 *
 * Its global state is a number: through how many updates it has come. The number
 * is the parameter "generation" in /sys/module/liveupdate_subsystem/parameters.
 */

#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/liveupdate.h>
#include <linux/mm.h>
#include <linux/module.h>

/* What crosses. A change of it takes a new name of the subsystem. */
struct sample_ser {
	u64 generation;
};

static unsigned long long generation;
module_param(generation, ullong, 0444);
MODULE_PARM_DESC(generation, "live updates that this module has come through");

/* Save what can be saved while all runs. A kexec can come at any time after. */
static int sample_prepare(struct liveupdate_subsystem_args *args)
{
	struct sample_ser *ser = kho_alloc_preserve(sizeof(*ser));

	if (IS_ERR(ser))
		return PTR_ERR(ser);

	args->data = virt_to_phys(ser);
	return 0;
}

/* The kexec did not take place, or the update was cancelled */
static void sample_cancel(struct liveupdate_subsystem_args *args)
{
	kho_unpreserve_free(phys_to_virt(args->data));
}

/* Save what changes until the end. Nothing to allocate, nothing to wait for. */
static int sample_freeze(struct liveupdate_subsystem_args *args)
{
	struct sample_ser *ser = phys_to_virt(args->data);

	ser->generation = generation + 1;
	return 0;
}

/*
 * In the next kernel. What is there was written by another kernel and is not to be
 * trusted: neither that the address is one, nor what is found at it.
 */
static int sample_boot(struct liveupdate_subsystem_args *args)
{
	struct folio *folio = kho_try_restore_folio(args->data, 0);
	const struct sample_ser *ser;
	int err = 0;

	if (!folio)
		return -EUCLEAN;

	ser = folio_address(folio);
	if (ser->generation)
		generation = ser->generation;
	else
		err = -EUCLEAN;

	/* It is ours now, as if we had allocated it */
	folio_put(folio);
	return err;
}

static const struct liveupdate_subsystem_ops sample_ops = {
	.prepare	= sample_prepare,
	.freeze		= sample_freeze,
	.cancel		= sample_cancel,
	.boot		= sample_boot,
	.owner		= THIS_MODULE,
};

static struct liveupdate_subsystem sample = {
	.ops = &sample_ops,
	.name = "sample-subsystem-v1",
};

static int __init sample_init(void)
{
	return liveupdate_register_subsystem(&sample);
}
module_init(sample_init);

static void __exit sample_exit(void)
{
	liveupdate_unregister_subsystem(&sample);
}
module_exit(sample_exit);

MODULE_DESCRIPTION("Sample of a live update subsystem");
MODULE_LICENSE("GPL");
