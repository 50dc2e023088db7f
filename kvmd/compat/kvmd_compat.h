/*
 * kvmd_compat.h - calls of a 2.3 kernel, offered on linux-6.1 and later: their types and functions, under names of their own
 *
 * kvmd's sources don't include this file and don't use these names. old_names.h gives them the old ones; README.md has
 * the table of all shims. Here and in the .c files beside, each shim says what the old call promised and how it is kept.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#ifndef KVMD_COMPAT_H
#define KVMD_COMPAT_H

#include <linux/fs.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/semaphore.h>
#include <linux/string.h>
#include <linux/types.h>
#include "since.h"

/*
 * Semaphores. Then as now: a counter, down() waits, up() wakes, an up that comes before its down is remembered, anybody
 * may do the up. What is new is lockdep, and it does not know semaphores, since most of them are no locks. Those that
 * are made by init_MUTEX are: whoever did the down does the up. These are shown to lockdep as what they are, a
 * class for each place in the source that makes them.
 */
struct kvmd_semaphore {
	struct semaphore plain;
#ifdef CONFIG_DEBUG_LOCK_ALLOC
	int is_lock;
	struct lockdep_map dep_map;
#endif
};

void kvmd_compat_sema_init(struct kvmd_semaphore *sem, int count);
void kvmd_compat_init_lock(struct kvmd_semaphore *sem, const char *name, struct lock_class_key *key);
void kvmd_compat_down(struct kvmd_semaphore *sem);
int kvmd_compat_down_interruptible(struct kvmd_semaphore *sem);
int kvmd_compat_down_trylock(struct kvmd_semaphore *sem);
void kvmd_compat_up(struct kvmd_semaphore *sem);

/*
 * Kernel I/O buffers: a list of page frames, with the place of the first byte in the first one. Only what kvmd and its
 * drivers use of them is here; nobody does I/O on them today.
 */
struct kiobuf {
	int nr_pages;			/* pages that are listed */
	int array_len;			/* room for so many */
	int offset;			/* of the first byte, in the first page */
	int length;			/* in bytes */
	struct page **maplist;
	unsigned int locked : 1;	/* the pages stay where they are */
};

int kvmd_compat_alloc_kiovec(int count, struct kiobuf **bufs);
void kvmd_compat_free_kiovec(int count, struct kiobuf **bufs);
int kvmd_compat_expand_kiobuf(struct kiobuf *iobuf, int wanted);

/* Threads, and their address spaces: task.c. */
int kvmd_compat_kernel_thread(int (*function)(void *), void *argument, unsigned long flags);
void kvmd_compat_daemonize(void);
asmlinkage long kvmd_compat_wait4(pid_t pid, unsigned int *status, int options, struct rusage *usage);
struct mm_struct *kvmd_compat_mm_alloc(void);
void kvmd_compat_enter_mm(struct mm_struct *mm);
unsigned long kvmd_compat_mmap(struct file *file, unsigned long addr, unsigned long len, unsigned long prot,
			       unsigned long flags, unsigned long pgoff);
int kvmd_compat_munmap(unsigned long addr, size_t len);
asmlinkage unsigned long kvmd_compat_mremap(unsigned long addr, unsigned long old_len, unsigned long new_len,
					    unsigned long flags, unsigned long new_addr);
void kvmd_compat_zap(struct mm_struct *mm, unsigned long addr, unsigned long size);

/* Copy a text to a place of that size, zeros behind it. Between 6.12 and 7.2 the kernel's own strncpy went. */
static inline char *kvmd_compat_strncpy(char *to, const char *from, size_t size)
{
	size_t length = strnlen(from, size);

	memcpy(to, from, length);
	memset(to + length, 0, size - length);
	return to;
}

/* A character device's operations, as far as kvmd's driver has them: chrdev.c. */
struct kvmd_file_operations {
	int (*ioctl)(struct inode *inode, struct file *filp, unsigned int command, unsigned long argument);
	int (*open)(struct inode *inode, struct file *filp);
	int (*release)(struct inode *inode, struct file *filp);
};

int kvmd_compat_register_chrdev(unsigned int major, const char *name, struct kvmd_file_operations *old);
void kvmd_compat_unregister_chrdev(unsigned int major, const char *name);

/* A file of /proc: proc.c. The function gets a page, and returns how much of it is text. */
struct proc_dir_entry;
typedef int kvmd_get_info(char *page, char **start, off_t offset, int count);

struct proc_dir_entry *kvmd_compat_proc_info(const char *name, umode_t mode, struct proc_dir_entry *base,
					     kvmd_get_info *get_info);

#endif /* KVMD_COMPAT_H */
