// SPDX-License-Identifier: GPL-2.0-only
/*
 * What protects a memfd: that which cannot cross (extended attributes, an access
 * control list, flags of chattr(1); kernels can be built without these), that which
 * changes when it is too late to cross, and the labels of security modules. The sets
 * are "attrs" and, on a kernel that runs Smack, "label", on one that runs SELinux,
 * "selinux". In "unlabelled", the next kernel runs another module than Smack.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "update.h"

#define LEN		(64 * KIB)

struct attribute {
	int (*set)(int fd);
	int (*unset)(int fd);
};

/* 0, or -EOPNOTSUPP where there is no such thing */
static int result(int ret)
{
	if (!ret)
		return 0;
	return errno == ENOTTY ? -EOPNOTSUPP : -errno;
}

static int set_xattr(int fd)
{
	return result(fsetxattr(fd, "user.luo", "kept", 4, 0));
}

static int unset_xattr(int fd)
{
	return result(fremovexattr(fd, "user.luo"));
}

#define ACL		"system.posix_acl_access"
#define NO_ID		0xffffffff

/* As it goes through setxattr(2): the version, and who may do what */
static const struct {
	uint32_t version;
	struct {
		uint16_t tag, may;
		uint32_t id;
	} entry[5];
} one_user_more = {
	.version = 2,
	.entry = {
		{ 0x01, 6, NO_ID },	/* the owner */
		{ 0x02, 4, 1000 },	/* another user */
		{ 0x04, 0, NO_ID },	/* the group */
		{ 0x10, 4, NO_ID },	/* the most that these two may */
		{ 0x20, 0, NO_ID },	/* all others */
	},
};

static int set_acl(int fd)
{
	return result(fsetxattr(fd, ACL, &one_user_more, sizeof(one_user_more), 0));
}

static int unset_acl(int fd)
{
	return result(fremovexattr(fd, ACL));
}

static int set_flags(int fd, int flags)
{
	return result(ioctl(fd, FS_IOC_SETFLAGS, &flags));
}

static int set_nodump(int fd)
{
	return set_flags(fd, FS_NODUMP_FL);
}

static int unset_nodump(int fd)
{
	return set_flags(fd, 0);
}

/* What is refused is as free as before; what is in a session cannot be given any */
static void refused_before(struct note *note)
{
	const struct attribute *attribute = test_data();
	int session = session_new(note, "");
	int fd = OK(memfd_filled("attribute", 0, LEN, 1));
	int err = attribute->set(fd);

	if (err == -EOPNOTSUPP)
		test_skip("memfds cannot have that on this kernel");
	OK(err);
	CHECK_EQ(-EOPNOTSUPP, luo_preserve(session, fd, 1));
	CHECK_EQ(-EOPNOTSUPP, luo_announce(session, fd, 1));
	OK(attribute->unset(fd));
	OK(luo_announce(session, fd, 1));
	CHECK_EQ(-EPERM, attribute->set(fd));
	OK(luo_unpreserve(session, 1));
	SYS(ftruncate(fd, 2 * LEN));
	SYS(ftruncate(fd, LEN));
	OK(luo_preserve(session, fd, 1));
	CHECK_EQ(-EPERM, attribute->set(fd));
	OK(luo_unpreserve(session, 1));
	OK(attribute->set(fd));
	OK(attribute->unset(fd));
	OK(luo_preserve(session, fd, 1));
}

/* It is one that can be given them */
static void refused_after(struct note *note)
{
	const struct attribute *attribute = test_data();
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));

	OK(content_check(fd, 0, LEN, 1));
	CHECK_EQ(-EPERM, attribute->set(fd));
	OK(luo_finish(session));
	OK(attribute->set(fd));
}

