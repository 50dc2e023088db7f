/*
 * kvmd.c - swappable anonymous memory for drivers: the whole, and in it attachments and maps
 *
 * A process has memory that may be larger than the machine's RAM, because the kernel can write its pages to swap and
 * read them back. Code inside the kernel has no such memory. kvmd gives it some: a few kernel threads own ordinary
 * private anonymous mappings, exactly as a process would, and lend them out. A driver
 *
 *	attaches to a thread			kvmd_open
 *	gets a region of its address space	kvmd_alloc
 *	holds a part of it in RAM, uses it	kvmd_map ... kvmd_unmap
 *	makes the region larger or smaller	kvmd_grow, kvmd_shrink
 *	gives the region back			kvmd_free
 *	and detaches				kvmd_close
 *
 * Whose is it? A region belongs to the attachment that allocated it, a map to the attachment that made it. Several
 * attachments may live on one thread, but none can name, map, free or unmap what belongs to another. kvmd_close gives
 * back whatever its attachment still has.
 *
 * The life of a mapping:
 *
 *	kvmd_alloc	sends a command to the thread, which maps the region into its own address space. Nothing is in
 *			RAM yet. A record of the region goes onto the attachment's list.
 *	kvmd_map	works in the caller's context, on the thread's address space. Each page is made present, writable
 *			and dirty, and then *locked* under the page-table lock (kvmd_pin.c). The swap-out path passes over
 *			locked pages: frame, page-table entry and data stay together. A kiobuf lists the pages.
 *	kvmd_unmap	unlocks the pages; the last map of a page does. They are dirty in the page table, so whatever
 *			a driver wrote goes to swap with them.
 *	kvmd_grow	needs no copy: the thread's page table is made longer, or its entries go to another place, also those of
 *			pages that are in swap. A region that has maps stays where it is or is refused.
 *	kvmd_shrink	frees the end of a region, and refuses if a map holds any of that.
 *	kvmd_free	refuses a region that still has maps. Otherwise its record goes, then a command tells the thread
 *			to unmap it; pages and swap slots are free when the command is answered.
 *
 * The lock order, outermost first:
 *
 *	kvmd_attachment.sem	regions, maps and pin counts of one attachment. Held while pages are faulted in.
 *	mm->mmap_sem		of the thread. Taken by the thread for its commands and by kvmd_map.
 *	mm->page_table_lock	of the thread. Nothing sleeps under it.
 *	kvmd_account_lock	the figures of kvmd_now.
 *
 * Beside that chain: the keeper's job.one, outermost; kvmd_servers_lock and kvmd_server.lock, both spinlocks, neither
 * ever held together with another lock. kvmd_close, kvmd_grow and kvmd_shrink send commands with kvmd_attachment.sem
 * held, and other calls on that attachment wait meanwhile; the threads never take that semaphore.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#include <linux/errno.h>
#include <linux/init.h>
#include <linux/malloc.h>
#include <linux/mm.h>
#include <linux/module.h>
#include "kvmd_int.h"

struct kvmd_stats kvmd_now;
static spinlock_t kvmd_account_lock = SPIN_LOCK_UNLOCKED;

/* Change one figure of kvmd_now. */
void kvmd_account(unsigned long *figure, long change)
{
	spin_lock(&kvmd_account_lock);
	*figure += change;
	spin_unlock(&kvmd_account_lock);
}

/* Count a refusal and pass its error on. */
int kvmd_refuse(enum kvmd_refusal reason, int error)
{
	kvmd_account(&kvmd_now.refused[reason], 1);
	return error;
}

/* All figures as they are at one moment. */
void kvmd_stats(struct kvmd_stats *copy)
{
	spin_lock(&kvmd_account_lock);
	*copy = kvmd_now;
	spin_unlock(&kvmd_account_lock);
}

