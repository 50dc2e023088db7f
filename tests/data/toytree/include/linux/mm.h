#ifndef _TOY_MM_H
#define _TOY_MM_H

#include <asm/page.h>

struct page {
	unsigned long words[128];
};

#endif
