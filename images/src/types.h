/* types.h - integers of fixed width, for the guest and for host tests of the same sources */
#ifndef TYPES_H
#define TYPES_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int s32;

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif /* TYPES_H */
