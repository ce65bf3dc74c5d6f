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
 * One process at a time has the device open for writing (EBUSY). Any number of
 * others can have it open for reading only, which is enough for
 * %LIVEUPDATE_IOCTL_GET_INFO, %LIVEUPDATE_IOCTL_NEXT_SESSION and poll(2).
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
 *            sense, a reserved one is not zero, a name is empty or not terminated,
 *            or the session is of the other direction
 * E2BIG      the part that the kernel does not know is not zero
 * EBADF      the device is open for reading only, and the command is not for readers
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
	LIVEUPDATE_CMD_GET_INFO			= 0x20,
	LIVEUPDATE_CMD_SET_EVENT		= 0x21,
	LIVEUPDATE_CMD_NEXT_SESSION		= 0x22,
	LIVEUPDATE_CMD_REHEARSE			= 0x23,
};

/* Commands of a session */
enum {
	LIVEUPDATE_CMD_SESSION_BASE		= 0x40,
	LIVEUPDATE_CMD_SESSION_PRESERVE_FD	= LIVEUPDATE_CMD_SESSION_BASE,
	LIVEUPDATE_CMD_SESSION_RETRIEVE_FD	= 0x41,
	LIVEUPDATE_CMD_SESSION_FINISH		= 0x42,
	LIVEUPDATE_CMD_SESSION_GET_NAME		= 0x43,
	LIVEUPDATE_CMD_SESSION_UNPRESERVE_FD	= 0x60,
	LIVEUPDATE_CMD_SESSION_PRESERVE_FDS	= 0x61,
	LIVEUPDATE_CMD_SESSION_RETRIEVE_FDS	= 0x62,
	LIVEUPDATE_CMD_SESSION_NEXT_FILE	= 0x63,
	LIVEUPDATE_CMD_SESSION_GET_INFO		= 0x64,
	LIVEUPDATE_CMD_SESSION_ANNOUNCE_FD	= 0x65,
};

/* Bytes that the compatible string of a file takes, its NUL included */
#define LIVEUPDATE_COMPATIBLE_LENGTH		48

/* Bytes that the name of a participant takes, its NUL included */
#define LIVEUPDATE_PARTICIPANT_LENGTH		128

/**
 * enum liveupdate_state - where the system is in a live update
 * @LIVEUPDATE_STATE_UNDEFINED: live update is off, or not ready yet
 * @LIVEUPDATE_STATE_NORMAL:    nothing is in flight
 * @LIVEUPDATE_STATE_PREPARED:  prepared, running normally, can be cancelled
 * @LIVEUPDATE_STATE_FROZEN:    only kexec or a return to the state before follow
 * @LIVEUPDATE_STATE_UPDATED:   booted by live update, with state of the previous
 *                              kernel that is not finished
 */
enum liveupdate_state {
	LIVEUPDATE_STATE_UNDEFINED	= 0,
	LIVEUPDATE_STATE_NORMAL		= 1,
	LIVEUPDATE_STATE_PREPARED	= 2,
	LIVEUPDATE_STATE_FROZEN		= 3,
	LIVEUPDATE_STATE_UPDATED	= 4,
};

/**
 * enum liveupdate_event - what leads from state to state
 * @LIVEUPDATE_EVENT_PREPARE: from NORMAL, or UPDATED, to PREPARED
 * @LIVEUPDATE_EVENT_FREEZE:  from PREPARED to FROZEN; only reboot(2) can send it
 * @LIVEUPDATE_EVENT_FINISH:  from UPDATED to NORMAL
 * @LIVEUPDATE_EVENT_CANCEL:  from PREPARED to where PREPARE came from
 */
enum liveupdate_event {
	LIVEUPDATE_EVENT_PREPARE	= 0,
	LIVEUPDATE_EVENT_FREEZE		= 1,
	LIVEUPDATE_EVENT_FINISH		= 2,
	LIVEUPDATE_EVENT_CANCEL		= 3,
};

