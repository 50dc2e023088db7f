#ifndef _TOY_SCHED_H
#define _TOY_SCHED_H

#include <linux/linkage.h>

struct timeval {
	long tv_sec, tv_usec;
};
struct tss_struct;
struct mm_struct;

/* Declared without volatile, defined with it. */
extern struct timeval xtime;

/* The definitions lack what is promised here. */
extern void FASTCALL(wake_up_toy(int who, int how, int when));
extern long FASTCALL(sleep_on_toy(long a, long b, long c));
extern struct tss_struct * FASTCALL(switch_to_toy(int from, int to, int flags));

/* Inline, but there is no body. */
extern inline void FASTCALL(mmdrop_toy(struct mm_struct *mm));

int printk(const char *format, ...);

#define complain(level) printk("%s: <" __FUNCTION__ "> at %d%%\n", "toy", level)

#endif
