/* control.h - kvmd's control device, for operations that need more than one call of it */
#ifndef CONTROL_H
#define CONTROL_H

#include "request.h"

/* one call, on the one open file that this worker has; a negative errno, also when there is no device */
int control_ioctl(u32 command, void *structure);

/* the operation KVMD_ROUNDS */
int control_rounds(struct request *in, struct reply *out);

#endif /* CONTROL_H */
