// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whoever fails, and whenever: who was called before is called again to undo it, in
 * reverse, all is as it was, and the next attempt succeeds.
 *
 * A plan is what an attempt calls, in order, if nobody fails. It is tried with each
 * of its steps failing.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "update.h"

#define TEXT	4096
#define DEBUGFS	"/sys/kernel/debug/liveupdate/"

/* A call, the one that undoes it, and its phase; what is done @once stays so */
struct step {
	const char *op, *who, *undo, *phase;
	bool once;
};

static const struct step prepare_steps[] = {
	{ "prepare", "mock-a", "cancel", "prepare", false },
	{ "prepare", "mock-b", "cancel", "prepare", false },
	{ "prepare", "mock-c", "cancel", "prepare", false },
};

static const struct step carry_steps[] = {
	{ "retrieve", "f1", NULL, "carry", true },
	{ "preserve", "mock-x", "unpreserve", "prepare", false },
	{ "preserve", "mock-y", "unpreserve", "prepare", false },
	{ "preserve", "f1", "unpreserve", "carry", false },
	{ "retrieve", "f2", NULL, "carry", true },
	{ "preserve", "f2", "unpreserve", "carry", false },
	{ "retrieve", "f3", NULL, "carry", true },
	{ "preserve", "f3", "unpreserve", "carry", false },
};

static const struct step freeze_steps[] = {
	{ "freeze", "f1", "unfreeze", "freeze", false },
	{ "freeze", "f2", "unfreeze", "freeze", false },
	{ "freeze", "f3", "unfreeze", "freeze", false },
	{ "freeze", "mock-c", "unfreeze", "freeze", false },
	{ "freeze", "mock-b", "unfreeze", "freeze", false },
	{ "freeze", "mock-a", "unfreeze", "freeze", false },
};

/* PRESERVE_FD is no transition: who fails in it is not kept */
static const struct step preserve_steps[] = {
	{ "preserve", "mock-x", "unpreserve", NULL, false },
	{ "preserve", "mock-y", "unpreserve", NULL, false },
	{ "preserve", "f1", "unpreserve", NULL, false },
	{ "preserve", "f2", "unpreserve", NULL, false },
	{ "preserve", "f3", "unpreserve", NULL, false },
};

struct plan {
	struct step steps[32];
	int length;
	/* Of what is done once: it was, in an attempt before */
	bool done[32];
};

static void plan_add(struct plan *plan, const struct step *steps, int length)
{
	memcpy(plan->steps + plan->length, steps, length * sizeof(*steps));
	plan->length += length;
}

/* As last_failure names a participant */
static void label_of(const char *who, char *label, size_t size)
{
	if (*who == 'f')
		snprintf(label, size, "file %s of session unwind", who + 1);
	else
		snprintf(label, size, "%s %s",
			 strchr("xy", who[5]) ? "flb" : "subsystem", who);
}

static void append(char *text, const char *format, const char *a, const char *b)
{
	size_t length = strlen(text);

	snprintf(text + length, TEXT - length, format, length ? "; " : "", a, b);
}

/* What is called when the step @failing of @plan fails; it may be the last */
static void expect_calls(const struct step *plan, int failing, const bool *done,
			 char *want)
{
	*want = '\0';
	for (int i = 0; i <= failing; i++)
		if (!done[i])
			append(want, "%s%s %s", plan[i].op, plan[i].who);
	for (int i = failing - 1; i >= 0; i--)
		if (plan[i].undo)
			append(want, "%s%s %s", plan[i].undo, plan[i].who);
}

static void check_log(const char *want)
{
	static char have[16 * TEXT];

	OK(mock_log(have, sizeof(have)));
	if (strcmp(want, have))
		test_fail(__FILE__, __LINE__, "calls are \"%.140s\", not \"%.140s\"",
			  have, want);
}

