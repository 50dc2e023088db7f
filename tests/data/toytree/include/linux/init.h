#ifndef _TOY_INIT_H
#define _TOY_INIT_H

struct setup_entry {
	const char *text;
	int (*call)(char *);
};

#define __initcall(function) \
	static int (*initcall_##function)(void) __attribute__((unused, section(".initcall.init"))) = function
#define __setup(words, function) \
	static struct setup_entry setup_##function __attribute__((unused, section(".setup.init"))) = { words, function }

#endif
