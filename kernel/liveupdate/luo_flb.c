// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: file-lifecycle-bound objects
 *
 * An FLB goes out with the first file that needs it, and comes to its end with
 * the last. Which files need it is told by their handler. While it is outgoing or
 * incoming it can be asked for by other kernel code; whoever has it keeps it.
 *
 * What LUO knows of an FLB goes by its compatible string, and stays for good: an
 * FLB of a module that is loaded again is not given once more what it finished.
 *
 * Callbacks are called with none of the locks of all FLBs held: a driver may hold
 * its own lock when it asks for an FLB, and take the same one in a callback of
 * another. So a walk takes one step at a time.
 */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/errno.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "luo_internal.h"

/**
 * struct luo_flb_link - that files of a handler need an FLB
 * @list: in the handler's list, in the order of registration
 * @seq:  higher than that of the link before it
 * @flb:  the FLB
 */
struct luo_flb_link {
	struct list_head list;
	u64 seq;
	struct luo_flb *flb;
};

/* Stays as it is while the FLB is registered, or whoever asks has its object */
static struct luo_flb *state_of(const struct liveupdate_flb *flb)
{
	/* Pairs with pin() */
	return smp_load_acquire(&ACCESS_PRIVATE(flb, state));
}

static struct list_head *links_of(struct liveupdate_file_handler *handler)
{
	return &ACCESS_PRIVATE(handler, flbs);
}

static bool in_use(const struct luo_flb_side *side)
{
	return side->files || side->users;
}

/* ---- Which FLB it is ---- */

static int pin(struct luo_flb *state, struct liveupdate_flb *flb)
{
	guard(spinlock)(&state->lock);
	if (state->flb && state->flb != flb)
		return -EEXIST;

	state->flb = flb;
	state->pins++;
	/* Pairs with state_of(), which is called without the lock */
	smp_store_release(&ACCESS_PRIVATE(flb, state), state);
	return 0;
}

/* Whether what came for it can be finished here goes by this */
static void count_link(struct luo_flb *state, int n)
{
	guard(spinlock)(&state->lock);
	state->links += n;
}

/* With the last pin the FLB can go: its memory may be that of a module */
static void unpin(struct luo_flb *state)
{
	guard(spinlock)(&state->lock);
	if (--state->pins)
		return;

	ACCESS_PRIVATE(state->flb, state) = NULL;
	state->flb = NULL;
}

/* Pin it together with its module: both stay until flb_release() */
static bool flb_hold(struct luo_flb *state)
{
	guard(spinlock)(&state->lock);
	if (!state->flb || !try_module_get(state->flb->ops->owner))
		return false;

	state->pins++;
	return true;
}

static void flb_release(struct luo_flb *state)
{
	struct module *owner = state->flb->ops->owner;

	unpin(state);
	module_put(owner);
}

/* ---- Walks ---- */

/* The FLB of a handler after the one at *@seq. Links can come and go in between */
static struct luo_flb *next_linked(struct luo *luo,
				   struct liveupdate_file_handler *handler,
				   u64 *seq)
{
	struct luo_flb_link *link;

	guard(rwsem_read)(&luo->handlers.lock);
	list_for_each_entry(link, links_of(handler), list) {
		if (link->seq > *seq) {
			*seq = link->seq;
			return link->flb;
		}
	}

	return NULL;
}

/* The one before it, likewise */
static struct luo_flb *previous_linked(struct luo *luo,
				       struct liveupdate_file_handler *handler,
				       u64 *seq)
{
	struct luo_flb_link *link;

	guard(rwsem_read)(&luo->handlers.lock);
	list_for_each_entry_reverse(link, links_of(handler), list) {
		if (link->seq < *seq) {
			*seq = link->seq;
			return link->flb;
		}
	}

	return NULL;
}

static struct luo_flb *flb_after(struct luo_handlers *handlers,
				 struct luo_flb *flb)
{
	struct list_head *next = flb ? flb->list.next : handlers->flbs.next;

	lockdep_assert_held(&handlers->lock);
	return next == &handlers->flbs ? NULL :
					 list_entry(next, struct luo_flb, list);
}

