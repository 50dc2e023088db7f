/*
 * kvmd_control.h - known defects that can be put back, one at a time, to see whether the scenarios notice
 *
 * A suite that passes whatever the code does proves nothing. So each defect of the RFC's design, and each trap that the
 * machine sets besides, can come back: a *control* is a build in which KVMD_CONTROL names one of them. What each is
 * and the scenario that must fail on it stand in controls.toml. In an ordinary build KVMD_CONTROL is
 * KVMD_CONTROL_NONE, every kvmd_control() is a constant 0, and the compiler leaves out what hangs on it.
 *
 * Some defects are races that a single processor, which never takes the kernel from itself, hardly loses. There the
 * control holds the race's window open (kvmd_window), as another processor could.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#ifndef KVMD_CONTROL_H
#define KVMD_CONTROL_H

#include <linux/sched.h>
#include <asm/semaphore.h>

enum kvmd_defect {
	KVMD_CONTROL_NONE,
	KVMD_CONTROL_LOST_WRITE,
	KVMD_CONTROL_SPURIOUS_FAULT,
	KVMD_CONTROL_EARLY_UNLOCK,
	KVMD_CONTROL_NO_RESERVE,
	KVMD_CONTROL_MISSING_WAKE,
	KVMD_CONTROL_LOST_WAKEUP_SENDER,
	KVMD_CONTROL_LOST_WAKEUP_THREAD,
	KVMD_CONTROL_ONE_COMMAND,
	KVMD_CONTROL_UNANSWERED_EXIT,
	KVMD_CONTROL_PID_IS_FAILURE,
	KVMD_CONTROL_OFF_BY_ONE_SLOTS,
	KVMD_CONTROL_MM_NOT_ACTIVE,
	KVMD_CONTROL_KIOBUF_KEPT,
	KVMD_CONTROL_EARLY_SLOT_REUSE,
	KVMD_CONTROL_SIGNAL_ABANDONS,
	KVMD_CONTROL_POLLING,
	KVMD_CONTROL_DEDICATED_SHARED,
	KVMD_CONTROL_DEDICATED_STAYS,
	KVMD_CONTROL_LEAKING_CLOSE,
	KVMD_CONTROL_FOREIGN_FREE,
	KVMD_CONTROL_FOREIGN_UNMAP,
	KVMD_CONTROL_FREE_MAPPED,
	KVMD_CONTROL_TWO_GIB_SIGN
};

/* The build puts another name here for a control, and never otherwise. */
#define KVMD_CONTROL KVMD_CONTROL_NONE

/* Whether this build has that defect: a constant. */
#define kvmd_control(defect) (KVMD_CONTROL == KVMD_CONTROL_##defect)

/* Hold a race's window open for some ticks: whoever can run now, does. */
static inline void kvmd_window(int ticks)
{
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule_timeout(ticks);
}

/* Lose the wake-ups that have come so far, as a bare sleep_on does. */
static inline void kvmd_forget(struct semaphore *sem)
{
	while (!down_trylock(sem))
		;
}

/* Look ten thousand times whether there is room, and give up. */
static inline int kvmd_poll(struct semaphore *sem)
{
	int left;

	for (left = 10000; left; left--)
		if (!down_trylock(sem))
			return 0;
	return 1;
}

#endif /* KVMD_CONTROL_H */
