// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: subsystems that take part in updates
 *
 * A subsystem names those that it depends on, which have to be registered before
 * it. So the order of registration is one in which all can be called, and there
 * are no circles.
 */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/list_private.h>
#include <linux/module.h>
#include <linux/string.h>

#include "luo_internal.h"

/* Bits of a subsystem's flags */
#define SUBSYSTEM_PREPARED	BIT(0)
#define SUBSYSTEM_FROZEN	BIT(1)
#define SUBSYSTEM_BOOTED	BIT(2)
#define SUBSYSTEM_FAILED	BIT(3)

static unsigned int *flags_of(struct liveupdate_subsystem *subsystem)
{
	return &ACCESS_PRIVATE(subsystem, flags);
}

/* ---- Calls ---- */

static struct luo_subsystem_word *word_of(struct liveupdate_subsystem *subsystem)
{
	return &ACCESS_PRIVATE(subsystem, word);
}

static int call(struct luo *luo, struct liveupdate_subsystem *subsystem,
		enum liveupdate_phase phase,
		int (*op)(struct liveupdate_subsystem_args *args),
		struct luo_subsystem_word *word)
{
	struct liveupdate_subsystem_args args = {
		.subsystem = subsystem,
		.data = word->data,
		.nothing = word->nothing,
	};
	struct luo_call call;
	int err;

	if (!op)
		return 0;

	luo_call_start(&call, luo, phase, LUO_CALL_SUBSYSTEM, subsystem->name,
		       0);
	err = luo_call_end(&call, op(&args));
	if (err)
		return err;

	word->data = args.data;
	word->nothing = args.nothing;
	return 0;
}

static void call_void(struct luo *luo, struct liveupdate_subsystem *subsystem,
		      enum liveupdate_phase phase,
		      void (*op)(struct liveupdate_subsystem_args *args),
		      const struct luo_subsystem_word *word)
{
	struct liveupdate_subsystem_args args = {
		.subsystem = subsystem,
		.data = word->data,
		.nothing = word->nothing,
	};
	struct luo_call call;

	if (!op)
		return;

	luo_call_start(&call, luo, phase, LUO_CALL_SUBSYSTEM, subsystem->name,
		       0);
	op(&args);
	luo_call_end(&call, 0);
}

static int prepare(struct luo *luo, struct liveupdate_subsystem *subsystem)
{
	int err;

	if (!try_module_get(subsystem->ops->owner))
		return -ENODEV;

	*word_of(subsystem) = (struct luo_subsystem_word){};
	err = call(luo, subsystem, LIVEUPDATE_PHASE_PREPARE,
		   subsystem->ops->prepare, word_of(subsystem));
	if (err)
		module_put(subsystem->ops->owner);
	else
		*flags_of(subsystem) |= SUBSYSTEM_PREPARED;

	return err;
}

static void cancel(struct luo *luo, struct liveupdate_subsystem *subsystem)
{
	if (!(*flags_of(subsystem) & SUBSYSTEM_PREPARED))
		return;

	call_void(luo, subsystem, LIVEUPDATE_PHASE_CANCEL,
		  subsystem->ops->cancel, word_of(subsystem));
	*word_of(subsystem) = (struct luo_subsystem_word){};
	*flags_of(subsystem) &= ~SUBSYSTEM_PREPARED;
	module_put(subsystem->ops->owner);
}

static int freeze(struct luo *luo, struct liveupdate_subsystem *subsystem)
{
	int err;

	ACCESS_PRIVATE(subsystem, prepared) = *word_of(subsystem);
	err = call(luo, subsystem, LIVEUPDATE_PHASE_FREEZE,
		   subsystem->ops->freeze, word_of(subsystem));
	if (!err)
		*flags_of(subsystem) |= SUBSYSTEM_FROZEN;

	return err;
}

static void unfreeze(struct luo *luo, struct liveupdate_subsystem *subsystem)
{
	if (!(*flags_of(subsystem) & SUBSYSTEM_FROZEN))
		return;

	call_void(luo, subsystem, LIVEUPDATE_PHASE_UNFREEZE,
		  subsystem->ops->unfreeze, word_of(subsystem));
	*word_of(subsystem) = ACCESS_PRIVATE(subsystem, prepared);
	*flags_of(subsystem) &= ~SUBSYSTEM_FROZEN;
}

/* Whether something came that nobody has got yet, and the update is not over */
static bool find_untaken(struct luo *luo, const char *name,
			 struct luo_item *item)
{
	return !luo->finished &&
	       luo_item_find(luo->received, LUO_FDT_SUBSYSTEMS, name, item) &&
	       !xa_load(&luo->taken, item->node);
}

