/*
 * frame.h - messages on a line that may lose and damage bytes
 *
 *   C3 96 | payload length, seq, op, task (u16 each) | CRC-32 of these 8 bytes | payload | CRC-32 of the payload
 *
 * All little endian; the CRC is zlib's. lab/machine/frames.py is the host's half and says why it is so.
 */
#ifndef FRAME_H
#define FRAME_H

#include "types.h"

#define FRAME_HEADER	14u
#define FRAME_OVERHEAD	(FRAME_HEADER + 4)
#define FRAME_PAYLOAD	2048u	/* the longest */
#define FRAME_MAX	(FRAME_OVERHEAD + FRAME_PAYLOAD)

struct frame {
	u16 seq, op, task, length;	/* length: of the payload */
	const u8 *payload;
};

/* A receiver. The frames it hands out lie in its buffer, and are good until its next call. */
struct decoder {
	u32 frames;	/* good ones */
	u32 dropped;	/* sync marks given up */
	u32 skipped;	/* bytes that belong to no frame */
	u32 used;	/* bytes held */
	u32 taken;	/* of these, bytes of the frame handed out last */
	u8 buffer[FRAME_MAX];
};

/* complete a frame whose payload is in place at out + FRAME_HEADER; returns its whole length */
u32 frame_seal(u8 *out, u16 seq, u16 op, u16 task, u16 length);

/* where received bytes go, and how many fit (never 0 after decoder_next has returned 0) */
u8 *decoder_room(struct decoder *decoder, u32 *room);
void decoder_received(struct decoder *decoder, u32 bytes);

/* 1 and the next frame, or 0: more bytes are needed */
int decoder_next(struct decoder *decoder, struct frame *frame);

/* a frame as it came, header and all */
static inline const u8 *frame_bytes(const struct frame *frame)
{
	return frame->payload - FRAME_HEADER;
}

static inline u32 frame_size(const struct frame *frame)
{
	return FRAME_OVERHEAD + frame->length;
}

static inline u32 load_u32(const u8 *from)
{
	return from[0] | (u32)from[1] << 8 | (u32)from[2] << 16 | (u32)from[3] << 24;
}

static inline void store_u32(u8 *to, u32 value)
{
	to[0] = (u8)value;
	to[1] = (u8)(value >> 8);
	to[2] = (u8)(value >> 16);
	to[3] = (u8)(value >> 24);
}

#endif /* FRAME_H */