/**
 * enum liveupdate_phase - what a participant was called for
 * @LIVEUPDATE_PHASE_NONE:     nothing
 * @LIVEUPDATE_PHASE_PREPARE:  to save what can be saved while all runs
 * @LIVEUPDATE_PHASE_CARRY:    to save again what came from the previous kernel
 * @LIVEUPDATE_PHASE_FREEZE:   to save the rest
 * @LIVEUPDATE_PHASE_HANDOVER: to write what is handed over
 * @LIVEUPDATE_PHASE_UNFREEZE: to undo FREEZE
 * @LIVEUPDATE_PHASE_CANCEL:   to undo PREPARE
 * @LIVEUPDATE_PHASE_BOOT:     to take up its state in the new kernel
 * @LIVEUPDATE_PHASE_RETRIEVE: to restore an object
 * @LIVEUPDATE_PHASE_FINISH:   to end the update
 */
enum liveupdate_phase {
	LIVEUPDATE_PHASE_NONE		= 0,
	LIVEUPDATE_PHASE_PREPARE	= 1,
	LIVEUPDATE_PHASE_CARRY		= 2,
	LIVEUPDATE_PHASE_FREEZE		= 3,
	LIVEUPDATE_PHASE_HANDOVER	= 4,
	LIVEUPDATE_PHASE_UNFREEZE	= 5,
	LIVEUPDATE_PHASE_CANCEL		= 6,
	LIVEUPDATE_PHASE_BOOT		= 7,
	LIVEUPDATE_PHASE_RETRIEVE	= 8,
	LIVEUPDATE_PHASE_FINISH		= 9,
};

/* Which way a session goes */
enum liveupdate_direction {
	LIVEUPDATE_OUTGOING		= 0,
	LIVEUPDATE_INCOMING		= 1,
};

/**
 * enum liveupdate_session_state - who has a session
 * @LIVEUPDATE_SESSION_OPEN:        outgoing
 * @LIVEUPDATE_SESSION_CLOSED:      outgoing, closed while it was frozen
 * @LIVEUPDATE_SESSION_UNCLAIMED:   incoming, can be retrieved
 * @LIVEUPDATE_SESSION_CLAIMED:     incoming, retrieved and open
 * @LIVEUPDATE_SESSION_FINISHED:    was incoming, and is finished
 * @LIVEUPDATE_SESSION_QUARANTINED: incoming, damaged
 * @LIVEUPDATE_SESSION_UNKNOWN:     incoming, of a version that this kernel does not
 *                                  know: goes on to one that does
 */
enum liveupdate_session_state {
	LIVEUPDATE_SESSION_OPEN		= 0,
	LIVEUPDATE_SESSION_CLOSED	= 1,
	LIVEUPDATE_SESSION_UNCLAIMED	= 2,
	LIVEUPDATE_SESSION_CLAIMED	= 3,
	LIVEUPDATE_SESSION_FINISHED	= 4,
	LIVEUPDATE_SESSION_QUARANTINED	= 5,
	LIVEUPDATE_SESSION_UNKNOWN	= 6,
};

/**
 * enum liveupdate_file_state - where a file of a session is
 * @LIVEUPDATE_FILE_PRESERVED: outgoing
 * @LIVEUPDATE_FILE_RECEIVED:  incoming, not retrieved
 * @LIVEUPDATE_FILE_RETRIEVED: incoming, retrieved
 * @LIVEUPDATE_FILE_FAILED:    incoming, cannot be retrieved
 * @LIVEUPDATE_FILE_ANNOUNCED: outgoing, and not preserved yet
 */
enum liveupdate_file_state {
	LIVEUPDATE_FILE_PRESERVED	= 0,
	LIVEUPDATE_FILE_RECEIVED	= 1,
	LIVEUPDATE_FILE_RETRIEVED	= 2,
	LIVEUPDATE_FILE_FAILED		= 3,
	LIVEUPDATE_FILE_ANNOUNCED	= 4,
};

