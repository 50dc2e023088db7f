/*
 * agent.c - answers the host on the serial line
 *
 * agent [line [worker]], by default /dev/ttyS1 and /sbin/worker. Its memory is locked, and it runs before all ordinary
 * processes: it must answer while the rest of the guest is swapped out. It starts nothing that may take long except
 * what the host explicitly asks task 0 to do (SWAPOFF and SYNC are better asked of a worker).
 */
#include "lib.h"
#include "line.h"
#include "ops.h"
#include "request.h"
#include "sys.h"
#include "tasks.h"

#define PRIORITY	50
#define STACK_SIZE	(4 * PAGE_SIZE)

static u32 requests, refused;
static u32 reboot_command;

static u32 locked_kib(void)
{
	static char text[1024];
	int fd = sys_open("/proc/self/status", O_RDONLY, 0);
	int got = fd < 0 ? 0 : sys_read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		sys_close(fd);
	text[got > 0 ? got : 0] = 0;
	return number_after(text, "VmLck:");
}

static int stats(struct request *in, struct reply *out)
{
	(void)in;
	put_u32(out, line_in.frames);
	put_u32(out, line_in.dropped);
	put_u32(out, line_in.skipped);
	put_u32(out, requests);
	put_u32(out, refused);
	put_u32(out, tasks_count());
	put_u32(out, (u32)sys_getpid());
	put_u32(out, locked_kib());
	return 0;
}

static int reboot(struct request *in, struct reply *out)
{
	static const u32 commands[] = { [HALT] = 0xcdef0123, [RESTART] = 0x01234567, [POWER_OFF] = 0x4321fedc };
	u32 what = take_u32(in);

	(void)out;
	if (what >= COUNT(commands))
		return -EINVAL;
	reboot_command = commands[what];
	return 0;
}

static const struct operation agent_ops[] = {
	{ OP_STATS, 0, stats },
	{ OP_REBOOT, 4, reboot },
	{ 0, 0, 0 },
};

static void serve_one(const struct frame *frame)
{
	static const struct operation *const lists[] = { agent_ops, task_ops, file_ops, system_ops, 0 };
	static u8 reply[FRAME_MAX];
	int status;

	requests++;
	if (frame->task == 0) {
		line_send(reply, answer(lists, frame, reply));
		return;
	}
	status = task_forward(frame);
	if (status < 0) {
		refused++;
		line_send(reply, answer_status(frame, status, reply));
	}
}

static void serve_line(void)
{
	struct frame frame;

	while (!reboot_command && line_has_room() && decoder_next(&line_in, &frame))
		serve_one(&frame);
}

/* returns when the line is gone */
static int listen(void)
{
	struct pollfd polls[TASKS + 1];
	int status = 0;

	while (status == 0) {
		line_poll(&polls[0]);
		sys_poll(polls, 1 + tasks_poll(polls + 1), -1);
		if (polls[0].revents & (POLLIN | POLLHUP | POLLERR))
			status = line_receive();
		tasks_serve();
		serve_line();
		if (status == 0)
			status = line_transmit();
		if (reboot_command) {
			line_drain();
			sys_reboot(reboot_command);
			reboot_command = 0;
		}
	}
	return status;
}

/* Touch the stack as deep as it will ever get, so that it is there, and locked, before memory becomes scarce. */
static void __attribute__((noinline)) grow_stack(void)
{
	volatile u8 stack[STACK_SIZE];

	for (u32 at = 0; at < sizeof(stack); at += PAGE_SIZE)
		stack[at] = 0;
}

static void come_first(void)
{
	int status;

	grow_stack();
	status = sys_mlockall(MCL_CURRENT | MCL_FUTURE);
	if (status < 0)
		say_number("lab: agent: memory is not locked: errno ", -status, "\n");
	status = sys_sched_setscheduler(SCHED_FIFO, PRIORITY);
	if (status < 0)
		say_number("lab: agent: no real-time priority: errno ", -status, "\n");
}

int main(int argc, char **argv)
{
	int status = line_open(argc > 1 ? argv[1] : "/dev/ttyS1");

	if (status < 0) {
		say_number("lab: agent: the line does not open: errno ", -status, "\n");
		return 1;
	}
	tasks_begin(argc > 2 ? argv[2] : "/sbin/worker");
	come_first();
	say("lab: agent ready\n");
	status = listen();
	say_number("lab: agent: the line is gone: errno ", -status, "\n");
	return 2;
}
