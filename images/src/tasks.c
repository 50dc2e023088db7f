/*
 * tasks.c - the agent's workers
 *
 * A worker has a pipe for requests and one for replies, with frames on them as on the line. It locks the memory that
 * these frames pass through (worker.c), so neither pipe is ever held up by a page that is in swap. A frame is smaller
 * than PIPE_BUF: the agent's nonblocking write takes all of it or nothing, and no buffer is needed on the way down. On
 * the way up the pipe itself is the buffer: it is read only while the line's queue has room.
 */
#include "tasks.h"
#include "lib.h"
#include "line.h"
#include "ops.h"

_Static_assert(FRAME_MAX <= PIPE_BUF, "a frame must go into a pipe whole or not at all");

enum state { FREE, ALIVE, DEAD };

struct task {
	enum state state;
	int pid, requests, replies;	/* the agent's ends of the pipes */
	int status;			/* of wait, when DEAD */
	u32 waiting;			/* requests without a reply, oldest first */
	struct frame asked[QUEUE];
	struct decoder in;
};

static struct task tasks[TASKS];	/* [0], the agent, stays FREE */
static const char *program;

void tasks_begin(const char *path)
{
	program = path;
	sys_signal(SIGPIPE, SIG_IGN);
}

u32 tasks_count(void)
{
	u32 count = 0;

	for (u32 number = 1; number < TASKS; number++)
		count += tasks[number].state != FREE;
	return count;
}

static struct task *find(u32 number)
{
	return number > 0 && number < TASKS && tasks[number].state != FREE ? &tasks[number] : 0;
}

int task_forward(const struct frame *frame)
{
	struct task *task = find(frame->task);
	int done;

	if (!task)
		return -ESRCH;
	if (task->state == DEAD)
		return -ECHILD;
	if (task->waiting == QUEUE)
		return -EBUSY;
	done = sys_write(task->requests, frame_bytes(frame), frame_size(frame));
	if (done < 0)
		return done == -EAGAIN ? -EBUSY : -ECHILD;
	task->asked[task->waiting++] = *frame;
	return 0;
}

/* In the new process: become a worker. Shares the agent's memory until the exec, so it changes none of it. */
static void __attribute__((noreturn, noinline))
become_worker(int requests, int replies, int nice, u32 flags, int *error)
{
	char *argv[] = { (char *)program, flags & SPAWN_LOCKED ? (char *)"locked" : 0, 0 };

	sys_sched_setscheduler(SCHED_OTHER, 0);
	sys_nice(nice);
	sys_dup2(requests, 0);
	sys_dup2(replies, 3);
	*error = sys_execve(program, argv, argv + COUNT(argv) - 1);
	sys_exit(127);
}

static int start(struct task *task, const int down[2], const int up[2], int nice, u32 flags)
{
	volatile int error = 0;
	int pid = sys_vfork();

	if (pid == 0)
		become_worker(down[0], up[1], nice, flags, (int *)&error);
	if (pid < 0)
		return pid;
	if (error) {
		sys_wait4(pid, &task->status);
		return error;
	}
	task->pid = pid;
	return 0;
}

static int open_pipes(int down[2], int up[2])
{
	int status = sys_pipe(down);

	if (status < 0)
		return status;
	status = sys_pipe(up);
	if (status < 0) {
		sys_close(down[0]);
		sys_close(down[1]);
		return status;
	}
	for (int end = 0; end < 2; end++) {
		sys_fcntl(down[end], F_SETFD, FD_CLOEXEC);
		sys_fcntl(up[end], F_SETFD, FD_CLOEXEC);
	}
	sys_fcntl(down[1], F_SETFL, O_NONBLOCK);
	sys_fcntl(up[0], F_SETFL, O_NONBLOCK);
	return 0;
}

static int spawn_into(struct task *task, int nice, u32 flags)
{
	int down[2], up[2];
	int status = open_pipes(down, up);

	if (status < 0)
		return status;
	status = start(task, down, up, nice, flags);
	sys_close(down[0]);
	sys_close(up[1]);
	if (status < 0) {
		sys_close(down[1]);
		sys_close(up[0]);
		return status;
	}
	task->requests = down[1];
	task->replies = up[0];
	task->waiting = 0;
	memset(&task->in, 0, sizeof(task->in));
	task->state = ALIVE;
	return 0;
}

static int spawn(struct request *in, struct reply *out)
{
	int nice = (int)take_u32(in);
	u32 flags = take_u32(in), number = 1;
	int status;

	while (number < TASKS && tasks[number].state != FREE)
		number++;
	if (number == TASKS)
		return -EAGAIN;
	status = spawn_into(&tasks[number], nice, flags);
	if (status < 0)
		return status;
	put_u32(out, number);
	put_u32(out, (u32)tasks[number].pid);
	return 0;
}

static int reap(struct request *in, struct reply *out)
{
	struct task *task = find(take_u32(in));

	if (!task)
		return -ESRCH;
	if (task->state == ALIVE)
		return -EAGAIN;
	put_u32(out, (u32)task->status);
	task->state = FREE;
	return 0;
}

static int kill(struct request *in, struct reply *out)
{
	struct task *task = find(take_u32(in));
	u32 signal = take_u32(in);

	(void)out;
	if (!task)
		return -ESRCH;
	return task->state == DEAD ? -ECHILD : sys_kill(task->pid, (int)signal);
}

const struct operation task_ops[] = {
	{ OP_SPAWN, 8, spawn },
	{ OP_REAP, 4, reap },
	{ OP_KILL, 8, kill },
	{ 0, 0, 0 },
};

/* pass on whole replies; 0 when the line has no room for the next one */
static int pass_on(struct task *task)
{
	struct frame reply;

	while (line_has_room()) {
		if (!decoder_next(&task->in, &reply))
			return 1;
		line_send(frame_bytes(&reply), frame_size(&reply));
		if (task->waiting)
			memmove(task->asked, task->asked + 1, --task->waiting * sizeof(task->asked[0]));
	}
	return 0;
}

/* the pipe of replies has ended: the process is gone, or about to be */
static void bury(struct task *task)
{
	u8 reply[FRAME_OVERHEAD + 4];

	sys_wait4(task->pid, &task->status);
	sys_close(task->requests);
	sys_close(task->replies);
	task->state = DEAD;
	for (u32 each = 0; each < task->waiting; each++)
		line_send(reply, answer_status(&task->asked[each], -ECHILD, reply));
	task->waiting = 0;
}

static void serve(struct task *task)
{
	u32 room;
	u8 *place;
	int got;

	while (pass_on(task)) {
		place = decoder_room(&task->in, &room);
		got = sys_read(task->replies, place, room);
		if (got == 0)
			bury(task);
		if (got <= 0)
			break;
		decoder_received(&task->in, (u32)got);
	}
}

u32 tasks_poll(struct pollfd *polls)
{
	u32 count = 0;

	for (u32 number = 1; number < TASKS && line_has_room(); number++)
		if (tasks[number].state == ALIVE)
			polls[count++] = (struct pollfd){ tasks[number].replies, POLLIN, 0 };
	return count;
}

void tasks_serve(void)
{
	for (u32 number = 1; number < TASKS; number++)
		if (tasks[number].state == ALIVE)
			serve(&tasks[number]);
}