/* What this kernel can do: bits of features in struct liveupdate_ioctl_get_info */
#define LIVEUPDATE_FEATURE_EVENTS	(1ULL << 0) /* SET_EVENT, poll */
#define LIVEUPDATE_FEATURE_WALK		(1ULL << 1) /* NEXT_SESSION, NEXT_FILE */
#define LIVEUPDATE_FEATURE_UNPRESERVE	(1ULL << 2) /* UNPRESERVE_FD */
#define LIVEUPDATE_FEATURE_CARRY	(1ULL << 3) /* unfinished sessions go on */
#define LIVEUPDATE_FEATURE_BATCH	(1ULL << 4) /* PRESERVE_FDS, RETRIEVE_FDS */
#define LIVEUPDATE_FEATURE_ANNOUNCE	(1ULL << 5) /* ANNOUNCE_FD */
#define LIVEUPDATE_FEATURE_READERS	(1ULL << 6) /* O_RDONLY beside the opener */
#define LIVEUPDATE_FEATURE_REHEARSE	(1ULL << 7) /* REHEARSE */

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
 * or not terminated; ENOSPC, there are as many outgoing sessions as
 * kernel.liveupdate.max_sessions allows; EMFILE and ENFILE, no descriptor is free.
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
 * already, or the name is empty or not terminated; EUCLEAN, what the previous kernel
 * left of it is damaged; EPROTONOSUPPORT, it is of a version that this kernel does not
 * know, and waits for one that does; EMFILE and ENFILE, no descriptor is free.
 */
struct liveupdate_ioctl_retrieve_session {
	__u32		size;
	__s32		fd;
	__u8		name[LIVEUPDATE_SESSION_NAME_LENGTH];
};

#define LIVEUPDATE_IOCTL_RETRIEVE_SESSION				\
	_IO(LIVEUPDATE_IOCTL_TYPE, LIVEUPDATE_CMD_RETRIEVE_SESSION)

/**
 * struct liveupdate_ioctl_get_info - ask how things are (on the device)
 * @size:              in: bytes of this structure
 * @state:             out: of enum liveupdate_state
 * @number:            out: live updates since the last cold boot
 * @outgoing_sessions: out: sessions that go to the next kernel
 * @outgoing_files:    out: files in them
 * @incoming_sessions: out: sessions that came and are not finished
 * @incoming_files:    out: files in them
 * @quarantined:       out: items of the handover that were found damaged
 * @features:          out: LIVEUPDATE_FEATURE_* bits
 * @last_errno:        out: why the last transition that failed did, as a positive
 *                     errno, or 0
 * @last_phase:        out: of enum liveupdate_phase: what it failed in
 * @last_participant:  out: who failed, NUL-terminated: "step NAME",
 *                     "subsystem NAME", "flb NAME" or "file TOKEN of session
 *                     NAME"
 * @quarantine_errno:  out: what is wrong with the item that was found damaged last,
 *                     as a positive errno, or 0
 * @reserved:          in: zero
 * @quarantine_what:   out: that item, NUL-terminated: "handover", "list of N
 *                     sessions", "session NAME", "file TOKEN of session NAME",
 *                     "subsystem NAME" or "flb NAME"
 *
 * A change of state that poll(2) has told of is taken for seen, by this opener of the
 * device and no other. Names of participants are in printable ASCII: any other byte,
 * and each backslash and quotation mark, reads as \\xHH.
 */
struct liveupdate_ioctl_get_info {
	__u32		size;
	__u32		state;
	__aligned_u64	number;
	__aligned_u64	outgoing_sessions;
	__aligned_u64	outgoing_files;
	__aligned_u64	incoming_sessions;
	__aligned_u64	incoming_files;
	__aligned_u64	quarantined;
	__aligned_u64	features;
	__u32		last_errno;
	__u32		last_phase;
	__u8		last_participant[LIVEUPDATE_PARTICIPANT_LENGTH];
	__u32		quarantine_errno;
	__u32		reserved;
	__u8		quarantine_what[LIVEUPDATE_PARTICIPANT_LENGTH];
};

#define LIVEUPDATE_IOCTL_GET_INFO					\
	_IO(LIVEUPDATE_IOCTL_TYPE, LIVEUPDATE_CMD_GET_INFO)

