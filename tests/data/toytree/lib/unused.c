#include <linux/init.h>

/* Nobody asks the archive for this: its initcall is declared, but not linked. */
static int unused_init(void)
{
	return 0;
}

int unused_anchor(void)
{
	return 0;
}

__initcall(unused_init);