/**
 * luo_flb_next - go from FLB to FLB
 * @luo: the orchestrator
 * @flb: the one before, or NULL to begin
 *
 * None of them goes while the orchestrator is there.
 *
 * Context: May sleep, takes luo_handlers.lock.
 * Return: the next one in the order in which they were first heard of, or NULL.
 */
struct luo_flb *luo_flb_next(struct luo *luo, struct luo_flb *flb)
{
	guard(rwsem_read)(&luo->handlers.lock);
	return flb_after(&luo->handlers, flb);
}

/* ---- Outgoing ---- */

static int out_preserve(struct luo_flb *state)
{
	struct liveupdate_flb_op_args args = {};
	struct luo_call call;
	int err;

	if (!flb_hold(state))
		return -ENODEV;

	args.flb = state->flb;
	luo_call_start(&call, state->luo, LIVEUPDATE_PHASE_PREPARE,
		       LUO_CALL_FLB, state->compatible, 0);
	err = luo_call_end(&call, args.flb->ops->preserve(&args));
	if (err) {
		flb_release(state);
		return err;
	}

	state->out.data = args.data;
	state->out.obj = args.obj;
	return 0;
}

static void out_unpreserve(struct luo_flb *state)
{
	struct liveupdate_flb_op_args args = {
		.flb = state->flb,
		.data = state->out.data,
		.obj = state->out.obj,
	};
	struct luo_call call;

	luo_call_start(&call, state->luo, LIVEUPDATE_PHASE_CANCEL,
		       LUO_CALL_FLB, state->compatible, 0);
	args.flb->ops->unpreserve(&args);
	luo_call_end(&call, 0);
	state->out = (struct luo_flb_side){};
	flb_release(state);
}

static int out_add_file(struct luo_flb *state)
{
	int err;

	guard(mutex)(&state->out_lock);
	if (!in_use(&state->out)) {
		err = out_preserve(state);
		if (err)
			return err;
	}
	state->out.files++;

	return 0;
}

static void out_del_file(struct luo_flb *state)
{
	guard(mutex)(&state->out_lock);
	state->out.files--;
	if (!in_use(&state->out))
		out_unpreserve(state);
}

/* From here on the handler gets no more FLBs */
static void count_file(struct luo *luo, struct liveupdate_file_handler *handler)
{
	guard(rwsem_read)(&luo->handlers.lock);
	atomic64_inc(&ACCESS_PRIVATE(handler, files));
}

/* One file less for the FLBs before @seq, and for the handler */
static void out_del_files(struct luo *luo,
			  struct liveupdate_file_handler *handler, u64 seq)
{
	struct luo_flb *state;

	while ((state = previous_linked(luo, handler, &seq)))
		out_del_file(state);
	atomic64_dec(&ACCESS_PRIVATE(handler, files));
}

/**
 * luo_flbs_preserve - a file is about to be preserved: its FLBs come first
 * @luo:     the orchestrator
 * @handler: of the file
 *
 * Context: Process context.
 * Return: 0, -ENODEV when an FLB's module is going away, or what an FLB fails
 * with; nothing is preserved then.
 */
int luo_flbs_preserve(struct luo *luo, struct liveupdate_file_handler *handler)
{
	struct luo_flb *state;
	u64 seq = 0;
	int err;

	count_file(luo, handler);
	while ((state = next_linked(luo, handler, &seq))) {
		err = out_add_file(state);
		if (err) {
			out_del_files(luo, handler, seq);
			return err;
		}
	}

	return 0;
}

/**
 * luo_flbs_unpreserve - a file was given back: its FLBs follow
 * @luo:     the orchestrator
 * @handler: of the file
 *
 * Context: Process context.
 */
void luo_flbs_unpreserve(struct luo *luo, struct liveupdate_file_handler *handler)
{
	out_del_files(luo, handler, U64_MAX);
}

/* ---- Incoming ---- */

