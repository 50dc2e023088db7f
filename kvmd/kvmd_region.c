/*
 * kvmd_region.c - regions: made, freed, made larger and smaller
 *
 * A region's record and its pages are two things. The record is on its attachment's list from the moment it can be
 * mapped; the pages are the thread's, and every change of them is a command to it.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#include <linux/errno.h>
#include <linux/malloc.h>
#include <linux/mm.h>
#include "kvmd_int.h"

/* How many pieces the pin counts of `size` bytes come in: of a page each, since more in a row may not be there. */
static int kvmd_pieces(size_t size)
{
	return (kvmd_pages_in(size) + KVMD_PINS_A_PIECE - 1) / KVMD_PINS_A_PIECE;
}

static size_t kvmd_piece_bytes(size_t size, int piece)
{
	size_t rest = kvmd_pages_in(size) - piece * KVMD_PINS_A_PIECE;

	return (rest < KVMD_PINS_A_PIECE ? rest : KVMD_PINS_A_PIECE) * sizeof(unsigned short);
}

static void kvmd_free_pins(unsigned short **pins, size_t size)
{
	int i;

	for (i = 0; i < kvmd_pieces(size); i++)
		kfree(pins[i]);
	kfree(pins);
}

/* Pin counts for `size` bytes, all 0, or NULL. */
static unsigned short **kvmd_new_pins(size_t size)
{
	int i, pieces = kvmd_pieces(size);
	unsigned short **pins = kmalloc(pieces * sizeof(*pins), GFP_KERNEL);

	if (!pins)
		return NULL;
	memset(pins, 0, pieces * sizeof(*pins));
	for (i = 0; i < pieces; i++) {
		pins[i] = kmalloc(kvmd_piece_bytes(size, i), GFP_KERNEL);
		if (!pins[i]) {
			kvmd_free_pins(pins, size);
			return NULL;
		}
		memset(pins[i], 0, kvmd_piece_bytes(size, i));
	}
	return pins;
}

static void kvmd_free_region_record(struct kvmd_region *region)
{
	if (region->pins)
		kvmd_free_pins(region->pins, region->pins_size);
	kfree(region);
}

/* Have the thread unmap a region whose record is on no list any more, and forget it. `patient` as for kvmd_send. */
int kvmd_give_back(kvmd_t *vmd, struct kvmd_region *region, int patient)
{
	struct kvmd_span span = { region->start, region->size, 0, 0 };
	int err;

	err = kvmd_send(vmd->server, KVMD_CMD_FREE, &span, patient);
	if (err)
		return err;
	kvmd_account(&kvmd_now.regions, -1);
	kvmd_account(&kvmd_now.region_pages, -(long) (region->size >> PAGE_SHIFT));
	kvmd_free_region_record(region);
	return 0;
}

/* Allocate `size` bytes, rounded up to whole pages, and tell where they are in the thread's address space. */
long kvmd_alloc(kvmd_t *vmd, size_t *vaddr_out, size_t size)
{
	struct kvmd_span span = { 0, PAGE_ALIGN(size), 0, 0 };
	struct kvmd_region *region;
	int err;

	if (!size || size > TASK_SIZE)
		return kvmd_refuse(KVMD_NO_BAD_ARGUMENT, -EINVAL);
	region = kmalloc(sizeof(*region), GFP_KERNEL);
	if (!region)
		return kvmd_refuse(KVMD_NO_MEMORY_KERNEL, -ENOMEM);
	memset(region, 0, sizeof(*region));
	err = kvmd_send(vmd->server, KVMD_CMD_ALLOC, &span, 0);
	if (err) {
		kfree(region);
		return err;
	}
	region->start = span.addr;
	region->size = span.size;
	kvmd_account(&kvmd_now.regions, 1);
	kvmd_account(&kvmd_now.region_pages, region->size >> PAGE_SHIFT);
	region->pins_size = region->size;
	region->pins = kvmd_new_pins(region->size);
	if (!region->pins) {
		kvmd_give_back(vmd, region, 1);
		return kvmd_refuse(KVMD_NO_MEMORY_KERNEL, -ENOMEM);
	}

	*vaddr_out = region->start;
	down(&vmd->sem);
	list_add_tail(&region->node, &vmd->regions);
	up(&vmd->sem);
	return 0;
}

/* The region that contains all of the range, or NULL. vmd->sem is held. */
struct kvmd_region *kvmd_find_region(kvmd_t *vmd, unsigned long addr, size_t size)
{
	struct list_head *at;
	struct kvmd_region *region;

	for (at = vmd->regions.next; at != &vmd->regions; at = at->next) {
		region = list_entry(at, struct kvmd_region, node);
		if (addr >= region->start && addr - region->start < region->size &&
		    size <= region->size - (addr - region->start))
			return region;
	}
	return NULL;
}

/* The region that is exactly this range, or NULL. vmd->sem is held. */
static struct kvmd_region *kvmd_find_exactly(kvmd_t *vmd, unsigned long addr, size_t size)
{
	struct kvmd_region *region = kvmd_find_region(vmd, addr, size);

	return region && region->start == addr && region->size == size ? region : NULL;
}

