#include <linux/sched.h>
#include <asm/processor.h>

/* Pasting that does not give one token. */
#define STUB(nr) int stub_##nr(void) { return nr; }
#define BUILD(x) STUB(##x)

BUILD(0)
BUILD(1)

/* Two entries of the exception table. */
int probe(int *at)
{
	int value = init_tss[0].gs;

	__asm__ __volatile__("1:	movl %1, %0\n"
			     "2:\n"
			     ".section __ex_table,\"a\"\n"
			     "	.align 4\n"
			     "	.long 1b, 2b\n"
			     ".previous"
			     : "+r" (value) : "m" (*at));
	return value;
}