/* Look up what the previous kernel left, when it is wanted first */
static void in_receive(struct luo_flb *state)
{
	struct luo_item item;

	lockdep_assert_held(&state->in_lock);
	if (state->received)
		return;

	state->received = true;
	if (READ_ONCE(state->luo->finished) ||
	    !luo_item_find(state->luo->received, LUO_FDT_FLBS,
			   state->compatible, &item))
		return;

	state->came = true;
	state->in.data = item.data;
	state->in.files = item.count;
	state->in_left = true;
}

static int in_retrieve(struct luo_flb *state)
{
	struct liveupdate_flb_op_args args = { .data = state->in.data };
	struct luo_call call;
	int err;

	if (state->retrieved)
		return 0;
	/* It goes on as it came, see luo_flbs_carry() */
	if (READ_ONCE(state->luo->carrying))
		return -EBUSY;
	if (!flb_hold(state))
		return -ENODEV;

	args.flb = state->flb;
	luo_call_start(&call, state->luo, LIVEUPDATE_PHASE_RETRIEVE,
		       LUO_CALL_FLB, state->compatible, 0);
	err = args.flb->ops->retrieve(&args);
	luo_call_end(&call, err);
	if (err == -EUCLEAN && !state->damaged) {
		state->damaged = true;
		luo_quarantine_add(state->luo, err, "flb %s", state->compatible);
	}
	if (err) {
		flb_release(state);
		return err;
	}

	state->in.obj = args.obj;
	state->retrieved = true;
	return 0;
}

static void in_call_finish(struct luo_flb *state)
{
	struct liveupdate_flb *flb = state->flb;
	struct liveupdate_flb_op_args args = {
		.flb = flb,
		.data = state->in.data,
		.obj = state->in.obj,
	};
	struct luo_call call;

	luo_call_start(&call, state->luo, LIVEUPDATE_PHASE_FINISH,
		       LUO_CALL_FLB, flb->compatible, 0);
	flb->ops->finish(&args);
	luo_call_end(&call, 0);
	state->in = (struct luo_flb_side){};
	state->in_left = false;
	state->retrieved = false;
}

/* Nobody needs it any more. What cannot be retrieved is left for later. */
static void in_finish(struct luo_flb *state)
{
	if (!state->in_left || in_use(&state->in) || in_retrieve(state))
		return;

	in_call_finish(state);
	flb_release(state);
}

static void in_del_file(struct luo_flb *state)
{
	guard(mutex)(&state->in_lock);
	in_receive(state);
	/* It may be one file more than the handover told of */
	if (state->in.files)
		state->in.files--;
	in_finish(state);
}

/**
 * luo_flbs_finish - a file was finished: FLBs that no other needs follow
 * @luo:     the orchestrator
 * @handler: of the file
 *
 * Context: Process context.
 */
void luo_flbs_finish(struct luo *luo, struct liveupdate_file_handler *handler)
{
	struct luo_flb *state;
	u64 seq = U64_MAX;

	while ((state = previous_linked(luo, handler, &seq)))
		in_del_file(state);
}

/* The next one to finish; when there is none, no more can be heard of in time */
static struct luo_flb *next_to_finish(struct luo *luo, struct luo_flb *flb)
{
	guard(rwsem_write)(&luo->handlers.lock);
	flb = flb_after(&luo->handlers, flb);
	if (!flb)
		WRITE_ONCE(luo->finished, true);

	return flb;
}

/**
 * luo_flbs_finish_all - the update is over: no file needs an FLB any more
 * @luo: the orchestrator
 *
 * Ends FLBs that are counted for files which were quarantined, and those that
 * could not be retrieved before. Nothing has come for an FLB that is first heard
 * of later.
 *
 * Context: Process context, luo.transition held for writing.
 */
void luo_flbs_finish_all(struct luo *luo)
{
	struct luo_flb *state = NULL;

	lockdep_assert_held_write(&luo->transition);
	while ((state = next_to_finish(luo, state))) {
		guard(mutex)(&state->in_lock);
		in_receive(state);
		state->in.files = 0;
		in_finish(state);
	}
}

/* ---- Handover ---- */

