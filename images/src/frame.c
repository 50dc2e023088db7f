/* frame.c - frames to bytes and back */
#include "frame.h"
#include "lib.h"

#define SYNC_FIRST	0xc3
#define SYNC_SECOND	0x96

static u16 load_u16(const u8 *from)
{
	return (u16)(from[0] | from[1] << 8);
}

static void store_u16(u8 *to, u16 value)
{
	to[0] = (u8)value;
	to[1] = (u8)(value >> 8);
}

/* half a byte at a time: a table of 16 words is small enough to stay in the cache, and to check by eye */
static u32 crc32(const u8 *data, u32 size)
{
	static const u32 table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	u32 crc = 0xffffffff;

	for (; size; size--) {
		crc ^= *data++;
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

u32 frame_seal(u8 *out, u16 seq, u16 op, u16 task, u16 length)
{
	out[0] = SYNC_FIRST;
	out[1] = SYNC_SECOND;
	store_u16(out + 2, length);
	store_u16(out + 4, seq);
	store_u16(out + 6, op);
	store_u16(out + 8, task);
	store_u32(out + 10, crc32(out + 2, 8));
	store_u32(out + FRAME_HEADER + length, crc32(out + FRAME_HEADER, length));
	return FRAME_OVERHEAD + length;
}

static void discard(struct decoder *decoder, u32 bytes)
{
	decoder->used -= bytes;
	memmove(decoder->buffer, decoder->buffer + bytes, decoder->used);
}

u8 *decoder_room(struct decoder *decoder, u32 *room)
{
	*room = FRAME_MAX - decoder->used;
	return decoder->buffer + decoder->used;
}

void decoder_received(struct decoder *decoder, u32 bytes)
{
	decoder->used += bytes;
}

/* skip to a sync mark, or to a last byte that may begin one */
static void hunt(struct decoder *decoder)
{
	const u8 *buffer = decoder->buffer;
	u32 place = 0, used = decoder->used;

	while (place < used && !(buffer[place] == SYNC_FIRST && (place + 1 == used || buffer[place + 1] == SYNC_SECOND)))
		place++;
	decoder->skipped += place;
	discard(decoder, place);
}

static void give_up(struct decoder *decoder)
{
	decoder->dropped++;
	decoder->skipped++;
	discard(decoder, 1);
}

/* is the frame at the buffer's beginning whole (1), not yet whole (0), damaged (-1)? */
static int judge(const struct decoder *decoder)
{
	const u8 *buffer = decoder->buffer;
	u16 length;

	if (decoder->used < FRAME_HEADER)
		return 0;
	length = load_u16(buffer + 2);
	if (load_u32(buffer + 10) != crc32(buffer + 2, 8) || length > FRAME_PAYLOAD)
		return -1;
	if (decoder->used < FRAME_OVERHEAD + length)
		return 0;
	return load_u32(buffer + FRAME_HEADER + length) == crc32(buffer + FRAME_HEADER, length) ? 1 : -1;
}

int decoder_next(struct decoder *decoder, struct frame *frame)
{
	const u8 *buffer = decoder->buffer;
	int verdict;

	discard(decoder, decoder->taken);
	decoder->taken = 0;
	for (hunt(decoder); (verdict = judge(decoder)) < 0; hunt(decoder))
		give_up(decoder);
	if (!verdict)
		return 0;
	frame->length = load_u16(buffer + 2);
	frame->seq = load_u16(buffer + 4);
	frame->op = load_u16(buffer + 6);
	frame->task = load_u16(buffer + 8);
	frame->payload = buffer + FRAME_HEADER;
	decoder->taken = frame_size(frame);
	decoder->frames++;
	return 1;
}
