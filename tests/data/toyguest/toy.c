/*
 * toy.c - a guest without a kernel: a console on COM1, an agent on COM2, and a fault on demand
 *
 * The kernel's command line says how it misbehaves: toy=NAME or toy=NAME:N, which strikes instead of the answer to
 * request number N (the first one is 1).
 *
 *	hang-boot	says nothing after its banner		panic-boot	dies before its agent is ready
 *	reset-boot	triple-faults before its agent is ready
 *	panic, oops, killed	dies with the words of a 2.3 kernel	reset	triple-faults
 *	deaf		answers no more, and reads no more		mute	answers no more, but reads
 *	garble		damages one byte of one answer			cut	sends half of one answer
 *	late		sends that answer only behind the next one
 *	busy		computes for a while before that answer and all later ones
 *
 * Operations: PING, SYNC (writes sector 0 of hdb), MEM_PEEK and MEM_POKE (physical memory); others are -ENOSYS.
 */
#include "frame.h"
#include "lib.h"

#define COM1	0x3f8
#define COM2	0x2f8
#define IDE	0x1f0

#define OP_PING		0x01
#define OP_SYNC		0x23
#define OP_PEEK		0x37
#define OP_POKE		0x38
#define ENOSYS		38

#define BUSY_ROUNDS	400000000	/* a second or so under TCG */

#define MULTIBOOT_CMDLINE	4	/* index of the command line's address */

void triple_fault(void) __attribute__((noreturn));

static const char *fault = "";
static u32 fault_at;
static u32 requests;
static struct decoder in;
static u8 out[FRAME_MAX], held[FRAME_MAX];
static u32 held_size;

/* ---- ports ---- */