#define ATTRIBUTE(_name, _set, _unset)					\
	static const struct attribute attribute_##_name = { _set, _unset }; \
	UPDATE_TEST(attrs, attrs_##_name##_is_refused,			\
		    .stage = { refused_before, refused_after },		\
		    .data = &attribute_##_name)

ATTRIBUTE(xattr, set_xattr, unset_xattr);
ATTRIBUTE(acl, set_acl, unset_acl);
ATTRIBUTE(flags, set_nodump, unset_nodump);

/* ---- What is changed too late to be written down ---- */

struct late {
	unsigned int flags; /* of memfd_create(2) */
	int (*change)(int fd);
};

static int change_mode(int fd)
{
	return fchmod(fd, 0600);
}

static int change_owner(int fd)
{
	return fchown(fd, NOBODY, NOBODY);
}

static int change_seals(int fd)
{
	return fcntl(fd, F_ADD_SEALS, F_SEAL_GROW);
}

/* All that can change; what the descriptor has is no matter */
static void protection_of(int fd, uint64_t *value)
{
	struct stat st;

	SYS(fstat(fd, &st));
	value[0] = st.st_mode;
	value[1] = st.st_uid;
	value[2] = SYS(fcntl(fd, F_GET_SEALS));
}

#define PROTECTION	2 /* where it is in the note */

static void late_before(struct note *note)
{
	const struct late *late = test_data();
	int session = session_new(note, "");
	int fd = memfd_create("late", MFD_ALLOW_SEALING | late->flags);

	if (fd < 0)
		test_skip("no such memfds on this kernel");
	SYS(ftruncate(fd, 2 * MIB));
	OK(luo_preserve(session, fd, 1));
	protection_of(fd, note->value + PROTECTION);
	note->value[0] = getpid();
	note->value[1] = fd;
}

/* Nobody is told that it is done, as it would not be */
static void late_frozen(struct note *note)
{
	const struct late *late = test_data();
	char path[64];
	int fd, status;
	pid_t pid;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)note->value[0],
		 (int)note->value[1]);
	fd = SYS(open(path, O_RDWR | O_CLOEXEC));
	pid = SYS(fork());
	if (!pid)
		_exit(!!late->change(fd));
	usleep(500000 * slower());
	CHECK_EQ(0, SYS(waitpid(pid, &status, WNOHANG)));
	SYS(kill(pid, SIGKILL));
	SYS(waitpid(pid, &status, 0));
	CHECK(WIFSIGNALED(status));
}

static void late_after(struct note *note)
{
	const struct late *late = test_data();
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));
	uint64_t have[3];

	protection_of(fd, have);
	for (unsigned int i = 0; i < ARRAY_SIZE(have); i++)
		CHECK_EQ(note->value[PROTECTION + i], have[i]);
	OK(luo_finish(session));
	SYS(late->change(fd));
}

