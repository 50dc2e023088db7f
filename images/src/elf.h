/* elf.h - relocatable objects for i386: as much of the format as a module's loader reads */
#ifndef ELF_H
#define ELF_H

#include "types.h"

enum { ELF_RELOCATABLE = 1, ELF_I386 = 3 };
enum { ELF_SYMBOLS = 2, ELF_NO_BITS = 8, ELF_RELOCATIONS = 9 };	/* of sections */
enum { ELF_ALLOC = 2 };						/* flag: there at run time */
enum { ELF_UNDEFINED = 0, ELF_ABSOLUTE = 0xfff1 };		/* sections of symbols */
enum { ELF_386_32 = 1, ELF_386_PC32 = 2, ELF_386_PLT32 = 4 };	/* kinds of relocation */

struct elf_header {
	u8 ident[16];
	u16 type, machine;
	u32 version, entry, program_offset, section_offset, flags;
	u16 header_size, program_size, programs, section_size, sections, names;
};

struct elf_section {
	u32 name, type, flags, address, offset, size, link, info, alignment, entry_size;
};

struct elf_symbol {
	u32 name, value, size;
	u8 info, other;
	u16 section;
};

/* the symbol's number is info >> 8, the kind of relocation info & 0xff */
struct elf_relocation {
	u32 offset, info;
};

#endif /* ELF_H */
