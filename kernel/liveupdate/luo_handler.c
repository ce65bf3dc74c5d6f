// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: the registry of file handlers
 */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/cleanup.h>
#include <linux/completion.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/list_private.h>
#include <linux/kmod.h>
#include <linux/lockdep.h>
#include <linux/module.h>
#include <linux/refcount.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/stringhash.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "luo_internal.h"

/**
 * luo_handlers_init - make an empty registry
 * @handlers: the registry
 */
void luo_handlers_init(struct luo_handlers *handlers)
{
	init_rwsem(&handlers->asked);
	init_rwsem(&handlers->lock);
	INIT_LIST_HEAD(&handlers->list);
	INIT_LIST_HEAD(&handlers->flbs);
	xa_init_flags(&handlers->by_name, XA_FLAGS_ALLOC);
	xa_init(&handlers->takers);
}

/* Where a name can be: as many names as this can have the same hash */
static struct xa_limit places_of(const char *compatible)
{
	u32 hash = full_name_hash(NULL, compatible, strlen(compatible));

	return XA_LIMIT(hash & ~0xffU, hash | 0xff);
}

static bool is_complete(const struct liveupdate_file_handler *handler)
{
	const struct liveupdate_file_ops *ops = handler->ops;

	return ops && ops->can_preserve && ops->preserve && ops->unpreserve &&
	       ops->retrieve && ops->finish &&
	       !ops->announce == !ops->unannounce &&
	       luo_compatible_fits(handler->compatible,
				   sizeof(handler->compatible));
}

static struct liveupdate_file_handler *
find_compatible(struct luo_handlers *handlers, const char *compatible)
{
	struct xa_limit places = places_of(compatible);
	struct liveupdate_file_handler *handler;
	unsigned long index;

	lockdep_assert_held(&handlers->lock);
	xa_for_each_range(&handlers->by_name, index, handler, places.min,
			  places.max) {
		if (!strcmp(handler->compatible, compatible))
			return handler;
	}

	return NULL;
}

/**
 * luo_handler_add - register a file handler
 * @handlers: the registry
 * @handler:  the handler
 *
 * Context: May sleep.
 * Return: 0; -EINVAL when a callback that has to be there is not, or the
 * compatible string is empty, not terminated or not printable; -EEXIST when a handler
 * with the same string is registered; -ENOMEM; -EBUSY when more than 255 others have
 * strings with the same hash.
 */
int luo_handler_add(struct luo_handlers *handlers,
		    struct liveupdate_file_handler *handler)
{
	int err;

	if (!is_complete(handler))
		return -EINVAL;

	guard(rwsem_write)(&handlers->lock);
	if (find_compatible(handlers, handler->compatible))
		return -EEXIST;
	err = xa_alloc(&handlers->by_name, &ACCESS_PRIVATE(handler, name_id),
		       handler, places_of(handler->compatible), GFP_KERNEL);
	if (err)
		return err;

	INIT_LIST_HEAD(&ACCESS_PRIVATE(handler, flbs));
	atomic64_set(&ACCESS_PRIVATE(handler, files), 0);
	list_add_tail(&ACCESS_PRIVATE(handler, list), &handlers->list);

	return 0;
}

/**
 * luo_handler_del - take a file handler out of the registry
 * @handlers: the registry
 * @handler:  the handler, which no session has a file of; of a handler in a
 *            module this is sure, as its files pin the module
 *
 * Context: May sleep.
 */
void luo_handler_del(struct luo_handlers *handlers,
		     struct liveupdate_file_handler *handler)
{
	struct liveupdate_file_handler *taker;
	unsigned long index;

	guard(rwsem_write)(&handlers->asked);
	guard(rwsem_write)(&handlers->lock);
	luo_flb_del_all(handler);
	xa_for_each(&handlers->takers, index, taker) {
		if (taker == handler)
			xa_erase(&handlers->takers, index);
	}
	xa_erase(&handlers->by_name, ACCESS_PRIVATE(handler, name_id));
	list_del(&ACCESS_PRIVATE(handler, list));
}

/**
 * luo_handler_is_registered - whether a file handler is in the registry
 * @handlers: the registry
 * @handler:  the handler
 *
 * Context: May sleep, luo_handlers.lock held.
 * Return: true if it is.
 */
bool luo_handler_is_registered(struct luo_handlers *handlers,
			       const struct liveupdate_file_handler *handler)
{
	const struct liveupdate_file_handler *other;

	lockdep_assert_held(&handlers->lock);
	list_private_for_each_entry(other, &handlers->list, list) {
		if (other == handler)
			return true;
	}

	return false;
}

/**
 * luo_handler_request - ask for the module that has a file handler
 * @compatible: the handler's compatible string; it comes from the previous kernel
 *
 * Context: Process context, no lock held, as it waits for user space.
 * Return: 0, also when it cannot be had, or -EINTR when killed.
 */
int luo_handler_request(const char *compatible)
{
	request_module("liveupdate:%s", compatible);
	return fatal_signal_pending(current) ? -EINTR : 0;
}

/**
 * luo_wanted_add - note that a handler is missing
 * @wanted:     where to; when it is full the type is left out
 * @compatible: the handler's compatible string
 */
