/*
 * kvmd_pool.c - which thread an attachment gets, and how many threads there are
 *
 * An attachment with KVMD_DEDICATED has a thread of its own. All others share the pool, which has kvmd_pool_min threads
 * at least and kvmd_pool_max at most. Its load is the number of attachments: each stays with its thread as long as
 * it lives, since its memory does, so a thread more helps nobody but those who come later. An attachment goes to
 * the thread that has the fewest. Where even that one has KVMD_POOL_SHARE already, a thread is started for it. A thread
 * whose last attachment went away ends if there are more than the minimum; but one thread that is idle is kept, so that
 * an attachment that comes and goes at the edge does not start and end a thread each time.
 *
 * The limits are set on the kernel's command line, "kvmd=MIN,MAX"; a module has the parameters of the same names. Without
 * them there are two threads a processor, and up to four times as many.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
#include <linux/errno.h>
#include <linux/init.h>
#include <linux/malloc.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/swap.h>
#include "kvmd_int.h"

#define KVMD_POOL_SHARE	4	/* attachments on a thread from which on it takes no other if that can be helped */
#define KVMD_POOL_MOST	32	/* one bit each in kvmd_numbers */

int kvmd_pool_min, kvmd_pool_max;		/* 0: nobody said */
MODULE_PARM(kvmd_pool_min, "i");
MODULE_PARM(kvmd_pool_max, "i");

static LIST_HEAD(kvmd_pool);			/* threads for everybody */
static LIST_HEAD(kvmd_own);			/* threads of one attachment each */
static int kvmd_pool_size;			/* on kvmd_pool */
static unsigned long kvmd_numbers;		/* taken: by those on kvmd_pool, those that start and those that end */
static spinlock_t kvmd_servers_lock = SPIN_LOCK_UNLOCKED;	/* all of the above, and every server's users */

/* Make sense of the limits: what nobody said, or can't be, becomes what it is by default. */
static void __init kvmd_pool_limits(void)
{
	int asked = kvmd_pool_min || kvmd_pool_max;

	if (kvmd_pool_min >= 1 && kvmd_pool_max >= kvmd_pool_min && kvmd_pool_max <= KVMD_POOL_MOST)
		return;
	if (asked)
		printk(KERN_WARNING "kvmd: a pool of %d to %d threads can't be: it is 1 <= MIN <= MAX <= %d\n",
		       kvmd_pool_min, kvmd_pool_max, KVMD_POOL_MOST);
	kvmd_pool_min = 2 * smp_num_cpus;
	if (kvmd_pool_min > KVMD_POOL_MOST / 4)
		kvmd_pool_min = KVMD_POOL_MOST / 4;
	kvmd_pool_max = 4 * kvmd_pool_min;
}

#ifndef MODULE
static int __init kvmd_setup(char *words)
{
	int values[3];		/* how many, then they */

	get_options(words, 3, values);
	kvmd_pool_min = values[0] > 0 ? values[1] : -1;
	kvmd_pool_max = values[0] > 1 ? values[2] : -1;
	return 1;
}

__setup("kvmd=", kvmd_setup);
#endif

static struct kvmd_server *kvmd_new_server(int own, int number)
{
	struct kvmd_server *server;
	int i;

	server = kmalloc(sizeof(*server), GFP_KERNEL);
	if (!server)
		return NULL;
	memset(server, 0, sizeof(*server));
	server->own = own;
	server->number = number;
	init_MUTEX_LOCKED(&server->ready);
	spin_lock_init(&server->lock);
	INIT_LIST_HEAD(&server->free);
	INIT_LIST_HEAD(&server->queue);
	sema_init(&server->slots, KVMD_QUEUE_LEN);
	sema_init(&server->work, 0);
	for (i = 0; i < KVMD_QUEUE_LEN; i++) {
		init_MUTEX_LOCKED(&server->slot[i + kvmd_mutant(OFF_BY_ONE_SLOTS)].done);
		list_add_tail(&server->slot[i + kvmd_mutant(OFF_BY_ONE_SLOTS)].node, &server->free);
	}
	return server;
}

/* Start a thread and put it on its list, with one attachment on it, or none if the pool is just being filled. */
static int kvmd_start(int own, int number, int users, struct kvmd_server **server_out)
{
	struct kvmd_server *server = kvmd_new_server(own, number);
	int err;

	if (!server)
		return -ENOMEM;
	if (own)
		strcpy(server->name, "kvmd/own");
	else
		sprintf(server->name, "kvmd/%d", number);
	server->users = users;
	err = kvmd_keeper_run(server);
	if (err) {
		kfree(server);
		return err;
	}
	spin_lock(&kvmd_servers_lock);
	list_add_tail(&server->node, own && !kvmd_mutant(DEDICATED_SHARED) ? &kvmd_own : &kvmd_pool);
	kvmd_pool_size += !own;
	spin_unlock(&kvmd_servers_lock);
	kvmd_account(&kvmd_now.threads, 1);
	kvmd_account(&kvmd_now.threads_started, 1);
	kvmd_account(&kvmd_now.pool_threads, !own);
	*server_out = server;
	return 0;
}

/* Take the lowest free number of the pool, or -1 when it is full. kvmd_servers_lock is held. */
static int kvmd_take_number(void)
{
	int number;

	for (number = 0; number < kvmd_pool_max; number++)
		if (!(kvmd_numbers & 1UL << number)) {
			kvmd_numbers |= 1UL << number;
			return number;
		}
	return -1;
}

