#ifndef _TOY_LINKAGE_H
#define _TOY_LINKAGE_H

#define asmlinkage __attribute__((regparm(0)))
#define FASTCALL(x) x __attribute__((regparm(3)))

/* A name and a colon are two tokens. */
#define LABEL(X) X##:
#define ENTRY(X) .globl X; LABEL(X)

#endif
