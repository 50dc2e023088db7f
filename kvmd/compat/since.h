/*
 * since.h - what changed between linux-6.1 and the kernels after it, as far as compat/ meets it
 *
 * Each name stands for what 6.1 had; the comment says what became of it, and when.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#ifndef KVMD_SINCE_H
#define KVMD_SINCE_H

#include <linux/mm.h>
#include <linux/sched/task.h>
#include <linux/version.h>

/* 6.4: a kernel thread gets its name where it is started; before, it had its parent's, as in 2.3. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#define kvmd_since_kernel_thread(function, argument, flags)	kernel_thread(function, argument, current->comm, flags)
#else
#define kvmd_since_kernel_thread(function, argument, flags)	kernel_thread(function, argument, flags)
#endif

/* 6.5: pages are pinned without a list of their vmas. Nobody here wants that list, or lets go of the lock. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
#define kvmd_since_pin(mm, addr, count, flags, pages)	pin_user_pages_remote(mm, addr, count, flags, pages, NULL)
#else
#define kvmd_since_pin(mm, addr, count, flags, pages)	pin_user_pages_remote(mm, addr, count, flags, pages, NULL, NULL)
#endif

/* 6.6: whoever maps may ask for more flags of the vma, beside those that follow from the arguments; kvmd has none. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
#define kvmd_since_mmap(file, addr, len, prot, flags, pgoff, populate)				\
	do_mmap(file, addr, len, prot, flags, 0, pgoff, populate, NULL)
#else
#define kvmd_since_mmap(file, addr, len, prot, flags, pgoff, populate)				\
	do_mmap(file, addr, len, prot, flags, pgoff, populate, NULL)
#endif

/* Between 6.12 and 7.2: another name, and no details any more. The Makefile looks which one this kernel has. */
#ifdef KVMD_HAS_ZAP_VMA_RANGE
#define kvmd_since_zap(vma, addr, size)	zap_vma_range(vma, addr, size)
#else
#define kvmd_since_zap(vma, addr, size)	zap_page_range_single(vma, addr, size, NULL)
#endif

#endif /* KVMD_SINCE_H */
