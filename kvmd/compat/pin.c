/*
 * pin.c - hold the pages of a map in their frames: what kvmd_pin.c does on 2.3
 *
 * On 2.3 nothing but a page's lock bit keeps the page table's entry where it is, so kvmd_pin.c looks, faults and locks
 * by hand. Today's kernel has the notion itself: a *pinned* page. Pinned for writing, a page of private anonymous memory
 * belongs to this address space alone, keeps its frame and its entry until it is unpinned (reclaim passes over pages
 * that may be pinned, and no unmapping takes an exclusive page that is), and whoever pins it for long moves it out of
 * the zones that must be free for others. Several pins of a page add up. So the promises are the same:
 *
 *	present, writable, ours alone		FOLL_WRITE
 *	stays where it is, for as long as		FOLL_LONGTERM
 *	a driver likes
 *	what was written goes to swap		unpin ... dirty
 *	a failed read is an error, and		the entry still names the swap slot
 *	not somebody else's data
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#include "../kvmd_int.h"

/* Faults that may fail in a row, a tick apart, before the caller gets an error. */
#define KVMD_PATIENCE	10

/* Pages that are asked for in one call: few enough that a look at what memory is left holds for all of them. */
#define KVMD_AT_ONCE	16

/* Whether a page was never touched. mm->mmap_lock is held. */
static int kvmd_untouched(struct mm_struct *mm, unsigned long addr)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t *pud;
	pmd_t *pmd;
	pte_t *pte;
	int none;

	if (pgd_none_or_clear_bad(pgd))
		return 1;
	p4d = p4d_offset(pgd, addr);
	if (p4d_none_or_clear_bad(p4d))
		return 1;
	pud = pud_offset(p4d, addr);
	if (pud_none_or_clear_bad(pud))
		return 1;
	pmd = pmd_offset(pud, addr);
	if (pmd_none_or_clear_bad(pmd))
		return 1;
	pte = pte_offset_map(pmd, addr);
	if (!pte)	/* from 6.5 on: the table went meanwhile */
		return 1;
	none = pte_none(ptep_get(pte));
	pte_unmap(pte);
	return none;
}

/*
 * Whether what is left of RAM and swap is for processes, which would be killed where kvmd's caller just gets an error.
 * Some slots must be left as well: without a free one 6.1 and later do not even look at anonymous pages, not at those in the swap
 * cache that have a slot already, and kills somebody over memory that is there for the taking.
 */
static int kvmd_nearly_full(void)
{
	long spare = totalram_pages() / 8, slots = get_nr_swap_pages();

	return si_mem_available() + slots < spare || slots < min(spare, total_swap_pages / 4);
}

/* Turn what pinning a page said into kvmd's error for it. */
static int kvmd_pin_error(long said)
{
	switch (said) {
	case -ENOMEM:
		return kvmd_refuse(KVMD_NO_FRAME, -ENOMEM);
	case -EINTR:	/* only a signal that ends the process */
		return kvmd_refuse(KVMD_NO_SIGNAL, -EINTR);
	default:	/* the address is good, so the swap area is not */
		return kvmd_refuse(KVMD_NO_DATA, -EIO);
	}
}

/* Whether a map may have pages from one number up to another. mm->mmap_lock and the attachment's semaphore are held. */
static int kvmd_pin_allowed(struct kvmd_server *server, struct kvmd_map *map, int from, int to)
{
	unsigned long addr;
	int i, fresh = 0;
	unsigned short pins;

	for (i = from; i < to; i++) {
		addr = map->start + i * PAGE_SIZE;
		pins = *kvmd_pin_count(map->region, addr);
		if (pins == KVMD_PIN_MAX)
			return kvmd_refuse(KVMD_NO_PIN_LIMIT, -EAGAIN);
		fresh = fresh || (!pins && kvmd_untouched(server->mm, addr));
	}
	return fresh && kvmd_nearly_full() ? kvmd_refuse(KVMD_NO_FRAME, -ENOMEM) : 0;
}

/* Hold the pages of a map from the first that is not held up to a number. The same locks are held. */
static int kvmd_pin_up_to(struct kvmd_server *server, struct kvmd_map *map, int to)
{
	struct kiobuf *iobuf = map->iobuf;
	int failures = 0;
	long said;

	while (iobuf->nr_pages < to) {
		said = kvmd_since_pin(server->mm, map->start + iobuf->nr_pages * PAGE_SIZE, to - iobuf->nr_pages,
				      FOLL_WRITE | FOLL_LONGTERM, &iobuf->maplist[iobuf->nr_pages]);
		if (said > 0) {
			iobuf->nr_pages += said;
			failures = 0;
			continue;
		}
		if (said != -ENOMEM || ++failures == KVMD_PATIENCE)
			return kvmd_pin_error(said);
		kvmd_account(&kvmd_now.fault_waits, 1);
		schedule_timeout_uninterruptible(1);
	}
	return 0;
}

/* Count a pin more, or less, of each page of a map that is held. Returns of how many it is the only one. */
static int kvmd_count_pins(struct kvmd_map *map, int change)
{
	unsigned short *pins;
	int i, only = 0;

	for (i = 0; i < map->iobuf->nr_pages; i++) {
		pins = kvmd_pin_count(map->region, map->start + i * PAGE_SIZE);
		only += *pins == (change < 0);
		*pins += change;
	}
	return only;
}

/* Hold all pages of a map, or none. The attachment's semaphore is held. */
int kvmd_pin(struct kvmd_server *server, struct kvmd_map *map)
{
	int err = 0, to;

	mmap_read_lock(server->mm);
	while (map->iobuf->nr_pages < map->n_pages && !err) {
		to = min(map->n_pages, map->iobuf->nr_pages + KVMD_AT_ONCE);
		err = kvmd_pin_allowed(server, map, map->iobuf->nr_pages, to);
		if (!err)
			err = kvmd_pin_up_to(server, map, to);
	}
	mmap_read_unlock(server->mm);
	map->n_fresh = kvmd_count_pins(map, 1);
	kvmd_account(&kvmd_now.pinned_pages, map->n_fresh);
	if (err)
		kvmd_unpin(map);
	else
		map->iobuf->locked = 1;
	return err;
}

/*
 * Let go of the pages that a map holds. They are marked as dirty first, since a driver may have written into them
 * without the page table's knowledge. The attachment's semaphore is held.
 */
void kvmd_unpin(struct kvmd_map *map)
{
	struct kiobuf *iobuf = map->iobuf;

	iobuf->locked = 0;
	unpin_user_pages_dirty_lock(iobuf->maplist, iobuf->nr_pages, true);
	kvmd_account(&kvmd_now.pinned_pages, -kvmd_count_pins(map, -1));
	iobuf->nr_pages = 0;
}
