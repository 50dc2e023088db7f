/* Nothing in here needs an adaptation, but much of it looks like it: "
 * # not a directive */
#include <linux/sched.h>

static const char tricky[] = "a \" quote, a // slash and /* a comment */ over \
two lines";

int buffer_init(void)
{
	return tricky[0] == '\'' || tricky[1] == '"' || tricky[2] == '\\';	// don't mind
}
