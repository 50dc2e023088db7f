/*
 * kvmd_thread.c - the threads that own kvmd's memory, and how they are told what to do
 *
 * Only a thread itself can change its address space (do_mmap_pgoff and do_munmap work on current->mm), so kvmd_alloc
 * and kvmd_free are commands. A thread has KVMD_QUEUE_LEN slots for commands:
 *
 *	sender					thread
 *	down(slots): waits for a slot
 *	takes a slot from free, fills it,
 *	puts it on queue, up(work)		down(work), takes a slot from queue
 *						does it, writes the result, up(done)
 *	down(done), copies the result,
 *	puts the slot on free, up(slots)
 *
 * Every wait is a semaphore, which remembers an up that comes before its down: no wake-up is lost, and a thread
 * that was woken once serves as many commands as were sent. The slot stays the sender's until the result is copied.
 * A signal ends the wait for a slot (nothing has happened yet), but not the wait for a result, since the command
 * will change the address space whether its sender waits or not.
 *
 * All threads are children of one more thread, the keeper. It starts them, so that none inherits anything from the
 * process that happened to call kvmd_open, and it reaps them, so that none stays behind as a zombie.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#include <linux/init.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/malloc.h>
#include <linux/errno.h>
#include <linux/smp.h>
#include <linux/smp_lock.h>
#include <linux/slab.h>
#include <asm/pgalloc.h>
#include <asm/mmu_context.h>
#include "kvmd_int.h"

#define KVMD_CLONE	(CLONE_FS | CLONE_FILES | CLONE_SIGHAND)

/* linux-2.3.99-pre3 has them in mm/mmap.c and kernel/exit.c, but in no header */
extern asmlinkage long sys_wait4(pid_t pid, unsigned int *status, int options, struct rusage *usage);

static LIST_HEAD(kvmd_pool);			/* threads for everybody */
static LIST_HEAD(kvmd_own);			/* threads of one attachment each */
static spinlock_t kvmd_servers_lock = SPIN_LOCK_UNLOCKED;	/* the two lists and users */

/* What the keeper is asked to do, one thing at a time. */
enum { KVMD_JOB_START, KVMD_JOB_REAP, KVMD_JOB_END };

static struct {
	struct semaphore one;			/* whose turn it is to ask */
	struct semaphore asked;
	struct semaphore answered;
	int what;
	struct kvmd_server *server;
	int result;
} job;

/* Become a thread that shares nothing with whoever started it, and that no signal reaches. */
static void kvmd_leave_parent(const char *name)
{
	lock_kernel();
	exit_files(current);
	daemonize();
	unlock_kernel();
	strncpy(current->comm, name, sizeof(current->comm) - 1);
	current->comm[sizeof(current->comm) - 1] = '\0';
	current->rlim[RLIMIT_AS].rlim_cur = RLIM_INFINITY;

	spin_lock_irq(&current->sigmask_lock);
	sigfillset(&current->blocked);
	recalc_sigpending(current);
	spin_unlock_irq(&current->sigmask_lock);
}

/*
 * Get an address space. So far the thread runs on a borrowed one. The new one must become the active one too: TLB
 * flushes look at active_mm. The kernel lock keeps swap_out away until both pointers are set.
 */
static int kvmd_enter_mm(struct kvmd_server *server)
{
	struct mm_struct *borrowed;
	struct mm_struct *mm = mm_alloc();

	if (!mm)
		return -ENOMEM;
	lock_kernel();
	borrowed = current->active_mm;
	init_new_context(current, mm);
	current->mm = mm;
	if (!kvmd_control(MM_NOT_ACTIVE)) {
		current->active_mm = mm;
		activate_mm(borrowed, mm);
		mmdrop(borrowed);
	}
	unlock_kernel();
	server->mm = mm;
	server->task = current;
	return 0;
}