/* Everything that an attempt which fails must not change */
static void read_state(char *state)
{
	static const char * const paths[] = {
		LUO_SYSFS "state", LUO_SYSFS "outgoing", LUO_SYSFS "incoming",
		LUO_SYSFS "quarantined", DEBUGFS "outgoing",
		"/sys/kernel/debug/kho/out/preserved_pages",
	};

	*state = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		char text[TEXT];

		OK(text_read(paths[i], text, sizeof(text)));
		append(state, "%s%s: %s", paths[i], text);
	}
}

static void check_state(const char *want, const struct step *step)
{
	char have[TEXT];
	size_t i = 0;

	read_state(have);
	while (want[i] && want[i] == have[i])
		i++;
	if (strcmp(want, have))
		test_fail(__FILE__, __LINE__,
			  "%s %s failed: state is \"%.60s\", not \"%.60s\"",
			  step->op, step->who, have + i, want + i);
}

/* What failed last, if it was rehearsed, and what had failed before */
static struct liveupdate_ioctl_rehearse rehearsed;
static char failed_before[TEXT];

static int rehearse(void)
{
	OK(text_read(LUO_SYSFS "last_failure", failed_before,
		     sizeof(failed_before)));
	OK(luo_rehearse_now(&rehearsed));
	return -(int)rehearsed.error;
}

static void check_rehearsed(const char *label, const char *want, int err)
{
	char have[TEXT], line[300];

	CHECK_EQ(err, rehearsed.error);
	CHECK_EQ(0, rehearsed.bytes);
	CHECK(!strcmp(label, (char *)rehearsed.participant));
	snprintf(line, sizeof(line), "error %s\n", want);
	OK(text_read(LUO_SYSFS "last_rehearsal", have, sizeof(have)));
	CHECK(!strncmp(line, have, strlen(line)));
	OK(text_read(LUO_SYSFS "last_failure", have, sizeof(have)));
	CHECK(!strcmp(failed_before, have));
	rehearsed.size = 0;
}

static void check_failure(const struct step *step, int err)
{
	struct liveupdate_ioctl_get_info info;
	char label[128], want[256];

	if (!step->phase) {
		check_text(LUO_SYSFS "last_failure", "none");
		return;
	}
	label_of(step->who, label, sizeof(label));
	snprintf(want, sizeof(want), "%d %s %s", err, step->phase, label);
	if (rehearsed.size) {
		check_rehearsed(label, want, err);
		return;
	}
	check_text(LUO_SYSFS "last_failure", want);
	OK(luo_info_now(&info));
	CHECK_EQ(err, info.last_errno);
	CHECK(!strcmp(label, (char *)info.last_participant));
}

/* Each step fails in turn. The error tells them apart. */
static void try_each(struct plan *plan, int (*act)(void))
{
	const struct step *step = plan->steps;
	char before[TEXT], want[TEXT];

	read_state(before);
	check_log("");
	for (int i = 0; i < plan->length; i++, step++) {
		int err = 90 + i;

		if (plan->done[i])
			continue;
		OK(mock_steer("%s %s fail %d", step->who, step->op, err));
		CHECK_EQ(-err, act());
		expect_calls(plan->steps, i, plan->done, want);
		check_log(want);
		for (int j = 0; j < i; j++)
			plan->done[j] = plan->steps[j].once;
		check_failure(step, err);
		check_state(before, step);
		OK(mock_steer("clear"));
	}
}

/* ---- In one kernel ---- */

static int preserving;

/* All three files; what one attempt leaves in the session is given back */
static int preserve_three(void)
{
	static const char * const names[] = { "f1", "f2", "f3" };
	int err = 0, i;

	for (i = 0; i < 3 && !err; i++) {
		int fd = OK(mock_file(names[i]));

		err = luo_preserve(preserving, fd, i + 1);
		close(fd);
	}
	if (!err)
		return 0;
	for (i--; i > 0; i--)
		OK(luo_unpreserve(preserving, i));
	return err;
}

