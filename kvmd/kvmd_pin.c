/*
 * kvmd_pin.c - hold the pages of a map in their frames
 *
 * map_user_kiobuf can't be used here, for three reasons. It works on current->mm only. It looks for the page after
 * the fault, and calls it an error when the page was swapped out in between. And it holds pages by a reference alone,
 * which keeps the frame but not the page-table entry: such a page can be swapped out while a driver writes to it, and
 * what the driver wrote is lost.
 *
 * So kvmd looks first, under the page-table lock, and faults only when it has to, as often as it has to. A page is
 * ready when it is present, writable and dirty, and not in the swap cache. Then its lock bit is set, still under the
 * page-table lock, and stays set until the last map lets go. From 2.3.99-pre3's mm/vmscan.c, try_to_swap_out: it runs
 * under the same lock, and passes over a locked page before it does anything but age it.
 *
 * A lock bit that stays set for long must not stop anybody else. Those who wait for it find the page by the swap
 * cache, so a page there is not taken. One of them may have found it just before it left the swap cache; he has
 * a reference then, and a page with any reference but that of the page table is not taken either.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#include <linux/errno.h>
#include <linux/kernel_stat.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/smp_lock.h>
#include <linux/swap.h>
#include <linux/swapctl.h>
#include <asm/pgtable.h>
#include "kvmd_int.h"

/* linux-2.3.99-pre3 has it in mm/mmap.c, but in no header */
extern int vm_enough_memory(long pages);

/* Faults that may fail in a row, a tick apart, without a page going to swap meanwhile; and in all, so that it ends. */
#define KVMD_PATIENCE	10
#define KVMD_PATIENCE_IN_ALL	(30 * HZ)

/* What a look at a page found. */
enum kvmd_seen {
	KVMD_HELD,		/* it is locked and referenced for us now */
	KVMD_ABSENT,		/* it was never touched */
	KVMD_SWAPPED,
	KVMD_UNREADY,		/* in RAM, but a write fault is needed first */
	KVMD_BUFFERED,		/* the same, with the buffers of its last transfer; referenced */
	KVMD_BUSY,		/* under I/O; referenced, so that it can be waited for */
	KVMD_IN_USE,		/* somebody else has a reference, for a moment */
	KVMD_UNREADABLE,	/* the swap area did not give it back; it may another time */
	KVMD_LOST		/* the same, and its swap slot is gone */
};

/* The page-table entry of an address, or NULL if there is no page table. mm->page_table_lock is held. */
static pte_t *kvmd_pte(struct mm_struct *mm, unsigned long addr)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	pmd_t *pmd;

	if (pgd_none(*pgd) || pgd_bad(*pgd))
		return NULL;
	pmd = pmd_offset(pgd, addr);
	if (pmd_none(*pmd) || pmd_bad(*pmd))
		return NULL;
	return pte_offset(pmd, addr);
}

/* Look at a present page, and lock and reference it if it is ready. mm->page_table_lock is held. */
static enum kvmd_seen kvmd_look_at_page(pte_t *pte, struct page *page, int from_swap)
{
	if (PageReserved(page))
		return KVMD_UNREADY;
	if (PageSwapCache(page)) {
		if (!PageLocked(page) && PageError(page) && !Page_Uptodate(page))
			return KVMD_UNREADABLE;
		if (!page->buffers)
			return KVMD_UNREADY;
		get_page(page);
		return KVMD_BUFFERED;
	}
	if (!pte_write(*pte) || !pte_dirty(*pte))
		return KVMD_UNREADY;
	if (from_swap && PageError(page) && !Page_Uptodate(page))
		return KVMD_LOST;
	if (TryLockPage(page)) {
		get_page(page);
		return KVMD_BUSY;
	}
	if (page_count(page) != 1) {
		UnlockPage(page);
		return KVMD_IN_USE;
	}
	get_page(page);
	set_pte(pte, pte_mkyoung(*pte));
	if (kvmd_mutant(LOST_WRITE))
		UnlockPage(page);
	return KVMD_HELD;
}

/* Look at the page of an address. Its mm->mmap_sem is held: pages can go meanwhile, but none can come. */
static enum kvmd_seen kvmd_look(struct mm_struct *mm, unsigned long addr, int from_swap, struct page **page_out)
{
	enum kvmd_seen seen = KVMD_ABSENT;
	pte_t *pte;

	spin_lock(&mm->page_table_lock);
	pte = kvmd_pte(mm, addr);
	if (pte && pte_present(*pte)) {
		*page_out = pte_page(*pte);
		seen = kvmd_look_at_page(pte, *page_out, from_swap);
	} else if (pte && !pte_none(*pte))
		seen = KVMD_SWAPPED;
	spin_unlock(&mm->page_table_lock);
	return seen;
}

