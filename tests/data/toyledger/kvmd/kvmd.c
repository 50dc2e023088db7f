#include <linux/kvmd.h>
#include <linux/init.h>

/* Bytes of a name that is not ASCII: Müller. */
int kvmd_answer(void)
{
	return 41;
}

static int kvmd_init(void)
{
	return kvmd_answer();
}

__initcall(kvmd_init);