static void fail_preserve(struct note *note)
{
	struct plan plan = {};
	char before[TEXT];

	OK(mock_load(""));
	read_state(before);
	preserving = session_new(note, "");
	plan_add(&plan, preserve_steps, ARRAY_SIZE(preserve_steps));
	try_each(&plan, preserve_three);
	CHECK_EQ(-ENOENT, mock_get("mock-x-outgoing"));

	OK(preserve_three());
	check_log("preserve mock-x; preserve mock-y; "
		  "preserve f1; preserve f2; preserve f3");
	CHECK_EQ(3, mock_get("mock-x-outgoing"));
	CHECK_EQ(3, mock_get("mock-y-outgoing"));
	CHECK_EQ(-EAGAIN, mock_unload());
	close(preserving);
	check_log("unpreserve f3; unpreserve f2; unpreserve f1; "
		  "unpreserve mock-y; unpreserve mock-x");
	check_state(before, plan.steps);
}

UPDATE_TEST(unwind, unwind_preserve, .stage = { fail_preserve });

static int prepare(void)
{
	return luo_send_event(LIVEUPDATE_EVENT_PREPARE);
}

static void fail_prepare(struct note *note)
{
	struct plan plan = {};

	plan_add(&plan, prepare_steps, ARRAY_SIZE(prepare_steps));
	try_each(&plan, prepare);
	OK(prepare());
	check_log("prepare mock-a; prepare mock-b; prepare mock-c");
	check_text(LUO_SYSFS "state", "prepared");
	CHECK_EQ(-EAGAIN, mock_unload());
	OK(luo_send_event(LIVEUPDATE_EVENT_CANCEL));
	check_log("cancel mock-c; cancel mock-b; cancel mock-a");
	check_text(LUO_SYSFS "state", "normal");
}

UPDATE_TEST(unwind, unwind_prepare, .stage = { fail_prepare });

/* Nobody uses it any more: it can go, and come again */
static void unload(struct note *note)
{
	OK(mock_unload());
	CHECK_EQ(-ENOENT, mock_unload());
	OK(mock_load(""));
	check_log("");
}

UPDATE_TEST(unwind, unwind_unload, .stage = { unload });

/* An agent prepares, and dies: the next one goes on, or cancels */
static void die_prepared(struct note *note)
{
	int dev = OK(luo_open());

	OK(luo_event(dev, LIVEUPDATE_EVENT_PREPARE));
	close(dev);
	check_text(LUO_SYSFS "state", "prepared");
	close(session_new(note, "made while prepared"));
	CHECK_EQ(-EINVAL, prepare());
	OK(luo_send_event(LIVEUPDATE_EVENT_CANCEL));
	OK(prepare());
	OK(luo_send_event(LIVEUPDATE_EVENT_CANCEL));
	check_log("prepare mock-a; prepare mock-b; prepare mock-c; "
		  "cancel mock-c; cancel mock-b; cancel mock-a; "
		  "prepare mock-a; prepare mock-b; prepare mock-c; "
		  "cancel mock-c; cancel mock-b; cancel mock-a");
}

UPDATE_TEST(unwind, unwind_dying_agent, .stage = { die_prepared });

/* ---- Sessions are frozen together, the files of one in their order ---- */

static int together[2];

static void two_sessions(struct note *note)
{
	static const char * const names[] = { "p1a", "p1b", "p2a", "p2b" };

	together[0] = session_new(note, "1");
	together[1] = session_new(note, "2");
	for (int i = 0; i < 4; i++) {
		int fd = OK(mock_file(names[i]));

		OK(luo_preserve(together[i / 2], fd, i));
		close(fd);
	}
}

/* How long a jump takes that the last subsystem to be frozen makes fail */
static uint64_t timed_jump(void)
{
	uint64_t start = now_ms();

	CHECK_EQ(-90, jump_once());
	return now_ms() - start;
}

static const char *call_of(const char *log, const char *call)
{
	const char *found = strstr(log, call);

	if (!found)
		test_fail(__FILE__, __LINE__, "no call \"%s\"", call);
	return found;
}

