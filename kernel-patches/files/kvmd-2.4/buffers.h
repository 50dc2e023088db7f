/*
 * buffers.h - since 2.3.99-pre9 try_to_free_buffers can wait for buffers that are being written; kvmd's are at rest
 *
 * Read before kvmd's sources (-include). SPDX-License-Identifier: GPL-2.0-only
 */
#include <linux/fs.h>

#define try_to_free_buffers(page)	try_to_free_buffers(page, 0)
