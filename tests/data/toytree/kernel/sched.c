#include <linux/sched.h>
#include <linux/init.h>

volatile struct timeval xtime;

static void wake_up_other(int who);

void wake_up_toy(int who, int how, int when)
{
	xtime.tv_sec += who + how + when;
	wake_up_other(who);
}

#define TWICE(x) \
	((x) + (x))
long sleep_on_toy(long a, long b, long c)
{
	return TWICE(a - b - c);
}

static void wake_up_other(int who)
{
	xtime.tv_usec = who;
}

void mmdrop_toy(struct mm_struct *mm)
{
}

#ifdef TOY_FAIL_COMPILE
int this_is_no_c = ;
#endif

#ifdef TOY_FAIL_LINK
extern int nobody_defines_this;
int *needed = &nobody_defines_this;
#endif

static int sched_init(void)
{
	return 0;
}

__initcall(sched_init);
