/*
 * kvmdctl.c - the control device: a driver that uses kvmd on behalf of a user program
 *
 * Each call of kvmd is one ioctl. Filling and verifying are done here, in the kernel, so that a test of many
 * megabytes need not move them; peek and poke do one word through a map that stays open as long as the program likes.
 *
 * An open file owns attachments (by handle) and maps (by number), kept in two tables under the file's semaphore,
 * which is held for the whole of an ioctl. Programs that want to work side by side open the device several times.
 * Closing the file, however that happens, closes its attachments, and kvmd_close gives everything back.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/mm.h>		/* which the next one needs */
#include <linux/highmem.h>
#include <linux/init.h>
#include <linux/kvmdctl.h>
#include <linux/malloc.h>
#include <linux/module.h>
#include <linux/smp_lock.h>
#include <asm/uaccess.h>
#include "kvmd_int.h"

struct kvmdctl_file {
	struct semaphore sem;			/* guards both tables */
	kvmd_t *attachment[KVMDCTL_ATTACHMENTS];
	struct {
		kvmdctl_u32 handle;
		struct kiobuf *iobuf;		/* NULL: the number is free */
	} map[KVMDCTL_MAPS];
};

/* The attachment of a handle, or NULL. */
static kvmd_t *kvmdctl_attachment(struct kvmdctl_file *file, kvmdctl_u32 handle)
{
	return handle < KVMDCTL_ATTACHMENTS ? file->attachment[handle] : NULL;
}

static int kvmdctl_do_open(struct kvmdctl_file *file, void *argument)
{
	struct kvmdctl_open *open = argument;
	int handle;

	for (handle = 0; handle < KVMDCTL_ATTACHMENTS; handle++)
		if (!file->attachment[handle])
			break;
	if (handle == KVMDCTL_ATTACHMENTS)
		return -EMFILE;
	open->handle = handle;
	return kvmd_open(open->flags, &file->attachment[handle]);
}

/* Close an attachment. Its maps end with it, so their numbers are free again. */
static int kvmdctl_do_close(struct kvmdctl_file *file, void *argument)
{
	struct kvmdctl_open *close = argument;
	kvmd_t *vmd = kvmdctl_attachment(file, close->handle);
	int i;

	if (!vmd)
		return -EBADF;
	for (i = 0; i < KVMDCTL_MAPS; i++)
		if (file->map[i].handle == close->handle)
			file->map[i].iobuf = NULL;
	file->attachment[close->handle] = NULL;
	kvmd_close(vmd);
	return 0;
}

static int kvmdctl_do_alloc(struct kvmdctl_file *file, void *argument)
{
	struct kvmdctl_region *region = argument;
	kvmd_t *vmd = kvmdctl_attachment(file, region->handle);
	size_t addr;
	int err;

	if (!vmd)
		return -EBADF;
	err = kvmd_alloc(vmd, &addr, region->size);
	if (!err)
		region->addr = addr;
	return err;
}

static int kvmdctl_do_free(struct kvmdctl_file *file, void *argument)
{
	struct kvmdctl_region *region = argument;
	kvmd_t *vmd = kvmdctl_attachment(file, region->handle);

	return vmd ? kvmd_free(vmd, region->addr, region->size) : -EBADF;
}

static int kvmdctl_do_grow(struct kvmdctl_file *file, void *argument)
{
	struct kvmdctl_resize *resize = argument;
	kvmd_t *vmd = kvmdctl_attachment(file, resize->handle);
	size_t addr = resize->addr;
	int err;

	if (!vmd)
		return -EBADF;
	err = kvmd_grow(vmd, &addr, resize->size, resize->new_size);
	resize->addr = addr;
	return err;
}

static int kvmdctl_do_shrink(struct kvmdctl_file *file, void *argument)
{
	struct kvmdctl_resize *resize = argument;
	kvmd_t *vmd = kvmdctl_attachment(file, resize->handle);

	return vmd ? kvmd_shrink(vmd, resize->addr, resize->size, resize->new_size) : -EBADF;
}