static void freeze_together(struct note *note)
{
	static char log[16 * TEXT];
	uint64_t one, both;

	OK(mock_log(log, sizeof(log)));
	OK(mock_steer("mock-a freeze fail 90; p1a freeze sleep 1500"));
	one = timed_jump();
	OK(mock_log(log, sizeof(log)));
	CHECK(call_of(log, "freeze p1a") < call_of(log, "freeze p1b"));
	CHECK(call_of(log, "freeze p2b") < call_of(log, "freeze p1b"));

	OK(mock_steer("p2a freeze sleep 1500"));
	both = timed_jump();
	OK(mock_steer("clear"));
	OK(mock_log(log, sizeof(log)));
	CHECK(call_of(log, "unfreeze p1b") < call_of(log, "unfreeze p1a"));
	snprintf(note->text, sizeof(note->text),
		 "two sessions that sleep take %lu.%02lu times as long as one",
		 both / one, both * 100 / one % 100);
	CHECK_BETWEEN(0, both * 100 / one, 150);
	close(together[0]);
	close(together[1]);
}

UPDATE_TEST(unwind, unwind_freezes_together, .stage = { two_sessions },
	    .late = { freeze_together });

/* ---- From kernel to kernel: the session "unwind" ---- */

static void three_files(struct note *note)
{
	preserving = OK(luo_session_new("unwind"));
	OK(preserve_three());
	OK(mock_set("mock-a", 11));
	OK(mock_set("mock-b", 22));
	OK(mock_set("mock-c", 33));
}

/* Nobody fails: all are called as for a jump, and then as for one that is refused */
static void rehearse_whole(void)
{
	CHECK_EQ(0, rehearse());
	CHECK_EQ(LIVEUPDATE_IMAGE_HANDOVER, rehearsed.image);
	rehearsed.size = 0;
	check_log("prepare mock-a; prepare mock-b; prepare mock-c; "
		  "freeze f1; freeze f2; freeze f3; "
		  "freeze mock-c; freeze mock-b; freeze mock-a; "
		  "unfreeze mock-a; unfreeze mock-b; unfreeze mock-c; "
		  "unfreeze f3; unfreeze f2; unfreeze f1; "
		  "cancel mock-c; cancel mock-b; cancel mock-a");
}

static void fail_reboot(struct note *note)
{
	struct plan all = {}, freeze = {};

	plan_add(&all, prepare_steps, ARRAY_SIZE(prepare_steps));
	plan_add(&all, freeze_steps, ARRAY_SIZE(freeze_steps));
	plan_add(&freeze, freeze_steps, ARRAY_SIZE(freeze_steps));
	OK(text_write(MOCK_DIR "log", "clear"));
	try_each(&all, jump_once);
	try_each(&all, rehearse);
	rehearse_whole();

	/* A reboot that fails leaves an update prepared that was so before */
	OK(prepare());
	check_log("prepare mock-a; prepare mock-b; prepare mock-c");
	try_each(&freeze, jump_once);
	try_each(&freeze, rehearse);
	check_text(LUO_SYSFS "state", "prepared");
	OK(luo_send_event(LIVEUPDATE_EVENT_CANCEL));
	check_text(LUO_SYSFS "state", "normal");
}

static void check_values(void)
{
	CHECK_EQ(11, mock_get("mock-a"));
	CHECK_EQ(22, mock_get("mock-b"));
	CHECK_EQ(33, mock_get("mock-c"));
}

