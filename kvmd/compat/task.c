/*
 * task.c - kernel threads of the old kind, and an address space of their own for them
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#include <linux/errno.h>
#include <linux/fs_struct.h>
#include <linux/kthread.h>
#include <linux/mman.h>
#include <linux/ptrace.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include "kvmd_compat.h"

struct kvmd_thread_start {
	int (*function)(void *);
	void *argument;
};

/*
 * A thread that returned from its function ended, and its address space with it. Today returning means entering user
 * mode, so the thread ends here. Its mm was entered by kthread_use_mm and is left by its contrary, which turns it
 * into a borrowed one; then the last user goes, and the mappings, pages and swap slots with it.
 */
static int kvmd_thread_start(void *data)
{
	struct kvmd_thread_start start = *(struct kvmd_thread_start *) data;
	struct mm_struct *mm;

	kfree(data);
	start.function(start.argument);
	mm = current->mm;
	if (mm) {
		kthread_unuse_mm(mm);
		mmput(mm);
	}
	do_exit(0);
}

/*
 * Start a thread that runs `function`: a child of the caller, waited for with __WCLONE. Returns its pid or an error.
 * Today's kernel_thread does this still; only the end of the function is another one.
 */
int kvmd_compat_kernel_thread(int (*function)(void *), void *argument, unsigned long flags)
{
	struct kvmd_thread_start *start = kmalloc(sizeof(*start), GFP_KERNEL);
	int pid;

	if (!start)
		return -ENOMEM;
	start->function = function;
	start->argument = argument;
	pid = kvmd_since_kernel_thread(kvmd_thread_start, start, flags);
	if (pid < 0)
		kfree(start);
	return pid;
}

/*
 * Cut what ties a thread to whoever started it: the mm, the folders, the session. Today a kernel thread starts without
 * an mm, and all of kvmd's threads come from the keeper, whom the kernel started before there was a session. What is
 * left is the record of the current folder.
 */
void kvmd_compat_daemonize(void)
{
	WARN_ON(current->mm);
	if (unshare_fs_struct())
		pr_warn("kvmd: %s shares its current folder with its parent\n", current->comm);
}

/* Wait for a child, and remove it. An entry point of the system-call table then, a function for the kernel today. */
asmlinkage long kvmd_compat_wait4(pid_t pid, unsigned int *status, int options, struct rusage *usage)
{
	if (WARN_ON(status))	/* today's takes a user's address only */
		return -EINVAL;
	return kernel_wait4(pid, NULL, options, usage);
}

/* A new, empty address space. Today it must also be told from where downward it is to be filled. */
struct mm_struct *kvmd_compat_mm_alloc(void)
{
	struct mm_struct *mm = mm_alloc();

	if (mm) {
		mm->task_size = TASK_SIZE;
		arch_pick_mmap_layout(mm, &current->signal->rlim[RLIMIT_STACK]);
	}
	return mm;
}

/* Make an address space the thread's own: it is current->mm and current->active_mm, and its page tables are loaded. */
void kvmd_compat_enter_mm(struct mm_struct *mm)
{
	kthread_use_mm(mm);
}

/* Map in the caller's address space, whose lock is held as a writer: the address, or a negative error. */
unsigned long kvmd_compat_mmap(struct file *file, unsigned long addr, unsigned long len, unsigned long prot,
			       unsigned long flags, unsigned long pgoff)
{
	unsigned long populate;	/* only of those who ask for MAP_POPULATE or MAP_LOCKED */

	return kvmd_since_mmap(file, addr, len, prot, flags, pgoff, &populate);
}

/* Unmap in the caller's address space, whose lock is held as a writer: 0 or an error. */
int kvmd_compat_munmap(unsigned long addr, size_t len)
{
	return do_munmap(current->mm, addr, len, NULL);
}

/* Free pages and swap slots of a range, but not the mapping. It took an mm then; today it wants each of its vmas. */
void kvmd_compat_zap(struct mm_struct *mm, unsigned long addr, unsigned long size)
{
	unsigned long end = addr + size;
	struct vm_area_struct *vma;

	while (addr < end) {
		vma = find_vma(mm, addr);
		if (!vma || vma->vm_start >= end)
			return;
		addr = max(addr, vma->vm_start);
		kvmd_since_zap(vma, addr, min(end, vma->vm_end) - addr);
		addr = vma->vm_end;
	}
}

/* Today's entry point, which finds its arguments where a program's registers were saved; declared in no header. */
extern long __ia32_sys_mremap(const struct pt_regs *regs);

/* Make a mapping of the caller's larger, or move it, as a program would: the address, or a negative error. */
asmlinkage unsigned long kvmd_compat_mremap(unsigned long addr, unsigned long old_len, unsigned long new_len,
					    unsigned long flags, unsigned long new_addr)
{
	struct pt_regs regs = { .bx = addr, .cx = old_len, .dx = new_len, .si = flags, .di = new_addr };

	return __ia32_sys_mremap(&regs);
}
