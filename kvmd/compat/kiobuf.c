/*
 * kiobuf.c - kernel I/O buffers as containers: made, made longer, given back
 *
 * A 2.3 kiobuf had room for some pages in itself and grew on demand. Whoever frees it must have let go of its pages
 * (nr_pages is 0); then as now nothing is done to them here.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#include <linux/errno.h>
#include <linux/slab.h>
#include "kvmd_compat.h"

/* Make `count` empty buffers, or none: 0 or -ENOMEM. */
int kvmd_compat_alloc_kiovec(int count, struct kiobuf **bufs)
{
	int i;

	for (i = 0; i < count; i++) {
		bufs[i] = kzalloc(sizeof(*bufs[i]), GFP_KERNEL);
		if (!bufs[i]) {
			kvmd_compat_free_kiovec(i, bufs);
			return -ENOMEM;
		}
	}
	return 0;
}

void kvmd_compat_free_kiovec(int count, struct kiobuf **bufs)
{
	int i;

	for (i = 0; i < count; i++) {
		WARN_ON(bufs[i]->locked || bufs[i]->nr_pages);
		kvfree(bufs[i]->maplist);
		kfree(bufs[i]);
	}
}

/* Make room for `wanted` pages in all; what is listed stays: 0 or -ENOMEM. */
int kvmd_compat_expand_kiobuf(struct kiobuf *iobuf, int wanted)
{
	struct page **larger;

	if (wanted <= iobuf->array_len)
		return 0;
	larger = kvcalloc(wanted, sizeof(*larger), GFP_KERNEL);
	if (!larger)
		return -ENOMEM;
	if (iobuf->nr_pages)
		memcpy(larger, iobuf->maplist, iobuf->nr_pages * sizeof(*larger));
	kvfree(iobuf->maplist);
	iobuf->maplist = larger;
	iobuf->array_len = wanted;
	return 0;
}
