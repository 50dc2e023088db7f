#include <linux/linkage.h>

.text
ENTRY(stext)
	call start_kernel
1:	jmp 1b
