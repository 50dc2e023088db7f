#include <linux/sched.h>
#include <linux/init.h>

static int main_setup(char *words)
{
	return words[0] == '"';
}

__setup("toy=", main_setup);

int start_kernel(void)
{
	complain(3);
	wake_up_toy(1, 2, 3);
	mmdrop_toy(0);
	return (int) sleep_on_toy(4, 5, 6);
}
