/* start.S - a multiboot entry for the toy guest: 32-bit protected mode, flat, no interrupts */
#define MAGIC 0x1badb002

	.section .multiboot, "a"
	.align 4
	.long MAGIC, 0, -MAGIC

	.text
	.globl _start
_start:
	movl $stack_top, %esp
	pushl %ebx		/* the multiboot information */
	call toy_main
1:	cli
	hlt
	jmp 1b

	.globl triple_fault	/* an empty IDT and a trap: the CPU gives up and resets */
triple_fault:
	lidt no_idt
	int3

	.data
no_idt:	.word 0
	.long 0

	.bss
	.align 16
	.space 16384
stack_top:
	.section .note.GNU-stack, "", @progbits
