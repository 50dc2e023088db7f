/*
 * kvmd_keeper.c - the parent of kvmd's threads
 *
 * All threads are children of one more thread, the keeper. It starts them, so that none inherits anything from the
 * process that happened to call kvmd_open, and it reaps them, so that none stays behind as a zombie. It does one thing
 * at a time, and whoever asked waits until it is done.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#include <linux/errno.h>
#include <linux/init.h>
#include <linux/sched.h>
#include <linux/smp_lock.h>
#include "kvmd_int.h"

#define KVMD_CLONE	(CLONE_FS | CLONE_FILES | CLONE_SIGHAND)

/* linux-2.3.99-pre3 has it in kernel/exit.c, but in no header */
extern asmlinkage long sys_wait4(pid_t pid, unsigned int *status, int options, struct rusage *usage);

/* What the keeper is asked to do. */
enum { KVMD_JOB_START, KVMD_JOB_REAP, KVMD_JOB_END };

static struct {
	struct semaphore one;			/* whose turn it is to ask */
	struct semaphore asked;
	struct semaphore answered;
	int what;
	struct kvmd_server *server;
	int result;
} job;

/* Wait until a child has ended, and remove what is left of it. */
static void kvmd_reap(int pid)
{
	while (sys_wait4(pid, NULL, __WCLONE, NULL) == -ERESTARTSYS)
		flush_signals(current);
}

/* kernel_thread gives the new thread's pid, a positive number; the thread itself says whether it could start. */
static int kvmd_do_start(struct kvmd_server *server)
{
	server->pid = kernel_thread(kvmd_thread, server, KVMD_CLONE);
	if (server->pid < 0 || (kvmd_mutant(PID_IS_FAILURE) && server->pid))
		return server->pid;
	down(&server->ready);
	if (server->failed)
		kvmd_reap(server->pid);
	return server->failed;
}

static int kvmd_keeper(void *unused)
{
	int what;

	kvmd_leave_parent("kvmd/keeper");
	do {
		kvmd_idle(&job.asked);
		what = job.what;
		job.result = 0;
		if (what == KVMD_JOB_START)
			job.result = kvmd_do_start(job.server);
		else if (what == KVMD_JOB_REAP)
			kvmd_reap(job.server->pid);
		else
			lock_kernel();	/* until do_exit sleeps: nobody unloads the code under our feet */
		up(&job.answered);
	} while (what != KVMD_JOB_END);
	return 0;
}

static int kvmd_ask(int what, struct kvmd_server *server)
{
	int result;

	down(&job.one);
	job.what = what;
	job.server = server;
	up(&job.asked);
	down(&job.answered);
	result = job.result;
	up(&job.one);
	return result;
}

/* Start a server's thread: 0 when it has its address space, else an error, and no thread. */
int kvmd_keeper_run(struct kvmd_server *server)
{
	return kvmd_ask(KVMD_JOB_START, server);
}

/* Wait until a server's thread, which was told to, has ended, and remove what is left of it. */
void kvmd_keeper_reap(struct kvmd_server *server)
{
	kvmd_ask(KVMD_JOB_REAP, server);
}

/* Start the keeper and end: it is left to process 1 then, which reaps it, whoever loads and unloads kvmd. */
static int kvmd_starter(void *unused)
{
	job.result = kernel_thread(kvmd_keeper, NULL, KVMD_CLONE);
	return 0;
}

/* Wait for a child that is about to end, in a process whose signals are not ours to take. */
static void kvmd_reap_unnoticed(int pid)
{
	sigset_t all, before;

	sigfillset(&all);
	before = kvmd_block_signals(&all);
	kvmd_reap(pid);
	kvmd_block_signals(&before);
}

int __init kvmd_keeper_start(void)
{
	int pid;

	init_MUTEX(&job.one);
	init_MUTEX_LOCKED(&job.asked);
	init_MUTEX_LOCKED(&job.answered);
	pid = kernel_thread(kvmd_starter, NULL, KVMD_CLONE);
	if (pid < 0)
		return pid;
	kvmd_reap_unnoticed(pid);
	return job.result < 0 ? job.result : 0;
}

/* No thread is left that it would be the parent of. */
void kvmd_keeper_stop(void)
{
	kvmd_ask(KVMD_JOB_END, NULL);
}