static void kvmd_put_number(int number)
{
	spin_lock(&kvmd_servers_lock);
	kvmd_numbers &= ~(1UL << number);
	spin_unlock(&kvmd_servers_lock);
}

/* Start a thread of the pool under a number that was taken for it. */
static int kvmd_start_in_pool(int number, int users, struct kvmd_server **server_out)
{
	int err = kvmd_start(0, number, users, server_out);

	if (err)
		kvmd_put_number(number);
	return err;
}

/* Take a server off its list: nobody gets it any more. kvmd_servers_lock is held. */
static void kvmd_retire(struct kvmd_server *server)
{
	list_del(&server->node);
	kvmd_pool_size -= !server->own;
}

/* End a thread that is on no list any more. When this returns its memory, its swap and its task are gone. */
static void kvmd_stop(struct kvmd_server *server)
{
	struct kvmd_span none = { 0, 0, 0, 0 };

	kvmd_send(server, KVMD_CMD_EXIT, &none, 1);
	kvmd_keeper_reap(server);
	if (!server->own)
		kvmd_put_number(server->number);
	kvmd_account(&kvmd_now.threads, -1);
	kvmd_account(&kvmd_now.pool_threads, -!server->own);
	kfree(server);
}

/*
 * One user more for the thread of the pool that has the fewest, the one that waited longest among equals; NULL if there
 * is none. If the pool should have a thread more, *number is taken for it, else it is -1.
 */
static struct kvmd_server *kvmd_pick(int *number)
{
	struct kvmd_server *server, *best = NULL;
	struct list_head *at;

	spin_lock(&kvmd_servers_lock);
	for (at = kvmd_pool.next; at != &kvmd_pool; at = at->next) {
		server = list_entry(at, struct kvmd_server, node);
		if (!best || server->users < best->users)
			best = server;
	}
	*number = !best || best->users >= KVMD_POOL_SHARE ? kvmd_take_number() : -1;
	if (best) {
		best->users++;
		list_del(&best->node);
		list_add_tail(&best->node, &kvmd_pool);
	}
	spin_unlock(&kvmd_servers_lock);
	return best;
}

/* Find or start a thread for an attachment. One that should be started, and can't be, is no reason to fail. */
int kvmd_server_attach(int own, struct kvmd_server **server_out)
{
	struct kvmd_server *fresh;
	int number, err = -EAGAIN;

	if (own)
		return kvmd_start(1, -1, 1, server_out);
	*server_out = kvmd_pick(&number);
	if (number >= 0) {
		err = kvmd_start_in_pool(number, 1, &fresh);
		if (!err) {
			if (*server_out)
				kvmd_server_detach(*server_out);
			*server_out = fresh;
		}
	}
	return *server_out ? 0 : err;
}

/* Whether the pool has an idle thread too many. kvmd_servers_lock is held. */
static int kvmd_pool_too_large(void)
{
	struct list_head *at;
	int idle = 0;

	for (at = kvmd_pool.next; at != &kvmd_pool; at = at->next)
		idle += !list_entry(at, struct kvmd_server, node)->users;
	return idle > 1 && kvmd_pool_size > kvmd_pool_min;
}

/* An attachment leaves its thread, which ends if nobody needs it. */
void kvmd_server_detach(struct kvmd_server *server)
{
	int stop;

	spin_lock(&kvmd_servers_lock);
	stop = !--server->users && ((server->own && !kvmd_mutant(DEDICATED_STAYS)) || kvmd_pool_too_large());
	if (stop)
		kvmd_retire(server);
	spin_unlock(&kvmd_servers_lock);
	if (stop)
		kvmd_stop(server);
}

/* Start the keeper and as many threads as there always are; a smaller pool is better than none. */
int __init kvmd_threads_start(void)
{
	struct kvmd_server *server;
	int err, number;

	kvmd_pool_limits();
	err = kvmd_keeper_start();
	if (err)
		return err;
	while (kvmd_pool_size < kvmd_pool_min) {
		spin_lock(&kvmd_servers_lock);
		number = kvmd_take_number();
		spin_unlock(&kvmd_servers_lock);
		err = kvmd_start_in_pool(number, 0, &server);
		if (err) {
			printk(KERN_WARNING "kvmd: thread %d did not start (error %d)\n", number, -err);
			break;
		}
	}
	return 0;
}

/* End every thread, the keeper last. Nobody is attached any more. */
void kvmd_threads_stop(void)
{
	struct kvmd_server *server;

	while (!list_empty(&kvmd_pool)) {
		server = list_entry(kvmd_pool.next, struct kvmd_server, node);
		spin_lock(&kvmd_servers_lock);
		kvmd_retire(server);
		spin_unlock(&kvmd_servers_lock);
		kvmd_stop(server);
	}
	kvmd_keeper_stop();
}

/* Where introspection (lab/machine/introspection.py) finds what: offsets in bytes. */
const unsigned int kvmd_layout[] = {
	KVMD_AT(struct kvmd_server, users),
	KVMD_AT(struct kvmd_server, mm),
	KVMD_AT(struct mm_struct, pgd),
	KVMD_AT(struct mm_struct, total_vm),
};
