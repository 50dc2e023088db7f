/*
 * chrdev.c - a character device with the operations of 2.3
 *
 * An ioctl got the inode and ran under the kernel lock, which kvmd's driver gave up at once. Today it finds the inode
 * by the file, and there is no kernel lock. open and release are as they were.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#include <linux/errno.h>
#include <linux/slab.h>
#include "kvmd_compat.h"

/* Today's operations, with the old ones behind them; on a list, to be found again when the device goes. */
struct kvmd_chrdev {
	struct list_head node;
	unsigned int major;
	struct kvmd_file_operations *old;
	struct file_operations now;
};

static LIST_HEAD(kvmd_chrdevs);
static DEFINE_MUTEX(kvmd_chrdevs_lock);

static long kvmd_chrdev_ioctl(struct file *filp, unsigned int command, unsigned long argument)
{
	struct kvmd_chrdev *dev = container_of(filp->f_op, struct kvmd_chrdev, now);

	return dev->old->ioctl(file_inode(filp), filp, command, argument);
}

/* Register a device of that major number: 0 or an error. */
int kvmd_compat_register_chrdev(unsigned int major, const char *name, struct kvmd_file_operations *old)
{
	struct kvmd_chrdev *dev = kzalloc(sizeof(*dev), GFP_KERNEL);
	int err;

	if (!dev)
		return -ENOMEM;
	dev->major = major;
	dev->old = old;
	dev->now.unlocked_ioctl = kvmd_chrdev_ioctl;
	dev->now.open = old->open;
	dev->now.release = old->release;
	dev->now.llseek = noop_llseek;
	err = register_chrdev(major, name, &dev->now);
	if (err < 0) {
		kfree(dev);
		return err;
	}
	mutex_lock(&kvmd_chrdevs_lock);
	list_add(&dev->node, &kvmd_chrdevs);
	mutex_unlock(&kvmd_chrdevs_lock);
	return 0;
}

void kvmd_compat_unregister_chrdev(unsigned int major, const char *name)
{
	struct kvmd_chrdev *dev, *next;

	unregister_chrdev(major, name);
	mutex_lock(&kvmd_chrdevs_lock);
	list_for_each_entry_safe(dev, next, &kvmd_chrdevs, node)
		if (dev->major == major) {
			list_del(&dev->node);
			kfree(dev);
		}
	mutex_unlock(&kvmd_chrdevs_lock);
}
