/* line.h - the agent's serial line: nonblocking, with a queue for what is to be sent */
#ifndef LINE_H
#define LINE_H

#include "frame.h"
#include "sys.h"

extern struct decoder line_in;

/* open the line and make it pass all bytes unchanged; 0, or a negative errno */
int line_open(const char *path);

/* what to wait for */
void line_poll(struct pollfd *poll);

/* move bytes either way, as far as they go now; 0, or a negative errno when the line is gone */
int line_receive(void);
int line_transmit(void);

/* Is there room for another reply? Whoever produces replies asks first, so none is ever lost. */
int line_has_room(void);
void line_send(const u8 *bytes, u32 size);

/* wait until all has left the machine */
void line_drain(void);

#endif /* LINE_H */