static int boot_with(struct luo *luo, struct liveupdate_subsystem *subsystem,
		     const struct luo_item *item)
{
	struct luo_subsystem_word word = { .data = item->data };
	int err;

	/* Room for the note is made now: what is given cannot be taken back */
	err = xa_reserve(&luo->taken, item->node, GFP_KERNEL);
	if (err)
		return err;

	err = call(luo, subsystem, LIVEUPDATE_PHASE_BOOT, subsystem->ops->boot,
		   &word);
	/* Nobody can do anything with what is damaged, so it is not kept for anybody */
	if (!err || err == -EUCLEAN)
		xa_store(&luo->taken, item->node, xa_mk_value(1), GFP_KERNEL);
	if (err == -EUCLEAN)
		luo_quarantine_add(luo, err, "subsystem %s", subsystem->name);
	if (err)
		return err;

	ACCESS_PRIVATE(subsystem, incoming) = word.data;
	*flags_of(subsystem) |= SUBSYSTEM_BOOTED;
	return 0;
}

/* Give a subsystem what came for it, unless that is done or nothing came */
static int boot(struct luo *luo, struct liveupdate_subsystem *subsystem)
{
	struct luo_item item;
	int err;

	if (!find_untaken(luo, subsystem->name, &item))
		return 0;
	if (!try_module_get(subsystem->ops->owner))
		return -ENODEV;

	err = boot_with(luo, subsystem, &item);
	if (err)
		module_put(subsystem->ops->owner);

	return err;
}

static void finish(struct luo *luo, struct liveupdate_subsystem *subsystem)
{
	const struct luo_subsystem_word word = {
		.data = ACCESS_PRIVATE(subsystem, incoming),
	};

	if (!(*flags_of(subsystem) & SUBSYSTEM_BOOTED))
		return;

	call_void(luo, subsystem, LIVEUPDATE_PHASE_FINISH,
		  subsystem->ops->finish, &word);
	*flags_of(subsystem) &= ~SUBSYSTEM_BOOTED;
	module_put(subsystem->ops->owner);
}

/* ---- Walks ---- */

/**
 * luo_subsystems_cancel - undo luo_subsystems_prepare(), in reverse
 * @luo: the orchestrator; some of the subsystems may not be prepared
 *
 * Context: Process context, luo.transition held for writing.
 */
void luo_subsystems_cancel(struct luo *luo)
{
	struct liveupdate_subsystem *subsystem;

	lockdep_assert_held_write(&luo->transition);
	list_private_for_each_entry_reverse(subsystem, &luo->subsystems, list)
		cancel(luo, subsystem);
}

/**
 * luo_subsystems_prepare - prepare all subsystems, in the order of dependency
 * @luo: the orchestrator
 *
 * Context: Process context, luo.transition held for writing.
 * Return: 0, or what the first that failed fails with; none is prepared then.
 */
int luo_subsystems_prepare(struct luo *luo)
{
	struct liveupdate_subsystem *subsystem;
	int err;

	lockdep_assert_held_write(&luo->transition);
	list_private_for_each_entry(subsystem, &luo->subsystems, list) {
		err = prepare(luo, subsystem);
		if (err) {
			luo_subsystems_cancel(luo);
			return err;
		}
	}

	return 0;
}

/**
 * luo_subsystems_unfreeze - undo luo_subsystems_freeze(), in the order of
 *                           dependency
 * @luo: the orchestrator; some of the subsystems may not be frozen
 *
 * Context: Process context, luo.transition held for writing.
 */
void luo_subsystems_unfreeze(struct luo *luo)
{
	struct liveupdate_subsystem *subsystem;

	lockdep_assert_held_write(&luo->transition);
	list_private_for_each_entry(subsystem, &luo->subsystems, list)
		unfreeze(luo, subsystem);
}

/**
 * luo_subsystems_freeze - freeze all subsystems, dependent ones first
 * @luo: the orchestrator
 *
 * Context: Process context, luo.transition held for writing.
 * Return: 0, or what the first that failed fails with; none is frozen then.
 */
int luo_subsystems_freeze(struct luo *luo)
{
	struct liveupdate_subsystem *subsystem;
	int err;

	lockdep_assert_held_write(&luo->transition);
	list_private_for_each_entry_reverse(subsystem, &luo->subsystems, list) {
		err = freeze(luo, subsystem);
		if (err) {
			luo_subsystems_unfreeze(luo);
			return err;
		}
	}

	return 0;
}

