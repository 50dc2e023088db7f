/*
 * kvmd_int.h - what the parts of kvmd share with each other and with nobody else
 *
 *	kvmd.c		attachments and maps
 *	kvmd_region.c	regions: made, freed, made larger and smaller
 *	kvmd_thread.c	the threads that own the memory, and the queue of commands of each
 *	kvmd_pool.c	which thread an attachment gets, and how many there are
 *	kvmd_keeper.c	the parent of all threads
 *	kvmd_pin.c	one page between "somewhere" and "held in this frame"
 *	kvmd_proc.c	/proc/kvmd
 *	kvmdctl.c	the control device
 *	kvmd_pattern.c	what it fills and verifies
 *
 * The lock order and the life of a mapping are told at the top of kvmd.c.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#ifndef KVMD_INT_H
#define KVMD_INT_H

#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/kvmd.h>
#include <asm/semaphore.h>
#include "kvmd_mutant.h"

/* What a thread can be asked to do. */
enum kvmd_what {
	KVMD_CMD_ALLOC,			/* size in, address out */
	KVMD_CMD_FREE,			/* address and size in */
	KVMD_CMD_GROW,			/* address, size, new size and may_move in, address out */
	KVMD_CMD_EXIT,
	KVMD_CMDS
};

/* What a command is about. */
struct kvmd_span {
	unsigned long addr;
	size_t size;
	size_t new_size;
	int may_move;			/* the range may get another address */
};

/* A slot of a thread's queue. From the moment it is taken until it is given back it is the sender's alone. */
struct kvmd_command {
	struct list_head node;		/* on the server's free or queue */
	struct semaphore done;		/* raised by the thread when result is there */
	int what;
	struct kvmd_span span;
	long result;			/* 0 or an error */
};

/* A thread, the address space it owns, and its queue. */
struct kvmd_server {
	struct list_head node;		/* on the pool, or on the list of own threads */
	int users;			/* attachments that live here */
	int own;			/* belongs to one attachment and ends with it */
	int number;			/* in the pool; taken until the thread has ended */

	struct task_struct *task;
	struct mm_struct *mm;
	int pid;
	int failed;			/* why the thread could not start */
	struct semaphore ready;		/* raised by the thread when it knows */
	char name[16];

	spinlock_t lock;		/* guards queue and free */
	struct semaphore slots;		/* counts what is on free */
	struct semaphore work;		/* counts what is on queue */
	struct kvmd_command slot[KVMD_QUEUE_LEN];
	struct list_head queue;
	struct list_head free;
};

/* What kvmd_open hands out. */
struct kvmd_attachment {
	struct kvmd_server *server;
	struct semaphore sem;		/* guards the two lists and everything on them */
	struct list_head regions;
	struct list_head maps;
};

/* One allocation. */
struct kvmd_region {
	struct list_head node;
	unsigned long start;
	size_t size;			/* whole pages */
	int n_maps;			/* a region with maps can't be freed */
	unsigned short **pins;		/* for each page: maps that hold it, or KVMD_PIN_LOST; see kvmd_pin_count */
	size_t pins_size;		/* bytes that they are enough for; a region that shrank keeps what it had */
};

#define KVMD_PINS_A_PIECE	(PAGE_SIZE / sizeof(unsigned short))

/* How many pages `size` bytes are; each has a pin count. */
static inline unsigned long kvmd_pages_in(size_t size)
{
	return size >> PAGE_SHIFT;
}

/* The pin count of the page at an address. */
static inline unsigned short *kvmd_pin_count(struct kvmd_region *region, unsigned long addr)
{
	unsigned long page = kvmd_pages_in(addr - region->start);

	return &region->pins[page / KVMD_PINS_A_PIECE][page % KVMD_PINS_A_PIECE];
}

#define KVMD_PIN_LOST	0xffff		/* the swap area did not give this page back */
#define KVMD_PIN_MAX	0xfffe

/* One kvmd_map that was not unmapped yet. */
struct kvmd_map {
	struct list_head node;
	struct kvmd_region *region;
	unsigned long start;		/* address of the first page */
	int n_pages;
	int n_fresh;			/* pages that no other map held when this one was made */
	struct kiobuf *iobuf;
};

