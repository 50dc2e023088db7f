/*
 * kvmd_thread.c - the threads that own kvmd's memory, and how they are told what to do
 *
 * Only a thread itself can change its address space (do_mmap_pgoff and do_munmap work on current->mm), so whatever
 * makes or changes a mapping is a command. A thread has KVMD_QUEUE_LEN slots for commands:
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
 * SPDX-License-Identifier: GPL-2.0-only
 */
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/smp_lock.h>
#include <asm/mmu_context.h>
#include <asm/pgalloc.h>
#include "kvmd_int.h"

/* linux-2.3.99-pre3 has it in mm/mremap.c, but in no header */
extern asmlinkage unsigned long sys_mremap(unsigned long addr, unsigned long old_len, unsigned long new_len,
					   unsigned long flags, unsigned long new_addr);

/* Take on other blocked signals, and tell those before. */
sigset_t kvmd_block_signals(const sigset_t *signals)
{
	sigset_t before;

	spin_lock_irq(&current->sigmask_lock);
	before = current->blocked;
	current->blocked = *signals;
	recalc_sigpending(current);
	spin_unlock_irq(&current->sigmask_lock);
	return before;
}

/* Become a thread that shares nothing with whoever started it, and that no signal reaches. */
void kvmd_leave_parent(const char *name)
{
	sigset_t all;

	lock_kernel();
	exit_files(current);
	daemonize();
	unlock_kernel();
	sigfillset(&all);
	kvmd_block_signals(&all);

	strncpy(current->comm, name, sizeof(current->comm) - 1);
	current->comm[sizeof(current->comm) - 1] = '\0';
	current->rlim[RLIMIT_AS].rlim_cur = RLIM_INFINITY;
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
	if (!kvmd_mutant(MM_NOT_ACTIVE)) {
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
static long kvmd_do_alloc(struct kvmd_span *span)
{
	unsigned long addr;

	down(&current->mm->mmap_sem);
	lock_kernel();
	addr = do_mmap_pgoff(NULL, 0, span->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
	unlock_kernel();
	up(&current->mm->mmap_sem);
	if (addr & ~PAGE_MASK || (kvmd_mutant(TWO_GIB_SIGN) && (long) addr < 0))
		return kvmd_refuse(KVMD_NO_SPACE, (int) addr);
	span->addr = addr;
	return 0;
}

/*
 * Unmap. do_munmap allocates a record before it frees anything, and may find no memory for it just when memory is
 * short. The region's own pages can go without a record: give them back, then try again.
 */
static long kvmd_do_free(unsigned long addr, size_t size)
{
	struct mm_struct *mm = current->mm;
	long err;

	for (;;) {
		down(&mm->mmap_sem);
		err = do_munmap(addr, size);
		if (err == -ENOMEM) {
			zap_page_range(mm, addr, size);
			flush_tlb_range(mm, addr, addr + size);
		}
		up(&mm->mmap_sem);
		if (err != -ENOMEM)
			return err;
		set_current_state(TASK_UNINTERRUPTIBLE);
		schedule_timeout(1);
	}
}

/* Whether nothing is mapped in the `more` bytes from `end` on. current->mm->mmap_sem is held. */
static int kvmd_free_behind(unsigned long end, size_t more)
{
	struct vm_area_struct *next;

	if (more > TASK_SIZE - end)
		return 0;
	next = find_vma(current->mm, end);
	return !next || next->vm_start >= end + more;
}

/*
 * Make a range larger: where it is if there is room behind it, else, if it may, at another address. Moving takes the
 * page table's entries along, so nothing is copied, and what is in swap stays there. sys_mremap takes mmap_sem by
 * itself; between the look and the call nothing changes, since no other task maps in this address space. It does not
 * tell whether it could unmap the old place, so that is done once more.
 */
static long kvmd_do_grow(struct kvmd_span *span)
{
	unsigned long addr;
	int fits;

	down(&current->mm->mmap_sem);
	fits = kvmd_free_behind(span->addr + span->size, span->new_size - span->size);
	up(&current->mm->mmap_sem);
	if (!fits && !span->may_move)
		return kvmd_refuse(KVMD_NO_GROW_MAPPED, -EBUSY);
	addr = sys_mremap(span->addr, span->size, span->new_size, fits ? 0 : MREMAP_MAYMOVE, 0);
	if (addr & ~PAGE_MASK)
		return kvmd_refuse(KVMD_NO_SPACE, (int) addr);
	if (addr != span->addr)
		kvmd_do_free(span->addr, span->size);
	span->addr = addr;
	return 0;
}

/* Do one command and answer it, whatever it is. After the answer the slot belongs to the sender again. */
static int kvmd_serve(struct kvmd_command *command)
{
	int go_on = 1;

	switch (command->what) {
	case KVMD_CMD_ALLOC:
		command->result = kvmd_do_alloc(&command->span);
		break;
	case KVMD_CMD_FREE:
		command->result = kvmd_do_free(command->span.addr, command->span.size);
		break;
	case KVMD_CMD_GROW:
		command->result = kvmd_do_grow(&command->span);
		break;
	case KVMD_CMD_EXIT:
		command->result = 0;
		go_on = 0;
		break;
	default:
		command->result = kvmd_refuse(KVMD_NO_BAD_ARGUMENT, -EINVAL);
	}
	if (go_on || !kvmd_mutant(UNANSWERED_EXIT))
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
void kvmd_idle(struct semaphore *sem)
{
	while (down_interruptible(sem))
		flush_signals(current);
}

/* A thread. Its address space goes in do_exit, after the last command was answered. */
int kvmd_thread(void *data)
{
	struct kvmd_server *server = data;

	kvmd_leave_parent(server->name);
	server->failed = kvmd_enter_mm(server);
	up(&server->ready);
	if (server->failed)
		return 0;
	do {
		if (kvmd_mutant(LOST_WAKEUP_THREAD))
			kvmd_window(1), kvmd_forget(&server->work);
		kvmd_idle(&server->work);
		if (kvmd_mutant(ONE_COMMAND))
			kvmd_forget(&server->work);
	} while (kvmd_serve(kvmd_take(server, &server->queue)));
	return 0;
}

/*
 * Send a command and wait for its result; *span goes in and comes out. A patient sender waits for a slot whatever
 * happens, another one gives up with -EINTR when a signal comes.
 */
int kvmd_send(struct kvmd_server *server, int what, struct kvmd_span *span, int patient)
{
	struct kvmd_command *command;
	int err;

	if (down_trylock(&server->slots)) {
		kvmd_account(&kvmd_now.queue_waits, 1);
		if (kvmd_mutant(POLLING)) {
			if (kvmd_poll(&server->slots))
				return -EBUSY;
		} else if (patient)
			down(&server->slots);
		else if (down_interruptible(&server->slots))
			return kvmd_refuse(KVMD_NO_SIGNAL, -EINTR);
	}
	command = kvmd_take(server, &server->free);
	command->what = what;
	command->span = *span;
	kvmd_put(server, &server->queue, command);
	if (!kvmd_mutant(MISSING_WAKE))
		up(&server->work);

	if (kvmd_mutant(LOST_WAKEUP_SENDER))
		kvmd_window(1), kvmd_forget(&command->done);
	if (kvmd_mutant(SIGNAL_ABANDONS) && down_interruptible(&command->done))
		return -EAGAIN;
	if (!kvmd_mutant(SIGNAL_ABANDONS))
		down(&command->done);
	if (kvmd_mutant(EARLY_SLOT_REUSE))
		kvmd_return_slot(server, command), kvmd_window(1);
	*span = command->span;
	err = command->result;
	if (!kvmd_mutant(EARLY_SLOT_REUSE))
		kvmd_return_slot(server, command);

	kvmd_account(&kvmd_now.commands[what], 1);
	if (signal_pending(current))
		kvmd_account(&kvmd_now.signals, 1);
	return err;
}
