/* control.c - the calls of kvmd, through its control device */
#include "control.h"
#include "kvmdctl.h"
#include "lib.h"
#include "ops.h"
#include "sys.h"
#include "worker.h"

/* above the largest structure of kvmdctl.h: a request of a wrong size can't make the kernel write beyond the buffer */
#define LARGEST 128u

/* The device stays open as long as the worker lives: closing it would give back all that was opened through it. */
static int device(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = sys_open(KVMDCTL_PATH, O_RDWR, 0);
	return fd;
}

int control_ioctl(u32 command, void *structure)
{
	int fd = device();

	return fd < 0 ? fd : sys_ioctl(fd, command, structure);
}

/* The structure goes back whatever the status is: a failed call may have written into it. */
static int pass_ioctl(struct request *in, struct reply *out)
{
	u8 structure[LARGEST] __attribute__((aligned(4)));
	u32 command = take_u32(in);
	int status;

	if (in->left > LARGEST)
		return -EMSGSIZE;
	memset(structure, 0, sizeof(structure));
	memcpy(structure, in->at, in->left);
	status = control_ioctl(command, structure);
	put_bytes(out, structure, in->left);
	return status;
}

/* The structure is wherever the host says, which may be where there is no memory, or none that can be written to. */
static int pass_address(struct request *in, struct reply *out)
{
	u32 command = take_u32(in), address = take_u32(in);

	(void)out;
	return control_ioctl(command, (void *)address);
}

const struct operation kvmd_ops[] = {
	{ OP_KVMD_IOCTL, 4, pass_ioctl },
	{ OP_KVMD_IOCTL_AT, 8, pass_address },
	{ OP_KVMD_ROUNDS, 24, control_rounds },
	{ 0, 0, 0 },
};
