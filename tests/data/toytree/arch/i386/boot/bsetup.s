.code16
.globl begtext
begtext:
	jmp begtext
	.ascii "toy"
