/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What protects a memfd, while the file is about to go to another kernel
 *
 * A live update writes down mode, owner and seals of a memfd as late as it can, and
 * user space runs on after that. What changes then would be lost, though the task was
 * told that it is done; so it has to wait, until the kexec or until that is called
 * off. Extended attributes, access control lists and the flags of chattr(1) do not go
 * along at all: from the moment when a file is to go, none can be added.
 */
#ifndef _LINUX_MEMFD_GATE_H
#define _LINUX_MEMFD_GATE_H

#include <linux/atomic.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/types.h>
#include <linux/wait_bit.h>

/**
 * enum memfd_hold - what can be changed of that which protects a file
 * @MEMFD_HOLD_NOTHING: nobody holds anything
 * @MEMFD_HOLD_EXTRA:   what does not go along cannot be added
 * @MEMFD_HOLD_ALL:     and who wants to change what does go along has to wait
 */
enum memfd_hold {
	MEMFD_HOLD_NOTHING,
	MEMFD_HOLD_EXTRA,
	MEMFD_HOLD_ALL,
};

/**
 * struct memfd_gate - what changes to that which protects a file go through
 * @hold:   of enum memfd_hold
 * @inside: changes that are under way, by the most that may be held meanwhile
 */
struct memfd_gate {
	u8 hold;
	atomic_t inside[MEMFD_HOLD_ALL];
};

static inline void memfd_gate_init(struct memfd_gate *gate)
{
	*gate = (struct memfd_gate){};
}

/**
 * memfd_gate_leave - the change is done, or not made
 * @gate: of the file
 * @most: as it was entered with
 */
static inline void memfd_gate_leave(struct memfd_gate *gate, enum memfd_hold most)
{
	if (atomic_dec_and_test(&gate->inside[most]))
		wake_up_var(&gate->inside[most]);
}

/**
 * memfd_gate_try_enter - begin a change, unless that is held
 * @gate: of the file
 * @most: the most that may be held meanwhile; not all
 *
 * Return: true if it can be made; memfd_gate_leave() has to follow.
 */
static inline bool memfd_gate_try_enter(struct memfd_gate *gate,
					enum memfd_hold most)
{
	/* Who comes late does not keep the holder waiting */
	if (READ_ONCE(gate->hold) > most)
		return false;

	atomic_inc(&gate->inside[most]);
	/* Pairs with that of memfd_gate_hold() */
	smp_mb__after_atomic();
	if (likely(READ_ONCE(gate->hold) <= most))
		return true;

	memfd_gate_leave(gate, most);
	return false;
}

/**
 * memfd_gate_enter - begin to change the mode, the owner or the seals
 * @gate: of the file
 *
 * Context: May sleep, for as long as all is held.
 * Return: 0, and memfd_gate_leave() with %MEMFD_HOLD_EXTRA has to follow; or
 * -ERESTARTSYS when killed.
 */
static inline int memfd_gate_enter(struct memfd_gate *gate)
{
	int err;

	while (!memfd_gate_try_enter(gate, MEMFD_HOLD_EXTRA)) {
		err = wait_var_event_killable(&gate->hold, READ_ONCE(gate->hold) <=
					      MEMFD_HOLD_EXTRA);
		if (err)
			return err;
	}

	return 0;
}

/**
 * memfd_gate_hold - say what can be changed from now on
 * @gate: of the file
 * @hold: what is held
 *
 * Context: May sleep. One call at a time for one file.
 * Return: 0, and no change that is not allowed is under way; -EAGAIN when one that
 * is takes longer than a second, and what is held is as before.
 */
static inline int memfd_gate_hold(struct memfd_gate *gate, enum memfd_hold hold)
{
	enum memfd_hold most, before = gate->hold;

	WRITE_ONCE(gate->hold, hold);
	/* Pairs with those of who enters, and of who begins to wait */
	smp_mb();
	if (hold < before)
		wake_up_var(&gate->hold);

	for (most = before; most < hold; most++) {
		if (wait_var_event_timeout(&gate->inside[most],
					   !atomic_read(&gate->inside[most]), HZ))
			continue;
		memfd_gate_hold(gate, before);
		return -EAGAIN;
	}

	return 0;
}

#endif /* _LINUX_MEMFD_GATE_H */