static struct luo_flb *find_compatible(struct luo_handlers *handlers,
				       const char *compatible)
{
	struct luo_flb *state;

	list_for_each_entry(state, &handlers->flbs, list) {
		if (!strcmp(state->compatible, compatible))
			return state;
	}

	return NULL;
}

/* Go to the next item that came for an FLB which nobody here has told of so far */
static bool flb_next_unheard(struct luo *luo, int *cursor, struct luo_item *item)
{
	if (READ_ONCE(luo->finished) || !luo->received)
		return false;

	guard(rwsem_read)(&luo->handlers.lock);
	while (luo_item_next(luo->received, LUO_FDT_FLBS, cursor, item)) {
		if (luo_item_is_first(luo->received, LUO_FDT_FLBS, item) &&
		    !find_compatible(&luo->handlers, item->compatible))
			return true;
	}

	return false;
}

static bool flb_is_registered(struct luo_flb *state)
{
	guard(spinlock)(&state->lock);
	return state->links;
}

/* Whether something came for it, and nobody here can finish that: it is not here */
static bool flb_is_unknown(struct luo_flb *state)
{
	lockdep_assert_held(&state->in_lock);
	in_receive(state);
	return state->in_left && !state->retrieved && !flb_is_registered(state) &&
	       !READ_ONCE(state->luo->finished);
}

/**
 * luo_flbs_unknown - whether something came for an FLB that is not here
 * @luo: the orchestrator
 *
 * Context: Process context, luo.transition held.
 * Return: true if it did, and the update is not finished.
 */
bool luo_flbs_unknown(struct luo *luo)
{
	struct luo_flb *state = NULL;
	struct luo_item item;
	int cursor = 0;

	if (flb_next_unheard(luo, &cursor, &item))
		return true;
	while ((state = luo_flb_next(luo, state))) {
		guard(mutex)(&state->in_lock);
		if (flb_is_unknown(state))
			return true;
	}

	return false;
}

/* Whether files of the previous kernel need it, which goes on, anew or as it came */
static bool flb_goes(struct luo_flb *state, bool unknown, bool *retrieved)
{
	guard(mutex)(&state->in_lock);
	/* What is damaged is in quarantine, and goes nowhere */
	state->goes = !state->damaged &&
		      (flb_is_unknown(state) || (unknown && state->in_left));
	*retrieved = state->retrieved;
	return state->goes && state->in.files;
}

/* It has nothing of what it was to take up, and there is room for one word only */
static int refuse_both(struct luo_flb *state)
{
	struct luo_call call;

	luo_call_start(&call, state->luo, LIVEUPDATE_PHASE_CARRY, LUO_CALL_FLB,
		       state->compatible, 0);
	return luo_call_end(&call, -EBUSY);
}

/*
 * An object that is restored has taken up its memory, so it is preserved anew. What is
 * not restored goes on as it came, unless there is a new object.
 */
static int flb_carry(struct luo_flb *state, bool unknown)
{
	bool retrieved;
	int err;

	if (!flb_goes(state, unknown, &retrieved))
		return 0;
	if (!retrieved) {
		guard(mutex)(&state->out_lock);
		return state->out.files ? refuse_both(state) : 0;
	}

	err = out_add_file(state);
	state->carried = !err;
	return err;
}

static void flb_uncarry(struct luo_flb *state)
{
	if (state->carried)
		out_del_file(state);
	state->carried = false;
	guard(mutex)(&state->in_lock);
	state->goes = false;
}

/* From here on nothing is restored, and no FLB is new; or so no more */
static void set_carrying(struct luo *luo, bool carrying)
{
	guard(rwsem_write)(&luo->handlers.lock);
	WRITE_ONCE(luo->carrying, carrying);
}

/**
 * luo_flbs_uncarry - undo luo_flbs_carry()
 * @luo: the orchestrator; some of the FLBs may not be carried
 *
 * Context: Process context, luo.transition held for writing.
 */
void luo_flbs_uncarry(struct luo *luo)
{
	struct luo_flb *state = NULL;

	lockdep_assert_held_write(&luo->transition);
	while ((state = luo_flb_next(luo, state)))
		flb_uncarry(state);
	set_carrying(luo, false);
}

