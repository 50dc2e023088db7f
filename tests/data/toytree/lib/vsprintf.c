#include <linux/linkage.h>

int skip_digits(const char *text)
{
	int count = 0;

LABEL(again)
	if (*text >= '0' && *text <= '9') {
		text++;
		count++;
		goto again;
	}
	return count;
}
