/*
 * proc.c - a file of /proc whose text one function writes into a page
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#include <linux/gfp.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include "kvmd_compat.h"

static int kvmd_proc_show(struct seq_file *file, void *unused)
{
	kvmd_get_info *get_info = file->private;
	char *page = (char *) get_zeroed_page(GFP_KERNEL), *start = NULL;

	if (!page)
		return -ENOMEM;
	seq_write(file, page, get_info(page, &start, 0, PAGE_SIZE));
	free_page((unsigned long) page);
	return 0;
}

/* Make such a file: its entry, or NULL. Today the text may have any length; these functions keep to a page. */
struct proc_dir_entry *kvmd_compat_proc_info(const char *name, umode_t mode, struct proc_dir_entry *base,
					     kvmd_get_info *get_info)
{
	return proc_create_single_data(name, mode, base, kvmd_proc_show, get_info);
}
