/*
 * module.c - load a module into a kernel of 2000, and unload it
 *
 * Such a kernel takes a module that is ready to run: whoever loads it asks for the place, arranges the sections there,
 * fills in the addresses, with those of the kernel's symbols that the kernel tells, and hands over the whole. In order:
 * query_module, create_module, then all of the work, then init_module. The object is relocatable ELF (i386), linked to
 * one piece, with no common symbols (ld -r -d).
 */
#include "elf.h"
#include "lib.h"
#include "ops.h"
#include "sys.h"
#include "worker.h"

#define FILE_MOST	(256u << 10)
#define KERNEL_MOST	(256u << 10)
#define SECTIONS_MOST	64u
#define ALIGNMENT	32u

/* linux-2.3.99-pre3, include/linux/module.h */
struct module_head {
	u32 size_of_struct, next, name, size, use_count, flags, nsyms, ndeps, syms, deps, refs, init, cleanup;
	u32 exceptions, exceptions_end, persist, persist_end, can_unload;
};

/* What is being loaded. Addresses in the file and in the image are the worker's, `base` and `place` the kernel's. */
static struct {
	u8 *file;
	u32 file_size;
	const struct elf_section *sections;
	u32 place[SECTIONS_MOST];	/* of each section behind base; 0: it stays out */
	u8 *image;
	u32 base, size;
	const struct elf_symbol *symbols;
	u32 symbol_count;
	const char *names;
	const u32 *kernel;		/* pairs: value, place of the name */
	u32 kernel_count;
} job;

static int same(const char *one, const char *other)
{
	while (*one && *one == *other)
		one++, other++;
	return *one == *other;
}

static const struct elf_header *header(void)
{
	return (const struct elf_header *)job.file;
}

static int check_object(void)
{
	if (job.file_size < sizeof(struct elf_header) || memcmp(job.file, "\177ELF\1\1", 6) != 0 ||
	    header()->type != ELF_RELOCATABLE || header()->machine != ELF_I386 || header()->sections > SECTIONS_MOST)
		return -ENOEXEC;
	return 0;
}