/**
 * luo_flbs_carry - keep FLBs that are not carried with their files
 * @luo:     the orchestrator
 * @unknown: it carries files that are not known here
 *
 * Nobody knows which FLBs such files need. So the next kernel is told that all files
 * do that the previous one told of, besides those that are here: an FLB may be there
 * longer than it is needed, until the update is finished, and is never gone too soon.
 *
 * What nobody has retrieved by now goes on as it came, if it does. So it cannot be
 * retrieved from here on, and no FLB can be registered.
 *
 * Context: Process context, luo.transition held for writing.
 * Return: 0; -EBUSY when an object goes to the next kernel that was made without what
 * came for it; or what an FLB fails with; nothing is kept then.
 */
int luo_flbs_carry(struct luo *luo, bool unknown)
{
	struct luo_flb *state = NULL;
	int err = 0;

	lockdep_assert_held_write(&luo->transition);
	set_carrying(luo, true);
	/* Those who retrieve one of them now are waited for */
	while (!err && (state = luo_flb_next(luo, state)))
		err = flb_carry(state, unknown);
	if (err)
		luo_flbs_uncarry(luo);

	return err;
}

/* What the next kernel is told of besides the files that are here; no file if nothing */
static struct luo_flb_side flb_kept(struct luo_flb *state)
{
	guard(mutex)(&state->in_lock);
	return state->goes ? state->in : (struct luo_flb_side){};
}

static int flb_encode(struct luo_flb *state, struct luo_items *items)
{
	struct luo_flb_side kept;

	guard(mutex)(&state->out_lock);
	kept = flb_kept(state);
	if (state->out.files)
		return luo_items_add(items, state->compatible, state->out.data,
				     state->out.files + kept.files);
	if (!kept.files)
		return 0;

	return luo_items_add(items, state->compatible, kept.data, kept.files);
}

/**
 * luo_flbs_encode - list the FLBs that go to the next kernel
 * @luo:   the orchestrator, whose FLBs are carried
 * @items: to fill; luo_items_free() frees it
 *
 * What came for those that are not here is among it.
 *
 * Context: Process context, luo.transition held for writing.
 * Return: 0 or -ENOMEM.
 */
int luo_flbs_encode(struct luo *luo, struct luo_items *items)
{
	struct luo_flb *state = NULL;
	struct luo_item item;
	int cursor = 0;
	int err = 0;

	lockdep_assert_held_write(&luo->transition);
	while (!err && (state = luo_flb_next(luo, state)))
		err = flb_encode(state, items);
	while (!err && flb_next_unheard(luo, &cursor, &item))
		err = luo_items_add(items, item.compatible, item.data,
				    item.count);

	return err;
}

/* ---- Registration ---- */

static struct luo_flb_link *find_link(struct liveupdate_file_handler *handler,
				      const struct luo_flb *state)
{
	struct luo_flb_link *link;

	list_for_each_entry(link, links_of(handler), list) {
		if (link->flb == state)
			return link;
	}

	return NULL;
}

static u64 last_seq(struct liveupdate_file_handler *handler)
{
	struct luo_flb_link *last;

	if (list_empty(links_of(handler)))
		return 0;

	last = list_last_entry(links_of(handler), struct luo_flb_link, list);
	return last->seq;
}

static bool is_complete(const struct liveupdate_flb *flb)
{
	const struct liveupdate_flb_ops *ops = flb->ops;

	return ops && ops->preserve && ops->unpreserve && ops->retrieve &&
	       ops->finish &&
	       luo_compatible_fits(flb->compatible, sizeof(flb->compatible));
}

/* What is known of FLBs of a name: nothing, the first time */
static struct luo_flb *get_state(struct luo *luo, const char *compatible)
{
	struct luo_flb *state = find_compatible(&luo->handlers, compatible);

	lockdep_assert_held_write(&luo->handlers.lock);
	if (state)
		return state;
	if (luo->carrying)
		return ERR_PTR(-EBUSY);

	state = kzalloc_obj(*state);
	if (!state)
		return ERR_PTR(-ENOMEM);

