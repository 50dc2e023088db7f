/*
 * sys.h - the system calls that the guest programs use, on i386, without a C library
 *
 * Every call returns what the kernel returns: a negative errno on failure. Numbers and layouts here have been the same
 * from Linux 2.2 on. Addresses may lie above 2 GiB, so sys_mmap's result is judged by is_error(), not by its sign.
 */
#ifndef SYS_H
#define SYS_H

#include "types.h"

enum {
	NR_exit = 1, NR_fork = 2, NR_read = 3, NR_write = 4, NR_open = 5, NR_close = 6, NR_execve = 11, NR_mknod = 14,
	NR_lseek = 19, NR_getpid = 20, NR_mount = 21, NR_nice = 34, NR_sync = 36, NR_kill = 37, NR_pipe = 42,
	NR_times = 43, NR_signal = 48, NR_ioctl = 54, NR_fcntl = 55, NR_dup2 = 63, NR_gettimeofday = 78,
	NR_swapon = 87, NR_reboot = 88, NR_mmap = 90, NR_munmap = 91, NR_wait4 = 114, NR_swapoff = 115,
	NR_sysinfo = 116, NR_create_module = 127, NR_init_module = 128, NR_delete_module = 129, NR_getdents = 141,
	NR_mlock = 150, NR_mlockall = 152, NR_sched_setscheduler = 156, NR_query_module = 167, NR_poll = 168, NR_vfork = 190,
};

enum {
	EPERM = 1, ENOENT = 2, ESRCH = 3, EINTR = 4, ENOEXEC = 8, EAGAIN = 11, EBUSY = 16, ECHILD = 10, EINVAL = 22,
	ENAMETOOLONG = 36, ENOSYS = 38, EMSGSIZE = 90,
	ERESTARTSYS = 512, /* the kernel's own affair, and yet a program may see it: worker.c */
};

enum { O_RDONLY = 0, O_WRONLY = 1, O_RDWR = 2, O_CREAT = 0100, O_NOCTTY = 0400, O_TRUNC = 01000, O_NONBLOCK = 04000 };
enum { F_SETFD = 2, F_SETFL = 4, FD_CLOEXEC = 1 };
enum { SIGPIPE = 13, SIG_IGN = 1 };
enum { POLLIN = 1, POLLOUT = 4, POLLERR = 8, POLLHUP = 16 };
enum { PROT_READ = 1, PROT_WRITE = 2, MAP_PRIVATE = 2, MAP_ANONYMOUS = 32 };
enum { MCL_CURRENT = 1, MCL_FUTURE = 2 };
enum { SCHED_OTHER = 0, SCHED_FIFO = 1 };
enum { QM_SYMBOLS = 4 };

/* ioctls of terminals */
enum { TCSETS = 0x5402, TCSBRK = 0x5409, TCFLSH = 0x540b, TIOCGSERIAL = 0x541e, TIOCSSERIAL = 0x541f };

#define PAGE_SIZE 4096u
#define PIPE_BUF  4096u /* a write of at most so many bytes goes into a pipe whole or not at all */

struct pollfd {
	int fd;
	short events;
	short revents;
};

struct termios {
	u32 iflag, oflag, cflag, lflag;
	u8 line;
	u8 cc[19];
};

enum { CC_VTIME = 5, CC_VMIN = 6 };
enum { TERMIOS_B115200 = 010002, TERMIOS_CS8 = 060, TERMIOS_CREAD = 0200, TERMIOS_CLOCAL = 04000 };

struct timeval {
	s32 seconds, microseconds;
};

struct tms {
	s32 utime, stime, cutime, cstime;
};

struct sysinfo {
	s32 uptime;
	u32 loads[3];
	u32 totalram, freeram, sharedram, bufferram, totalswap, freeswap;
	u16 procs, pad;
	u32 totalhigh, freehigh, mem_unit;
	u32 spare[8];
};

struct dirent {
	u32 ino, off;
	u16 reclen;
	char name[];
};

/* Linux finds this call's six arguments in memory */
struct mmap_args {
	u32 addr, len, prot, flags, fd, offset;
};

static inline int is_error(u32 result)
{
	return result > -4096u;
}

static inline u32 syscall5(u32 number, u32 a, u32 b, u32 c, u32 d, u32 e)
{
	u32 result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
	return result;
}

#define SYS0(nr)                (int)syscall5(nr, 0, 0, 0, 0, 0)
#define SYS1(nr, a)             (int)syscall5(nr, (u32)(a), 0, 0, 0, 0)
#define SYS2(nr, a, b)          (int)syscall5(nr, (u32)(a), (u32)(b), 0, 0, 0)
#define SYS3(nr, a, b, c)       (int)syscall5(nr, (u32)(a), (u32)(b), (u32)(c), 0, 0)
#define SYS4(nr, a, b, c, d)    (int)syscall5(nr, (u32)(a), (u32)(b), (u32)(c), (u32)(d), 0)
#define SYS5(nr, a, b, c, d, e) (int)syscall5(nr, (u32)(a), (u32)(b), (u32)(c), (u32)(d), (u32)(e))

