/*
 * mmlist.h - since 2.4.0 swap_out finds address spaces by a list of their own, no longer by the tasks that have them
 *
 * fork and exec put theirs there, and mmput takes it off again, whoever made it. One that is not on the list is never
 * swapped, and its last mmput takes it off a list of zeros.
 *
 * Read before kvmd's sources (-include). SPDX-License-Identifier: GPL-2.0-only
 */
#include <linux/sched.h>

static inline struct mm_struct *kvmd_listed_mm(void)
{
	struct mm_struct *mm = mm_alloc();

	if (mm) {
		spin_lock(&mmlist_lock);
		list_add(&mm->mmlist, &init_mm.mmlist);
		spin_unlock(&mmlist_lock);
	}
	return mm;
}

#define mm_alloc()	kvmd_listed_mm()
