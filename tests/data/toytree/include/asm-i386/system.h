#ifndef _TOY_SYSTEM_H
#define _TOY_SYSTEM_H

/* A literal over line ends, with a " in this comment and a '"' in the code below. */
#define QUOTE '"'
static inline void mb(void)
{
	__asm__ __volatile__("nop
	nop"
	: : : "memory");
}

#endif