/**
 * struct liveupdate_ioctl_set_event - send an event (on the device)
 * @size:  in: bytes of this structure
 * @event: in: of enum liveupdate_event
 *
 * Nobody has to send any: reboot(2) prepares what is not prepared, and the last
 * session that is finished finishes the update.
 *
 * Errors: EINVAL, there is no such event, it may not come in this state, or it is
 * FREEZE; EBUSY, with FINISH, while a retrieved session is not finished, or a file
 * that nobody retrieved cannot be; or what a participant of PREPARE failed with. All
 * is as before then.
 */
struct liveupdate_ioctl_set_event {
	__u32		size;
	__u32		event;
};

#define LIVEUPDATE_IOCTL_SET_EVENT					\
	_IO(LIVEUPDATE_IOCTL_TYPE, LIVEUPDATE_CMD_SET_EVENT)

/**
 * struct liveupdate_ioctl_next_session - go from session to session (on the
 *                                        device)
 * @size:      in: bytes of this structure
 * @direction: in: of enum liveupdate_direction
 * @cursor:    in: 0 to begin with, then what came out; out: this session's place
 * @files:     out: number of its files
 * @state:     out: of enum liveupdate_session_state
 * @reserved:  in: zero
 * @name:      out: its name, NUL-terminated
 *
 * Sessions come in the order in which they were made. Those that are made
 * meanwhile come at the end.
 *
 * Errors: ENOENT, there are no more.
 */
struct liveupdate_ioctl_next_session {
	__u32		size;
	__u32		direction;
	__aligned_u64	cursor;
	__aligned_u64	files;
	__u32		state;
	__u32		reserved;
	__u8		name[LIVEUPDATE_SESSION_NAME_LENGTH];
};

#define LIVEUPDATE_IOCTL_NEXT_SESSION					\
	_IO(LIVEUPDATE_IOCTL_TYPE, LIVEUPDATE_CMD_NEXT_SESSION)

/* Bytes that the release of a kernel takes, its NUL included */
#define LIVEUPDATE_RELEASE_LENGTH		72

/**
 * enum liveupdate_image - what reboot(2) would jump to
 * @LIVEUPDATE_IMAGE_NONE:     nothing is loaded
 * @LIVEUPDATE_IMAGE_PLAIN:    an image that takes no handover, as it was not loaded by
 *                             kexec_file_load(2), or KHO is off
 * @LIVEUPDATE_IMAGE_HANDOVER: an image that takes one
 * @LIVEUPDATE_IMAGE_RETURNS:  an image that this kernel comes back from, with all that it
 *                             has (KEXEC_PRESERVE_CONTEXT): a live update is none
 */
enum liveupdate_image {
	LIVEUPDATE_IMAGE_NONE		= 0,
	LIVEUPDATE_IMAGE_PLAIN		= 1,
	LIVEUPDATE_IMAGE_HANDOVER	= 2,
	LIVEUPDATE_IMAGE_RETURNS	= 3,
};

/**
 * struct liveupdate_ioctl_rehearse - rehearse the jump (on the device)
 * @size:        in: bytes of this structure
 * @error:       out: why reboot(2) would refuse, as a positive errno, or 0
 * @phase:       out: of enum liveupdate_phase: in what it would
 * @image:       out: of enum liveupdate_image: what is loaded, if it came to that
 * @prepare_us:  out: microseconds that PREPARE took; 0 in a state where it is done
 * @carry_us:    out: microseconds that CARRY took
 * @freeze_us:   out: microseconds that FREEZE took
 * @handover_us: out: microseconds that HANDOVER took
 * @undo_us:     out: microseconds that taking it all back took
 * @bytes:       out: size of the root of the handover and of the records of sessions
 *               and files, or 0 if it did not come to that
 * @participant: out: who would refuse, as last_participant in
 *               struct liveupdate_ioctl_get_info
 * @release:     out: release of the kernel that is loaded, NUL-terminated, escaped as
 *               names of participants are; empty if it is not known
 *
 * Does all that reboot(2) with LINUX_REBOOT_CMD_KEXEC would do until there is nothing
 * left but to jump, and takes it back. The state is as before then, no change of it is
 * told, and sessions and their files are as they were, but that files which came and
 * were not retrieved are retrieved for it, by the caller, and stay so. What could be
 * lost in that, as its handler cannot try again, is left out. Participants are called as
 * for a jump. What refuses first is told; so is an image that is missing, if nothing
 * else refuses: EINVAL of "step image".
 *
 * @prepare_us, @carry_us, @freeze_us and @handover_us are the time that services would
 * wait in reboot(2). Other commands wait meanwhile, as does reboot(2). What may not be
 * done to a file that is preserved fails meanwhile for files that were announced, too.
 *
 * Errors: EBUSY, an image is being loaded, or a reboot has begun. A refusal is no error:
 * the command succeeds, and @error tells it.
 */
