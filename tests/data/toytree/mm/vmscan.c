#include <linux/mm.h>
#include <linux/init.h>

static int scan(void)
{
	return PAGE_SIZE;
}

static int scan_setup(char *words)
{
	return words[0];
}

__initcall(scan);
__setup("scan=", scan_setup);