/**
 * luo_subsystem_find - find a subsystem by its name
 * @luo:  the orchestrator
 * @name: the name
 *
 * Context: luo.transition held.
 * Return: the subsystem or NULL.
 */
struct liveupdate_subsystem *luo_subsystem_find(struct luo *luo,
						const char *name)
{
	struct liveupdate_subsystem *subsystem;

	lockdep_assert_held(&luo->transition);
	list_private_for_each_entry(subsystem, &luo->subsystems, list) {
		if (!strcmp(subsystem->name, name))
			return subsystem;
	}

	return NULL;
}

/* Whether something that it depends on could not take up its state */
static bool rests_on_failed(struct luo *luo,
			    const struct liveupdate_subsystem *subsystem)
{
	const char * const *after = subsystem->after;
	struct liveupdate_subsystem *other;

	for (; after && *after; after++) {
		other = luo_subsystem_find(luo, *after);
		if (other && (*flags_of(other) & SUBSYSTEM_FAILED))
			return true;
	}

	return false;
}

/**
 * luo_subsystems_boot - give all subsystems what came for them
 * @luo: the orchestrator
 *
 * One that fails gets nothing; what depends on it is not called then. What came
 * for subsystems that are not there (yet) is reported, and kept until the update
 * is finished, in the next kernel too.
 *
 * Context: Process context, at boot, luo.transition held for writing.
 */
void luo_subsystems_boot(struct luo *luo)
{
	struct liveupdate_subsystem *subsystem;
	struct luo_item item;
	int cursor = 0;

	lockdep_assert_held_write(&luo->transition);
	list_private_for_each_entry(subsystem, &luo->subsystems, list) {
		if (rests_on_failed(luo, subsystem) || boot(luo, subsystem))
			*flags_of(subsystem) |= SUBSYSTEM_FAILED;
	}

	while (luo->received && luo_item_next(luo->received, LUO_FDT_SUBSYSTEMS,
					      &cursor, &item)) {
		if (!luo_subsystem_find(luo, item.compatible))
			pr_warn_ratelimited("no subsystem '%s' here to take what came for it\n",
					    item.compatible);
	}
}

/**
 * luo_subsystems_finish - tell all subsystems that the update is over, dependent
 *                         ones first
 * @luo: the orchestrator
 *
 * Context: Process context, luo.transition held for writing.
 */
void luo_subsystems_finish(struct luo *luo)
{
	struct liveupdate_subsystem *subsystem;

	lockdep_assert_held_write(&luo->transition);
	list_private_for_each_entry_reverse(subsystem, &luo->subsystems, list)
		finish(luo, subsystem);
}

static int note_missing(struct luo *luo, const char *name)
{
	struct luo_call call;

	luo_call_start(&call, luo, LIVEUPDATE_PHASE_CARRY, LUO_CALL_SUBSYSTEM,
		       name, 0);
	return luo_call_end(&call, -ENOENT);
}

/* Find what came for a subsystem that is here, and could not take it up */
static bool find_failed(struct luo *luo, struct luo_item *item)
{
	struct luo_item untaken;
	int cursor = 0;

	if (!luo->received)
		return false;

	/* Of several items of one name, only the first one is for somebody */
	while (luo_item_next(luo->received, LUO_FDT_SUBSYSTEMS, &cursor, item)) {
		if (luo_subsystem_find(luo, item->compatible) &&
		    find_untaken(luo, item->compatible, &untaken))
			return true;
	}

	return false;
}

/**
 * luo_subsystems_check_carry - see that no subsystem's state would be lost
 * @luo: the orchestrator
 *
 * What came for one that is not there goes on as it is. But one that is there, and
 * could not take up its state, hands over another one under the same name.
 *
 * Context: Process context, luo.transition held for writing.
 * Return: 0, or -ENOENT when there is such a one and the update is not finished.
 */
int luo_subsystems_check_carry(struct luo *luo)
{
	struct luo_item item;

	lockdep_assert_held_write(&luo->transition);
	return find_failed(luo, &item) ? note_missing(luo, item.compatible) : 0;
}

/**
 * luo_subsystems_failed - whether a subsystem has not taken up what came for it
 * @luo: the orchestrator
 *
 * Context: Process context, luo.transition held.
 * Return: true if one that is here has not, and the update is not finished.
 */
bool luo_subsystems_failed(struct luo *luo)
{
	struct luo_item item;

	return find_failed(luo, &item);
}