static void kvmd_wait_a_tick(unsigned long *figure)
{
	kvmd_account(figure, 1);
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule_timeout(1);
}

/*
 * Whether the system can take one page more. An eighth of the RAM is left for processes, since a process that finds
 * no frame is killed, where kvmd's caller just gets an error. vm_enough_memory takes all of the page cache for free
 * memory, but what is in the swap cache is not.
 */
static int kvmd_room(void)
{
	return vm_enough_memory(num_physpages / 8 + swapper_space.nrpages);
}

/* Whether the system makes room: whether pages went to swap since the figure was taken, or are on their way. */
static int kvmd_making_room(unsigned int *written)
{
	unsigned int before = *written;

	*written = kstat.pswpout;
	return *written != before || atomic_read(&nr_async_pages);
}

/*
 * One write fault in the thread's address space. handle_mm_fault takes the page-table lock of the task that it is
 * given: that must be the owner. A fault that finds no frame is tried again for as long as the system makes room:
 * those who swap need the last frames for that themselves, and others take what comes back first.
 */
static int kvmd_fault(struct kvmd_server *server, struct vm_area_struct *vma, unsigned long addr, enum kvmd_seen seen)
{
	int failures = 0, ticks;
	unsigned int written = kstat.pswpout;

	if (seen == KVMD_ABSENT && !kvmd_mutant(NO_RESERVE) && !kvmd_room())
		return kvmd_refuse(KVMD_NO_FRAME, -ENOMEM);
	for (ticks = 0; failures < KVMD_PATIENCE && ticks < KVMD_PATIENCE_IN_ALL; ticks++) {
		if (handle_mm_fault(server->task, vma, addr, 1) > 0)
			return 0;
		kvmd_wait_a_tick(&kvmd_now.fault_waits);
		failures = kvmd_making_room(&written) ? 0 : failures + 1;
	}
	return kvmd_refuse(KVMD_NO_FRAME, -ENOMEM);
}

/*
 * Free the buffers that a transfer left at a page of the swap cache. They count as a user of the page, so that a write
 * fault would copy it: a second frame for each page that comes from swap, when frames are what everybody is short of.
 */
static void kvmd_shed_buffers(struct page *page)
{
	lock_page(page);
	if (page->buffers)
		try_to_free_buffers(page);
	UnlockPage(page);
	__free_page(page);
}

/* Make one page ready and hold it. */
static int kvmd_hold(struct kvmd_server *server, struct vm_area_struct *vma, unsigned long addr, unsigned short *pins,
		     struct page **page_out)
{
	int faulted = 0, from_swap = 0, err;
	enum kvmd_seen seen;

	for (;;) {
		seen = kvmd_look(server->mm, addr, from_swap, page_out);
		switch (seen) {
		case KVMD_HELD:
			return 0;
		case KVMD_BUSY:
			kvmd_account(&kvmd_now.lock_waits, 1);
			wait_on_page(*page_out);
			__free_page(*page_out);
			continue;
		case KVMD_IN_USE:
			kvmd_wait_a_tick(&kvmd_now.lock_waits);
			continue;
		case KVMD_LOST:
			*pins = KVMD_PIN_LOST;
			/* fall through */
		case KVMD_UNREADABLE:
			return kvmd_refuse(KVMD_NO_DATA, -EIO);
		case KVMD_BUFFERED:
			kvmd_shed_buffers(*page_out);
			seen = KVMD_UNREADY;
			break;
		default:
			break;
		}
		if (kvmd_mutant(SPURIOUS_FAULT) && faulted && seen != KVMD_UNREADY)
			return kvmd_refuse(KVMD_NO_ADDRESS, -EFAULT);
		if (faulted && seen != KVMD_UNREADY)
			kvmd_account(&kvmd_now.map_retries, 1);
		from_swap = seen == KVMD_SWAPPED;
		err = kvmd_fault(server, vma, addr, seen);
		if (err)
			return err;
		faulted = 1;
		if (kvmd_mutant(SPURIOUS_FAULT) && from_swap)
			kvmd_window(2 * HZ);
	}
}

/* Hold a page that another map holds already: it can't go anywhere, so it is where the page table says. */
static struct page *kvmd_hold_again(struct mm_struct *mm, unsigned long addr)
{
	struct page *page;

	spin_lock(&mm->page_table_lock);
	page = pte_page(*kvmd_pte(mm, addr));
	get_page(page);
	spin_unlock(&mm->page_table_lock);
	return page;
}

