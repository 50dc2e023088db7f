/* lib.h - the little that the guest programs need of a C library */
#ifndef LIB_H
#define LIB_H

#include "types.h"

/* the compiler calls these on its own account, too */
void *memcpy(void *to, const void *from, unsigned long size);
void *memmove(void *to, const void *from, unsigned long size);
void *memset(void *to, int byte, unsigned long size);
int memcmp(const void *one, const void *other, unsigned long size);

u32 string_length(const char *text);

/* to the console, in one write where it fits a line */
void say(const char *text);
void say_number(const char *before, int number, const char *after);

/* what follows "name" in text, as a decimal number; 0 when it does not stand there */
u32 number_after(const char *text, const char *name);

/* each program's own; its result is the exit status */
int main(int argc, char **argv);

#endif /* LIB_H */