/* Map anonymous memory. Page alignment tells an address, which may lie above 2 GiB, from an error number. */
static long kvmd_do_alloc(struct kvmd_command *command)
{
	unsigned long addr;

	down(&current->mm->mmap_sem);
	lock_kernel();
	addr = do_mmap_pgoff(NULL, 0, command->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
	unlock_kernel();
	up(&current->mm->mmap_sem);
	if (addr & ~PAGE_MASK || (kvmd_control(TWO_GIB_SIGN) && (long) addr < 0))
		return kvmd_refuse(KVMD_NO_SPACE, (int) addr);
	command->addr = addr;
	return 0;
}

/*
 * Unmap. do_munmap allocates a record before it frees anything, and may find no memory for it just when memory is
 * short. The region's own pages can go without a record: give them back, then try again.
 */
static long kvmd_do_free(struct kvmd_command *command)
{
	struct mm_struct *mm = current->mm;
	long err;

	for (;;) {
		down(&mm->mmap_sem);
		err = do_munmap(command->addr, command->size);
		if (err == -ENOMEM) {
			zap_page_range(mm, command->addr, command->size);
			flush_tlb_range(mm, command->addr, command->addr + command->size);
		}
		up(&mm->mmap_sem);
		if (err != -ENOMEM)
			return err;
		set_current_state(TASK_UNINTERRUPTIBLE);
		schedule_timeout(1);
	}
}

/* Do one command and answer it, whatever it is. After the answer the slot belongs to the sender again. */
static int kvmd_serve(struct kvmd_command *command)
{
	int go_on = 1;

	switch (command->what) {
	case KVMD_CMD_ALLOC:
		command->result = kvmd_do_alloc(command);
		break;
	case KVMD_CMD_FREE:
		command->result = kvmd_do_free(command);
		break;
	case KVMD_CMD_EXIT:
		command->result = 0;
		go_on = 0;
		break;
	default:
		command->result = kvmd_refuse(KVMD_NO_BAD_ARGUMENT, -EINVAL);
	}
	if (go_on || !kvmd_control(UNANSWERED_EXIT))
		up(&command->done);
	return go_on;
}

/* Take the first slot off one of a server's lists. The caller's down() on the list's semaphore says there is one. */
static struct kvmd_command *kvmd_take(struct kvmd_server *server, struct list_head *list)
{
	struct kvmd_command *command;

	spin_lock(&server->lock);
	command = list_entry(list->next, struct kvmd_command, node);
	list_del(&command->node);
	spin_unlock(&server->lock);
	return command;
}

static void kvmd_put(struct kvmd_server *server, struct list_head *list, struct kvmd_command *command)
{
	spin_lock(&server->lock);
	list_add_tail(&command->node, list);
	spin_unlock(&server->lock);
}

static void kvmd_return_slot(struct kvmd_server *server, struct kvmd_command *command)
{
	kvmd_put(server, &server->free, command);
	up(&server->slots);
}

/* Sleep without adding to the load average; no signal can end it, since all are blocked. */
static void kvmd_idle(struct semaphore *sem)
{
	while (down_interruptible(sem))
		flush_signals(current);
}

/* A thread. Its address space goes in do_exit, after the last command was answered. */
static int kvmd_thread(void *data)
{
	struct kvmd_server *server = data;

	kvmd_leave_parent(server->name);
	server->failed = kvmd_enter_mm(server);
	up(&server->ready);
	if (server->failed)
		return 0;
	do {
		if (kvmd_control(LOST_WAKEUP_THREAD))
			kvmd_window(), kvmd_forget(&server->work);
		kvmd_idle(&server->work);
		if (kvmd_control(ONE_COMMAND))
			kvmd_forget(&server->work);
	} while (kvmd_serve(kvmd_take(server, &server->queue)));
	return 0;
}

/*
 * Send a command and wait for its result; *addr goes in and comes out. A patient sender waits for a slot whatever
 * happens, another one gives up with -EINTR when a signal comes.
 */
int kvmd_send(struct kvmd_server *server, int what, unsigned long *addr, size_t size, int patient)
{
	struct kvmd_command *command;
	int err;

	if (down_trylock(&server->slots)) {
		kvmd_account(&kvmd_now.queue_waits, 1);
		if (kvmd_control(POLLING)) {
			if (kvmd_poll(&server->slots))
				return -EBUSY;
		} else if (patient)
			down(&server->slots);
		else if (down_interruptible(&server->slots))
			return kvmd_refuse(KVMD_NO_SIGNAL, -EINTR);
	}
	command = kvmd_take(server, &server->free);
	command->what = what;
	command->addr = *addr;
	command->size = size;
	kvmd_put(server, &server->queue, command);
	if (!kvmd_control(MISSING_WAKE))
		up(&server->work);

	if (kvmd_control(LOST_WAKEUP_SENDER))
		kvmd_window(), kvmd_forget(&command->done);
	if (kvmd_control(SIGNAL_ABANDONS) && down_interruptible(&command->done))
		return -EAGAIN;
	if (!kvmd_control(SIGNAL_ABANDONS))
		down(&command->done);
	if (kvmd_control(EARLY_SLOT_REUSE))
		kvmd_return_slot(server, command), kvmd_window();
	*addr = command->addr;
	err = command->result;
	if (!kvmd_control(EARLY_SLOT_REUSE))
		kvmd_return_slot(server, command);

	kvmd_account(&kvmd_now.commands[what], 1);
	if (signal_pending(current))
		kvmd_account(&kvmd_now.signals, 1);
	return err;
}

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
	if (server->pid < 0 || (kvmd_control(PID_IS_FAILURE) && server->pid))
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

static int kvmd_ask_keeper(int what, struct kvmd_server *server)
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

static struct kvmd_server *kvmd_new_server(int own)
{
	struct kvmd_server *server;
	int i;

	server = kmalloc(sizeof(*server), GFP_KERNEL);
	if (!server)
		return NULL;
	memset(server, 0, sizeof(*server));
	server->own = own;
	init_MUTEX_LOCKED(&server->ready);
	spin_lock_init(&server->lock);
	INIT_LIST_HEAD(&server->free);
	INIT_LIST_HEAD(&server->queue);
	sema_init(&server->slots, KVMD_QUEUE_LEN);
	sema_init(&server->work, 0);
	for (i = 0; i < KVMD_QUEUE_LEN; i++) {
		init_MUTEX_LOCKED(&server->slot[i + kvmd_control(OFF_BY_ONE_SLOTS)].done);
		list_add_tail(&server->slot[i + kvmd_control(OFF_BY_ONE_SLOTS)].node, &server->free);
	}
	return server;
}

/* Start a thread and put it on its list; `users` attachments have it from the start. */
static int kvmd_start(int own, int users, struct kvmd_server **server_out)
{
	struct kvmd_server *server = kvmd_new_server(own);
	int err;

	if (!server)
		return -ENOMEM;
	if (own)
		strcpy(server->name, "kvmd/own");
	else
		sprintf(server->name, "kvmd/%lu", kvmd_now.threads);
	server->users = users;
	err = kvmd_ask_keeper(KVMD_JOB_START, server);
	if (err) {
		kfree(server);
		return err;
	}
	spin_lock(&kvmd_servers_lock);
	list_add_tail(&server->node, own && !kvmd_control(DEDICATED_SHARED) ? &kvmd_own : &kvmd_pool);
	spin_unlock(&kvmd_servers_lock);
	kvmd_account(&kvmd_now.threads, 1);
	*server_out = server;
	return 0;
}

/* End a thread that nobody uses any more. When this returns its memory, its swap and its task are gone. */
static void kvmd_stop(struct kvmd_server *server)
{
	unsigned long none = 0;

	spin_lock(&kvmd_servers_lock);
	list_del(&server->node);
	spin_unlock(&kvmd_servers_lock);
	kvmd_send(server, KVMD_CMD_EXIT, &none, 0, 1);
	kvmd_ask_keeper(KVMD_JOB_REAP, server);
	kfree(server);
	kvmd_account(&kvmd_now.threads, -1);
}

/* The thread of the pool with the fewest users, the one that waited longest among equals; NULL if there is none. */
static struct kvmd_server *kvmd_pick(void)
{
	struct kvmd_server *server, *best = NULL;
	struct list_head *at;

	spin_lock(&kvmd_servers_lock);
	for (at = kvmd_pool.next; at != &kvmd_pool; at = at->next) {
		server = list_entry(at, struct kvmd_server, node);
		if (!best || server->users < best->users)
			best = server;
	}
	if (best) {
		best->users++;
		list_del(&best->node);
		list_add_tail(&best->node, &kvmd_pool);
	}
	spin_unlock(&kvmd_servers_lock);
	return best;
}

/* Find or start a thread for an attachment. An empty pool is no reason to fail: the attachment gets its own. */
int kvmd_server_attach(int own, struct kvmd_server **server_out)
{
	if (!own) {
		*server_out = kvmd_pick();
		if (*server_out)
			return 0;
	}
	return kvmd_start(1, 1, server_out);
}

void kvmd_server_detach(struct kvmd_server *server)
{
	if (server->own && !kvmd_control(DEDICATED_STAYS)) {
		kvmd_stop(server);
		return;
	}
	spin_lock(&kvmd_servers_lock);
	server->users--;
	spin_unlock(&kvmd_servers_lock);
}

/* Start the keeper and a pool of two threads a CPU; a smaller pool is better than none. */
int __init kvmd_threads_start(void)
{
	struct kvmd_server *server;
	int err, i;

	init_MUTEX(&job.one);
	init_MUTEX_LOCKED(&job.asked);
	init_MUTEX_LOCKED(&job.answered);
	err = kernel_thread(kvmd_keeper, NULL, KVMD_CLONE);
	if (err < 0)
		return err;
	for (i = 0; i < 2 * smp_num_cpus; i++) {
		err = kvmd_start(0, 0, &server);
		if (err) {
			printk(KERN_WARNING "kvmd: thread %d did not start (error %d)\n", i, -err);
			break;
		}
	}
	return 0;
}

/* End every thread, the keeper last. Nobody is attached any more. */
void kvmd_threads_stop(void)
{
	while (!list_empty(&kvmd_pool))
		kvmd_stop(list_entry(kvmd_pool.next, struct kvmd_server, node));
	kvmd_ask_keeper(KVMD_JOB_END, NULL);
}
