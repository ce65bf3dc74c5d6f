// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the next kernel's command line may say.
 *
 * Some parameters name an address, and whoever obeys takes, reads or hides the memory
 * there, without asking whether it is somebody's. For memory that is handed over that
 * is too early to be found out: the next kernel obeys before it knows what is
 * preserved. So who loads a kernel is told, while there still is one to go back to.
 *
 * Parameters are read as the kernel reads them, see parse_args() and each parameter's
 * own parser; what these ignore is ignored. Nothing in here depends on the running
 * kernel, but for what struct kho_memory is asked.
 */

#define pr_fmt(fmt) "KHO: " fmt

#include <linux/array_size.h>
#include <linux/cleanup.h>
#include <linux/errno.h>
#include <linux/kstrtox.h>
#include <linux/math64.h>
#include <linux/moduleparam.h>
#include <linux/overflow.h>
#include <linux/printk.h>
#include <linux/range.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>

#include "kho_load.h"

/* The type of memory in "memmap=SIZE%START-FROM+TO" */
#define TYPE_RAM	1

/* Far more than fit into a command line that has anything else to say */
#define MAX_KEPT	64

struct cmdline {
	const struct kho_memory *memory;
	/* The parameter that is looked at */
	const char *name;
	/* The only memory that is left by memmap=exactmap */
	bool exact;
	struct range kept[MAX_KEPT];
	unsigned int nr_kept;
	/* Two parameters that belong together */
	u64 ramoops_start, ramoops_size;
};

/* Parameters give sizes; one that is too large goes on to the end */
static u64 range_last(u64 start, u64 size)
{
	u64 end;

	return check_add_overflow(start, size - 1, &end) ? U64_MAX : end;
}

/* The next kernel does not see that */
static int cmdline_hide(const struct cmdline *line, u64 start, u64 size)
{
	u64 last = range_last(start, size);

	if (!size || !line->memory->any(start, last))
		return 0;

	pr_err("not loaded: %s= hides memory of this kernel from the next one, in %#llx-%#llx\n",
	       line->name, start, last);
	return -EINVAL;
}

/* The next kernel uses that for something */
static int cmdline_take(const struct cmdline *line, u64 start, u64 size)
{
	u64 last = range_last(start, size);

	if (!size || !line->memory->any(start, last) ||
	    line->memory->unpreserved(start, last))
		return 0;

	pr_err("not loaded: %s= uses memory that may be preserved, in %#llx-%#llx\n",
	       line->name, start, last);
	return -EINVAL;
}

static int cmdline_mem(struct cmdline *line, char *value)
{
	u64 size = memparse(value, NULL);

	return size ? cmdline_hide(line, size, U64_MAX) : 0;
}

static int memmap_keep(struct cmdline *line, u64 start, u64 size)
{
	if (!line->exact || !size)
		return 0;

	if (line->nr_kept == MAX_KEPT) {
		pr_err("not loaded: memmap= names more than %d ranges\n",
		       MAX_KEPT);
		return -EINVAL;
	}

	line->kept[line->nr_kept++] = (struct range) {
		.start = start,
		.end = range_last(start, size),
	};
	return 0;
}

/* SIZE%START-FROM+TO: without TO the range is cut out; without FROM, of any type */
static int memmap_convert(struct cmdline *line, u64 size, char *rest)
{
	u64 start = memparse(rest, &rest);
	u64 from = 0, to = 0;

	if (*rest == '-')
		from = memparse(rest + 1, &rest);
	if (*rest == '+')
		to = memparse(rest + 1, &rest);

	if (*rest || to == TYPE_RAM || (from && from != TYPE_RAM))
		return 0;

	return cmdline_hide(line, start, size);
}

static int memmap_one(struct cmdline *line, char *value)
{
	char *rest;
	u64 size;

	if (strstarts(value, "exactmap")) {
		line->exact = true;
		line->nr_kept = 0;
		return 0;
	}

	size = memparse(value, &rest);
	if (rest == value)
		return 0;

	switch (*rest) {
	case '@':
		return memmap_keep(line, memparse(rest + 1, NULL), size);
	case '#':
	case '$':
	case '!':
		return cmdline_hide(line, memparse(rest + 1, NULL), size);
	case '%':
		return memmap_convert(line, size, rest + 1);
	default:
		return cmdline_hide(line, size, U64_MAX);
	}
}

static int cmdline_memmap(struct cmdline *line, char *value)
{
	char *one;
	int err = 0;

	while (!err && (one = strsep(&value, ",")))
		err = memmap_one(line, one);

	return err;
}

/* START,SIZE */
static int cmdline_initrd(struct cmdline *line, char *value)
{
	u64 start = memparse(value, &value);

	if (*value != ',')
		return 0;

	return cmdline_take(line, start, memparse(value + 1, NULL));
}

static int cmdline_ramoops_start(struct cmdline *line, char *value)
{
	unsigned long long start;

	if (!kstrtoull(value, 0, &start))
		line->ramoops_start = start;
	return 0;
}

static int cmdline_ramoops_size(struct cmdline *line, char *value)
{
	unsigned long long size;

	if (!kstrtoull(value, 0, &size))
		line->ramoops_size = size;
	return 0;
}

