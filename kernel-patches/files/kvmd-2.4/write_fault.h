/*
 * write_fault.h - since 2.4.0-test12 a page stays in the swap cache when its only owner writes to it
 *
 * kvmd holds no page of the swap cache, since others may wait for its lock. So its write faults do what those of the
 * releases before did (write_fault.c). Read before kvmd's sources (-include).
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#include <linux/mm.h>
#include <linux/sched.h>

int kvmd_write_fault(struct mm_struct *mm, struct vm_area_struct *vma, unsigned long addr);

#define handle_mm_fault(task, vma, addr, write)	kvmd_write_fault((task)->mm, vma, addr)