/* Nothing is there but the state: the subsystems come one by one, as boot fails */
static void fail_boot(struct note *note)
{
	check_text(LUO_SYSFS "state", "updated");
	OK(mock_load("mock-a boot fail 90"));
	check_log("boot mock-a");
	OK(mock_steer("clear; mock-b boot fail 90"));
	OK(text_write(MOCK_DIR "register", "again"));
	check_log("boot mock-a; boot mock-b");
	OK(mock_steer("clear; mock-c boot fail 90"));
	OK(text_write(MOCK_DIR "register", "again"));
	check_log("boot mock-b; boot mock-c");
	OK(mock_steer("clear"));
	OK(text_write(MOCK_DIR "register", "again"));
	check_log("boot mock-c");
	check_values();
	CHECK_EQ(-EAGAIN, mock_unload());
}

static void fail_flb(const char *flb)
{
	char name[64];

	snprintf(name, sizeof(name), "%s-incoming", flb);
	OK(mock_steer("%s retrieve fail 90", flb));
	CHECK_EQ(-90, mock_get(name));
	OK(mock_steer("clear"));
	CHECK_EQ(3, mock_get(name));
	CHECK_EQ(3, mock_get(name));
}

/* All that can fail on demand, before the matrix of what is carried */
static void fail_retrieve(struct note *note)
{
	int session;

	fail_boot(note);
	fail_flb("mock-x");
	fail_flb("mock-y");
	check_log("retrieve mock-x; retrieve mock-x; retrieve mock-y; retrieve mock-y");

	session = OK(luo_session_claim("unwind"));
	OK(mock_steer("f1 retrieve fail 91"));
	for (int i = 0; i < 2; i++)
		CHECK_EQ(-91, luo_restore(session, 1));
	check_log("retrieve f1; retrieve f1");
	OK(mock_steer("clear"));
	close(session);
}

static void fail_carry(struct note *note)
{
	struct plan plan = {};

	plan_add(&plan, prepare_steps, ARRAY_SIZE(prepare_steps));
	plan_add(&plan, carry_steps, ARRAY_SIZE(carry_steps));
	plan_add(&plan, freeze_steps, ARRAY_SIZE(freeze_steps));
	try_each(&plan, jump_once);
	try_each(&plan, rehearse);
	check_text(LUO_SYSFS "state", "updated");
}

static int finishing;

static int finish(void)
{
	return luo_finish(finishing);
}

static void check_files(void)
{
	char name[8];

	for (int i = 1; i <= 3; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		OK(mock_file_is(OK(luo_restore(finishing, i)), name));
	}
	check_log("retrieve f1; retrieve f2; retrieve f3");
}

/* Who must not be finished yet keeps all others; the FLBs were not asked for */
static void fail_finish(struct note *note)
{
	OK(mock_load(""));
	check_log("boot mock-a; boot mock-b; boot mock-c");
	check_values();
	finishing = OK(luo_session_claim("unwind"));
	check_files();
	CHECK_EQ(-EBUSY, luo_send_event(LIVEUPDATE_EVENT_FINISH));

	OK(mock_steer("f2 can-finish fail 90"));
	CHECK_EQ(-EBUSY, finish());
	check_log("can-finish f1; can-finish f2");
	check_text(LUO_SYSFS "state", "updated");
	OK(mock_steer("clear"));

	/* The next update is prepared already: this one is over when that is cancelled */
	OK(prepare());
	check_log("prepare mock-a; prepare mock-b; prepare mock-c");
	OK(finish());
	check_log("can-finish f1; can-finish f2; can-finish f3; "
		  "finish f3; finish f2; finish f1; "
		  "retrieve mock-y; finish mock-y; retrieve mock-x; finish mock-x");
	check_text(LUO_SYSFS "state", "prepared");
	OK(luo_send_event(LIVEUPDATE_EVENT_CANCEL));
	check_log("cancel mock-c; cancel mock-b; cancel mock-a; "
		  "finish mock-c; finish mock-b; finish mock-a");
	check_text(LUO_SYSFS "state", "normal");
	CHECK_EQ(-ENODATA, mock_get("mock-x-incoming"));
	check_values();
}

UPDATE_TEST(unwind, unwind_reboot,
	    .stage = { three_files, fail_retrieve, fail_finish },
	    .late = { fail_reboot, fail_carry });
