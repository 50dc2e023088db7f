/*
 * mm_fault.h - since 2.3.99-pre6 a fault is told whose address space it is in, and not whose task
 *
 * Read before kvmd's sources (-include). SPDX-License-Identifier: GPL-2.0-only
 */
#include <linux/mm.h>

#define handle_mm_fault(task, vma, addr, write)	handle_mm_fault((task)->mm, vma, addr, write)
