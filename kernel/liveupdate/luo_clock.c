// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: how long the machine was away
 *
 * No clock of the kernel runs on from one kernel to the next, but the counter of
 * the CPU does, if it is not reset. The old kernel stamps the handover with it,
 * together with its rate.
 */

#include <linux/cpufeature.h>
#include <linux/math64.h>
#include <linux/sched/clock.h>
#include <linux/timex.h>

#include "luo_internal.h"

#ifdef CONFIG_X86_TSC
#include <asm/tsc.h>

/* In kHz, 0 when the counter is of no use */
static u64 counter_khz(void)
{
	return boot_cpu_has(X86_FEATURE_TSC) ? tsc_khz : 0;
}

static u64 counter_read(void)
{
	return rdtsc_ordered();
}
#else
static u64 counter_khz(void)
{
	return 0;
}

static u64 counter_read(void)
{
	return 0;
}
#endif

/**
 * luo_clock_stamp - stamp the handover with the time
 * @root: of the handover; its @reboot_at is set if it is 0, its @handover_at always
 */
void luo_clock_stamp(struct luo_root *root)
{
	root->counter_khz = counter_khz();
	root->handover_at = counter_read();
	if (!root->reboot_at)
		root->reboot_at = root->handover_at;
}

/* Microseconds between two stamps, 0 if they cannot be compared */
static u64 between(const struct luo_root *root, u64 from, u64 to)
{
	if (!root->counter_khz || !from || to < from)
		return 0;

	return mul_u64_u64_div_u64(to - from, USEC_PER_MSEC, root->counter_khz);
}

/*
 * No counter runs slower than at 1 MHz, or faster than at 100 GHz. With any other
 * rate, quotients of what the previous kernel tells need not fit into 64 bits.
 */
static bool is_rate(u64 khz)
{
	return khz >= 1000 && khz <= 100 * 1000 * 1000;
}

/**
 * luo_clock_start - note when this kernel began
 * @luo: the orchestrator, with the root of a handover
 *
 * The scheduler's clock counts from about then. A rate that is none is forgotten.
 *
 * Context: At boot, as early as can be.
 */
void luo_clock_start(struct luo *luo)
{
	struct luo_blackout *blackout = &luo->blackout;
	struct luo_root *root = &luo->root;
	u64 now = counter_read();
	u64 since_start;

	if (!is_rate(root->counter_khz)) {
		root->counter_khz = 0;
		return;
	}

	since_start = mul_u64_u64_div_u64(local_clock(), root->counter_khz,
					  NSEC_PER_MSEC);
	if (now < since_start)
		return;

	blackout->kernel_at = now - since_start;
	blackout->freeze_us = between(root, root->reboot_at, root->handover_at);
	blackout->kernel_us = between(root, root->reboot_at,
				      blackout->kernel_at);
}

/**
 * luo_clock_init - note that user space begins about now
 * @luo: the orchestrator
 */
void luo_clock_init(struct luo *luo)
{
	struct luo_blackout *blackout = &luo->blackout;

	blackout->init_at = counter_read();
	blackout->init_us = between(&luo->root, blackout->kernel_at,
				    blackout->init_at);
}

/**
 * luo_clock_retrieved - note that user space got something back
 * @luo: the orchestrator
 */
void luo_clock_retrieved(struct luo *luo)
{
	struct luo_blackout *blackout = &luo->blackout;

	WRITE_ONCE(blackout->retrieve_us, between(&luo->root, blackout->init_at,
						  counter_read()));
}
