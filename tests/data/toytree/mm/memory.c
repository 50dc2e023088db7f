#include <linux/mm.h>

struct page zero_page;

/* Newer compilers make a call of this copy. */
void copy_page(struct page *to, volatile int *times)
{
	while ((*times)--)
		*to = zero_page;
}
