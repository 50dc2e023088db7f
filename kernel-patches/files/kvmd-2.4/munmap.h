/*
 * munmap.h - since 2.3.99-pre6 do_munmap is told in which address space; kvmd's threads unmap in their own
 *
 * Read before kvmd's sources (-include). SPDX-License-Identifier: GPL-2.0-only
 */
#include <linux/mm.h>
#include <linux/sched.h>

#define do_munmap(addr, size)	do_munmap(current->mm, addr, size)
