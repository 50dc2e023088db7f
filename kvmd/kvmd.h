/*
 * kvmd.h - swappable anonymous memory for drivers, owned by kernel threads
 *
 * The interface is that of the RFC of April 2000 ("kvmd - kernel VM the easy way"); kvmd/README.md says who owns what,
 * what may sleep, and which error means what. Every call may sleep; none may be made with a lock held.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#ifndef LINUX_KVMD_H
#define LINUX_KVMD_H

#ifdef __KERNEL__

#include <linux/types.h>
#include <linux/iobuf.h>

/* commands that may be outstanding on one thread; further senders wait */
#define KVMD_QUEUE_LEN	16

/* kvmd_open: a thread of its own for this attachment */
#define KVMD_DEDICATED	(1 << 0)

/* An attachment: what kvmd_open hands out. Everything allocated through it belongs to it. */
typedef struct kvmd_attachment kvmd_t;

int kvmd_open(int flags, kvmd_t **vmd_out);
void kvmd_close(kvmd_t *vmd);

long kvmd_alloc(kvmd_t *vmd, size_t *vaddr_out, size_t size);
long kvmd_free(kvmd_t *vmd, size_t vaddr, size_t size);

/*
 * Make a region larger or smaller; size is what it has. What stays keeps its contents. A region that grows may move,
 * and *vaddr_inout with it, but not while it has maps; one that shrinks stays, and gives up its end.
 */
long kvmd_grow(kvmd_t *vmd, size_t *vaddr_inout, size_t size, size_t new_size);
long kvmd_shrink(kvmd_t *vmd, size_t vaddr, size_t size, size_t new_size);

/* longest range that one kvmd_map holds; its pages can't be swapped while it lasts */
#define KVMD_MAP_MAX	(1024UL * 1024)

/*
 * rw as for map_user_kiobuf: READ when the driver will write into the memory, WRITE when it only looks at it. The
 * kiobuf comes with its pages locked, ready for I/O; only kvmd_unmap may unlock, unmap or free it.
 */
int kvmd_map(int rw, kvmd_t *vmd, size_t vaddr, size_t size, struct kiobuf **iobuf_out);
void kvmd_unmap(kvmd_t *vmd, struct kiobuf *iobuf);

#endif /* __KERNEL__ */
#endif /* LINUX_KVMD_H */