	state->luo = luo;
	strscpy(state->compatible, compatible);
	spin_lock_init(&state->lock);
	mutex_init(&state->out_lock);
	mutex_init(&state->in_lock);
	lockdep_register_key(&state->out_key);
	lockdep_register_key(&state->in_key);
	lockdep_set_class(&state->out_lock, &state->out_key);
	lockdep_set_class(&state->in_lock, &state->in_key);
	list_add_tail(&state->list, &luo->handlers.flbs);

	return state;
}

/**
 * luo_flbs_destroy - forget all FLBs
 * @luo: the orchestrator, for whose handlers none is registered any more
 */
void luo_flbs_destroy(struct luo *luo)
{
	struct luo_flb *state, *next;

	list_for_each_entry_safe(state, next, &luo->handlers.flbs, list) {
		list_del(&state->list);
		mutex_destroy(&state->in_lock);
		mutex_destroy(&state->out_lock);
		lockdep_unregister_key(&state->in_key);
		lockdep_unregister_key(&state->out_key);
		kfree(state);
	}
}

/**
 * luo_flb_add - have files of a handler need an FLB
 * @luo:     the orchestrator
 * @handler: the handler, registered
 * @flb:     the FLB; it may be registered for other handlers, too
 *
 * Context: May sleep.
 * Return: 0; -EINVAL when a callback is missing, the compatible string is empty, not
 * terminated or not printable, or the handler is not registered; -EEXIST when it is
 * registered for this handler, or another FLB has the same string; -EBUSY while a
 * file of the handler is preserved, without the FLB, or a kexec is under way; -ENOMEM.
 */
int luo_flb_add(struct luo *luo, struct liveupdate_file_handler *handler,
		struct liveupdate_flb *flb)
{
	struct luo_flb_link *link __free(kfree) = kzalloc_obj(*link);
	struct luo_flb *state;
	int err;

	if (!is_complete(flb))
		return -EINVAL;
	if (!link)
		return -ENOMEM;

	guard(rwsem_write)(&luo->handlers.lock);
	if (!luo_handler_is_registered(&luo->handlers, handler))
		return -EINVAL;

	state = get_state(luo, flb->compatible);
	if (IS_ERR(state))
		return PTR_ERR(state);

	if (find_link(handler, state))
		return -EEXIST;
	if (luo->carrying || atomic64_read(&ACCESS_PRIVATE(handler, files)))
		return -EBUSY;
	err = pin(state, flb);
	if (err)
		return err;

	link->flb = state;
	link->seq = last_seq(handler) + 1;
	list_add_tail(&no_free_ptr(link)->list, links_of(handler));
	count_link(state, 1);

	return 0;
}

static void del_link(struct luo_flb_link *link)
{
	struct luo_flb *state = link->flb;

	list_del(&link->list);
	kfree(link);
	count_link(state, -1);
	unpin(state);
}

/**
 * luo_flb_del - undo luo_flb_add()
 * @luo:     the orchestrator
 * @handler: the handler, which no session has a file of
 * @flb:     the FLB
 *
 * Context: May sleep.
 */
void luo_flb_del(struct luo *luo, struct liveupdate_file_handler *handler,
		 struct liveupdate_flb *flb)
{
	struct luo_flb_link *link;

	guard(rwsem_write)(&luo->handlers.lock);
	link = state_of(flb) ? find_link(handler, state_of(flb)) : NULL;
	if (link)
		del_link(link);
	else
		pr_warn("FLB '%s' is not registered for '%s'\n",
			flb->compatible, handler->compatible);
}

/**
 * luo_flb_del_all - undo luo_flb_add() for all FLBs of a handler
 * @handler: the handler
 *
 * Context: May sleep, luo_handlers.lock held for writing.
 */
void luo_flb_del_all(struct liveupdate_file_handler *handler)
{
	struct luo_flb_link *link, *next;

	list_for_each_entry_safe(link, next, links_of(handler), list)
		del_link(link);
}

/* ---- For kernel code that shares the object ---- */

