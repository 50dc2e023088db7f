/*
 * old_names.h - the names of a 2.3 kernel, for sources that are compiled with `-include` of this file
 *
 * Most old names are macros here, and some of them are words that today's own headers use as well (semaphore, down,
 * need_resched). So every header that kvmd's sources ask for is included first: when their own #include lines come,
 * nothing is left to be read. Headers that are gone today are found in include/, and are empty (gone.h).
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#ifndef KVMD_OLD_NAMES_H
#define KVMD_OLD_NAMES_H

#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmu_context.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/swap.h>
#include <linux/types.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <uapi/linux/wait.h>
#include <asm/mmu_context.h>
#include <asm/pgalloc.h>
#include "kvmd_compat.h"

/* A module was kept from going by a counter that its own code raised. __module_get does that; built in, both do nothing. */
#define MOD_INC_USE_COUNT	__module_get(THIS_MODULE)
#define MOD_DEC_USE_COUNT	module_put(THIS_MODULE)

/* What may be set when a module is loaded; "i" was an int. Built in, nobody sets it so, then as now. */
#define MODULE_PARM(variable, type)

/* A spinlock at rest. Today it also has a name, for lockdep; the class is that of the variable. */
#define SPIN_LOCK_UNLOCKED	__SPIN_LOCK_UNLOCKED(kvmd)

/* How many pages of RAM and how many processors there are. Variables then, functions today. */
#define num_physpages		totalram_pages()
#define smp_num_cpus		num_online_cpus()

/*
 * The kernel lock. Its holders excluded each other until they slept. kvmd held it for callees that wanted it (they have
 * locks of their own today), to keep swap_out from a half-made mm (kvmd_compat_enter_mm has what is needed today), and
 * to end a thread before its module (which can't be unloaded here).
 */
#define lock_kernel()		do { } while (0)
#define unlock_kernel()		do { } while (0)

/*
 * What a task had in itself and now shares with its threads: the lock around its signals, and its limits. kvmd's
 * threads are processes of their own, then as now.
 */
#define sigmask_lock		sighand->siglock
#define rlim			signal->rlim
#define recalc_sigpending(task)	recalc_sigpending()

/* Whether the processor is wanted by somebody else: a field of the task then, a flag among others today. */
#define need_resched		thread_info.flags & _TIF_NEED_RESCHED

/* Threads: task.c */
#define kernel_thread		kvmd_compat_kernel_thread
#define daemonize		kvmd_compat_daemonize
#define sys_wait4		kvmd_compat_wait4

/*
 * A new address space, and how a thread gets into it. The old sequence gave the mm its own descriptor table
 * (init_new_context), made it the task's two mms by hand, loaded the page tables (activate_mm) and dropped the borrowed
 * mm. Today the pointers and the page tables must change together, with interrupts off: one function does all
 * of it at the place of the first step. The assignments that follow write what is there already.
 */
#define mm_alloc		kvmd_compat_mm_alloc
#undef init_new_context
#define init_new_context(task, mm)	kvmd_compat_enter_mm(mm)
#undef activate_mm
#define activate_mm(old, new)	do { } while (0)
#define mmdrop(mm)		((void) (mm))

/*
 * The lock of an address space. One holder at a time then; readers share it today, and kvmd's shared sources, which
 * take it to change mappings, take it as writers. The same down() is for semaphores.
 */
#define mmap_sem		mmap_lock

/* Mapping and unmapping in the caller's own address space, with its lock held: task.c */
#define do_mmap_pgoff		kvmd_compat_mmap
#define do_munmap		kvmd_compat_munmap
#define sys_mremap		kvmd_compat_mremap	/* takes the lock itself, then as now */
#define zap_page_range		kvmd_compat_zap
#undef flush_tlb_range
#define flush_tlb_range(mm, start, end)	do { } while (0)	/* zap_page_range does it today */

/* A text with zeros behind it, such as a thread's name. */
#undef strncpy
#define strncpy			kvmd_compat_strncpy

/* A driver's entry points: chrdev.c */
#define file_operations		kvmd_file_operations
#define register_chrdev		kvmd_compat_register_chrdev
#define unregister_chrdev	kvmd_compat_unregister_chrdev

/* A file of /proc: proc.c */
#define create_proc_info_entry	kvmd_compat_proc_info

/* Kernel I/O buffers: kiobuf.c */
#define alloc_kiovec		kvmd_compat_alloc_kiovec
#define free_kiovec		kvmd_compat_free_kiovec
#define expand_kiobuf		kvmd_compat_expand_kiobuf

/* Semaphores: semaphore.c */
#define init_MUTEX(sem)								\
do {										\
	static struct lock_class_key key;					\
	kvmd_compat_init_lock(sem, #sem, &key);					\
} while (0)
#define init_MUTEX_LOCKED(sem)	kvmd_compat_sema_init(sem, 0)
#define sema_init		kvmd_compat_sema_init
#define down(sem) _Generic((sem),						\
	struct rw_semaphore *: down_write,					\
	struct kvmd_semaphore *: kvmd_compat_down)(sem)
#define up(sem) _Generic((sem),							\
	struct rw_semaphore *: up_write,					\
	struct kvmd_semaphore *: kvmd_compat_up)(sem)
#define down_interruptible	kvmd_compat_down_interruptible
#define down_trylock		kvmd_compat_down_trylock
#define semaphore		kvmd_semaphore

#endif /* KVMD_OLD_NAMES_H */
