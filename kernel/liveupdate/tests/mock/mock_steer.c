// SPDX-License-Identifier: GPL-2.0
/*
 * Test double: who was called, and what a call has to do
 *
 * In the module's folder of debugfs, "log" has one line per call, "OP WHO", in the
 * order in which the calls began; writing anything empties it. To "steer" one
 * writes rules, separated by newlines or semicolons:
 *
 *   WHO OP fail ERRNO	the call fails
 *   WHO OP sleep MS	it takes that long, and is not interrupted by signals
 *   clear		no rule is in force any more
 *
 * A rule is in force until it is cleared. A call that cannot fail only sleeps.
 */

#include <linux/cleanup.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/sprintf.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "mock.h"

#define LOG_SIZE	SZ_64K
#define RULES_SIZE	1024

/**
 * struct rule - what a call has to do
 * @list: in steer.rules
 * @who:  of the participant
 * @op:   of the call
 * @err:  it fails with, or 0
 * @ms:   it takes
 */
struct rule {
	struct list_head list;
	char who[MOCK_NAME_LENGTH];
	char op[MOCK_NAME_LENGTH];
	int err;
	unsigned int ms;
};

static struct {
	/* protects all else */
	struct mutex lock;
	struct list_head rules;
	char log[LOG_SIZE];
	size_t length;
} steer = {
	.lock = __MUTEX_INITIALIZER(steer.lock),
	.rules = LIST_HEAD_INIT(steer.rules),
};

/* A copy, as the rule can be cleared while the call sleeps */
static struct rule note(const char *op, const char *who)
{
	struct rule *rule;

	guard(mutex)(&steer.lock);
	steer.length += scnprintf(steer.log + steer.length,
				  LOG_SIZE - steer.length, "%s %s\n", op, who);
	list_for_each_entry(rule, &steer.rules, list) {
		if (!strcmp(rule->op, op) && !strcmp(rule->who, who))
			return *rule;
	}

	return (struct rule){};
}

/**
 * mock_called - a mock was called: write it down, and do what user space says
 * @op:  what for
 * @who: the mock
 *
 * Context: Process context, may sleep as long as user space wants.
 * Return: 0, or the error that user space has chosen.
 */
int mock_called(const char *op, const char *who)
{
	struct rule rule = note(op, who);

	if (rule.ms)
		msleep(rule.ms);

	return rule.err;
}

/**
 * mock_steer_clear - forget all rules
 *
 * Context: May sleep.
 */
void mock_steer_clear(void)
{
	struct rule *rule, *next;

	guard(mutex)(&steer.lock);
	list_for_each_entry_safe(rule, next, &steer.rules, list) {
		list_del(&rule->list);
		kfree(rule);
	}
}

static int parse(struct rule *rule, const char *line)
{
	char verb[8], rest;
	unsigned int number;

	static_assert(MOCK_NAME_LENGTH == 32);
	if (sscanf(line, "%31s %31s %7s %u %c", rule->who, rule->op, verb,
		   &number, &rest) != 4)
		return -EINVAL;

	if (!strcmp(verb, "sleep"))
		rule->ms = number;
	else if (!strcmp(verb, "fail") && number && number <= MAX_ERRNO)
		rule->err = -(int)number;
	else
		return -EINVAL;

	return 0;
}

static int add_rule(const char *line)
{
	struct rule *rule __free(kfree) = kzalloc_obj(*rule);
	int err;

	if (!rule)
		return -ENOMEM;
	err = parse(rule, line);
	if (err)
		return err;

	guard(mutex)(&steer.lock);
	list_add_tail(&no_free_ptr(rule)->list, &steer.rules);
	return 0;
}

static int steer_line(const char *line)
{
	if (!*line)
		return 0;
	if (strcmp(line, "clear"))
		return add_rule(line);

	mock_steer_clear();
	return 0;
}

/**
 * mock_steer - take in rules
 * @rules: see the top of this file
 *
 * Context: May sleep.
 * Return: 0; -EINVAL for the first line that is no rule, those before it are in
 * force; -ENOMEM.
 */
int mock_steer(const char *rules)
{
	char *copy __free(kfree) = kstrdup(rules, GFP_KERNEL);
	char *rest = copy, *line;
	int err = 0;

	if (!copy)
		return -ENOMEM;

	while (!err && (line = strsep(&rest, ";\n")))
		err = steer_line(strim(line));

	return err;
}

static ssize_t steer_write(struct file *file, const char __user *from,
			   size_t size, loff_t *pos)
{
	char *rules __free(kfree) = NULL;
	int err;

	if (size > RULES_SIZE)
		return -EINVAL;

	rules = memdup_user_nul(from, size);
	if (IS_ERR(rules))
		return PTR_ERR(no_free_ptr(rules));

	err = mock_steer(rules);
	return err ?: size;
}

static int steer_show(struct seq_file *m, void *unused)
{
	struct rule *rule;

	guard(mutex)(&steer.lock);
	list_for_each_entry(rule, &steer.rules, list)
		seq_printf(m, "%s %s %s %u\n", rule->who, rule->op,
			   rule->err ? "fail" : "sleep",
			   rule->err ? -rule->err : rule->ms);

	return 0;
}
DEFINE_SHOW_STORE_ATTRIBUTE(steer);

static ssize_t log_write(struct file *file, const char __user *from,
			 size_t size, loff_t *pos)
{
	guard(mutex)(&steer.lock);
	steer.length = 0;

	return size;
}

static int log_show(struct seq_file *m, void *unused)
{
	guard(mutex)(&steer.lock);
	seq_write(m, steer.log, steer.length);

	return 0;
}
DEFINE_SHOW_STORE_ATTRIBUTE(log);

/**
 * mock_steer_register - make the files of debugfs
 * @dir: where
 */
void mock_steer_register(struct dentry *dir)
{
	debugfs_create_file("steer", 0600, dir, NULL, &steer_fops);
	debugfs_create_file("log", 0600, dir, NULL, &log_fops);
}
