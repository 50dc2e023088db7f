/* lib.c - entry point, memory functions, text for the console */
#include "lib.h"
#include "sys.h"

/* The kernel starts a program with argc on top of the stack and argv above it. */
__asm__(".globl _start\n"
	"_start:\n"
	"	xorl %ebp, %ebp\n"
	"	movl %esp, %eax\n"
	"	andl $-16, %esp\n"
	"	subl $12, %esp\n"
	"	pushl %eax\n"
	"	call start\n");

void __attribute__((used, noreturn)) start(long *stack)
{
	sys_exit(main((int)stack[0], (char **)(stack + 1)));
}

void *memcpy(void *to, const void *from, unsigned long size)
{
	void *target = to;

	__asm__ volatile("rep movsb" : "+D"(target), "+S"(from), "+c"(size) : : "memory");
	return to;
}

void *memmove(void *to, const void *from, unsigned long size)
{
	u8 *target = to;
	const u8 *source = from;

	if (target <= source)
		return memcpy(to, from, size);
	while (size--)
		target[size] = source[size];
	return to;
}

void *memset(void *to, int byte, unsigned long size)
{
	void *target = to;

	__asm__ volatile("rep stosb" : "+D"(target), "+c"(size) : "a"(byte) : "memory");
	return to;
}

int memcmp(const void *one, const void *other, unsigned long size)
{
	const u8 *left = one, *right = other;

	for (; size; size--, left++, right++)
		if (*left != *right)
			return *left - *right;
	return 0;
}

u32 string_length(const char *text)
{
	u32 length = 0;

	while (text[length])
		length++;
	return length;
}

void say(const char *text)
{
	sys_write(1, text, string_length(text));
}

void say_number(const char *before, int number, const char *after)
{
	char digits[12];
	char *first = digits + sizeof(digits) - 1;
	u32 rest = number < 0 ? -(u32)number : (u32)number;

	*first = 0;
	do {
		*--first = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest);
	if (number < 0)
		*--first = '-';
	say(before);
	say(first);
	say(after);
}

u32 number_after(const char *text, const char *name)
{
	u32 length = string_length(name), number = 0;

	while (*text && memcmp(text, name, length) != 0)
		text++;
	if (!*text)
		return 0;
	for (text += length; *text == ' ' || *text == '\t'; text++)
		;
	for (; *text >= '0' && *text <= '9'; text++)
		number = number * 10 + (u32)(*text - '0');
	return number;
}
