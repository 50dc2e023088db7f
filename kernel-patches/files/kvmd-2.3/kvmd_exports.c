/*
 * kvmd_exports.c - what kvmd needs of a 2.3 kernel, and what that kernel tells no module
 *
 * Part of the kernel when kvmd is a module. Only the addresses matter here, so the names are declared without their types.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#include <linux/config.h>
#include <linux/module.h>

#define TELL(name)	extern char name[]; EXPORT_SYMBOL(name)

/* address spaces: get one, make it the active one, change what is mapped */
TELL(mm_alloc);
TELL(__mmdrop);
TELL(default_ldt);
TELL(set_ldt_desc);
TELL(sys_mremap);
TELL(zap_page_range);
TELL(vm_enough_memory);

/* pages: bring them in, hold them */
TELL(handle_mm_fault);
TELL(lock_page);
TELL(try_to_free_buffers);

/* swap: slots, and reading ahead */
TELL(swapper_space);
TELL(pager_daemon);
TELL(swap_duplicate);
TELL(__swap_free);
TELL(read_swap_cache_async);

/* threads: their end */
TELL(sys_wait4);

#ifdef CONFIG_SMP
/* translations that other processors still have: dropped by calls, and noted in a table */
TELL(flush_tlb_mm);
TELL(cpu_tlbstate);
#endif