static int kvmdctl_do_map(struct kvmdctl_file *file, void *argument)
{
	struct kvmdctl_map *map = argument;
	kvmd_t *vmd = kvmdctl_attachment(file, map->handle);
	int i;

	if (!vmd)
		return -EBADF;
	if (map->rw != KVMDCTL_LOOK && map->rw != KVMDCTL_CHANGE)
		return -EINVAL;
	for (i = 0; i < KVMDCTL_MAPS; i++)
		if (!file->map[i].iobuf)
			break;
	if (i == KVMDCTL_MAPS)
		return -EMFILE;
	map->map = i;
	file->map[i].handle = map->handle;
	return kvmd_map(map->rw == KVMDCTL_CHANGE ? READ : WRITE, vmd, map->addr, map->size, &file->map[i].iobuf);
}

static int kvmdctl_do_unmap(struct kvmdctl_file *file, void *argument)
{
	struct kvmdctl_unmap *unmap = argument;
	kvmd_t *vmd = kvmdctl_attachment(file, unmap->handle);

	if (!vmd || unmap->map >= KVMDCTL_MAPS || !file->map[unmap->map].iobuf)
		return -EBADF;
	if (kvmd_mutant(FOREIGN_UNMAP))
		vmd = kvmdctl_attachment(file, file->map[unmap->map].handle);
	else if (file->map[unmap->map].handle != unmap->handle)
		return -EINVAL;
	kvmd_unmap(vmd, file->map[unmap->map].iobuf);
	file->map[unmap->map].iobuf = NULL;
	return 0;
}

static int kvmdctl_do_fill(struct kvmdctl_file *file, void *argument)
{
	struct kvmdctl_pattern *run = argument;
	kvmd_t *vmd = kvmdctl_attachment(file, run->handle);

	return vmd ? kvmd_pattern(vmd, run, 1) : -EBADF;
}

static int kvmdctl_do_verify(struct kvmdctl_file *file, void *argument)
{
	struct kvmdctl_pattern *run = argument;
	kvmd_t *vmd = kvmdctl_attachment(file, run->handle);

	return vmd ? kvmd_pattern(vmd, run, 0) : -EBADF;
}

/* Read or write one word through a map, and tell which frame it is in. */
static int kvmdctl_word(struct kvmdctl_file *file, struct kvmdctl_word *word, int write)
{
	struct kiobuf *iobuf;
	struct page *page;
	kvmdctl_u32 *at, byte, length;

	if (word->map >= KVMDCTL_MAPS || !file->map[word->map].iobuf)
		return -EBADF;
	iobuf = file->map[word->map].iobuf;
	byte = iobuf->offset + word->offset;
	length = iobuf->length;
	if (((word->offset | byte) & 3) || word->offset >= length || length - word->offset < 4)
		return -EINVAL;
	page = iobuf->maplist[byte >> PAGE_SHIFT];
	at = (kvmdctl_u32 *) ((char *) kmap(page) + (byte & ~PAGE_MASK));
	if (write)
		*at = word->value;
	else
		word->value = *at;
	kunmap(page);
	word->frame = page - mem_map;
	return 0;
}

static int kvmdctl_do_peek(struct kvmdctl_file *file, void *argument)
{
	return kvmdctl_word(file, argument, 0);
}

static int kvmdctl_do_poke(struct kvmdctl_file *file, void *argument)
{
	return kvmdctl_word(file, argument, 1);
}

static int kvmdctl_do_stats(struct kvmdctl_file *file, void *argument)
{
	struct kvmdctl_stats *stats = argument;
	struct kvmd_stats now;
	int i;

	memset(stats, 0, sizeof(*stats));
	kvmd_stats(&now);
	stats->threads = now.threads;
	stats->attachments = now.attachments;
	stats->regions = now.regions;
	stats->region_bytes = now.region_pages > ~0U >> PAGE_SHIFT ? ~0U : now.region_pages << PAGE_SHIFT;
	stats->maps = now.maps;
	stats->mapped_pages = now.mapped_pages;
	stats->queue_waits = now.queue_waits;
	stats->map_retries = now.map_retries;
	stats->lock_waits = now.lock_waits;
	stats->signals = now.signals;
	for (i = 0; i < KVMD_CMDS; i++)
		stats->commands += now.commands[i];
	for (i = 0; i < KVMD_REFUSALS; i++)
		stats->refused += now.refused[i];
	return 0;
}

