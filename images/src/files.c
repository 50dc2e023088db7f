/* files.c - operations on files and folders */
#include "lib.h"
#include "ops.h"
#include "request.h"
#include "sys.h"

/* read until size bytes are there or the file ends */
static int read_all(int fd, u8 *data, u32 size)
{
	u32 done = 0;

	while (done < size) {
		int got = sys_read(fd, data + done, size - done);

		if (got < 0)
			return got;
		if (got == 0)
			break;
		done += (u32)got;
	}
	return (int)done;
}

static int read_file(struct request *in, struct reply *out)
{
	u32 offset = take_u32(in), most = take_u32(in);
	const char *path = take_path(in);
	int fd, got;

	if (!path)
		return -ENAMETOOLONG;
	if (most > out->room)
		return -EMSGSIZE;
	fd = sys_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0)
		return fd;
	got = offset ? sys_lseek(fd, offset) : 0;
	if (got >= 0)
		got = read_all(fd, out->at, most);
	sys_close(fd);
	if (got < 0)
		return got;
	out->at += got;
	out->room -= (u32)got;
	return 0;
}

static int write_file(struct request *in, struct reply *out)
{
	u32 offset = take_u32(in), flags = take_u32(in);
	const char *path = take_path(in);
	int mode = O_WRONLY | O_NOCTTY | (flags & WRITE_CREATE ? O_CREAT : 0) | (flags & WRITE_TRUNCATE ? O_TRUNC : 0);
	int fd, done;

	if (!path)
		return -ENAMETOOLONG;
	fd = sys_open(path, mode, 0644);
	if (fd < 0)
		return fd;
	done = offset ? sys_lseek(fd, offset) : 0;
	if (done >= 0)
		done = sys_write(fd, in->at, in->left);
	sys_close(fd);
	if (done < 0)
		return done;
	put_u32(out, (u32)done);
	return 0;
}

/* put the names of one read of the folder after the first `skip` of all; 1 when one does not fit any more */
static int put_names(const u8 *entries, int size, u32 skip, u32 *number, struct reply *out)
{
	for (int at = 0; at < size;) {
		const struct dirent *entry = (const struct dirent *)(entries + at);
		u32 length = string_length(entry->name) + 1;

		if (*number >= skip) {
			if (length > out->room)
				return 1;
			put_bytes(out, entry->name, length);
		}
		(*number)++;
		at += entry->reclen;
	}
	return 0;
}

static int list_dir(struct request *in, struct reply *out)
{
	static u8 entries[1024] __attribute__((aligned(4)));
	u32 skip = take_u32(in), number = 0;
	const char *path = take_path(in);
	u8 *next = out->at;
	int fd, got, full = 0;

	if (!path)
		return -ENAMETOOLONG;
	fd = sys_open(path, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	put_u32(out, 0);
	while (!full && (got = sys_getdents(fd, entries, sizeof(entries))) > 0)
		full = put_names(entries, got, skip, &number, out);
	sys_close(fd);
	if (full)
		store_u32(next, number);
	return full ? 0 : got;
}

static int make_node(struct request *in, struct reply *out)
{
	u32 mode = take_u32(in), device = take_u32(in);
	const char *path = take_path(in);

	(void)out;
	return path ? sys_mknod(path, mode, device) : -ENAMETOOLONG;
}

const struct operation file_ops[] = {
	{ OP_READ_FILE, 9, read_file },
	{ OP_LIST_DIR, 5, list_dir },
	{ OP_WRITE_FILE, 9, write_file },
	{ OP_MKNOD, 9, make_node },
	{ 0, 0, 0 },
};
