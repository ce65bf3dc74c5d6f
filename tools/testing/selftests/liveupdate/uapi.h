/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tests that need one kernel only: the harness, with patience for slow kernels.
 */
#ifndef UAPI_H
#define UAPI_H

#include "../kselftest_harness.h"
#include "lib/luo_lib.h"

/* Runs when all tests have been registered: those constructors are earlier */
static void __attribute__((constructor)) be_patient(void)
{
	struct __fixture_metadata *fixture = __fixture_list;
	struct __test_metadata *test;

	for (; fixture; fixture = fixture->next) {
		for (test = fixture->tests; test; test = test->next)
			test->timeout *= slower();
	}
}

#endif /* UAPI_H */
