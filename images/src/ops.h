/*
 * ops.h - what the host can ask of the agent and its tasks
 *
 * lab/machine/protocol.py is the host's half, and says what each operation takes and gives; a test compares the two.
 */
#ifndef OPS_H
#define OPS_H

#define QUEUE	8	/* requests that one worker may have before it */
#define TASKS	32	/* tasks at a time, the agent included */

enum op {
	/* any task */
	OP_PING = 0x01,
	OP_READ_FILE = 0x10,
	OP_LIST_DIR = 0x11,
	OP_WRITE_FILE = 0x12,
	OP_MKNOD = 0x13,
	OP_SWAPON = 0x20,
	OP_SWAPOFF = 0x21,
	OP_SYSINFO = 0x22,
	OP_SYNC = 0x23,
	OP_TIME = 0x24,
	/* task 0 */
	OP_STATS = 0x02,
	OP_SPAWN = 0x03,
	OP_REAP = 0x04,
	OP_KILL = 0x05,
	OP_REBOOT = 0x06,
	/* workers */
	OP_EXIT = 0x30,
	OP_MEM_MAP = 0x31,
	OP_MEM_UNMAP = 0x32,
	OP_MEM_FILL = 0x33,
	OP_MEM_VERIFY = 0x34,
	OP_MEM_PRESSURE = 0x35,
	OP_MEM_LOCK = 0x36,
	OP_MEM_PEEK = 0x37,
	OP_MEM_POKE = 0x38,
	OP_KVMD_IOCTL = 0x40,
	OP_KVMD_IOCTL_AT = 0x41,
	OP_KVMD_ROUNDS = 0x42,
	OP_COST = 0x48,
	OP_MODULE_DATA = 0x50,
	OP_MODULE_LOAD = 0x51,
	OP_MODULE_UNLOAD = 0x52,
};

enum { COST_FAULT, COST_PIPE, COST_MAP, COST_COMMAND };
enum { WRITE_CREATE = 1, WRITE_TRUNCATE = 2 };
enum { SPAWN_LOCKED = 1 };
enum { HALT = 0, RESTART = 1, POWER_OFF = 2 };

#define NO_HANDLE 0xffffffffu	/* KVMD_ROUNDS: open and close in each round */

#endif /* OPS_H */