/* Go to the next item that came for a subsystem which is not there */
static bool subsystem_next_unknown(struct luo *luo, int *cursor,
				   struct luo_item *item)
{
	struct luo_item untaken;

	if (!luo->received)
		return false;

	while (luo_item_next(luo->received, LUO_FDT_SUBSYSTEMS, cursor, item)) {
		if (!luo_subsystem_find(luo, item->compatible) &&
		    find_untaken(luo, item->compatible, &untaken) &&
		    untaken.node == item->node)
			return true;
	}

	return false;
}

/**
 * luo_subsystems_unknown - whether something came for a subsystem that is not there
 * @luo: the orchestrator
 *
 * Context: Process context, luo.transition held.
 * Return: true if it did, nobody has taken it, and the update is not finished.
 */
bool luo_subsystems_unknown(struct luo *luo)
{
	struct luo_item item;
	int cursor = 0;

	return subsystem_next_unknown(luo, &cursor, &item);
}

static bool hands_over(const struct liveupdate_subsystem *subsystem)
{
	const struct liveupdate_subsystem_ops *ops = subsystem->ops;

	return (ops->prepare || ops->freeze) &&
	       !ACCESS_PRIVATE(subsystem, word).nothing;
}

/**
 * luo_subsystems_hand_over - whether there is anything to hand over
 * @luo: the orchestrator, whose subsystems are frozen
 *
 * Context: Process context, luo.transition held for writing.
 * Return: true if a subsystem does not say that it has nothing.
 */
bool luo_subsystems_hand_over(struct luo *luo)
{
	struct liveupdate_subsystem *subsystem;

	lockdep_assert_held_write(&luo->transition);
	list_private_for_each_entry(subsystem, &luo->subsystems, list) {
		if (hands_over(subsystem))
			return true;
	}

	return false;
}

/**
 * luo_subsystems_encode - list what subsystems hand over
 * @luo:   the orchestrator
 * @items: to fill; luo_items_free() frees it
 *
 * What came for those that are not there is among it.
 *
 * Context: Process context, luo.transition held for writing.
 * Return: 0 or -ENOMEM.
 */
int luo_subsystems_encode(struct luo *luo, struct luo_items *items)
{
	struct liveupdate_subsystem *subsystem;
	struct luo_item item;
	int cursor = 0;
	int err;

	lockdep_assert_held_write(&luo->transition);
	list_private_for_each_entry(subsystem, &luo->subsystems, list) {
		if (!hands_over(subsystem))
			continue;
		err = luo_items_add(items, subsystem->name,
				    word_of(subsystem)->data, 0);
		if (err)
			return err;
	}
	while (subsystem_next_unknown(luo, &cursor, &item)) {
		err = luo_items_add(items, item.compatible, item.data,
				    item.count);
		if (err)
			return err;
	}

	return 0;
}

/* ---- Registration ---- */

static bool depends_on(const struct liveupdate_subsystem *subsystem,
		       const char *name)
{
	const char * const *after = subsystem->after;

	for (; after && *after; after++) {
		if (!strcmp(*after, name))
			return true;
	}

	return false;
}

static int check_dependencies(struct luo *luo,
			      const struct liveupdate_subsystem *subsystem)
{
	const char * const *after = subsystem->after;

	if (depends_on(subsystem, subsystem->name)) {
		pr_err("subsystem '%s' depends on itself\n", subsystem->name);
		return -ELOOP;
	}
	for (; after && *after; after++) {
		if (luo_subsystem_find(luo, *after))
			continue;
		pr_err("subsystem '%s' depends on '%s', which is not registered\n",
		       subsystem->name, *after);
		return -ENOENT;
	}

	return 0;
}

static int check(struct luo *luo, const struct liveupdate_subsystem *subsystem)
{
	if (!subsystem->ops ||
	    !luo_compatible_fits(subsystem->name, sizeof(subsystem->name)))
		return -EINVAL;
	if (luo->state == LIVEUPDATE_STATE_PREPARED ||
	    luo->state == LIVEUPDATE_STATE_FROZEN)
		return -EBUSY;
	if (luo_subsystem_find(luo, subsystem->name))
		return -EEXIST;

	return check_dependencies(luo, subsystem);
}

/* The same for one that is registered when the kernel is up */
static int boot_late(struct luo *luo, struct liveupdate_subsystem *subsystem)
{
	struct luo_item item;

	if (!rests_on_failed(luo, subsystem))
		return boot(luo, subsystem);

	*flags_of(subsystem) |= SUBSYSTEM_FAILED;
	return find_untaken(luo, subsystem->name, &item) ? -ENODEV : 0;
}

