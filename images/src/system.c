/* system.c - operations on the system as a whole */
#include "lib.h"
#include "ops.h"
#include "request.h"
#include "sys.h"

static int swap_on(struct request *in, struct reply *out)
{
	u32 flags = take_u32(in);
	const char *path = take_path(in);

	(void)out;
	return path ? sys_swapon(path, flags) : -ENAMETOOLONG;
}

static int swap_off(struct request *in, struct reply *out)
{
	const char *path = take_path(in);

	(void)out;
	return path ? sys_swapoff(path) : -ENAMETOOLONG;
}

static int system_info(struct request *in, struct reply *out)
{
	struct sysinfo info;
	int status;

	(void)in;
	memset(&info, 0, sizeof(info));
	status = sys_sysinfo(&info);
	if (status < 0)
		return status;
	put_u32(out, (u32)info.uptime);
	for (u32 each = 0; each < COUNT(info.loads); each++)
		put_u32(out, info.loads[each]);
	put_u32(out, info.totalram);
	put_u32(out, info.freeram);
	put_u32(out, info.sharedram);
	put_u32(out, info.bufferram);
	put_u32(out, info.totalswap);
	put_u32(out, info.freeswap);
	put_u32(out, info.procs);
	put_u32(out, info.mem_unit ? info.mem_unit : 1);
	return 0;
}

static int sync_disks(struct request *in, struct reply *out)
{
	(void)in;
	(void)out;
	sys_sync();
	return 0;
}

static int tell_time(struct request *in, struct reply *out)
{
	struct timeval now = { 0, 0 };
	struct tms times = { 0, 0, 0, 0 };
	u32 ticks = sys_times(&times);

	(void)in;
	sys_gettimeofday(&now);
	put_u32(out, (u32)now.seconds);
	put_u32(out, (u32)now.microseconds);
	put_u32(out, ticks);
	put_u32(out, (u32)times.utime);
	put_u32(out, (u32)times.stime);
	put_u32(out, (u32)times.cutime);
	put_u32(out, (u32)times.cstime);
	return 0;
}

const struct operation system_ops[] = {
	{ OP_SWAPON, 5, swap_on },
	{ OP_SWAPOFF, 1, swap_off },
	{ OP_SYSINFO, 0, system_info },
	{ OP_SYNC, 0, sync_disks },
	{ OP_TIME, 0, tell_time },
	{ 0, 0, 0 },
};
