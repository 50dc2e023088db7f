/*
 * cost.c - what a call costs, by the processor's time stamp counter
 *
 * Under virtual time the counter goes up by the same amount with each instruction, so the result is a number of
 * instructions, and nearly the same one each time.
 */
#include "cost.h"
#include "control.h"
#include "kvmdctl.h"
#include "lib.h"
#include "ops.h"
#include "sys.h"

typedef unsigned long long u64;

static u64 now(void)
{
	u32 low, high;

	__asm__ __volatile__("rdtsc" : "=a"(low), "=d"(high));
	return (u64)high << 32 | low;
}

/* the first write to each page of new memory */
static int faults(u32 rounds, u64 *ticks)
{
	u32 at = sys_mmap(rounds * PAGE_SIZE);
	u64 begin;

	if (is_error(at))
		return (int)at;
	begin = now();
	for (u32 round = 0; round < rounds; round++)
		*(volatile u32 *)(at + round * PAGE_SIZE) = 1;
	*ticks = now() - begin;
	return sys_munmap(at, rounds * PAGE_SIZE);
}

/* the other end of the pipes: gives back each byte, until there are no more */
static void __attribute__((noreturn)) echo(int from, int to)
{
	u8 byte;

	while (sys_read(from, &byte, 1) == 1)
		sys_write(to, &byte, 1);
	sys_exit(0);
}

/* a byte to another process, and back */
static int pipes(u32 rounds, u64 *ticks)
{
	int there[2], back[2], child, status;
	u8 byte = 0;
	u64 begin;

	if (sys_pipe(there) < 0 || sys_pipe(back) < 0)
		return -EINVAL;
	child = sys_fork();
	if (child == 0) {
		sys_close(there[1]);
		echo(there[0], back[1]);
	}
	sys_close(there[0]);
	sys_close(back[1]);
	begin = now();
	for (u32 round = 0; round < rounds; round++) {
		sys_write(there[1], &byte, 1);
		sys_read(back[0], &byte, 1);
	}
	*ticks = now() - begin;
	sys_close(there[1]);
	sys_close(back[0]);
	if (child > 0)
		sys_wait4(child, &status);
	return child < 0 ? child : 0;
}

/* map and unmap one page that is in RAM */
static int maps(u32 rounds, u32 handle, u32 addr, u64 *ticks)
{
	struct kvmdctl_map map = { handle, addr, PAGE_SIZE, KVMDCTL_CHANGE, 0 };
	u64 begin = now();
	int status = 0;

	for (u32 round = 0; round < rounds && status == 0; round++) {
		struct kvmdctl_unmap unmap = { handle, 0 };

		status = control_ioctl(KVMDCTL_MAP, &map);
		unmap.map = map.map;
		if (status == 0)
			status = control_ioctl(KVMDCTL_UNMAP, &unmap);
	}
	*ticks = now() - begin;
	return status;
}

/* a region and its end: two commands a round */
static int commands(u32 rounds, u32 handle, u64 *ticks)
{
	u64 begin = now();
	int status = 0;

	for (u32 round = 0; round < rounds && status == 0; round++) {
		struct kvmdctl_region region = { handle, 0, PAGE_SIZE };

		status = control_ioctl(KVMDCTL_ALLOC, &region);
		if (status == 0)
			status = control_ioctl(KVMDCTL_FREE, &region);
	}
	*ticks = now() - begin;
	return status;
}

static int cost(struct request *in, struct reply *out)
{
	u32 what = take_u32(in), rounds = take_u32(in), handle = take_u32(in), addr = take_u32(in);
	u64 ticks = 0;
	int status = -EINVAL;

	if (what == COST_FAULT)
		status = faults(rounds, &ticks);
	else if (what == COST_PIPE)
		status = pipes(rounds, &ticks);
	else if (what == COST_MAP)
		status = maps(rounds, handle, addr, &ticks);
	else if (what == COST_COMMAND)
		status = commands(rounds, handle, &ticks);
	put_u32(out, (u32)ticks);
	put_u32(out, (u32)(ticks >> 32));
	return status;
}

const struct operation cost_ops[] = {
	{ OP_COST, 16, cost },
	{ 0, 0, 0 },
};
