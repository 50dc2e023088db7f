/*
 * kvmd_proc.c - /proc/kvmd: what kvmd holds, what it has done, and what it refused
 *
 * A line a figure, its name and its value; kvmd/README.md says what each is. All of them are of one moment. The text
 * must fit into 3 KiB, since linux-2.3.99-pre3 (fs/proc/generic.c) reads such a file in pieces of that size.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#include <linux/errno.h>
#include <linux/init.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>
#include "kvmd_int.h"

#define KVMD_PROC_NAME	"kvmd"

static const char *const kvmd_command_names[KVMD_CMDS] = {
	[KVMD_CMD_ALLOC] = "alloc",
	[KVMD_CMD_FREE] = "free",
	[KVMD_CMD_GROW] = "grow",
	[KVMD_CMD_EXIT] = "exit",
};

static const char *const kvmd_refusal_names[KVMD_REFUSALS] = {
	[KVMD_NO_BAD_ARGUMENT] = "bad_argument",
	[KVMD_NO_MEMORY_KERNEL] = "memory_kernel",
	[KVMD_NO_SPACE] = "space",
	[KVMD_NO_REGION] = "region",
	[KVMD_NO_FREE_MAPPED] = "free_mapped",
	[KVMD_NO_GROW_MAPPED] = "grow_mapped",
	[KVMD_NO_SHRINK_MAPPED] = "shrink_mapped",
	[KVMD_NO_ADDRESS] = "address",
	[KVMD_NO_TOO_LONG] = "too_long",
	[KVMD_NO_PIN_LIMIT] = "pin_limit",
	[KVMD_NO_FRAME] = "frame",
	[KVMD_NO_DATA] = "data",
	[KVMD_NO_MAP] = "map",
	[KVMD_NO_SIGNAL] = "signal",
};

/* What there is now. */
static int kvmd_proc_state(char *text, const struct kvmd_stats *now)
{
	char *at = text;

	at += sprintf(at, "threads %lu\n", now->threads);
	at += sprintf(at, "pool_threads %lu\n", now->pool_threads);
	at += sprintf(at, "pool_min %d\n", kvmd_pool_min);
	at += sprintf(at, "pool_max %d\n", kvmd_pool_max);
	at += sprintf(at, "attachments %lu\n", now->attachments);
	at += sprintf(at, "regions %lu\n", now->regions);
	at += sprintf(at, "region_pages %lu\n", now->region_pages);
	at += sprintf(at, "maps %lu\n", now->maps);
	at += sprintf(at, "mapped_pages %lu\n", now->mapped_pages);
	at += sprintf(at, "pinned_pages %lu\n", now->pinned_pages);
	return at - text;
}

/* What happened since boot. */
static int kvmd_proc_history(char *text, const struct kvmd_stats *now)
{
	char *at = text;
	int i;

	at += sprintf(at, "threads_started %lu\n", now->threads_started);
	for (i = 0; i < KVMD_CMDS; i++)
		at += sprintf(at, "commands_%s %lu\n", kvmd_command_names[i], now->commands[i]);
	at += sprintf(at, "queue_waits %lu\n", now->queue_waits);
	at += sprintf(at, "map_retries %lu\n", now->map_retries);
	at += sprintf(at, "lock_waits %lu\n", now->lock_waits);
	at += sprintf(at, "fault_waits %lu\n", now->fault_waits);
	at += sprintf(at, "signals %lu\n", now->signals);
	for (i = 0; i < KVMD_REFUSALS; i++)
		at += sprintf(at, "refused_%s %lu\n", kvmd_refusal_names[i], now->refused[i]);
	return at - text;
}

static int kvmd_proc_text(char *page, char **start, off_t offset, int count)
{
	struct kvmd_stats now;
	int length;

	kvmd_stats(&now);
	length = kvmd_proc_state(page, &now);
	return length + kvmd_proc_history(page + length, &now);
}

int __init kvmd_proc_start(void)
{
	return create_proc_info_entry(KVMD_PROC_NAME, 0444, NULL, kvmd_proc_text) ? 0 : -ENOMEM;
}

void kvmd_proc_stop(void)
{
	remove_proc_entry(KVMD_PROC_NAME, NULL);
}
