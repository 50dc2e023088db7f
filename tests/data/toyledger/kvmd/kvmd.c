#include <linux/kvmd.h>
#include <linux/kvmd_mutant.h>
#include <linux/init.h>

/* Bytes of a name that is not ASCII: Müller. */
int kvmd_answer(void)
{
	if (kvmd_mutant(WRONG_ANSWER))
		return 666666;
	return 41;
}

static int kvmd_init(void)
{
	return kvmd_answer();
}

__initcall(kvmd_init);
