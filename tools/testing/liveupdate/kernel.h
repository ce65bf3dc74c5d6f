/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel files under test need of the kernel, for a program of the host.
 *
 * The compiler includes it before each file (see Makefile). Headers of the kernel
 * which the files ask for by name are empty here, except those that are part of
 * live update. What never runs here is an empty structure.
 */
#ifndef _LIVEUPDATE_TEST_KERNEL_H
#define _LIVEUPDATE_TEST_KERNEL_H

#include <assert.h>
#include <errno.h>
#include <libfdt.h>
#include <linux/fcntl.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define CONFIG_LIVEUPDATE	1

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;
typedef u64 phys_addr_t;
#define pgoff_t unsigned long

struct list_head {
	struct list_head *next, *prev;
};

static inline bool list_empty(const struct list_head *head)
{
	return head->next == head;
}

/* Parts of structures, of which nothing here is used */
struct kobject;
#define atomic64_t s64 /* nobody counts here */
#define atomic_t struct counter

struct counter {
	int counter;
};

struct lock_class_key {};
struct miscdevice {};
struct mutex {}; /* protects nothing here */
struct rcu_head {};
struct rhash_head {};
struct rhashtable {};
struct rhlist_head {};
struct rhltable {};
struct rw_semaphore {};
struct spinlock {};
struct wait_queue_head {};
struct work_struct {};
struct xarray {};
#define spinlock_t		struct spinlock
#define wait_queue_head_t	struct wait_queue_head

#define __user
#define __guarded_by(...)
#undef __printf
#define __printf(_format, _args) \
	__attribute__((__format__(__printf__, _format, _args)))
#undef __packed
#define __packed		__attribute__((__packed__))
#define __private
#define EXPORT_SYMBOL_GPL(_name)
#define cond_resched()		((void)0)
/* There is one thread only */
#define WRITE_ONCE(_where, _value)	((_where) = (_value))

#define PAGE_SHIFT		12
#define PAGE_SIZE		4096UL
#define PAGE_MASK		(~(PAGE_SIZE - 1))
#define PHYS_PFN(_phys)		((unsigned long)((_phys) >> PAGE_SHIFT))
#define BITS_PER_LONG		64
#define ARRAY_SIZE(_array)	(sizeof(_array) / sizeof((_array)[0]))
#define U64_MAX			UINT64_MAX
#define GENMASK_ULL(_high, _low) \
	((~0ULL >> (63 - (_high))) & (~0ULL << (_low)))
#define min(_a, _b)							\
	({								\
		__typeof__(_a) min_a = (_a);				\
		__typeof__(_b) min_b = (_b);				\
		min_a < min_b ? min_a : min_b;				\
	})

#define min_t(_type, _a, _b)	((_type)min((u64)(_a), (u64)(_b)))

#define __ffs(_value)		__builtin_ctzl(_value)
#define ilog2(_value)		(63 - __builtin_clzll(_value))
#define round_up(_value, _to)	((((_value) - 1) | ((_to) - 1)) + 1)

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC		0x20
#endif

/* Of x86-64 with transparent huge pages */
#define CONFIG_TRANSPARENT_HUGEPAGE	1
#define IS_ENABLED(CONFIG_option)	(CONFIG_option)
#define MAX_PAGE_ORDER		10
#define MAX_PAGECACHE_ORDER	9
#define MAX_LFS_FILESIZE	INT64_MAX
#define S_IALLUGO		07777

/* Of arrays, as everywhere in live update; the rest is filled with zeros */
#define strscpy_pad(_to, _from) \
	snprintf(memset(_to, 0, sizeof(_to)), sizeof(_to), "%s", _from)

static inline bool strstarts(const char *string, const char *prefix)
{
	return !strncmp(string, prefix, strlen(prefix));
}

static inline u64 DIV_ROUND_UP_ULL(u64 dividend, u64 divisor)
{
	return (dividend + divisor - 1) / divisor;
}

static inline u64 div64_u64(u64 dividend, u64 divisor)
{
	return dividend / divisor;
}

static inline __be32 cpu_to_be32(u32 value)
{
	return (__be32)cpu_to_fdt32(value);
}

static inline u32 get_unaligned_be32(const void *from)
{
	return fdt32_ld(from);
}

static inline u64 get_unaligned_be64(const void *from)
{
	return fdt64_ld(from);
}

u32 crc32c(u32 crc, const void *from, size_t length);

/* ---- memory.c: memory, and what KHO knows of it ---- */

struct folio;
struct page;

extern unsigned long max_pfn;

void *phys_to_virt(phys_addr_t phys);
struct folio *virt_to_folio(const void *virt);
void folio_put(struct folio *folio);

int pfn_to_nid(unsigned long pfn);
int kho_preserved_order(phys_addr_t phys);
int kho_preserved_whole(phys_addr_t phys);
struct folio *kho_try_restore_folio(phys_addr_t phys, unsigned int order);

#endif /* _LIVEUPDATE_TEST_KERNEL_H */