static u32 align(u32 place)
{
	return (place + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
}

/* Give each section that is wanted at run time its place behind the head and the name; note the table of symbols. */
static void arrange(const char *name)
{
	u32 end = sizeof(struct module_head) + string_length(name) + 1;

	job.sections = (const struct elf_section *)(job.file + header()->section_offset);
	for (u32 each = 0; each < header()->sections; each++) {
		const struct elf_section *section = &job.sections[each];

		job.place[each] = 0;
		if (section->flags & ELF_ALLOC && section->size) {
			job.place[each] = align(end);
			end = job.place[each] + section->size;
		}
		if (section->type == ELF_SYMBOLS) {
			job.symbols = (const struct elf_symbol *)(job.file + section->offset);
			job.symbol_count = section->size / sizeof(struct elf_symbol);
			job.names = (const char *)job.file + job.sections[section->link].offset;
		}
	}
	job.size = align(end);
}

/* Let the kernel tell its symbols. */
static int ask_kernel(void)
{
	static u8 *answer;

	if (!answer)
		answer = (u8 *)sys_mmap(KERNEL_MOST);
	if (is_error((u32)answer))
		return (int)(u32)answer;
	job.kernel = (const u32 *)answer;
	return sys_query_module(0, QM_SYMBOLS, answer, KERNEL_MOST, &job.kernel_count);
}

/* The kernel's address of a symbol by its name; 0 if it has none. */
static u32 in_kernel(const char *name)
{
	for (u32 each = 0; each < job.kernel_count; each++)
		if (same((const char *)job.kernel + job.kernel[2 * each + 1], name))
			return job.kernel[2 * each];
	return 0;
}

/* Where a symbol will be: in the module, in the kernel, or 0 for nowhere. */
static u32 address_of(const struct elf_symbol *symbol)
{
	if (symbol->section == ELF_ABSOLUTE)
		return symbol->value;
	if (symbol->section == ELF_UNDEFINED)
		return same(job.names + symbol->name, "__this_module") ? job.base : in_kernel(job.names + symbol->name);
	if (symbol->section >= SECTIONS_MOST || !job.place[symbol->section])
		return 0;
	return job.base + job.place[symbol->section] + symbol->value;
}

/* Where a symbol of the module will be, by its name; 0 if there is none. */
static u32 own_address(const char *name)
{
	for (u32 each = 0; each < job.symbol_count; each++)
		if (job.symbols[each].section != ELF_UNDEFINED && same(job.names + job.symbols[each].name, name))
			return address_of(&job.symbols[each]);
	return 0;
}

/* Fill in the addresses of one section; what is relative is so to the place itself. */
static int relocate(const struct elf_section *list)
{
	u32 place = job.place[list->info];
	const struct elf_relocation *each = (const struct elf_relocation *)(job.file + list->offset);
	const struct elf_relocation *end = each + list->size / sizeof(*each);

	for (; each < end; each++) {
		const struct elf_symbol *symbol = &job.symbols[each->info >> 8];
		u32 address = address_of(symbol), kind = each->info & 0xff;
		u32 *at = (u32 *)(job.image + place + each->offset);

		if (!address) {
			say("lab: module: nobody has ");
			say(job.names + symbol->name);
			say("\n");
			return -ENOENT;
		}
		if (kind == ELF_386_PC32 || kind == ELF_386_PLT32)
			*at += address - (job.base + place + each->offset);
		else if (kind == ELF_386_32)
			*at += address;
		else
			return -ENOEXEC;
	}
	return 0;
}

/* Copy the sections to the image of the module and relocate them. */
static int assemble(void)
{
	int status = 0;

	for (u32 each = 0; each < header()->sections; each++)
		if (job.place[each] && job.sections[each].type != ELF_NO_BITS)
			memcpy(job.image + job.place[each], job.file + job.sections[each].offset, job.sections[each].size);
	for (u32 each = 0; each < header()->sections && status == 0; each++)
		if (job.sections[each].type == ELF_RELOCATIONS && job.place[job.sections[each].info])
			status = relocate(&job.sections[each]);
	return status;
}

/* Numbers that the module has variables for: "name=7 other=9". */
static void set_parameters(const char *words)
{
	char text[64];

	for (u32 each = 0; each < job.symbol_count; each++) {
		const struct elf_symbol *symbol = &job.symbols[each];
		u32 length = string_length(job.names + symbol->name), address = address_of(symbol);

		if (symbol->size != sizeof(u32) || !length || length + 2 > sizeof(text) || address <= job.base)
			continue;
		memcpy(text, job.names + symbol->name, length);
		memcpy(text + length, "=", 2);
		if (number_after(words, text))
			*(u32 *)(job.image + address - job.base) = number_after(words, text);
	}
}

static void write_head(const char *name)
{
	struct module_head *head = (struct module_head *)job.image;

	head->size_of_struct = sizeof(*head);
	head->name = job.base + sizeof(*head);
	head->size = job.size;
	head->init = own_address("init_module");
	head->cleanup = own_address("cleanup_module");
	memcpy(job.image + sizeof(*head), name, string_length(name) + 1);
}

/* From the file to the kernel; a name that create_module took is given back if anything fails. */
static int load(const char *name, const char *words)
{
	int status;

	job.base = sys_create_module(name, job.size);
	if (is_error(job.base))
		return (int)job.base;
	job.image = (u8 *)sys_mmap(job.size);
	status = is_error((u32)job.image) ? (int)(u32)job.image : assemble();
	if (status == 0) {
		set_parameters(words);
		write_head(name);
		status = sys_init_module(name, job.image);
	}
	if (!is_error((u32)job.image))
		sys_munmap((u32)job.image, job.size);
	if (status < 0)
		sys_delete_module(name);
	return status;
}

/* A piece of the object, from the host: the root disk can't be written to. */
static int take_piece(struct request *in, struct reply *out)
{
	u32 offset = take_u32(in);

	(void)out;
	if (!job.file)
		job.file = (u8 *)sys_mmap(FILE_MOST);
	if (is_error((u32)job.file))
		return (int)(u32)job.file;
	if (offset > FILE_MOST || in->left > FILE_MOST - offset)
		return -EINVAL;
	memcpy(job.file + offset, in->at, in->left);
	job.file_size = offset + in->left;
	return 0;
}

static int load_module(struct request *in, struct reply *out)
{
	char words[128];
	const char *name = take_path(in);
	int status = check_object();

	(void)out;
	if (!name || in->left >= sizeof(words))
		return -ENAMETOOLONG;
	memcpy(words, in->at, in->left);
	words[in->left] = 0;
	if (status == 0)
		status = ask_kernel();
	if (status < 0)
		return status;
	arrange(name);
	return load(name, words);
}

static int unload_module(struct request *in, struct reply *out)
{
	const char *name = take_path(in);

	(void)out;
	return name ? sys_delete_module(name) : -ENAMETOOLONG;
}

const struct operation module_ops[] = {
	{ OP_MODULE_DATA, 4, take_piece },
	{ OP_MODULE_LOAD, 1, load_module },
	{ OP_MODULE_UNLOAD, 1, unload_module },
	{ 0, 0, 0 },
};
