/*
 * kvmdctl.h - the control device /dev/kvmd: one ioctl for each call of kvmd, and a few on top that save traffic
 *
 * All fields have a fixed width and the same layout everywhere; the guest programs and the kernel share this file.
 * An open file of the device owns the attachments and maps made through it; closing it gives them all back.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#ifndef KVMDCTL_H
#define KVMDCTL_H

#define KVMDCTL_MAJOR		60	/* "local or experimental use" in the kernel's list of devices */
#define KVMDCTL_PATH		"/dev/kvmd"

#define KVMDCTL_ATTACHMENTS	64	/* handles 0..63 of one open file */
#define KVMDCTL_MAPS		256	/* map numbers 0..255 of one open file */

/* kvmdctl_map.rw */
#define KVMDCTL_LOOK		0	/* the driver only reads the memory (the kernel's WRITE: memory is the source) */
#define KVMDCTL_CHANGE		1	/* the driver writes into the memory (the kernel's READ: memory is the target) */

typedef unsigned int kvmdctl_u32;

struct kvmdctl_open {
	kvmdctl_u32 flags;	/* in: KVMD_DEDICATED or 0 */
	kvmdctl_u32 handle;	/* out */
};

struct kvmdctl_region {		/* alloc (addr is out), free */
	kvmdctl_u32 handle;
	kvmdctl_u32 addr;
	kvmdctl_u32 size;	/* bytes */
};

struct kvmdctl_resize {		/* grow (addr is out, too), shrink */
	kvmdctl_u32 handle;
	kvmdctl_u32 addr;
	kvmdctl_u32 size;	/* bytes that it has */
	kvmdctl_u32 new_size;
};

struct kvmdctl_map {
	kvmdctl_u32 handle;
	kvmdctl_u32 addr;
	kvmdctl_u32 size;
	kvmdctl_u32 rw;
	kvmdctl_u32 map;	/* out */
};

struct kvmdctl_unmap {
	kvmdctl_u32 handle;
	kvmdctl_u32 map;
};

/* fill or verify `size` bytes at `addr`, a window at a time: map the window, work on it, unmap it */
struct kvmdctl_pattern {
	kvmdctl_u32 handle;
	kvmdctl_u32 addr;	/* whole pages */
	kvmdctl_u32 size;	/* whole pages */
	kvmdctl_u32 window;	/* bytes mapped at a time, whole pages, at most 64 KiB */
	kvmdctl_u32 seed;
	kvmdctl_u32 first_page;	/* number that the pattern gives to the page at `addr` */
	kvmdctl_u32 bad_words;	/* out, verify: words that differ */
	kvmdctl_u32 bad_addr;	/* out, verify: address of the first one */
	kvmdctl_u32 expected;	/* out, verify */
	kvmdctl_u32 found;	/* out, verify */
};

/* one word inside a map: peek (value is out) and poke */
struct kvmdctl_word {
	kvmdctl_u32 map;
	kvmdctl_u32 offset;	/* bytes from the map's beginning, a multiple of 4 */
	kvmdctl_u32 value;
	kvmdctl_u32 frame;	/* out: number of the page frame that holds the word */
};

struct kvmdctl_stats {
	kvmdctl_u32 threads;
	kvmdctl_u32 attachments;
	kvmdctl_u32 regions;
	kvmdctl_u32 region_bytes;
	kvmdctl_u32 maps;
	kvmdctl_u32 mapped_pages;
	kvmdctl_u32 commands;		/* since boot */
	kvmdctl_u32 queue_waits;	/* senders that found all slots taken */
	kvmdctl_u32 map_retries;	/* pages that went away between fault and lookup */
	kvmdctl_u32 lock_waits;		/* pages under I/O when they were to be pinned */
	kvmdctl_u32 signals;		/* signals that arrived while a command was under way */
	kvmdctl_u32 refused;		/* calls that ended in an error */
};

#define KVMDCTL_OPEN	0x4b00
#define KVMDCTL_CLOSE	0x4b01		/* argument: kvmdctl_open, handle is in */
#define KVMDCTL_ALLOC	0x4b02
#define KVMDCTL_FREE	0x4b03
#define KVMDCTL_MAP	0x4b04
#define KVMDCTL_UNMAP	0x4b05
#define KVMDCTL_FILL	0x4b06
#define KVMDCTL_VERIFY	0x4b07
#define KVMDCTL_PEEK	0x4b08
#define KVMDCTL_POKE	0x4b09
#define KVMDCTL_STATS	0x4b0a
#define KVMDCTL_GROW	0x4b0b
#define KVMDCTL_SHRINK	0x4b0c

/*
 * The pattern: the word number w (0..1023) of page number p under seed s. A step of the Weyl sequence a word, from
 * a start that mixes seed and page: a page in the wrong place, a stale page and a shifted word all show.
 */
#define KVMDCTL_STEP	0x9e3779b9u

static inline kvmdctl_u32 kvmdctl_page_start(kvmdctl_u32 seed, kvmdctl_u32 page)
{
	kvmdctl_u32 mix = seed * 0x85ebca6bu + page * 0xc2b2ae35u + 0x27d4eb2fu;

	mix ^= mix >> 15;
	mix *= 0x2c1b3c6du;
	mix ^= mix >> 13;
	return mix;
}

#endif /* KVMDCTL_H */
