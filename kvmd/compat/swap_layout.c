/*
 * swap_layout.c - where introspection (lab/machine/introspection.py) finds which swap slots are used
 *
 * Up to 6.12 a swap area has a map, of one byte a slot. Between 6.12 and 7.2 the map went: the area is in clusters, each
 * with a table of one word a slot, which also says where the page is. The Makefile looks which of the two there is.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#include <linux/stddef.h>
#include <linux/swap.h>
#ifndef KVMD_HAS_SWAP_MAP
#include "../../swap_table.h"
#undef min	/* a statement; SWP_TB_COUNT_SHIFT asks for it, and is to be a constant here */
#define min(one, other)	((one) < (other) ? (one) : (other))
#endif

/*
 * Offsets of the area's size and of its map or clusters, and the size of a slot's entry. Then, for clusters, the size of
 * one, the offset of its table, how many slots it has, and where in a slot's word the number of its users begins.
 */
const unsigned int kvmd_swap_layout[] = {
	offsetof(struct swap_info_struct, max),
#ifdef KVMD_HAS_SWAP_MAP
	offsetof(struct swap_info_struct, swap_map),
	sizeof(*((struct swap_info_struct *) 0)->swap_map),
	0, 0, 0, 0,
#else
	offsetof(struct swap_info_struct, cluster_info),
	sizeof(unsigned long),
	sizeof(struct swap_cluster_info),
	offsetof(struct swap_cluster_info, table),
	SWAPFILE_CLUSTER,
	SWP_TB_COUNT_SHIFT,
#endif
};
