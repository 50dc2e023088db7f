/* line.c - the agent's serial line */
#include "line.h"
#include "lib.h"

#define QUEUE_SIZE	(8 * FRAME_MAX)
#define SERIAL_FLAGS	4	/* which word of the driver's settings holds the flags */
#define LOW_LATENCY	0x2000

struct decoder line_in;

static int line;
static u8 queue[QUEUE_SIZE];
static u32 queued;

/*
 * Without "low latency" the driver hands received bytes on with the next tick of the clock, from a buffer that holds
 * 512 of them and loses the rest (2.3.99-pre3, drivers/char/serial.c, receive_chars). A line that is no serial port
 * doesn't know the setting, and doesn't need it.
 */
static void set_low_latency(void)
{
	u32 settings[32];
	int status;

	memset(settings, 0, sizeof(settings));
	if (sys_ioctl(line, TIOCGSERIAL, settings) < 0)
		return;
	settings[SERIAL_FLAGS] |= LOW_LATENCY;
	status = sys_ioctl(line, TIOCSSERIAL, settings);
	if (status < 0)
		say_number("lab: agent: the line stays slow, and loses long frames: errno ", -status, "\n");
}

int line_open(const char *path)
{
	struct termios raw;
	int status;

	line = sys_open(path, O_RDWR | O_NOCTTY | O_NONBLOCK, 0);
	if (line < 0)
		return line;
	sys_fcntl(line, F_SETFD, FD_CLOEXEC);
	memset(&raw, 0, sizeof(raw));
	raw.cflag = TERMIOS_B115200 | TERMIOS_CS8 | TERMIOS_CREAD | TERMIOS_CLOCAL;
	raw.cc[CC_VMIN] = 1;
	raw.cc[CC_VTIME] = 0;
	status = sys_ioctl(line, TCSETS, &raw);
	if (status < 0)
		return status;
	set_low_latency();
	return 0;
}

int line_has_room(void)
{
	return QUEUE_SIZE - queued >= FRAME_MAX;
}

void line_poll(struct pollfd *poll)
{
	poll->fd = line;
	poll->revents = 0;
	poll->events = (short)((line_has_room() ? POLLIN : 0) | (queued ? POLLOUT : 0));
}

int line_receive(void)
{
	u32 room;
	u8 *place = decoder_room(&line_in, &room);
	int got;

	if (!room)
		return 0;
	got = sys_read(line, place, room);
	if (got > 0)
		decoder_received(&line_in, (u32)got);
	return got > 0 || got == -EAGAIN || got == -EINTR ? 0 : got ? got : -EPERM;
}

int line_transmit(void)
{
	int done;

	if (!queued)
		return 0;
	done = sys_write(line, queue, queued);
	if (done <= 0)
		return done == -EAGAIN || done == -EINTR ? 0 : done;
	queued -= (u32)done;
	memmove(queue, queue + done, queued);
	return 0;
}

void line_send(const u8 *bytes, u32 size)
{
	memcpy(queue + queued, bytes, size);
	queued += size;
}

void line_drain(void)
{
	struct pollfd poll = { line, POLLOUT, 0 };

	while (queued && sys_poll(&poll, 1, -1) >= 0 && line_transmit() == 0)
		;
	sys_ioctl(line, TCSBRK, (void *)1);
}
