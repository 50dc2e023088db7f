/* memory.c - operations on a worker's own anonymous memory */
#include "lib.h"
#include "ops.h"
#include "pattern.h"
#include "sys.h"
#include "worker.h"

/* whole pages of memory, and the pattern they should hold */
struct area {
	u32 address, bytes, seed, first_page;
};

static int take_area(struct request *in, struct area *area)
{
	area->address = take_u32(in);
	area->bytes = take_u32(in);
	area->seed = take_u32(in);
	area->first_page = take_u32(in);
	return (area->address | area->bytes) % PAGE_SIZE ? -EINVAL : 0;
}

static int map(struct request *in, struct reply *out)
{
	u32 address = sys_mmap(take_u32(in));

	if (is_error(address))
		return (int)address;
	put_u32(out, address);
	return 0;
}

static int unmap(struct request *in, struct reply *out)
{
	u32 address = take_u32(in), bytes = take_u32(in);

	(void)out;
	return sys_munmap(address, bytes);
}

static int lock(struct request *in, struct reply *out)
{
	u32 address = take_u32(in), bytes = take_u32(in);

	(void)out;
	return sys_mlock(address, bytes);
}

static int fill(struct request *in, struct reply *out)
{
	struct area area;

	(void)out;
	if (take_area(in, &area) < 0)
		return -EINVAL;
	pattern_fill((u32 *)area.address, area.bytes / PAGE_SIZE, area.seed, area.first_page);
	return 0;
}

static int verify(struct request *in, struct reply *out)
{
	struct verdict verdict = { 0, 0, 0, 0 };
	struct area area;

	if (take_area(in, &area) < 0)
		return -EINVAL;
	pattern_verify((const u32 *)area.address, area.bytes / PAGE_SIZE, area.seed, area.first_page, &verdict);
	put_u32(out, verdict.bad_words);
	put_u32(out, (u32)verdict.first_bad);
	put_u32(out, verdict.expected);
	put_u32(out, verdict.found);
	return 0;
}

static int pressure(struct request *in, struct reply *out)
{
	u32 bytes = take_u32(in), seed = take_u32(in), passes = take_u32(in), pages = bytes / PAGE_SIZE;
	struct verdict verdict = { 0, 0, 0, 0 };
	u32 address;

	if (bytes % PAGE_SIZE)
		return -EINVAL;
	address = sys_mmap(bytes);
	if (is_error(address))
		return (int)address;
	pattern_fill((u32 *)address, pages, seed, 0);
	for (u32 pass = 0; pass < passes; pass++)
		pattern_verify((const u32 *)address, pages, seed, 0, &verdict);
	sys_munmap(address, bytes);
	put_u32(out, pages * (1 + passes));
	put_u32(out, verdict.bad_words);
	return 0;
}

static int peek(struct request *in, struct reply *out)
{
	put_u32(out, *(const volatile u32 *)take_u32(in));
	return 0;
}

static int poke(struct request *in, struct reply *out)
{
	volatile u32 *place = (volatile u32 *)take_u32(in);

	(void)out;
	*place = take_u32(in);
	return 0;
}

const struct operation memory_ops[] = {
	{ OP_MEM_MAP, 4, map },
	{ OP_MEM_UNMAP, 8, unmap },
	{ OP_MEM_FILL, 16, fill },
	{ OP_MEM_VERIFY, 16, verify },
	{ OP_MEM_PRESSURE, 12, pressure },
	{ OP_MEM_LOCK, 8, lock },
	{ OP_MEM_PEEK, 4, peek },
	{ OP_MEM_POKE, 8, poke },
	{ 0, 0, 0 },
};
