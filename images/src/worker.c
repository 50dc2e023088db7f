/*
 * worker.c - a task: takes requests from descriptor 0, one after the other, and replies on descriptor 3
 *
 * Only what the frames pass through is locked in memory; all else may be swapped out like any program's memory. With
 * the argument "locked" everything is.
 */
#include "worker.h"
#include "cost.h"
#include "lib.h"
#include "ops.h"
#include "sys.h"

#define REQUESTS	0
#define REPLIES		3

static struct {
	struct decoder in;
	u8 reply[FRAME_MAX];
} io __attribute__((aligned(4096)));

static int leaving;
static int exit_status;

static int leave(struct request *in, struct reply *out)
{
	(void)out;
	exit_status = (int)take_u32(in);
	leaving = 1;
	return 0;
}

static const struct operation worker_ops[] = {
	{ OP_EXIT, 4, leave },
	{ 0, 0, 0 },
};

/*
 * Whether a call has done nothing because of a signal, and is to be made again. A kernel of 2000 restarts it by itself
 * unless the signal is gone by then: SIGCONT takes a SIGSTOP back, and if that happens after the call gave up and before
 * the way out to the program, no signal is left, nobody restarts the call, and the kernel's own error is what one gets.
 */
static int interrupted(int status)
{
	return status == -EINTR || status == -ERESTARTSYS;
}

static int receive(u8 *place, u32 room)
{
	int got;

	do
		got = sys_read(REQUESTS, place, room);
	while (interrupted(got));
	return got;
}

/* whole or not at all: a frame is smaller than PIPE_BUF */
static void send(const u8 *bytes, u32 size)
{
	int done;

	do
		done = sys_write(REPLIES, bytes, size);
	while (interrupted(done));
	if (done != (int)size)
		sys_exit(2);
}

static void serve(const struct frame *frame)
{
	static const struct operation *const lists[] = {
		worker_ops, memory_ops, kvmd_ops, cost_ops, module_ops, file_ops, system_ops, 0,
	};
	u32 size = answer(lists, frame, io.reply);

	send(io.reply, size);
	if (leaving)
		sys_exit(exit_status);
}

int main(int argc, char **argv)
{
	struct frame frame;

	(void)argv;
	if (argc > 1)
		sys_mlockall(MCL_CURRENT | MCL_FUTURE);
	else
		sys_mlock((u32)&io, sizeof(io));
	for (;;) {
		u32 room;
		u8 *place = decoder_room(&io.in, &room);
		int got = receive(place, room);

		if (got <= 0)
			return got == 0 ? 0 : 3;
		decoder_received(&io.in, (u32)got);
		while (decoder_next(&io.in, &frame))
			serve(&frame);
	}
}