struct liveupdate_ioctl_rehearse {
	__u32		size;
	__u32		error;
	__u32		phase;
	__u32		image;
	__aligned_u64	prepare_us;
	__aligned_u64	carry_us;
	__aligned_u64	freeze_us;
	__aligned_u64	handover_us;
	__aligned_u64	undo_us;
	__aligned_u64	bytes;
	__u8		participant[LIVEUPDATE_PARTICIPANT_LENGTH];
	__u8		release[LIVEUPDATE_RELEASE_LENGTH];
};

#define LIVEUPDATE_IOCTL_REHEARSE					\
	_IO(LIVEUPDATE_IOCTL_TYPE, LIVEUPDATE_CMD_REHEARSE)

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
 * file is in a session already, or its memory has to move and somebody is using
 * it; ENOENT, files of this type cannot be preserved; EOPNOTSUPP, files of this
 * type can, but not this one; ENOSPC, the session has as many files as
 * kernel.liveupdate.max_session_files allows; EHWPOISON, it has memory with an
 * uncorrected error.
 */
struct liveupdate_session_preserve_fd {
	__u32		size;
	__s32		fd;
	__aligned_u64	token;
};

#define LIVEUPDATE_SESSION_PRESERVE_FD					\
	_IO(LIVEUPDATE_IOCTL_TYPE, LIVEUPDATE_CMD_SESSION_PRESERVE_FD)

/**
 * struct liveupdate_session_announce_fd - tell that a file will be preserved
 * @size:  in: bytes of this structure
 * @fd:    in: the file
 * @token: in: the caller's name for it, any value that is not yet used in this
 *         session
 *
 * For files that are still to be filled: what they take from now on is memory
 * that can stay where it is when they are preserved, which is then quick. The file
 * is in the session, but nothing of it is kept yet, and everything can still be
 * done to it.
 *
 * %LIVEUPDATE_SESSION_PRESERVE_FD with the same token and a descriptor of the same
 * object preserves it. What nobody has preserved is preserved by PREPARE, which is
 * undone by CANCEL, or else by reboot(2): nothing that was announced is lost. While
 * the update is prepared, announcing a file preserves it.
 * %LIVEUPDATE_SESSION_UNPRESERVE_FD takes an announced file out of the session.
 *
 * Errors: as %LIVEUPDATE_SESSION_PRESERVE_FD, and EOPNOTSUPP also when the type of
 * the file has no use for it.
 */
struct liveupdate_session_announce_fd {
	__u32		size;
	__s32		fd;
	__aligned_u64	token;
};

#define LIVEUPDATE_SESSION_ANNOUNCE_FD					\
	_IO(LIVEUPDATE_IOCTL_TYPE, LIVEUPDATE_CMD_SESSION_ANNOUNCE_FD)

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
 * EACCES, a security module does not let the caller have it; EMFILE and ENFILE,
 * no descriptor is free.
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

/**
 * struct liveupdate_session_unpreserve_fd - take a file out of an outgoing session
 * @size:     in: bytes of this structure
 * @reserved: in: zero
 * @token:    in: the token under which it was preserved
 *
 * The token is free again, and so is the file.
 *
 * Errors: ENOENT, no file has this token.
 */