/* Why a call ended in an error. Each reason has its counter; kvmd/README.md has the table with the errno of each. */
enum kvmd_refusal {
	KVMD_NO_BAD_ARGUMENT,		/* unknown flag, rw or command; zero or impossible size */
	KVMD_NO_MEMORY_KERNEL,		/* no memory for kvmd's own records, or for a thread */
	KVMD_NO_SPACE,			/* the thread's address space or the system's memory can't take the region */
	KVMD_NO_REGION,			/* free, grow, shrink: not a region of this attachment */
	KVMD_NO_FREE_MAPPED,		/* free: the region still has maps */
	KVMD_NO_GROW_MAPPED,		/* grow: it would have to move, and has maps */
	KVMD_NO_SHRINK_MAPPED,		/* shrink: a map holds what would go */
	KVMD_NO_ADDRESS,		/* map: not inside a region of this attachment */
	KVMD_NO_TOO_LONG,		/* map: more than KVMD_MAP_MAX */
	KVMD_NO_PIN_LIMIT,		/* map: too much of the RAM is held already, or a page is held too often */
	KVMD_NO_FRAME,			/* map: no frame and no swap space left for a page */
	KVMD_NO_DATA,			/* map: the swap area failed to give the page back */
	KVMD_NO_MAP,			/* unmap: not a map of this attachment */
	KVMD_NO_SIGNAL,			/* a signal came while waiting for a slot; nothing was changed */
	KVMD_REFUSALS
};

struct kvmd_stats {
	unsigned long threads;
	unsigned long pool_threads;
	unsigned long threads_started;	/* since boot; those that ended are the difference */
	unsigned long attachments;
	unsigned long regions;
	unsigned long region_pages;
	unsigned long maps;
	unsigned long mapped_pages;	/* a page counts once for each map that holds it */
	unsigned long pinned_pages;	/* a page counts once */
	unsigned long commands[KVMD_CMDS];
	unsigned long queue_waits;
	unsigned long map_retries;	/* a page went away between fault and look */
	unsigned long lock_waits;	/* a page was under I/O, or in somebody's hands, when it was to be held */
	unsigned long fault_waits;	/* a fault found no frame and was tried again a little later */
	unsigned long signals;		/* signals that came while a command was under way */
	unsigned long refused[KVMD_REFUSALS];
};

/* kvmd.c */
extern struct kvmd_stats kvmd_now;
void kvmd_account(unsigned long *figure, long change);
int kvmd_refuse(enum kvmd_refusal reason, int error);
void kvmd_stats(struct kvmd_stats *copy);

/* kvmd_region.c */
struct kvmd_region *kvmd_find_region(kvmd_t *vmd, unsigned long addr, size_t size);
int kvmd_give_back(kvmd_t *vmd, struct kvmd_region *region, int patient);

/* kvmd_thread.c */
sigset_t kvmd_block_signals(const sigset_t *signals);
void kvmd_leave_parent(const char *name);
void kvmd_idle(struct semaphore *sem);
int kvmd_thread(void *data);
int kvmd_send(struct kvmd_server *server, int what, struct kvmd_span *span, int patient);

/* kvmd_keeper.c */
int kvmd_keeper_start(void);
int kvmd_keeper_run(struct kvmd_server *server);
void kvmd_keeper_reap(struct kvmd_server *server);
void kvmd_keeper_stop(void);

/* Where a structure has a member, in bytes. */
#define KVMD_AT(type, member)	((unsigned long) &((type *) 0)->member)

/* kvmd_pool.c */
extern int kvmd_pool_min, kvmd_pool_max;
int kvmd_server_attach(int own, struct kvmd_server **server_out);
void kvmd_server_detach(struct kvmd_server *server);
int kvmd_threads_start(void);
void kvmd_threads_stop(void);

/* kvmd_pin.c */
int kvmd_pin(struct kvmd_server *server, struct kvmd_map *map);
void kvmd_unpin(struct kvmd_map *map);

/* kvmd_proc.c, kvmdctl.c and kvmd_pattern.c */
struct kvmdctl_pattern;

int kvmd_proc_start(void);
void kvmd_proc_stop(void);
int kvmdctl_start(void);
void kvmdctl_stop(void);
int kvmd_pattern(kvmd_t *vmd, struct kvmdctl_pattern *run, int fill);

#endif /* KVMD_INT_H */
