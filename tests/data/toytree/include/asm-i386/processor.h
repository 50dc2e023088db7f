#ifndef _TOY_PROCESSOR_H
#define _TOY_PROCESSOR_H

#define NR_CPUS 2

/* An array of a type that is not complete yet. */
extern struct tss_struct init_tss[NR_CPUS];

struct tss_struct {
	unsigned long esp, fs, gs;
};

#define INIT_TSS { 0, 0, 0 }

#endif