/* Reserve room for a map's pages: held pages can't be swapped, so only a quarter of the RAM may be held. */
static int kvmd_reserve(int n_pages)
{
	int fits;

	spin_lock(&kvmd_account_lock);
	fits = kvmd_now.mapped_pages + n_pages <= num_physpages / 4;
	if (fits)
		kvmd_now.mapped_pages += n_pages;
	spin_unlock(&kvmd_account_lock);
	return fits ? 0 : kvmd_refuse(KVMD_NO_PIN_LIMIT, -EAGAIN);
}

/*
 * Attach to a thread: to the one of the pool that has the fewest attachments, or, with KVMD_DEDICATED, to a new one
 * that ends with the attachment.
 */
int kvmd_open(int flags, kvmd_t **vmd_out)
{
	kvmd_t *vmd;
	int err;

	*vmd_out = NULL;
	if (flags & ~KVMD_DEDICATED)
		return kvmd_refuse(KVMD_NO_BAD_ARGUMENT, -EINVAL);
	vmd = kmalloc(sizeof(*vmd), GFP_KERNEL);
	if (!vmd)
		return kvmd_refuse(KVMD_NO_MEMORY_KERNEL, -ENOMEM);
	init_MUTEX(&vmd->sem);
	INIT_LIST_HEAD(&vmd->regions);
	INIT_LIST_HEAD(&vmd->maps);

	MOD_INC_USE_COUNT;
	err = kvmd_server_attach(flags & KVMD_DEDICATED, &vmd->server);
	if (err) {
		MOD_DEC_USE_COUNT;
		kfree(vmd);
		return kvmd_refuse(KVMD_NO_MEMORY_KERNEL, err);
	}
	kvmd_account(&kvmd_now.attachments, 1);
	*vmd_out = vmd;
	return 0;
}

static void kvmd_free_map_record(struct kvmd_map *map)
{
	map->iobuf->nr_pages = 0;
	map->iobuf->locked = 0;
	free_kiovec(1, &map->iobuf);
	kfree(map);
}

/* A record and a kiobuf for the range, with room for all its pages; NULL when there is no memory. */
static struct kvmd_map *kvmd_new_map(unsigned long addr, size_t size)
{
	struct kvmd_map *map;

	map = kmalloc(sizeof(*map), GFP_KERNEL);
	if (!map)
		return NULL;
	map->start = addr & PAGE_MASK;
	map->n_pages = (PAGE_ALIGN(addr + size) - map->start) >> PAGE_SHIFT;
	if (alloc_kiovec(1, &map->iobuf)) {
		kfree(map);
		return NULL;
	}
	if (expand_kiobuf(map->iobuf, map->n_pages)) {
		kvmd_free_map_record(map);
		return NULL;
	}
	map->iobuf->offset = addr & ~PAGE_MASK;
	map->iobuf->length = size;
	return map;
}

/* Hold a map's pages and put it on its attachment's list. vmd->sem is held. */
static int kvmd_add_map(kvmd_t *vmd, struct kvmd_map *map, unsigned long addr, size_t size)
{
	int err;

	map->region = kvmd_find_region(vmd, addr, size);
	if (!map->region)
		return kvmd_refuse(KVMD_NO_ADDRESS, -EFAULT);
	err = kvmd_reserve(map->n_pages);
	if (err)
		return err;
	err = kvmd_pin(vmd->server, map);
	if (err) {
		kvmd_account(&kvmd_now.mapped_pages, -map->n_pages);
		return err;
	}
	map->region->n_maps++;
	list_add_tail(&map->node, &vmd->maps);
	kvmd_account(&kvmd_now.maps, 1);
	return 0;
}

/*
 * Hold a part of a region in RAM until kvmd_unmap, and list its pages in a kiobuf. The kiobuf is marked as locked,
 * and its pages are: it is ready for brw_kiovec, and must not be given to unlock_kiovec or unmap_kiobuf.
 * Both directions make the pages writable and dirty; a page that stays read-only would stay in the swap cache, where
 * others may wait for its lock.
 */
