// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the table of states and events: every cell of it
 */

#include <kunit/test.h>

#include "../luo_internal.h"

#define UNDEFINED	LIVEUPDATE_STATE_UNDEFINED
#define NORMAL		LIVEUPDATE_STATE_NORMAL
#define PREPARED	LIVEUPDATE_STATE_PREPARED
#define FROZEN		LIVEUPDATE_STATE_FROZEN
#define UPDATED		LIVEUPDATE_STATE_UPDATED
#define NO		(-EINVAL)

#define NR_STATES	5
#define NR_EVENTS	4

/* By state, then by event; without and with unfinished incoming sessions */
static const int expected[2][NR_STATES][NR_EVENTS] = {
	{
	/*		    PREPARE   FREEZE  FINISH  CANCEL */
	[UNDEFINED] =	{ NO,       NO,     NO,     NO },
	[NORMAL] =	{ PREPARED, NO,     NO,     NO },
	[PREPARED] =	{ NO,       FROZEN, NO,     NORMAL },
	[FROZEN] =	{ NO,       NO,     NO,     NO },
	[UPDATED] =	{ PREPARED, NO,     NORMAL, NO },
	}, {
	[UNDEFINED] =	{ NO,       NO,     NO,     NO },
	[NORMAL] =	{ PREPARED, NO,     NO,     NO },
	[PREPARED] =	{ NO,       FROZEN, NO,     UPDATED },
	[FROZEN] =	{ NO,       NO,     NO,     NO },
	[UPDATED] =	{ PREPARED, NO,     NORMAL, NO },
	},
};

static void check_cell(struct kunit *test, int incoming, int state, int event)
{
	int next = luo_state_next(state, event, incoming);

	KUNIT_EXPECT_EQ_MSG(test, next, expected[incoming][state][event],
			    "%s, event %d, incoming %d", luo_state_name(state),
			    event, incoming);
}

static void every_cell(struct kunit *test)
{
	int incoming, state, event;

	for (incoming = 0; incoming < 2; incoming++)
		for (state = 0; state < NR_STATES; state++)
			for (event = 0; event < NR_EVENTS; event++)
				check_cell(test, incoming, state, event);
}

static void unknown_events(struct kunit *test)
{
	int state;

	for (state = 0; state <= NR_STATES; state++) {
		KUNIT_EXPECT_EQ(test, luo_state_next(state, NR_EVENTS, false),
				-EINVAL);
		KUNIT_EXPECT_EQ(test, luo_state_next(state, -1, false),
				-EINVAL);
	}
}

static void names(struct kunit *test)
{
	KUNIT_EXPECT_STREQ(test, luo_state_name(UNDEFINED), "undefined");
	KUNIT_EXPECT_STREQ(test, luo_state_name(NORMAL), "normal");
	KUNIT_EXPECT_STREQ(test, luo_state_name(PREPARED), "prepared");
	KUNIT_EXPECT_STREQ(test, luo_state_name(FROZEN), "frozen");
	KUNIT_EXPECT_STREQ(test, luo_state_name(UPDATED), "updated");
	KUNIT_EXPECT_STREQ(test, luo_state_name(NR_STATES), "invalid");
}

static struct kunit_case cases[] = {
	KUNIT_CASE(every_cell),
	KUNIT_CASE(unknown_events),
	KUNIT_CASE(names),
	{}
};

static struct kunit_suite suite = {
	.name = "luo_state",
	.test_cases = cases,
};

kunit_test_suite(suite);
