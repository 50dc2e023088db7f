"""What the host can ask of the agent and its tasks: the operations, their arguments and their replies.

images/src/ops.h is the guest's half; a unit test compares the two. All fields are u32, little endian, unless said
otherwise. A reply's payload is an s32 status (negative: an errno), then, if the status is not negative, the data. A
path is bytes without a NUL, to the end of the payload, except where data follows it.

Task 0 is the agent. Other tasks are worker processes, numbered by SPAWN, that take requests one after the other while
the agent goes on answering. What the agent says of a task by itself:

    -ESRCH      there is no such task
    -ECHILD     the task has died: for each request that it had not answered yet, and for every later one until REAP
    -EBUSY      the task has QUEUE requests before it already, or they do not fit into its pipe: nothing was done
    -ENOSYS     this task does not know the operation
    -EINVAL     the payload is too short for the operation, or an argument can't be
    -EMSGSIZE   the reply would not fit into a frame
"""

from __future__ import annotations

import errno
import struct
from enum import IntEnum

QUEUE = 8  # requests that one worker may have before it
TASKS = 32  # tasks at a time, the agent included


class Op(IntEnum):
    """The operations; the comment after each says `arguments -> data of the reply`."""

    # any task
    PING = 0x01  # bytes -> the same bytes (at most MAX_PAYLOAD - 4)
    READ_FILE = 0x10  # offset, most, path -> bytes (fewer than `most` only at the end of the file)
    LIST_DIR = 0x11  # names to skip, path -> next (0: that was all), then names, a NUL after each
    WRITE_FILE = 0x12  # offset, WRITE_* flags, path, NUL, data -> bytes written
    MKNOD = 0x13  # mode, device (major << 8 | minor), path
    SWAPON = 0x20  # flags, path
    SWAPOFF = 0x21  # path
    SYSINFO = 0x22  # -> SYSINFO
    SYNC = 0x23
    TIME = 0x24  # -> TIME
    # task 0
    STATS = 0x02  # -> STATS
    SPAWN = 0x03  # SPAWN: s32 nice, SPAWN_* flags -> task, pid
    REAP = 0x04  # task -> wait status; the task's number is free again (-EAGAIN: still alive)
    KILL = 0x05  # task, signal
    REBOOT = 0x06  # HALT, RESTART or POWER_OFF; the reply goes out first
    # workers
    EXIT = 0x30  # status; the reply goes out first
    MEM_MAP = 0x31  # bytes -> address of new anonymous memory
    MEM_UNMAP = 0x32  # address, bytes
    MEM_FILL = 0x33  # MEMORY
    MEM_VERIFY = 0x34  # MEMORY -> VERDICT
    MEM_PRESSURE = 0x35  # bytes, seed, passes: map, fill, verify `passes` times, unmap -> pages touched, bad words
    MEM_LOCK = 0x36  # address, bytes
    MEM_PEEK = 0x37  # address -> value (a wild address kills the worker, as it would any program)
    MEM_POKE = 0x38  # address, value
    KVMD_IOCTL = 0x40  # cmd, a structure of kvmdctl.h -> the structure; status is the ioctl's
    KVMD_IOCTL_AT = 0x41  # cmd, address of the structure, good or bad; status is the ioctl's
    KVMD_ROUNDS = 0x42  # ROUNDS: a driver's life, `rounds` times -> DONE; status: of the first call that failed
    COST = 0x48  # COST: what COST_*, rounds, handle, address of a region -> u64 ticks of the time stamp counter
    MODULE_DATA = 0x50  # offset, bytes of an object file, which ends with them
    MODULE_LOAD = 0x51  # name, NUL, words like `limit=7`: load that object as a module, on kernels of 2000
    MODULE_UNLOAD = 0x52  # name


AGENT_ONLY = frozenset({Op.STATS, Op.SPAWN, Op.REAP, Op.KILL, Op.REBOOT})
WORKER_ONLY = frozenset(op for op in Op if op >= Op.EXIT)

# WRITE_FILE
WRITE_CREATE = 1
WRITE_TRUNCATE = 2
# SPAWN
SPAWN_LOCKED = 1  # all the worker's memory is locked, as the agent's is
# KVMD_ROUNDS
NO_HANDLE = 0xFFFFFFFF  # open (with the flags) and close in each round
# COST
COST_FAULT, COST_PIPE, COST_MAP, COST_COMMAND = range(4)
# REBOOT
HALT, RESTART, POWER_OFF = 0, 1, 2

STATUS = struct.Struct("<i")
WORD = struct.Struct("<I")
PAIR = struct.Struct("<II")
TRIPLE = struct.Struct("<III")
SPAWN = struct.Struct("<iI")
MEMORY = struct.Struct("<IIII")  # address, bytes, seed, first page
VERDICT = struct.Struct("<IIII")  # bad words, address of the first one, expected, found
ROUNDS = struct.Struct("<IIIIII")  # rounds, handle, flags of open, regions in a round (at most 8), bytes, seed
DONE = struct.Struct("<III")  # rounds done, wrong words, calls made again because of a signal
COST = struct.Struct("<IIII")
STATS = struct.Struct("<IIIIIIII")
STATS_FIELDS = ("frames", "dropped", "skipped", "requests", "refused", "tasks", "pid", "locked_kib")
SYSINFO = struct.Struct("<12I")
SYSINFO_FIELDS = (
    "uptime",  # seconds
    "load1",  # loads: 1 << 16 is one process
    "load5",
    "load15",
    "totalram",  # these, in units of mem_unit bytes
    "freeram",
    "sharedram",
    "bufferram",
    "totalswap",
    "freeswap",
    "procs",
    "mem_unit",
)
TIME = struct.Struct("<IIIIIII")
TIME_FIELDS = (
    "seconds",
    "microseconds",
    "ticks",
    "utime",
    "stime",
    "cutime",
    "cstime",
)  # from `ticks` on: 100 a second

# the guest's numbers are i386's, which are this host's too for everything below 35 and for these
ERRNO_NAMES = {number: name for number, name in sorted(errno.errorcode.items()) if number < 133}


def errno_name(status: int) -> str:
    """Return the name of a negative status, such as "ENOMEM" for -12; an unknown one as "errno 514"."""
    return ERRNO_NAMES.get(-status, f"errno {-status}")