void luo_wanted_add(struct luo_wanted *wanted, const char *compatible)
{
	unsigned int i;

	for (i = 0; i < wanted->nr; i++) {
		if (!strcmp(wanted->types[i], compatible))
			return;
	}
	if (wanted->nr < LUO_MAX_WANTED)
		strscpy(wanted->types[wanted->nr++], compatible);
}

/**
 * struct module_request - modules that are asked for
 * @work:   to do so
 * @refs:   of the work, and of who waits for it
 * @done:   all were asked for
 * @wanted: which
 */
struct module_request {
	struct work_struct work;
	refcount_t refs;
	struct completion done;
	struct luo_wanted wanted;
};

static void request_put(struct module_request *request)
{
	if (refcount_dec_and_test(&request->refs))
		kfree(request);
}

static void request_run(struct work_struct *work)
{
	struct module_request *request = container_of(work, struct module_request, work);
	unsigned int i;

	for (i = 0; i < request->wanted.nr; i++)
		luo_handler_request(request->wanted.types[i]);
	complete(&request->done);
	request_put(request);
}

static int request_wait(struct module_request *request, unsigned long timeout)
{
	long left = wait_for_completion_killable_timeout(&request->done,
							 timeout);

	if (!left)
		pr_warn("modprobe takes too long to load what handles files of type '%s'\n",
			request->wanted.types[0]);

	return left < 0 ? -EINTR : 0;
}

/**
 * luo_wanted_request - ask for the modules of all handlers that are missing
 * @wanted:  which
 * @timeout: how long to wait for them, in jiffies
 *
 * Who is waited for no more goes on, and its handlers are taken when they come.
 *
 * Context: Process context, no lock held, as it waits for user space.
 * Return: 0, also when a module cannot be had in time; -EINTR when killed; -ENOMEM.
 */
int luo_wanted_request(const struct luo_wanted *wanted, unsigned long timeout)
{
	struct module_request *request;
	int err;

	if (!wanted->nr)
		return 0;

	request = kmalloc_obj(*request);
	if (!request)
		return -ENOMEM;

	INIT_WORK(&request->work, request_run);
	refcount_set(&request->refs, 2);
	init_completion(&request->done);
	request->wanted = *wanted;
	queue_work(system_dfl_long_wq, &request->work);
	err = request_wait(request, timeout);
	request_put(request);

	return err;
}

/* Others can register meanwhile, but none goes */
static struct liveupdate_file_handler *
next_handler(struct luo_handlers *handlers,
	     struct liveupdate_file_handler *handler)
{
	struct list_head *at = handler ? &ACCESS_PRIVATE(handler, list) :
					 &handlers->list;

	lockdep_assert_held(&handlers->asked);
	guard(rwsem_read)(&handlers->lock);
	return list_is_last(at, &handlers->list) ? NULL :
	       list_private_entry(at->next, struct liveupdate_file_handler, list);
}

/* Ask all, in the order of registration */
static struct liveupdate_file_handler *find_taker(struct luo_handlers *handlers,
						  struct file *file)
{
	struct liveupdate_file_handler *handler = NULL;

	while ((handler = next_handler(handlers, handler))) {
		if (handler->ops->can_preserve(handler, file))
			return handler;
	}

	return NULL;
}

/**
 * luo_handler_get_for_file - find who preserves a file
 * @handlers: the registry
 * @file:     the file
 *
 * The handler that took the last file with the same file operations is asked first,
 * so that the number of handlers does not matter. That is only a hint, as is all
 * that is remembered: without memory for it, all are asked again.
 *
 * Context: May sleep.
 * Return: the handler, its module pinned, or NULL.
 */
struct liveupdate_file_handler *
luo_handler_get_for_file(struct luo_handlers *handlers, struct file *file)
{
	unsigned long type = (unsigned long)file->f_op;
	struct liveupdate_file_handler *handler;

	guard(rwsem_read)(&handlers->asked);
	handler = xa_load(&handlers->takers, type);
	if (!handler || !handler->ops->can_preserve(handler, file)) {
		handler = find_taker(handlers, file);
		if (!handler)
			return NULL;
		xa_store(&handlers->takers, type, handler,
			 GFP_KERNEL | __GFP_NOWARN);
	}

	return try_module_get(handler->ops->owner) ? handler : NULL;
}

/**
 * luo_handler_get_compatible - find who restores a file
 * @handlers:   the registry
 * @compatible: the compatible string of the file's record
 *
 * Context: May sleep.
 * Return: the handler, its module pinned, or NULL.
 */
struct liveupdate_file_handler *
luo_handler_get_compatible(struct luo_handlers *handlers,
			   const char *compatible)
{
	struct liveupdate_file_handler *handler;

	guard(rwsem_read)(&handlers->lock);
	handler = find_compatible(handlers, compatible);

	return handler && try_module_get(handler->ops->owner) ? handler : NULL;
}

/**
 * luo_handler_put - unpin a file handler
 * @handler: the handler, or NULL
 */
void luo_handler_put(struct liveupdate_file_handler *handler)
{
	if (handler)
		module_put(handler->ops->owner);
}
