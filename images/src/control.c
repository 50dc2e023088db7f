/* control.c - the calls of kvmd, through its control device */
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

/* The structure goes back whatever the status is: a failed call may have written into it. */
static int pass_ioctl(struct request *in, struct reply *out)
{
	u8 structure[LARGEST] __attribute__((aligned(4)));
	u32 command = take_u32(in);
	int fd = device(), status;

	if (fd < 0)
		return fd;
	if (in->left > LARGEST)
		return -EMSGSIZE;
	memset(structure, 0, sizeof(structure));
	memcpy(structure, in->at, in->left);
	status = sys_ioctl(fd, command, structure);
	put_bytes(out, structure, in->left);
	return status;
}

const struct operation kvmd_ops[] = {
	{ OP_KVMD_IOCTL, 4, pass_ioctl },
	{ 0, 0, 0 },
};
