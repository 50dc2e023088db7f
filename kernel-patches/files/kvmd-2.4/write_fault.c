/*
 * write_fault.c - a write fault that takes its page out of the swap cache
 *
 * Until 2.4.0-test11 the fault itself did that, where nobody else owned the page. From then on the page stays there,
 * writable and dirty, and its swap slot with it.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#include <linux/pagemap.h>	/* brings what the next one takes for granted */
#include <linux/swap.h>

int kvmd_write_fault(struct mm_struct *mm, struct vm_area_struct *vma, unsigned long addr);

/*
 * The page of an address, referenced, if it is writable, dirty and in the swap cache; otherwise NULL. The fault that
 * has just happened made the tables that lead to it.
 */
static struct page *kvmd_cached_page(struct mm_struct *mm, unsigned long addr)
{
	struct page *page = NULL;
	pte_t *pte;

	spin_lock(&mm->page_table_lock);
	pte = pte_offset(pmd_offset(pgd_offset(mm, addr), addr), addr);
	if (pte_present(*pte) && pte_write(*pte) && pte_dirty(*pte) && PageSwapCache(pte_page(*pte))) {
		page = pte_page(*pte);
		get_page(page);
	}
	spin_unlock(&mm->page_table_lock);
	return page;
}

/*
 * Whether nothing but the swap cache owns the slot of a locked page. While the page table has it as well, the page
 * was swapped out since we looked.
 */
static int kvmd_slot_is_free(struct page *page)
{
	return PageSwapCache(page) && swap_count(page) == 1;
}

/*
 * Fault for writing. mm->mmap_sem is held. A page that is dirty by its page-table entry can lose its slot: swapping it
 * out gives it another one, and does not happen while it is locked.
 */
int kvmd_write_fault(struct mm_struct *mm, struct vm_area_struct *vma, unsigned long addr)
{
	int result = handle_mm_fault(mm, vma, addr, 1);
	struct page *page;

	if (result <= 0)
		return result;
	page = kvmd_cached_page(mm, addr);
	if (!page)
		return result;
	lock_page(page);
	if (kvmd_slot_is_free(page))
		delete_from_swap_cache_nolock(page);
	UnlockPage(page);
	page_cache_release(page);
	return result;
}
