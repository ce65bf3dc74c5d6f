/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The Live Update Orchestrator as user space sees it: /dev/liveupdate and the
 * session descriptors that it hands out.
 *
 * Documentation/userspace-api/liveupdate.rst tells how to use it.
 */
#ifndef _UAPI_LINUX_LIVEUPDATE_H
#define _UAPI_LINUX_LIVEUPDATE_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * DOC: Conventions of the live update ioctls
 *
 * Every command takes a pointer to a structure that starts with its own size
 * in bytes. A caller may pass a larger structure than the kernel knows, as
 * long as the part that the kernel does not know is zero; and a smaller one,
 * down to the size that the command first had.
 *
 * A command that fails has changed nothing. These errors mean the same
 * everywhere:
 *
 * ========== ===============================================================
 * ENOTTY     there is no such command on this descriptor
 * EFAULT     the structure, or a part of it, cannot be read or written
 * EINVAL     the structure is too small, a field has a value that makes no
 *            sense, or the session is of the other direction
 * E2BIG      the part that the kernel does not know is not zero
 * EBUSY      a kexec has begun: nothing can be changed any more
 * ENOMEM     out of memory; the same call can succeed later
 * EINTR      a signal came first; the same call can succeed later
 * ========== ===============================================================
 */

/* The type of all live update ioctls, see ioctl-number.rst */
#define LIVEUPDATE_IOCTL_TYPE			0xBA

/* Bytes that a session's name takes, its terminating NUL included */
#define LIVEUPDATE_SESSION_NAME_LENGTH		64

/* Commands of /dev/liveupdate */
enum {
	LIVEUPDATE_CMD_BASE			= 0x00,
	LIVEUPDATE_CMD_CREATE_SESSION		= LIVEUPDATE_CMD_BASE,
	LIVEUPDATE_CMD_RETRIEVE_SESSION		= 0x01,
};

/* Commands of a session */
enum {
	LIVEUPDATE_CMD_SESSION_BASE		= 0x40,
	LIVEUPDATE_CMD_SESSION_PRESERVE_FD	= LIVEUPDATE_CMD_SESSION_BASE,
	LIVEUPDATE_CMD_SESSION_RETRIEVE_FD	= 0x41,
	LIVEUPDATE_CMD_SESSION_FINISH		= 0x42,
	LIVEUPDATE_CMD_SESSION_GET_NAME		= 0x43,
};

/**
 * struct liveupdate_ioctl_create_session - make a session (on the device)
 * @size: in: bytes of this structure
 * @fd:   out: descriptor of the new session, close-on-exec
 * @name: in: name of the session, NUL-terminated and not empty
 *
 * The session is outgoing: files preserved in it go to the next kernel. It
 * lives as long as its descriptor or a copy of it; closing the last one gives
 * back all its files and frees the name.
 *
 * Errors: EEXIST, an outgoing session has this name; EINVAL, the name is empty
 * or not terminated; EMFILE and ENFILE, no descriptor is free.
 */
struct liveupdate_ioctl_create_session {
	__u32		size;
	__s32		fd;
	__u8		name[LIVEUPDATE_SESSION_NAME_LENGTH];
};

#define LIVEUPDATE_IOCTL_CREATE_SESSION					\
	_IO(LIVEUPDATE_IOCTL_TYPE, LIVEUPDATE_CMD_CREATE_SESSION)

/**
 * struct liveupdate_ioctl_retrieve_session - claim a session (on the device)
 * @size: in: bytes of this structure
 * @fd:   out: descriptor of the session, close-on-exec
 * @name: in: the name under which the previous kernel knew the session
 *
 * Takes a session that came from the previous kernel. Closing the descriptor
 * before %LIVEUPDATE_SESSION_FINISH puts the session back, whole, and it can
 * be retrieved again.
 *
 * Errors: ENOENT, no incoming session has this name; EINVAL, it is retrieved
 * already; EUCLEAN, what the previous kernel left of it is damaged; EMFILE and
 * ENFILE, no descriptor is free.
 */
struct liveupdate_ioctl_retrieve_session {
	__u32		size;
	__s32		fd;
	__u8		name[LIVEUPDATE_SESSION_NAME_LENGTH];
};

#define LIVEUPDATE_IOCTL_RETRIEVE_SESSION				\
	_IO(LIVEUPDATE_IOCTL_TYPE, LIVEUPDATE_CMD_RETRIEVE_SESSION)

/**
 * struct liveupdate_session_preserve_fd - put a file into an outgoing session
 * @size:  in: bytes of this structure
 * @fd:    in: the file
 * @token: in: the caller's name for it, any value that is not yet used in this
 *         session
 *
 * From here on the session holds a reference to the file, and what the file's
 * type needs is kept in memory that survives a kexec. Content may go on to
 * change until the kexec. What else may be done to the file meanwhile is up to
 * its type.
 *
 * Errors: EBADF, @fd is no open file; EEXIST, the token is used; EBUSY, the
 * file is in a session already; ENOENT, files of this type cannot be
 * preserved; EOPNOTSUPP, files of this type can, but not this one.
 */
struct liveupdate_session_preserve_fd {
	__u32		size;
	__s32		fd;
	__aligned_u64	token;
};

#define LIVEUPDATE_SESSION_PRESERVE_FD					\
	_IO(LIVEUPDATE_IOCTL_TYPE, LIVEUPDATE_CMD_SESSION_PRESERVE_FD)

/**
 * struct liveupdate_session_retrieve_fd - get a file out of an incoming session
 * @size:  in: bytes of this structure
 * @fd:    out: descriptor of the file, close-on-exec
 * @token: in: the token under which it was preserved
 *
 * Asked again for the same token, the kernel gives another descriptor of the
 * same file. Files come in any order. What fails for want of memory or because
 * of a signal can be tried again.
 *
 * Errors: ENOENT, no file has this token, or nothing in this kernel handles
 * its type (yet); EUCLEAN, what the previous kernel left of it is damaged;
 * EMFILE and ENFILE, no descriptor is free.
 */
struct liveupdate_session_retrieve_fd {
	__u32		size;
	__s32		fd;
	__aligned_u64	token;
};

#define LIVEUPDATE_SESSION_RETRIEVE_FD					\
	_IO(LIVEUPDATE_IOCTL_TYPE, LIVEUPDATE_CMD_SESSION_RETRIEVE_FD)

/**
 * struct liveupdate_session_finish - end an incoming session
 * @size:     in: bytes of this structure
 * @reserved: in: zero
 *
 * Retrieved files now belong to those who have them open, and to nobody else.
 * Files that nobody retrieved are discarded. Calling it again is no error.
 *
 * Errors: EBUSY, a file is not ready to be let go; nothing was finished then.
 */
struct liveupdate_session_finish {
	__u32		size;
	__u32		reserved;
};

#define LIVEUPDATE_SESSION_FINISH					\
	_IO(LIVEUPDATE_IOCTL_TYPE, LIVEUPDATE_CMD_SESSION_FINISH)

/**
 * struct liveupdate_session_get_name - ask a session for its name
 * @size:     in: bytes of this structure
 * @reserved: in: zero
 * @name:     out: the name, NUL-terminated
 */
struct liveupdate_session_get_name {
	__u32		size;
	__u32		reserved;
	__u8		name[LIVEUPDATE_SESSION_NAME_LENGTH];
};

#define LIVEUPDATE_SESSION_GET_NAME					\
	_IO(LIVEUPDATE_IOCTL_TYPE, LIVEUPDATE_CMD_SESSION_GET_NAME)

#endif /* _UAPI_LINUX_LIVEUPDATE_H */