static inline void outb(u16 port, u8 value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline u8 inb(u16 port)
{
	u8 value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void outw(u16 port, u16 value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static void uart_init(u16 port)
{
	outb(port + 1, 0);	/* no interrupts */
	outb(port + 3, 0x80);
	outb(port, 1);		/* 115200 */
	outb(port + 1, 0);
	outb(port + 3, 3);	/* 8N1 */
	outb(port + 2, 7);	/* FIFOs on, emptied */
}

static void uart_send(u16 port, const u8 *bytes, u32 size)
{
	while (size--) {
		while (!(inb(port + 5) & 0x20))
			;
		outb(port, *bytes++);
	}
}

static int uart_ready(u16 port)
{
	return inb(port + 5) & 1;
}

void say(const char *text)
{
	const char *end = text;

	while (*end)
		end++;
	uart_send(COM1, (const u8 *)text, (u32)(end - text));
}

/* what frame.c and the compiler ask for */
void *memmove(void *to, const void *from, unsigned long size)
{
	u8 *target = to;
	const u8 *source = from;
	unsigned long place;

	for (place = 0; place < size && target <= source; place++)
		target[place] = source[place];
	for (; size > place; size--)
		target[size - 1] = source[size - 1];
	return to;
}

void *memcpy(void *to, const void *from, unsigned long size)
{
	return memmove(to, from, size);
}

/* write zeros with a mark to the first sector of hdb, by PIO */
static int write_swap_sector(void)
{
	int word;

	outb(IDE + 6, 0xf0);
	outb(IDE + 2, 1);
	outb(IDE + 3, 0);
	outb(IDE + 4, 0);
	outb(IDE + 5, 0);
	outb(IDE + 7, 0x30);
	while ((inb(IDE + 7) & 0x88) != 0x08)
		if (inb(IDE + 7) & 1)
			return -1;
	for (word = 0; word < 256; word++)
		outw(IDE, word ? 0 : 0x746f);
	while (inb(IDE + 7) & 0x80)
		;
	return inb(IDE + 7) & 1 ? -1 : 0;
}

/* ---- faults ---- */

static void hang(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

static void panic(void)
{
	say("Kernel panic: toy guest asked to die\nIn interrupt handler - not syncing\nRebooting in 1 seconds..");
	triple_fault();
}

static void oops(void)
{
	say("Unable to handle kernel NULL pointer dereference at virtual address 00000010\n printing eip:\nc0120014\n"
	    "*pde = 00000000\nOops: 0002\nCPU:    0\nEIP:    0010:[<c0120014>]\nEFLAGS: 00010246\n"
	    "eax: 00000000   ebx: c0ffe000   ecx: 00000001   edx: 00000010\n"
	    "Process toy (pid: 7, stackpage=c0fe1000)\nStack: c0ffe000 c0110008\n"
	    "Call Trace: [<c0110008>] [<c0100004>] \nCode: 89 42 10 c3\n");
}

static int strikes(const char *name)
{
	const char *have = fault;

	while (*name && *name == *have)
		name++, have++;
	return !*name && !*have;
}

/* the command line's "toy=NAME:N", cut up in place */
static void read_fault(char *line)
{
	for (; *line; line++) {
		if (line[0] != 't' || line[1] != 'o' || line[2] != 'y' || line[3] != '=')
			continue;
		fault = line += 4;
		while (*line && *line != ' ' && *line != ':')
			line++;
		if (*line == ':') {
			*line++ = 0;
			while (*line >= '0' && *line <= '9')
				fault_at = fault_at * 10 + (u32)(*line++ - '0');
		}
		*line = 0;
		return;
	}
}

/* ---- the agent ---- */

static s32 perform(const struct frame *frame, u8 *reply, u16 *length)
{
	*length = 0;
	switch (frame->op) {
	case OP_PING:
		memcpy(reply, frame->payload, frame->length);
		*length = frame->length;
		return 0;
	case OP_SYNC:
		return write_swap_sector();
	case OP_PEEK:
		store_u32(reply, *(volatile u32 *)load_u32(frame->payload));
		*length = 4;
		return 0;
	case OP_POKE:
		*(volatile u32 *)load_u32(frame->payload) = load_u32(frame->payload + 4);
		return 0;
	}
	return -ENOSYS;
}

static void send(u32 size)
{
	uart_send(COM2, out, size);
	uart_send(COM2, held, held_size);
	held_size = 0;
}

static void compute(void)
{
	u32 rounds = BUSY_ROUNDS;

	__asm__ volatile("1: dec %0; jnz 1b" : "+r"(rounds) : : "cc");
}

static void answer(const struct frame *frame)
{
	u8 *payload = out + FRAME_HEADER;
	int now = ++requests == fault_at;
	u16 length;
	u32 size;

	if (now && strikes("panic"))
		panic();
	if (now && strikes("oops"))
		oops();
	if (now && strikes("killed"))
		say("VM: killing process agent\n");
	if (now && (strikes("oops") || strikes("killed") || strikes("deaf")))
		hang();
	if (now && strikes("reset"))
		triple_fault();
	if (requests >= fault_at && strikes("mute"))
		return;
	if (requests >= fault_at && strikes("busy"))
		compute();
	store_u32(payload, (u32)perform(frame, payload + 4, &length));
	size = frame_seal(out, frame->seq, frame->op, frame->task, (u16)(length + 4));
	if (now && strikes("garble"))
		out[size - 1] ^= 0x10;
	if (now && strikes("cut"))
		size /= 2;
	if (now && strikes("late")) {
		memcpy(held, out, size);
		held_size = size;
		return;
	}
	send(size);
}

static void serve(void)
{
	struct frame frame;
	u32 room;
	u8 *place;

	for (;;) {
		place = decoder_room(&in, &room);
		if (room && uart_ready(COM2)) {
			*place = inb(COM2);
			decoder_received(&in, 1);
		}
		while (decoder_next(&in, &frame))
			answer(&frame);
	}
}

void toy_main(u32 *multiboot)
{
	uart_init(COM1);
	uart_init(COM2);
	read_fault((char *)multiboot[MULTIBOOT_CMDLINE]);
	say("toy guest\r\n");
	if (strikes("hang-boot"))
		hang();
	if (strikes("panic-boot"))
		panic();
	if (strikes("reset-boot"))
		triple_fault();
	say("lab: agent ready\r\n");
	serve();
}
