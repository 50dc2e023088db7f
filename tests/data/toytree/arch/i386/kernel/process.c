#include <linux/sched.h>
#include <asm/processor.h>
#include <asm/system.h>

struct tss_struct init_tss[NR_CPUS];

/* A move of a segment register with the size of its slot instead of its own. */
void save_segments(struct tss_struct *tss)
{
	__asm__ __volatile__("movl %%fs,%0" : "=m" (tss->fs));
	mb();
}

struct tss_struct *switch_to_toy(int from, int to, int flags)
{
	return &init_tss[(from ^ to ^ flags) % NR_CPUS];
}
