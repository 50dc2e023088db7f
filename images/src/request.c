/* request.c - carry out a request and write its reply */
#include "request.h"
#include "lib.h"
#include "ops.h"
#include "sys.h"

#define STATUS_SIZE 4

u32 take_u32(struct request *in)
{
	u32 value = load_u32(in->at);

	in->at += 4;
	in->left -= 4;
	return value;
}

const char *take_path(struct request *in)
{
	static char path[256];
	u32 length = 0;

	while (length < in->left && in->at[length])
		length++;
	if (length == 0 || length >= sizeof(path))
		return 0;
	memcpy(path, in->at, length);
	path[length] = 0;
	if (length < in->left)
		length++;
	in->at += length;
	in->left -= length;
	return path;
}

void put_bytes(struct reply *out, const void *data, u32 size)
{
	if (size > out->room) {
		out->full = 1;
		return;
	}
	memcpy(out->at, data, size);
	out->at += size;
	out->room -= size;
}

void put_u32(struct reply *out, u32 value)
{
	u8 bytes[4];

	store_u32(bytes, value);
	put_bytes(out, bytes, sizeof(bytes));
}

static const struct operation *find(const struct operation *const lists[], u16 op)
{
	for (; *lists; lists++)
		for (const struct operation *each = *lists; each->run; each++)
			if (each->op == op)
				return each;
	return 0;
}

static int carry_out(const struct operation *operation, const struct frame *frame, struct reply *out)
{
	struct request in = { frame->payload, frame->length };
	int status;

	if (frame->op == OP_PING) {
		put_bytes(out, in.at, in.left);
		status = 0;
	} else if (!operation) {
		return -ENOSYS;
	} else if (in.left < operation->least) {
		return -EINVAL;
	} else {
		status = operation->run(&in, out);
	}
	return out->full ? -EMSGSIZE : status;
}

u32 answer(const struct operation *const lists[], const struct frame *frame, u8 *out)
{
	u8 *data = out + FRAME_HEADER + STATUS_SIZE;
	struct reply reply = { data, FRAME_PAYLOAD - STATUS_SIZE, 0 };
	int status = carry_out(find(lists, frame->op), frame, &reply);
	u32 length = reply.full ? 0 : (u32)(reply.at - data);

	store_u32(out + FRAME_HEADER, (u32)status);
	return frame_seal(out, frame->seq, frame->op, frame->task, (u16)(STATUS_SIZE + length));
}

u32 answer_status(const struct frame *frame, int status, u8 *out)
{
	store_u32(out + FRAME_HEADER, (u32)status);
	return frame_seal(out, frame->seq, frame->op, frame->task, STATUS_SIZE);
}