/* Free a region: exactly what one kvmd_alloc of this attachment gave, and nothing that is mapped. */
long kvmd_free(kvmd_t *vmd, size_t vaddr, size_t size)
{
	struct kvmd_region *region;
	int err;

	if (!size || size > TASK_SIZE)
		return kvmd_refuse(KVMD_NO_BAD_ARGUMENT, -EINVAL);
	size = PAGE_ALIGN(size);
	down(&vmd->sem);
	region = kvmd_find_exactly(vmd, vaddr, size);
	if (!region) {
		up(&vmd->sem);
		if (kvmd_mutant(FOREIGN_FREE))
			return kvmd_send(vmd->server, KVMD_CMD_FREE, &(struct kvmd_span) { vaddr, size, 0, 0 }, 0);
		return kvmd_refuse(KVMD_NO_REGION, -EINVAL);
	}
	if (region->n_maps && !kvmd_mutant(FREE_MAPPED)) {
		up(&vmd->sem);
		return kvmd_refuse(KVMD_NO_FREE_MAPPED, -EBUSY);
	}
	list_del(&region->node);	/* nobody can map it from here on */
	up(&vmd->sem);

	err = kvmd_give_back(vmd, region, 0);
	if (err) {
		down(&vmd->sem);
		list_add_tail(&region->node, &vmd->regions);
		up(&vmd->sem);
	}
	return err;
}

/* Have the thread make a region larger; `pins` are as many pin counts as it then needs. vmd->sem is held. */
static int kvmd_do_enlarge(kvmd_t *vmd, struct kvmd_region *region, size_t new_size, unsigned short **pins)
{
	struct kvmd_span span = { region->start, region->size, new_size, !region->n_maps };
	int err, i;

	err = kvmd_send(vmd->server, KVMD_CMD_GROW, &span, 0);
	if (err)
		return err;
	kvmd_account(&kvmd_now.region_pages, (new_size - region->size) >> PAGE_SHIFT);
	for (i = 0; i < kvmd_pieces(region->size); i++)
		memcpy(pins[i], region->pins[i], kvmd_piece_bytes(region->size, i));
	kvmd_free_pins(region->pins, region->pins_size);
	region->pins = pins;
	region->pins_size = new_size;
	region->start = span.addr;
	region->size = new_size;
	return 0;
}

/*
 * Make a region larger. What it has stays, the rest is zero. It moves if there is no room behind it, which the caller
 * learns from *vaddr_inout; a driver that holds a part of it may know its addresses, so a region with maps stays.
 */
long kvmd_grow(kvmd_t *vmd, size_t *vaddr_inout, size_t size, size_t new_size)
{
	struct kvmd_region *region;
	unsigned short **pins;
	int err;

	if (!size || new_size < size || new_size > TASK_SIZE)
		return kvmd_refuse(KVMD_NO_BAD_ARGUMENT, -EINVAL);
	new_size = PAGE_ALIGN(new_size);
	pins = kvmd_new_pins(new_size);
	if (!pins)
		return kvmd_refuse(KVMD_NO_MEMORY_KERNEL, -ENOMEM);

	down(&vmd->sem);
	region = kvmd_find_exactly(vmd, *vaddr_inout, PAGE_ALIGN(size));
	if (!region)
		err = kvmd_refuse(KVMD_NO_REGION, -EINVAL);
	else if (region->size == new_size)
		err = 1;	/* nothing to do */
	else
		err = kvmd_do_enlarge(vmd, region, new_size, pins);
	if (!err)
		*vaddr_inout = region->start;
	up(&vmd->sem);
	if (err)
		kvmd_free_pins(pins, new_size);
	return err > 0 ? 0 : err;
}

/* Whether a map holds a page of a region from `end` on. vmd->sem is held. */
static int kvmd_held_behind(kvmd_t *vmd, struct kvmd_region *region, unsigned long end)
{
	struct list_head *at;
	struct kvmd_map *map;

	for (at = vmd->maps.next; at != &vmd->maps; at = at->next) {
		map = list_entry(at, struct kvmd_map, node);
		if (map->region == region && map->start + map->n_pages * PAGE_SIZE > end)
			return 1;
	}
	return 0;
}

/* Make a region smaller by its end. vmd->sem is held, so nobody can map what is on its way out. */
static int kvmd_do_shrink(kvmd_t *vmd, struct kvmd_region *region, size_t new_size)
{
	struct kvmd_span span = { region->start + new_size, region->size - new_size, 0, 0 };
	int err;

	if (!span.size)
		return 0;
	if (kvmd_held_behind(vmd, region, span.addr))
		return kvmd_refuse(KVMD_NO_SHRINK_MAPPED, -EBUSY);
	err = kvmd_send(vmd->server, KVMD_CMD_FREE, &span, 0);
	if (err)
		return err;
	kvmd_account(&kvmd_now.region_pages, -(long) (span.size >> PAGE_SHIFT));
	region->size = new_size;
	return 0;
}

/* Make a region smaller; its address stays, and so do the contents of what is left. */
long kvmd_shrink(kvmd_t *vmd, size_t vaddr, size_t size, size_t new_size)
{
	struct kvmd_region *region;
	int err;

	if (!new_size || new_size > size || size > TASK_SIZE)
		return kvmd_refuse(KVMD_NO_BAD_ARGUMENT, -EINVAL);
	down(&vmd->sem);
	region = kvmd_find_exactly(vmd, vaddr, PAGE_ALIGN(size));
	if (region)
		err = kvmd_do_shrink(vmd, region, PAGE_ALIGN(new_size));
	else
		err = kvmd_refuse(KVMD_NO_REGION, -EINVAL);
	up(&vmd->sem);
	return err;
}