/* In the order of the ioctl numbers, from KVMDCTL_OPEN on. */
static const struct {
	unsigned int size;
	int (*act)(struct kvmdctl_file *file, void *argument);
} kvmdctl_calls[] = {
	{ sizeof(struct kvmdctl_open), kvmdctl_do_open },
	{ sizeof(struct kvmdctl_open), kvmdctl_do_close },
	{ sizeof(struct kvmdctl_region), kvmdctl_do_alloc },
	{ sizeof(struct kvmdctl_region), kvmdctl_do_free },
	{ sizeof(struct kvmdctl_map), kvmdctl_do_map },
	{ sizeof(struct kvmdctl_unmap), kvmdctl_do_unmap },
	{ sizeof(struct kvmdctl_pattern), kvmdctl_do_fill },
	{ sizeof(struct kvmdctl_pattern), kvmdctl_do_verify },
	{ sizeof(struct kvmdctl_word), kvmdctl_do_peek },
	{ sizeof(struct kvmdctl_word), kvmdctl_do_poke },
	{ sizeof(struct kvmdctl_stats), kvmdctl_do_stats },
	{ sizeof(struct kvmdctl_resize), kvmdctl_do_grow },
	{ sizeof(struct kvmdctl_resize), kvmdctl_do_shrink },
};

/*
 * The argument is copied in, and out again if the call succeeded. When the copy out fails the call has happened all
 * the same: what it made belongs to the file and goes when the file is closed.
 */
static int kvmdctl_call(struct kvmdctl_file *file, unsigned int number, void *user)
{
	union {
		struct kvmdctl_open open;
		struct kvmdctl_region region;
		struct kvmdctl_resize resize;
		struct kvmdctl_map map;
		struct kvmdctl_unmap unmap;
		struct kvmdctl_pattern pattern;
		struct kvmdctl_word word;
		struct kvmdctl_stats stats;
	} argument;
	unsigned int size;
	int err;

	if (number >= sizeof(kvmdctl_calls) / sizeof(kvmdctl_calls[0]))
		return -ENOTTY;
	size = kvmdctl_calls[number].size;
	if (copy_from_user(&argument, user, size))
		return -EFAULT;
	if (down_interruptible(&file->sem))
		return -EINTR;
	err = kvmdctl_calls[number].act(file, &argument);
	up(&file->sem);
	if (!err && copy_to_user(user, &argument, size))
		err = -EFAULT;
	return err;
}

/* The kernel lock, held by sys_ioctl, guards nothing here; without it two CPUs can work at once. */
static int kvmdctl_ioctl(struct inode *inode, struct file *filp, unsigned int command, unsigned long argument)
{
	int err;

	unlock_kernel();
	err = kvmdctl_call(filp->private_data, command - KVMDCTL_OPEN, (void *) argument);
	lock_kernel();
	return err;
}

static int kvmdctl_open(struct inode *inode, struct file *filp)
{
	struct kvmdctl_file *file;

	file = kmalloc(sizeof(*file), GFP_KERNEL);
	if (!file)
		return -ENOMEM;
	memset(file, 0, sizeof(*file));
	init_MUTEX(&file->sem);
	filp->private_data = file;
	MOD_INC_USE_COUNT;
	return 0;
}

/* The last user of the file is gone, so nobody else is in its tables. */
static int kvmdctl_release(struct inode *inode, struct file *filp)
{
	struct kvmdctl_file *file = filp->private_data;
	int handle;

	for (handle = 0; handle < KVMDCTL_ATTACHMENTS; handle++)
		if (file->attachment[handle])
			kvmd_close(file->attachment[handle]);
	kfree(file);
	MOD_DEC_USE_COUNT;
	return 0;
}

static struct file_operations kvmdctl_operations = {
	.ioctl = kvmdctl_ioctl,
	.open = kvmdctl_open,
	.release = kvmdctl_release,
};

int __init kvmdctl_start(void)
{
	return register_chrdev(KVMDCTL_MAJOR, "kvmd", &kvmdctl_operations);
}

void kvmdctl_stop(void)
{
	unregister_chrdev(KVMDCTL_MAJOR, "kvmd");
}
