/*
 * semaphore.c - semaphores of which lockdep knows those that are locks
 *
 * A lock is reported before it is waited for: a deadlock that never happened in this run is found all the same.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#include "kvmd_compat.h"

#ifdef CONFIG_DEBUG_LOCK_ALLOC

static void kvmd_acquire(struct kvmd_semaphore *sem, int trylock)
{
	if (sem->is_lock)
		mutex_acquire(&sem->dep_map, 0, trylock, _RET_IP_);
}

static void kvmd_release(struct kvmd_semaphore *sem)
{
	if (sem->is_lock)
		mutex_release(&sem->dep_map, _RET_IP_);
}

static void kvmd_introduce(struct kvmd_semaphore *sem, const char *name, struct lock_class_key *key)
{
	sem->is_lock = key != NULL;
	if (key)
		lockdep_init_map(&sem->dep_map, name, key, 0);
}

#else

static void kvmd_acquire(struct kvmd_semaphore *sem, int trylock)
{
}

static void kvmd_release(struct kvmd_semaphore *sem)
{
}

static void kvmd_introduce(struct kvmd_semaphore *sem, const char *name, struct lock_class_key *key)
{
}

#endif

/* A counter. Nobody knows who will do the up, so lockdep is not told. */
void kvmd_compat_sema_init(struct kvmd_semaphore *sem, int count)
{
	sema_init(&sem->plain, count);
	kvmd_introduce(sem, NULL, NULL);
}

/* A lock, free. */
void kvmd_compat_init_lock(struct kvmd_semaphore *sem, const char *name, struct lock_class_key *key)
{
	sema_init(&sem->plain, 1);
	kvmd_introduce(sem, name, key);
}

void kvmd_compat_down(struct kvmd_semaphore *sem)
{
	kvmd_acquire(sem, 0);
	down(&sem->plain);
}

/* 0, or -EINTR when a signal came first. */
int kvmd_compat_down_interruptible(struct kvmd_semaphore *sem)
{
	int err;

	kvmd_acquire(sem, 0);
	err = down_interruptible(&sem->plain);
	if (err)
		kvmd_release(sem);
	return err;
}

/* 0 when it was got at once, 1 when not: the contrary of other trylocks, then as now. */
int kvmd_compat_down_trylock(struct kvmd_semaphore *sem)
{
	int busy = down_trylock(&sem->plain);

	if (!busy)
		kvmd_acquire(sem, 1);
	return busy;
}

void kvmd_compat_up(struct kvmd_semaphore *sem)
{
	kvmd_release(sem);
	up(&sem->plain);
}
