/*
 * outofline.c - memcpy, memset and strlen as real functions
 *
 * The old tree has them only as inline assembly. Newer compilers emit calls of their own, for instance to copy a
 * structure or to clear an array, and expect somebody to be there. No header: the inline versions would get in the
 * way. The loops must stay loops (-fno-tree-loop-distribute-patterns), or they become calls of themselves.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */

void *memcpy(void *to, const void *from, unsigned long size)
{
	char *target = to;
	const char *source = from;

	while (size--)
		*target++ = *source++;
	return to;
}

void *memset(void *at, int byte, unsigned long size)
{
	char *target = at;

	while (size--)
		*target++ = byte;
	return at;
}

unsigned long strlen(const char *text)
{
	const char *end = text;

	while (*end)
		end++;
	return end - text;
}