/* Hold one page more for a map. mm->mmap_sem and the attachment's semaphore are held. */
static int kvmd_pin_page(struct kvmd_server *server, struct kvmd_map *map, unsigned long addr)
{
	unsigned short *pins = kvmd_pin_count(map->region, addr);
	struct kiobuf *iobuf = map->iobuf;
	struct vm_area_struct *vma;
	struct page *page;
	int err;

	if (*pins == KVMD_PIN_LOST)
		return kvmd_refuse(KVMD_NO_DATA, -EIO);
	if (*pins == KVMD_PIN_MAX)
		return kvmd_refuse(KVMD_NO_PIN_LIMIT, -EAGAIN);
	if (*pins) {
		page = kvmd_hold_again(server->mm, addr);
	} else {
		vma = find_vma(server->mm, addr);
		if (!vma || vma->vm_start > addr)
			return kvmd_refuse(KVMD_NO_ADDRESS, -EFAULT);
		err = kvmd_hold(server, vma, addr, pins, &page);
		if (err)
			return err;
	}
	map->n_fresh += !(*pins)++;
	iobuf->maplist[iobuf->nr_pages++] = page;
	return 0;
}

/* Whether the page of an address is in swap; then its slot, held so that nobody else gets it, is in entry. */
static int kvmd_hold_slot(struct mm_struct *mm, unsigned long addr, swp_entry_t *entry)
{
	pte_t *pte;
	int held = 0;

	spin_lock(&mm->page_table_lock);
	pte = kvmd_pte(mm, addr);
	if (pte && !pte_none(*pte) && !pte_present(*pte)) {
		*entry = pte_to_swp_entry(*pte);
		held = swap_duplicate(*entry);
	}
	spin_unlock(&mm->page_table_lock);
	return held;
}

/*
 * Start to read what a map needs from swap, all of it before the first fault waits: neighbours on the disk then make
 * one transfer. A fault by itself reads but 1 << page_cluster pages at a time, four with 16 MiB of RAM. Stops where
 * swapin_readahead (mm/memory.c) does, when so much is under way that the next one would wait. mm->mmap_sem is held.
 */
static void kvmd_read_ahead(struct kvmd_server *server, struct kvmd_map *map)
{
	struct page *page;
	swp_entry_t entry;
	int i;

	for (i = 0; i < map->n_pages && (unsigned int) atomic_read(&nr_async_pages) < pager_daemon.swap_cluster; i++) {
		if (!kvmd_hold_slot(server->mm, map->start + i * PAGE_SIZE, &entry))
			continue;
		lock_kernel();
		page = read_swap_cache_async(entry, 0);
		unlock_kernel();
		if (page)
			__free_page(page);
		swap_free(entry);
	}
}

/* Hold all pages of a map, or none. The attachment's semaphore is held. */
int kvmd_pin(struct kvmd_server *server, struct kvmd_map *map)
{
	int err = 0, i;

	map->n_fresh = 0;
	down(&server->mm->mmap_sem);
	if (map->n_pages > 1)
		kvmd_read_ahead(server, map);
	for (i = 0; i < map->n_pages && !err; i++)
		err = kvmd_pin_page(server, map, map->start + i * PAGE_SIZE);
	up(&server->mm->mmap_sem);
	kvmd_account(&kvmd_now.pinned_pages, map->n_fresh);
	if (err)
		kvmd_unpin(map);
	else
		map->iobuf->locked = 1;
	return err;
}

/*
 * Let go of the pages that a map holds. The reference goes first: the page table still has one, and the page is
 * still locked, so the page can't go with it. The attachment's semaphore is held.
 */
void kvmd_unpin(struct kvmd_map *map)
{
	struct kiobuf *iobuf = map->iobuf;
	unsigned short *pins;
	struct page *page;
	int i, gone = 0;

	iobuf->locked = 0;
	for (i = 0; i < iobuf->nr_pages; i++) {
		page = iobuf->maplist[i];
		pins = kvmd_pin_count(map->region, map->start + i * PAGE_SIZE);
		__free_page(page);
		gone += !--*pins;
		if ((!*pins || kvmd_mutant(EARLY_UNLOCK)) && !kvmd_mutant(LOST_WRITE))
			UnlockPage(page);
	}
	iobuf->nr_pages = 0;
	kvmd_account(&kvmd_now.pinned_pages, -gone);
}

/*
 * For introspection as well: where a swap area has its size and its map, the size of the map's entries, and
 * four zeros, since the map is in one piece here.
 */
const unsigned int kvmd_swap_layout[] = {
	KVMD_AT(struct swap_info_struct, max),
	KVMD_AT(struct swap_info_struct, swap_map),
	sizeof(*((struct swap_info_struct *) 0)->swap_map),
	0, 0, 0, 0,
};
