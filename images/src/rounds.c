/* rounds.c - many rounds of a driver's life with kvmd, without the host between two calls */
#include "control.h"
#include "kvmdctl.h"
#include "lib.h"
#include "ops.h"
#include "sys.h"

#define MOST_REGIONS	8u
#define MAPPED		(2 * PAGE_SIZE)	/* most of a region that is held and written to */

struct holding {
	struct kvmdctl_region region;
	struct kvmdctl_map map;
	u32 value;
};

static struct {
	u32 done, wrong, interrupted;
} told;

/* A call that a signal ended has changed nothing, so it is made again. */
static int call(u32 command, void *structure)
{
	int status;

	do {
		status = control_ioctl(command, structure);
		told.interrupted += status == -EINTR;
	} while (status == -EINTR);
	return status;
}

/* a region, the first of it mapped, and a word in each mapped page that nobody else writes */
static int acquire(struct holding *holding, u32 handle, u32 bytes)
{
	u32 mapped = bytes < MAPPED ? bytes : MAPPED;
	int status;

	holding->region = (struct kvmdctl_region){ handle, 0, bytes };
	status = call(KVMDCTL_ALLOC, &holding->region);
	if (status < 0)
		return status;
	holding->map = (struct kvmdctl_map){ handle, holding->region.addr, mapped, KVMDCTL_CHANGE, 0 };
	status = call(KVMDCTL_MAP, &holding->map);
	for (u32 at = 0; at < mapped && status == 0; at += PAGE_SIZE) {
		struct kvmdctl_word word = { holding->map.map, at, holding->value + at, 0 };

		status = call(KVMDCTL_POKE, &word);
	}
	return status;
}

/* look at the words, and give all back */
static int release(struct holding *holding, u32 handle)
{
	struct kvmdctl_unmap unmap = { handle, holding->map.map };
	int status = 0;

	for (u32 at = 0; at < holding->map.size && status == 0; at += PAGE_SIZE) {
		struct kvmdctl_word word = { holding->map.map, at, 0, 0 };

		status = call(KVMDCTL_PEEK, &word);
		told.wrong += status == 0 && word.value != holding->value + at;
	}
	if (status == 0)
		status = call(KVMDCTL_UNMAP, &unmap);
	return status < 0 ? status : call(KVMDCTL_FREE, &holding->region);
}

static int one_round(u32 handle, u32 regions, u32 bytes, u32 seed)
{
	struct holding held[MOST_REGIONS];
	int status = 0;

	for (u32 each = 0; each < regions && status == 0; each++) {
		held[each].value = kvmdctl_page_start(seed, told.done * MOST_REGIONS + each);
		status = acquire(&held[each], handle, bytes);
	}
	for (u32 each = 0; each < regions && status == 0; each++)
		status = release(&held[each], handle);
	return status;
}

int control_rounds(struct request *in, struct reply *out)
{
	u32 rounds = take_u32(in), handle = take_u32(in), flags = take_u32(in), regions = take_u32(in);
	u32 bytes = take_u32(in), seed = take_u32(in);
	struct kvmdctl_open open = { flags, handle };
	int status = 0;

	if (regions > MOST_REGIONS)
		return -EINVAL;
	memset(&told, 0, sizeof(told));
	for (; told.done < rounds; told.done++) {
		if (handle == NO_HANDLE)
			status = call(KVMDCTL_OPEN, &open);
		if (status == 0)
			status = one_round(open.handle, regions, bytes, seed);
		if (status == 0 && handle == NO_HANDLE)
			status = call(KVMDCTL_CLOSE, &open);
		if (status < 0)
			break;
	}
	put_u32(out, told.done);
	put_u32(out, told.wrong);
	put_u32(out, told.interrupted);
	return status;
}
