/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the cases of the benchmark and the program that runs them share.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/luo_lib.h"

/**
 * struct bench_case - something to measure
 * @name:   how it is asked for
 * @before: in the first kernel; true if it got as far as the jump
 * @after:  in the next kernel; without it, there is no jump
 *
 * Both get the number that the case was asked for with: a count, or MiB. What
 * they have open and mapped ends with them.
 */
struct bench_case {
	const char *name;
	bool (*before)(uint64_t n);
	void (*after)(uint64_t n);
};

extern const struct bench_case bench_cases[];
extern const unsigned int bench_nr_cases;

/* What came out: in microseconds, in bytes, or that it cannot be done */
void bench_time(const char *measure, uint64_t n, uint64_t us);
void bench_bytes(const char *measure, uint64_t n, int64_t bytes);
void bench_cannot(const char *measure, uint64_t n, int err);

/* Is there no time left for what began at @start? Then that is the result. */
bool bench_over(const char *measure, uint64_t n, uint64_t start);

/* Microseconds from reboot(2) in the first kernel until now, or this program */
uint64_t bench_away(void);
uint64_t bench_away_start(void);
void bench_stages(const char *kernel, const char *init, uint64_t n);

void __attribute__((noreturn)) bench_fail(const char *what, long long err);

/* The value of a call that returns a negative errno when it fails */
#define NEED(call)							\
({									\
	long long _ret = (long long)(call);				\
									\
	if (_ret < 0)							\
		bench_fail(#call, _ret);				\
	_ret;								\
})

/* The same for one that returns -1 and sets errno */
#define NEED_SYS(call)							\
({									\
	long long _value = (long long)(call);				\
									\
	if (_value == -1)						\
		bench_fail(#call, -errno);				\
	_value;								\
})

#endif /* BENCH_H */