int kvmd_map(int rw, kvmd_t *vmd, size_t vaddr, size_t size, struct kiobuf **iobuf_out)
{
	struct kvmd_map *map;
	int err;

	*iobuf_out = NULL;
	if ((rw != READ && rw != WRITE) || !size)
		return kvmd_refuse(KVMD_NO_BAD_ARGUMENT, -EINVAL);
	if (size > KVMD_MAP_MAX)
		return kvmd_refuse(KVMD_NO_TOO_LONG, -E2BIG);
	if (vaddr >= TASK_SIZE || size > TASK_SIZE - vaddr)
		return kvmd_refuse(KVMD_NO_ADDRESS, -EFAULT);
	map = kvmd_new_map(vaddr, size);
	if (!map)
		return kvmd_refuse(KVMD_NO_MEMORY_KERNEL, -ENOMEM);

	down(&vmd->sem);
	err = kvmd_add_map(vmd, map, vaddr, size);
	up(&vmd->sem);
	if (err) {
		kvmd_free_map_record(map);
		return err;
	}
	if (!kvmd_mutant(KIOBUF_KEPT))
		*iobuf_out = map->iobuf;
	return 0;
}

/* Let go of a map's pages and forget it. vmd->sem is held. */
static void kvmd_drop_map(struct kvmd_map *map)
{
	list_del(&map->node);
	map->region->n_maps--;
	kvmd_unpin(map);
	kvmd_account(&kvmd_now.maps, -1);
	kvmd_account(&kvmd_now.mapped_pages, -map->n_pages);
	kvmd_free_map_record(map);
}

/* Undo a kvmd_map. A kiobuf that is not a map of this attachment is left alone, and counted. */
void kvmd_unmap(kvmd_t *vmd, struct kiobuf *iobuf)
{
	struct list_head *at;
	struct kvmd_map *map;

	down(&vmd->sem);
	for (at = vmd->maps.next; at != &vmd->maps; at = at->next) {
		map = list_entry(at, struct kvmd_map, node);
		if (map->iobuf == iobuf) {
			kvmd_drop_map(map);
			up(&vmd->sem);
			return;
		}
	}
	up(&vmd->sem);
	kvmd_refuse(KVMD_NO_MAP, 0);
	printk(KERN_WARNING "kvmd: unmap of a kiobuf that is not mapped here\n");
}

/* Detach: maps, regions and, if it is the attachment's own, the thread. The caller makes no other call meanwhile. */
void kvmd_close(kvmd_t *vmd)
{
	struct kvmd_region *region;

	if (!vmd)
		return;
	down(&vmd->sem);
	while (!list_empty(&vmd->maps))
		kvmd_drop_map(list_entry(vmd->maps.next, struct kvmd_map, node));
	while (!list_empty(&vmd->regions) && !kvmd_mutant(LEAKING_CLOSE)) {
		region = list_entry(vmd->regions.next, struct kvmd_region, node);
		list_del(&region->node);
		kvmd_give_back(vmd, region, 1);
	}
	up(&vmd->sem);
	kvmd_server_detach(vmd->server);
	kfree(vmd);
	kvmd_account(&kvmd_now.attachments, -1);
	MOD_DEC_USE_COUNT;
}

static int __init kvmd_init(void)
{
	int err = kvmd_threads_start();

	if (err) {
		printk(KERN_ERR "kvmd: no threads (error %d)\n", -err);
		return err;
	}
	err = kvmdctl_start();
	if (err) {
		printk(KERN_ERR "kvmd: no control device (error %d)\n", -err);
		kvmd_threads_stop();
		return err;
	}
	kvmd_proc_start();	/* nothing else depends on it */
	printk(KERN_INFO "kvmd: %lu threads\n", kvmd_now.threads);
	if (!kvmd_mutant(NONE))
		printk(KERN_WARNING "kvmd: a mutant, built with defect %d put back\n", KVMD_MUTANT);
	return 0;
}

static void __exit kvmd_exit(void)
{
	kvmd_proc_stop();
	kvmdctl_stop();
	kvmd_threads_stop();
}

module_init(kvmd_init);
module_exit(kvmd_exit);
