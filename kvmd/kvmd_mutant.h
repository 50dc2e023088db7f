/*
 * kvmd_mutant.h - known defects that can be put back, one at a time, to see whether the scenarios notice
 *
 * A suite that passes whatever the code does proves nothing. So each defect of the RFC's design, and each trap that the
 * machine sets besides, can come back: a *mutant* is a build in which KVMD_MUTANT names one of them. What each is
 * and the scenario that must fail on it stand in mutants.toml. In an ordinary build KVMD_MUTANT is
 * KVMD_MUTANT_NONE, every kvmd_mutant() is a constant 0, and the compiler leaves out what hangs on it.
 *
 * Some defects are races that a single processor, which never takes the kernel from itself, hardly loses. There the
 * mutant holds the race's window open (kvmd_window), as another processor could.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#ifndef KVMD_MUTANT_H
#define KVMD_MUTANT_H

#include <linux/sched.h>
#include <asm/semaphore.h>

enum kvmd_defect {
	KVMD_MUTANT_NONE,
	KVMD_MUTANT_LOST_WRITE,
	KVMD_MUTANT_SPURIOUS_FAULT,
	KVMD_MUTANT_EARLY_UNLOCK,
	KVMD_MUTANT_NO_RESERVE,
	KVMD_MUTANT_MISSING_WAKE,
	KVMD_MUTANT_LOST_WAKEUP_SENDER,
	KVMD_MUTANT_LOST_WAKEUP_THREAD,
	KVMD_MUTANT_ONE_COMMAND,
	KVMD_MUTANT_UNANSWERED_EXIT,
	KVMD_MUTANT_PID_IS_FAILURE,
	KVMD_MUTANT_OFF_BY_ONE_SLOTS,
	KVMD_MUTANT_MM_NOT_ACTIVE,
	KVMD_MUTANT_KIOBUF_KEPT,
	KVMD_MUTANT_EARLY_SLOT_REUSE,
	KVMD_MUTANT_SIGNAL_ABANDONS,
	KVMD_MUTANT_POLLING,
	KVMD_MUTANT_DEDICATED_SHARED,
	KVMD_MUTANT_DEDICATED_STAYS,
	KVMD_MUTANT_LEAKING_CLOSE,
	KVMD_MUTANT_FOREIGN_FREE,
	KVMD_MUTANT_FOREIGN_UNMAP,
	KVMD_MUTANT_FREE_MAPPED,
	KVMD_MUTANT_TWO_GIB_SIGN
};

/* The build puts another name here for a mutant, and never otherwise. */
#define KVMD_MUTANT KVMD_MUTANT_NONE

/* Whether this build has that defect: a constant. */
#define kvmd_mutant(defect) (KVMD_MUTANT == KVMD_MUTANT_##defect)

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

#endif /* KVMD_MUTANT_H */