#define LATE(_name, _flags, _change)					\
	static const struct late late_##_name = { _flags, _change };	\
	UPDATE_TEST(attrs, attrs_late_##_name##_waits,			\
		    .stage = { late_before, late_after },		\
		    .frozen = late_frozen, .data = &late_##_name)

LATE(mode, 0, change_mode);
LATE(owner, 0, change_owner);
LATE(seals, 0, change_seals);
LATE(huge_mode, MFD_HUGETLB, change_mode);
LATE(huge_owner, MFD_HUGETLB, change_owner);
LATE(huge_seals, MFD_HUGETLB, change_seals);

/* ---- Labels ---- */

#define TASK_LABEL	"/proc/self/attr/smack/current"
#define FILE_LABEL	"security.SMACK64"
#define LABEL		"LiveUpdate"

static void need_smack(void)
{
	if (access(TASK_LABEL, W_OK))
		test_skip("the kernel does not run Smack");
}

/* Huge pages there are none */
static void fill_small(int fd)
{
	const unsigned int *flags = test_data();

	if (!*flags)
		OK(words_fill(fd, 0, 2 * MIB, 7));
}

static void check_small(int fd)
{
	const unsigned int *flags = test_data();

	if (!*flags)
		OK(words_check(fd, 0, 2 * MIB, 7, NULL));
}

/* A memfd has the label of the task that makes it; of huge pages, it has to be given one */
static void label_before(struct note *note)
{
	const unsigned int *flags = test_data();
	int session, fd;

	need_smack();
	OK(text_write(TASK_LABEL, LABEL));
	session = session_new(note, "");
	fd = memfd_create("label", *flags);
	if (fd < 0)
		test_skip("no such memfds on this kernel");
	if (*flags)
		SYS(fsetxattr(fd, FILE_LABEL, LABEL, strlen(LABEL), 0));
	SYS(ftruncate(fd, 2 * MIB));
	fill_small(fd);
	OK(luo_preserve(session, fd, 1));
}

/* Who could not have opened it cannot retrieve it either, and nothing is lost */
static void check_stranger(int session)
{
	int status;
	pid_t pid = SYS(fork());

	if (!pid) {
		if (text_write(TASK_LABEL, "Stranger") || become_nobody())
			_exit(1);
		_exit(luo_restore(session, 1) == -EACCES ? 0 : 2);
	}
	SYS(waitpid(pid, &status, 0));
	CHECK(WIFEXITED(status));
	CHECK_EQ(0, WEXITSTATUS(status));
}

/* The task that retrieves it has another label */
static void label_after(struct note *note)
{
	int session = session_claim(note, ""), fd;
	char have[256] = "";

	check_stranger(session);
	fd = OK(luo_restore(session, 1));
	SYS(fgetxattr(fd, FILE_LABEL, have, sizeof(have) - 1));
	if (strcmp(LABEL, have))
		test_fail(__FILE__, __LINE__, "the label is %s", have);
	check_small(fd);
	OK(luo_finish(session));
}

static const unsigned int small_pages, huge_pages = MFD_HUGETLB;

UPDATE_TEST(label, label_crosses, .data = &small_pages,
	    .stage = { label_before, label_after });
UPDATE_TEST(label, label_of_huge_crosses, .data = &huge_pages,
	    .stage = { label_before, label_after });

/* ---- SELinux, to which nobody has given a policy ---- */

static void no_policy_before(struct note *note)
{
	const unsigned int *flags = test_data();
	int fd;

	if (access("/sys/fs/selinux", F_OK))
		test_skip("the kernel does not run SELinux");
	fd = memfd_create("selinux", *flags);
	if (fd < 0)
		test_skip("no such memfds on this kernel");
	SYS(ftruncate(fd, 2 * MIB));
	fill_small(fd);
	/* It gives labels when it has a policy, and has none to tell before */
	CHECK_EQ(-1, fgetxattr(fd, "security.selinux", NULL, 0));
	OK(luo_preserve(session_new(note, ""), fd, 1));
}

static void no_policy_after(struct note *note)
{
	int session = session_claim(note, ""), fd = OK(luo_restore(session, 1));

	check_small(fd);
	OK(luo_finish(session));
}

UPDATE_TEST(selinux, no_policy_crosses, .data = &small_pages,
	    .stage = { no_policy_before, no_policy_after });
UPDATE_TEST(selinux, no_policy_of_huge_crosses, .data = &huge_pages,
	    .stage = { no_policy_before, no_policy_after });

/* ---- A label that the kernel in between cannot give: it hands on what came ---- */

static void cannot_protect(struct note *note)
{
	int session = session_claim(note, "");

	CHECK_EQ(-EACCES, luo_restore(session, 1));
	close(session);
}

UPDATE_TEST(unlabelled, label_goes_on, .data = &small_pages,
	    .stage = { label_before, cannot_protect, label_after });
UPDATE_TEST(unlabelled, label_of_huge_goes_on, .data = &huge_pages,
	    .stage = { label_before, cannot_protect, label_after });

/* ---- Who adds what cannot cross, again and again ---- */

static void add_for_ever(int fd, int refused)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		_exit(3);
	for (bool told = false;; told = true) {
		if (!fsetxattr(fd, "user.luo", "kept", 4, 0))
			_exit(1);
		if (errno != EPERM || (!told && write(refused, "", 1) != 1))
			_exit(2);
	}
}

/* Cancelling an update leaves no moment in which it could */
static void stays_announced(struct note *note)
{
	int session = session_new(note, ""), status;
	int fd = OK(memfd_filled("announced", 0, LEN, 1));
	int refused[2];
	char byte;
	pid_t pid;

	if (set_xattr(fd) == -EOPNOTSUPP)
		test_skip("the kernel has no extended attributes for this");
	SYS(fremovexattr(fd, "user.luo"));
	OK(luo_announce(session, fd, 1));
	SYS(pipe(refused));
	pid = SYS(fork());
	if (!pid)
		add_for_ever(fd, refused[1]);
	CHECK_EQ(1, read(refused[0], &byte, 1));
	for (int i = 0; i < 100; i++) {
		OK(luo_send_event(LIVEUPDATE_EVENT_PREPARE));
		OK(luo_send_event(LIVEUPDATE_EVENT_CANCEL));
	}
	CHECK_EQ(0, waitpid(pid, &status, WNOHANG));
	SYS(kill(pid, SIGKILL));
	SYS(waitpid(pid, &status, 0));
	OK(luo_unpreserve(session, 1));
	OK(set_xattr(fd));
	close(session);
}

UPDATE_TEST(attrs, announced_stays_so, .stage = { stays_announced });
