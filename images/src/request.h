/*
 * request.h - from a request to its reply: tables of operations, and what their functions read and write
 */
#ifndef REQUEST_H
#define REQUEST_H

#include "frame.h"

struct request {
	const u8 *at;	/* what is left of the payload */
	u32 left;
};

struct reply {
	u8 *at;		/* where the next byte of data goes */
	u32 room;
	int full;	/* something did not fit */
};

/* An operation gets at least `least` bytes; its result is the reply's status. */
struct operation {
	u16 op;
	u16 least;
	int (*run)(struct request *in, struct reply *out);
};

/* a list of operations ends with one that has no function */
extern const struct operation file_ops[], system_ops[];

/* carry out a request that one of the lists knows; the reply goes to out (FRAME_MAX bytes), its length is returned */
u32 answer(const struct operation *const lists[], const struct frame *frame, u8 *out);

/* a reply with nothing but a status, as above */
u32 answer_status(const struct frame *frame, int status, u8 *out);

u32 take_u32(struct request *in);

/* a path up to a NUL or the end of the payload, which is skipped; NULL if it is empty or too long */
const char *take_path(struct request *in);

void put_u32(struct reply *out, u32 value);
void put_bytes(struct reply *out, const void *data, u32 size);

#endif /* REQUEST_H */