static inline void __attribute__((noreturn)) sys_exit(int status)
{
	for (;;)
		SYS1(NR_exit, status);
}

/*
 * The child shares the parent's memory, and the parent sleeps, until the child execs or exits: no page is copied, so
 * a locked parent stays whole under memory pressure. The child must not return from the function that called this.
 */
static inline __attribute__((always_inline)) int sys_vfork(void)
{
	return SYS0(NR_vfork);
}

static inline int sys_read(int fd, void *data, u32 size) { return SYS3(NR_read, fd, data, size); }
static inline int sys_write(int fd, const void *data, u32 size) { return SYS3(NR_write, fd, data, size); }
static inline int sys_open(const char *path, int flags, int mode) { return SYS3(NR_open, path, flags, mode); }
static inline int sys_close(int fd) { return SYS1(NR_close, fd); }
static inline int sys_lseek(int fd, u32 offset) { return SYS3(NR_lseek, fd, offset, 0); }
static inline int sys_dup2(int from, int to) { return SYS2(NR_dup2, from, to); }
static inline int sys_fork(void) { return SYS0(NR_fork); }
static inline int sys_pipe(int ends[2]) { return SYS1(NR_pipe, ends); }
static inline int sys_fcntl(int fd, int what, int value) { return SYS3(NR_fcntl, fd, what, value); }
static inline int sys_ioctl(int fd, u32 what, void *data) { return SYS3(NR_ioctl, fd, what, data); }
static inline int sys_poll(struct pollfd *fds, u32 count, int timeout) { return SYS3(NR_poll, fds, count, timeout); }
static inline int sys_getdents(int fd, void *data, u32 size) { return SYS3(NR_getdents, fd, data, size); }
static inline int sys_mknod(const char *path, u32 mode, u32 device) { return SYS3(NR_mknod, path, mode, device); }
static inline int sys_execve(const char *path, char **argv, char **env) { return SYS3(NR_execve, path, argv, env); }
static inline int sys_wait4(int pid, int *status) { return SYS4(NR_wait4, pid, status, 0, 0); }
static inline int sys_kill(int pid, int signal) { return SYS2(NR_kill, pid, signal); }
static inline int sys_signal(int signal, u32 action) { return SYS2(NR_signal, signal, action); }
static inline int sys_nice(int increment) { return SYS1(NR_nice, increment); }
static inline int sys_getpid(void) { return SYS0(NR_getpid); }
static inline int sys_munmap(u32 addr, u32 size) { return SYS2(NR_munmap, addr, size); }
static inline int sys_mlock(u32 addr, u32 size) { return SYS2(NR_mlock, addr, size); }
static inline int sys_mlockall(int flags) { return SYS1(NR_mlockall, flags); }
static inline int sys_swapon(const char *path, u32 flags) { return SYS2(NR_swapon, path, flags); }
static inline int sys_swapoff(const char *path) { return SYS1(NR_swapoff, path); }
static inline int sys_sync(void) { return SYS0(NR_sync); }
static inline int sys_sysinfo(struct sysinfo *info) { return SYS1(NR_sysinfo, info); }
static inline int sys_gettimeofday(struct timeval *now) { return SYS2(NR_gettimeofday, now, 0); }

/* the module calls of kernels up to 2.4; create_module gives an address */
static inline u32 sys_create_module(const char *name, u32 size) { return (u32)SYS2(NR_create_module, name, size); }
static inline int sys_init_module(const char *name, void *image) { return SYS2(NR_init_module, name, image); }
static inline int sys_delete_module(const char *name) { return SYS1(NR_delete_module, name); }
static inline int sys_query_module(const char *name, int what, void *buffer, u32 size, u32 *done)
{
	return SYS5(NR_query_module, name, what, buffer, size, done);
}

static inline u32 sys_times(struct tms *times) { return (u32)SYS1(NR_times, times); }

static inline int sys_mount(const char *source, const char *target, const char *type)
{
	return SYS5(NR_mount, source, target, type, 0, 0);
}

static inline int sys_sched_setscheduler(int policy, int priority)
{
	return SYS3(NR_sched_setscheduler, 0, policy, &priority);
}

/* the two numbers guard the call against a program that has gone astray */
static inline int sys_reboot(u32 command)
{
	return SYS3(NR_reboot, 0xfee1dead, 672274793, command);
}

/* new anonymous memory, private, readable and writable */
static inline u32 sys_mmap(u32 size)
{
	struct mmap_args args = { 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, (u32)-1, 0 };

	return syscall5(NR_mmap, (u32)&args, 0, 0, 0, 0);
}

#endif /* SYS_H */