static int subsystem_add(struct luo *luo, struct liveupdate_subsystem *subsystem)
{
	int err = check(luo, subsystem);

	if (err)
		return err;

	*flags_of(subsystem) = 0;
	*word_of(subsystem) = (struct luo_subsystem_word){};
	if (luo->ready)
		err = boot_late(luo, subsystem);
	if (!err)
		list_add_tail(&ACCESS_PRIVATE(subsystem, list),
			      &luo->subsystems);

	return err;
}

/**
 * luo_subsystem_add - register a subsystem
 * @luo:       the orchestrator
 * @subsystem: the subsystem
 *
 * If the kernel is up, it is given at once what came for it.
 *
 * Context: May sleep, takes luo.transition.
 * Return: 0; -EINVAL when it has no operations, or its name is empty, not terminated
 * or not printable; -EBUSY while an update is prepared; -EEXIST when the name is taken;
 * -ENOENT when something that it depends on is not registered; -ELOOP when it
 * depends on itself; -ENODEV when something came for it, and what it depends on could
 * not take up its own; -EDEADLK in a callback of a participant; -EINTR when killed;
 * or what its boot callback fails with.
 */
int luo_subsystem_add(struct luo *luo, struct liveupdate_subsystem *subsystem)
{
	struct luo_caller caller;
	int err;

	if (luo_caller_is_current(&luo->callers))
		return -EDEADLK;
	err = down_write_killable(&luo->transition);
	if (err)
		return err;

	luo_caller_enter(&luo->callers, &caller);
	err = subsystem_add(luo, subsystem);
	luo_caller_leave(&luo->callers, &caller);
	up_write(&luo->transition);

	return err;
}

static void warn_dependents(struct luo *luo,
			    const struct liveupdate_subsystem *subsystem)
{
	struct liveupdate_subsystem *other;

	list_private_for_each_entry(other, &luo->subsystems, list) {
		if (depends_on(other, subsystem->name))
			pr_warn("subsystem '%s' goes, but '%s' depends on it\n",
				subsystem->name, other->name);
	}
}

static void subsystem_del(struct luo *luo, struct liveupdate_subsystem *subsystem)
{
	warn_dependents(luo, subsystem);
	if (luo->state != LIVEUPDATE_STATE_FROZEN) {
		cancel(luo, subsystem);
		finish(luo, subsystem);
	}
	list_del(&ACCESS_PRIVATE(subsystem, list));
}

/**
 * luo_subsystem_del - undo luo_subsystem_add()
 * @luo:       the orchestrator
 * @subsystem: the subsystem
 *
 * What it has prepared is cancelled, and what it was given is finished: it takes
 * no part in the update any more. Once all is frozen nothing of that is done, as the
 * next kernel is told what it has prepared. In a callback of a participant it stays
 * registered, and the log says so.
 *
 * Context: May sleep, takes luo.transition.
 */
void luo_subsystem_del(struct luo *luo, struct liveupdate_subsystem *subsystem)
{
	struct luo_caller caller;

	if (luo_caller_is_current(&luo->callers)) {
		pr_err("subsystem '%s' stays: it cannot go in a callback\n",
		       subsystem->name);
		return;
	}

	down_write(&luo->transition);
	luo_caller_enter(&luo->callers, &caller);
	subsystem_del(luo, subsystem);
	luo_caller_leave(&luo->callers, &caller);
	up_write(&luo->transition);
}

/**
 * luo_subsystem_get_data - ask for what came for a subsystem
 * @luo:       the orchestrator
 * @subsystem: the subsystem, which need not be registered
 * @data:      set to its word
 *
 * Context: Any, from early initcalls on.
 * Return: 0, or -ENOENT when nothing came, another one has taken it, or the update
 * is finished.
 */
int luo_subsystem_get_data(struct luo *luo,
			   const struct liveupdate_subsystem *subsystem,
			   u64 *data)
{
	bool booted = READ_ONCE(ACCESS_PRIVATE(subsystem, flags)) & SUBSYSTEM_BOOTED;
	struct luo_item item;

	if (READ_ONCE(luo->finished) ||
	    !luo_item_find(luo->received, LUO_FDT_SUBSYSTEMS, subsystem->name,
			   &item))
		return -ENOENT;
	if (!booted && xa_load(&luo->taken, item.node))
		return -ENOENT;

	*data = item.data;
	return 0;
}
