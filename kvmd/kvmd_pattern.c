/*
 * kvmd_pattern.c - fill and verify whole regions through maps, as a driver of many megabytes would
 *
 * Done in the kernel, a window at a time, so that none of it crosses into a user program. kvmdctl.h says what
 * the pattern of a page is.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#include <linux/errno.h>
#include <linux/mm.h>		/* which the next one needs */
#include <linux/highmem.h>
#include <linux/kvmdctl.h>
#include "kvmd_int.h"

#define KVMD_PATTERN_WINDOW	(64 * 1024)	/* most that is mapped at a time */
#define WORDS_PER_PAGE	((int) (PAGE_SIZE / sizeof(kvmdctl_u32)))

/* Four words a turn: under an emulator the loop's own instructions would cost more than the words. */
static void kvmd_fill_page(kvmdctl_u32 *words, kvmdctl_u32 value)
{
	int i;

	for (i = 0; i < WORDS_PER_PAGE; i += 4, value += 4 * KVMDCTL_STEP) {
		words[i] = value;
		words[i + 1] = value + KVMDCTL_STEP;
		words[i + 2] = value + 2 * KVMDCTL_STEP;
		words[i + 3] = value + 3 * KVMDCTL_STEP;
	}
}

/* A word that differs: count it, and note the first one of the whole run. */
static void kvmd_note_word(struct kvmdctl_pattern *run, kvmdctl_u32 addr, kvmdctl_u32 found, kvmdctl_u32 expected)
{
	if (found == expected || run->bad_words++)
		return;
	run->bad_addr = addr;
	run->expected = expected;
	run->found = found;
}

static void kvmd_verify_page(struct kvmdctl_pattern *run, kvmdctl_u32 addr, kvmdctl_u32 *words, kvmdctl_u32 value)
{
	int i, j;

	for (i = 0; i < WORDS_PER_PAGE; i += 4, value += 4 * KVMDCTL_STEP) {
		if (words[i] == value && words[i + 1] == value + KVMDCTL_STEP &&
		    words[i + 2] == value + 2 * KVMDCTL_STEP && words[i + 3] == value + 3 * KVMDCTL_STEP)
			continue;
		for (j = i; j < i + 4; j++)
			kvmd_note_word(run, addr + j * sizeof(kvmdctl_u32), words[j], value + (j - i) * KVMDCTL_STEP);
	}
}

/* Map one window, fill or verify its pages, unmap it. `done` bytes of the run lie before it. */
static int kvmd_pattern_window(kvmd_t *vmd, struct kvmdctl_pattern *run, kvmdctl_u32 done, int fill)
{
	kvmdctl_u32 left = run->size - done, start;
	struct kiobuf *iobuf;
	kvmdctl_u32 *words;
	int err, i;

	err = kvmd_map(fill ? READ : WRITE, vmd, run->addr + done, left < run->window ? left : run->window, &iobuf);
	if (err)
		return err;
	for (i = 0; i < iobuf->nr_pages; i++, done += PAGE_SIZE) {
		start = kvmdctl_page_start(run->seed, run->first_page + (done >> PAGE_SHIFT));
		words = (kvmdctl_u32 *) kmap(iobuf->maplist[i]);
		if (fill)
			kvmd_fill_page(words, start);
		else
			kvmd_verify_page(run, run->addr + done, words, start);
		kunmap(iobuf->maplist[i]);
	}
	kvmd_unmap(vmd, iobuf);
	return 0;
}

/* Fill or verify a range of an attachment, politely: others may run between two windows, and a signal ends it there. */
int kvmd_pattern(kvmd_t *vmd, struct kvmdctl_pattern *run, int fill)
{
	kvmdctl_u32 done;
	int err;

	if ((run->addr | run->size | run->window) & ~PAGE_MASK)
		return -EINVAL;
	if (!run->size || !run->window || run->window > KVMD_PATTERN_WINDOW || run->addr + run->size < run->addr)
		return -EINVAL;
	run->bad_words = run->bad_addr = run->expected = run->found = 0;
	for (done = 0; done < run->size; ) {
		err = kvmd_pattern_window(vmd, run, done, fill);
		if (err)
			return err;
		done += run->size - done < run->window ? run->size - done : run->window;
		if (signal_pending(current))
			return -EINTR;
		if (current->need_resched)
			schedule();
	}
	return 0;
}