/* NAME^FLAGS@START:SIZE,EVENTS, or the name of a reserve_mem= area, which is found */
static int cmdline_trace_instance(struct cmdline *line, char *value)
{
	char *at = strchr(strsep(&value, ","), '@');
	u64 start;

	if (!at)
		return 0;

	start = memparse(at + 1, &at);
	if (!start || *at != ':')
		return 0;

	return cmdline_take(line, start, memparse(at + 1, NULL));
}

/* SIZE, or FROM-TO:SIZE,..., of which any may be the one that counts */
static u64 crashkernel_size(const char *value)
{
	const char *colon = strchr(value, ':');
	u64 size = colon ? 0 : memparse(value, NULL);

	for (; colon; colon = strchr(colon + 1, ':'))
		size = max(size, memparse(colon + 1, NULL));

	return size;
}

/* What is preserved goes first, and the next kernel does without a crash kernel */
static void crashkernel_look_for_room(const struct cmdline *line, u64 size)
{
	if (!size || size <= line->memory->room(line->memory))
		return;

	pr_warn("%s=: no %llu MiB in one piece are left beside what is preserved, the next kernel may have no crash kernel\n",
		line->name, DIV_ROUND_UP_ULL(size, SZ_1M));
}

/* With @START behind it, it is there or nowhere */
static int cmdline_crashkernel(struct cmdline *line, char *value)
{
	char *at = strchrnul(value, '@');
	u64 start = *at ? memparse(at + 1, NULL) : 0;
	u64 size;

	*at = '\0';
	size = crashkernel_size(value);
	if (start)
		return cmdline_take(line, start, size);

	crashkernel_look_for_room(line, size);
	return 0;
}

/* SIZE@START; with an end as well, it is looked for in between */
static int cmdline_cma(struct cmdline *line, char *value)
{
	u64 size = memparse(value, &value), start;

	if (*value != '@')
		return 0;

	start = memparse(value + 1, &value);
	return start && *value != '-' ? cmdline_take(line, start, size) : 0;
}

/* By that a kernel knows that it is there to save what is left of one that crashed */
static int cmdline_elfcorehdr(struct cmdline *line, char *value)
{
	pr_err("not loaded: a kernel with elfcorehdr= takes nothing over\n");
	return -EINVAL;
}

static const struct {
	const char *name;
	int (*check)(struct cmdline *line, char *value);
} parameters[] = {
	{ "cma",			cmdline_cma },
	{ "crashkernel",		cmdline_crashkernel },
	{ "elfcorehdr",			cmdline_elfcorehdr },
	{ "initrd",			cmdline_initrd },
	{ "initrdmem",			cmdline_initrd },
	{ "mem",			cmdline_mem },
	{ "memmap",			cmdline_memmap },
	{ "ramoops.mem_address",	cmdline_ramoops_start },
	{ "ramoops.mem_size",		cmdline_ramoops_size },
	{ "trace_instance",		cmdline_trace_instance },
};

static int cmdline_parameter(struct cmdline *line, const char *name, char *value)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(parameters); i++) {
		if (parameq(name, parameters[i].name)) {
			line->name = parameters[i].name;
			return parameters[i].check(line, value);
		}
	}

	return 0;
}

static int range_compare(const void *a, const void *b)
{
	const struct range *left = a, *right = b;

	return cmp_int(left->start, right->start);
}

/* With memmap=exactmap, all is hidden that is between the ranges which are named */
static int cmdline_hidden_between(struct cmdline *line)
{
	u64 from = 0;
	int err;

	line->name = "memmap";
	sort(line->kept, line->nr_kept, sizeof(line->kept[0]), range_compare,
	     NULL);
	for (unsigned int i = 0; i < line->nr_kept; i++) {
		if (line->kept[i].start > from) {
			err = cmdline_hide(line, from,
					   line->kept[i].start - from);
			if (err)
				return err;
		}
		if (line->kept[i].end == U64_MAX)
			return 0;
		from = max(from, line->kept[i].end + 1);
	}

	return cmdline_hide(line, from, U64_MAX);
}

static int cmdline_whole(struct cmdline *line)
{
	int err = line->exact ? cmdline_hidden_between(line) : 0;

	/* Without an address it is found by another parameter, by name */
	if (err || !line->ramoops_start)
		return err;

	line->name = "ramoops.mem_address";
	return cmdline_take(line, line->ramoops_start, line->ramoops_size);
}

/**
 * kho_cmdline_check - see whether a command line leaves preserved memory alone
 * @text: the next kernel's command line, which is cut to pieces
 * @memory: what is known of this kernel's memory
 *
 * The first parameter that does not is told in the log; so is a crash kernel that finds
 * no room.
 *
 * Context: Process context.
 * Return: 0, -EINVAL when a parameter hides memory of this kernel or uses memory that
 * may be preserved, or -ENOMEM.
 */
int kho_cmdline_check(char *text, const struct kho_memory *memory)
{
	struct cmdline *line __free(kfree) = kzalloc_obj(*line);
	char *name, *value;
	int err = 0;

	if (!line)
		return -ENOMEM;

	line->memory = memory;
	text = skip_spaces(text);
	while (!err && *text) {
		text = next_arg(text, &name, &value);
		if (!value && !strcmp(name, "--"))
			break;
		if (value)
			err = cmdline_parameter(line, name, value);
	}

	return err ?: cmdline_whole(line);
}
