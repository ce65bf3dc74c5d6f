/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads that do all that can be done to sessions, against each other.
 *
 * Whatever they preserve can be checked without knowing who it was: a file's token
 * is the seed of its content.
 */
#ifndef RACES_H
#define RACES_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/luo_lib.h"

/* Random numbers that are the same again with the same seed */
struct luck {
	uint64_t state;
};

uint64_t luck_next(struct luck *luck);
unsigned int luck_below(struct luck *luck, unsigned int limit);

/* Something is wrong: says what, and lets all threads end */
void race_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool race_failed(void);

/* Sessions named so stay until the last kernel; the threads do not finish them */
#define KEPT		"kept "

int file_new(uint64_t token);
int file_check(int fd, const char *compatible, uint64_t token);
int session_check(int session);

/* The threads; how often each has done its part, and how long a jump took */
void races_start(int dev, uint64_t seed);
void races_leave(void);
void races_stop(void);
void races_report(void);
unsigned int races_refused(void);

#endif /* RACES_H */