static struct luo_flb *find_or_get_state(struct luo *luo,
					 struct liveupdate_flb *flb)
{
	struct luo_flb *state = state_of(flb);

	if (state)
		return state;
	if (!is_complete(flb))
		return ERR_PTR(-EINVAL);

	guard(rwsem_write)(&luo->handlers.lock);
	return get_state(luo, flb->compatible);
}

static int get_incoming(struct luo_flb *state, void **objp)
{
	int err;

	guard(mutex)(&state->in_lock);
	in_receive(state);
	if (!state->in_left)
		return state->came || READ_ONCE(state->luo->finished) ?
		       -ENODATA : -ENOENT;

	err = in_retrieve(state);
	if (err)
		return err;

	state->in.users++;
	*objp = state->in.obj;
	return 0;
}

/**
 * luo_flb_get_incoming - get an object that came from the previous kernel
 * @luo:  the orchestrator
 * @flb:  the FLB; it may be registered later
 * @objp: set to the object
 *
 * Context: May sleep.
 * Return: 0; -ENODATA when there was no live update, or the FLB is finished;
 * -ENOENT when none came; -ENODEV when its module is going away; -EEXIST when
 * another FLB has its string; -EINVAL as luo_flb_add(); -EBUSY when nobody has
 * retrieved it and a kexec is under way; -ENOMEM; or what the FLB fails with.
 */
int luo_flb_get_incoming(struct luo *luo, struct liveupdate_flb *flb,
			 void **objp)
{
	struct luo_caller caller;
	struct luo_flb *state;
	int err;

	if (!luo->received)
		return -ENODATA;

	state = find_or_get_state(luo, flb);
	if (IS_ERR(state))
		return PTR_ERR(state);

	err = pin(state, flb);
	if (err)
		return err;

	luo_caller_enter(&luo->callers, &caller);
	err = get_incoming(state, objp);
	luo_caller_leave(&luo->callers, &caller);
	unpin(state);
	return err;
}

static void put_incoming(struct luo_flb *state)
{
	guard(mutex)(&state->in_lock);
	if (WARN_ON_ONCE(!state->in.users))
		return;

	state->in.users--;
	in_finish(state);
}

/**
 * luo_flb_put_incoming - undo luo_flb_get_incoming()
 * @flb: the FLB
 *
 * Context: May sleep.
 */
void luo_flb_put_incoming(struct liveupdate_flb *flb)
{
	struct luo_flb *state = state_of(flb);
	struct luo_caller caller;

	if (WARN_ON_ONCE(!state))
		return;

	luo_caller_enter(&state->luo->callers, &caller);
	put_incoming(state);
	luo_caller_leave(&state->luo->callers, &caller);
}

/**
 * luo_flb_get_outgoing - get an object that goes to the next kernel
 * @flb:  the FLB
 * @objp: set to the object
 *
 * Context: May sleep.
 * Return: 0, or -ENOENT while no file needs it, or it has no object.
 */
int luo_flb_get_outgoing(struct liveupdate_flb *flb, void **objp)
{
	struct luo_flb *state = state_of(flb);

	if (!state)
		return -ENOENT;

	guard(mutex)(&state->out_lock);
	if (!state->out.obj)
		return -ENOENT;

	state->out.users++;
	*objp = state->out.obj;
	return 0;
}

static void put_outgoing(struct luo_flb *state)
{
	guard(mutex)(&state->out_lock);
	if (WARN_ON_ONCE(!state->out.users))
		return;

	state->out.users--;
	if (!in_use(&state->out))
		out_unpreserve(state);
}

/**
 * luo_flb_put_outgoing - undo luo_flb_get_outgoing()
 * @flb: the FLB
 *
 * Context: May sleep.
 */
void luo_flb_put_outgoing(struct liveupdate_flb *flb)
{
	struct luo_flb *state = state_of(flb);
	struct luo_caller caller;

	if (WARN_ON_ONCE(!state))
		return;

	luo_caller_enter(&state->luo->callers, &caller);
	put_outgoing(state);
	luo_caller_leave(&state->luo->callers, &caller);
}
