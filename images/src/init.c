/*
 * init.c - the first process: starts the agent and reaps what nobody else waits for
 *
 * Swap is not switched on here: the agent does that when the host asks for it. When the agent dies, the console says so
 * and init goes on, so that the console stays readable and the kernel does not panic for want of a first process.
 */
#include "lib.h"
#include "sys.h"

#define AGENT	"/sbin/agent"

static void open_console(void)
{
	int fd = sys_open("/dev/console", O_RDWR, 0);

	if (fd < 0)
		return;
	for (int each = 0; each < 3; each++)
		sys_dup2(fd, each);
	if (fd > 2)
		sys_close(fd);
}

static void __attribute__((noreturn, noinline)) become_agent(void)
{
	char *argv[] = { (char *)AGENT, 0 };

	sys_execve(AGENT, argv, argv + 1);
	sys_exit(127);
}

static int start_agent(void)
{
	int pid = sys_vfork();

	if (pid == 0)
		become_agent();
	if (pid < 0)
		say_number("lab: the agent does not start: errno ", -pid, "\n");
	return pid;
}

/* the raw status of wait: 256 times the exit status, or the number of the signal (128 added if a core was dumped) */
static void reap(int agent)
{
	int status = 0;
	int pid = sys_wait4(-1, &status);

	if (pid == agent && pid > 0)
		say_number("lab: agent died: status ", status, "\n");
	if (pid == -ECHILD)
		sys_poll(0, 0, -1);
}

int main(int argc, char **argv)
{
	int agent, status;

	(void)argc;
	(void)argv;
	open_console();
	say("lab: init\n");
	status = sys_mount("proc", "/proc", "proc");
	if (status < 0 && status != -EBUSY)
		say_number("lab: /proc is not there: errno ", -status, "\n");
	sys_mount("debugfs", "/debug", "debugfs");	/* of later kernels only: what they tell of themselves */
	agent = start_agent();
	for (;;)
		reap(agent);
}