struct liveupdate_session_unpreserve_fd {
	__u32		size;
	__u32		reserved;
	__aligned_u64	token;
};

#define LIVEUPDATE_SESSION_UNPRESERVE_FD				\
	_IO(LIVEUPDATE_IOCTL_TYPE, LIVEUPDATE_CMD_SESSION_UNPRESERVE_FD)

/**
 * struct liveupdate_session_fd - one file of many
 * @fd:       in, or out: the file
 * @reserved: in: zero
 * @token:    in: its token
 */
struct liveupdate_session_fd {
	__s32		fd;
	__u32		reserved;
	__aligned_u64	token;
};

/**
 * struct liveupdate_session_fds - preserve, or retrieve, many files
 * @size:    in: bytes of this structure
 * @count:   in: number of @entries
 * @entries: in: address of an array of struct liveupdate_session_fd
 * @done:    out: number of entries that are done
 * @error:   out: why entry number @done is not, as a positive errno; 0 when all are
 *
 * Does for one entry after the other what %LIVEUPDATE_SESSION_PRESERVE_FD or
 * %LIVEUPDATE_SESSION_RETRIEVE_FD does, and stops at the first that fails, or when
 * a signal comes. The entries before it are done, and it and those behind are not.
 * The call succeeds if at least one entry is done, or there is none; otherwise it
 * fails with what the first entry fails with. To go on, call it again with what is
 * left.
 *
 * Of an entry that is not done, @fd means nothing when it is an output.
 *
 * Errors: those of one entry; EINVAL also for one whose @reserved is not zero;
 * EFAULT also when @done and @error cannot be written, or the first entry not be
 * read.
 */
struct liveupdate_session_fds {
	__u32		size;
	__u32		count;
	__aligned_u64	entries;
	__u32		done;
	__u32		error;
};

#define LIVEUPDATE_SESSION_PRESERVE_FDS					\
	_IO(LIVEUPDATE_IOCTL_TYPE, LIVEUPDATE_CMD_SESSION_PRESERVE_FDS)

#define LIVEUPDATE_SESSION_RETRIEVE_FDS					\
	_IO(LIVEUPDATE_IOCTL_TYPE, LIVEUPDATE_CMD_SESSION_RETRIEVE_FDS)

/**
 * struct liveupdate_session_next_file - go from file to file
 * @size:       in: bytes of this structure
 * @state:      out: of enum liveupdate_file_state
 * @cursor:     in: 0 to begin with, then what came out; out: this file's place
 * @token:      out: its token
 * @bytes:      out: of an outgoing file, memory that it keeps, as far as its
 *              handler tells
 * @compatible: out: what it is, NUL-terminated
 *
 * Files come in the order in which they were preserved.
 *
 * Errors: ENOENT, there are no more.
 */
struct liveupdate_session_next_file {
	__u32		size;
	__u32		state;
	__aligned_u64	cursor;
	__aligned_u64	token;
	__aligned_u64	bytes;
	__u8		compatible[LIVEUPDATE_COMPATIBLE_LENGTH];
};

#define LIVEUPDATE_SESSION_NEXT_FILE					\
	_IO(LIVEUPDATE_IOCTL_TYPE, LIVEUPDATE_CMD_SESSION_NEXT_FILE)

/**
 * struct liveupdate_session_get_info - ask a session how it is
 * @size:      in: bytes of this structure
 * @direction: out: of enum liveupdate_direction
 * @state:     out: of enum liveupdate_session_state
 * @reserved:  in: zero
 * @files:     out: number of its files
 * @bytes:     out: of an outgoing session, memory that they keep, as far as their
 *             handlers tell
 */
struct liveupdate_session_get_info {
	__u32		size;
	__u32		direction;
	__u32		state;
	__u32		reserved;
	__aligned_u64	files;
	__aligned_u64	bytes;
};

#define LIVEUPDATE_SESSION_GET_INFO					\
	_IO(LIVEUPDATE_IOCTL_TYPE, LIVEUPDATE_CMD_SESSION_GET_INFO)

#endif /* _UAPI_LINUX_LIVEUPDATE_H */
