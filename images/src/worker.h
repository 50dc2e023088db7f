/* worker.h - the operations that only workers have */
#ifndef WORKER_H
#define WORKER_H

#include "request.h"

extern const struct operation memory_ops[], kvmd_ops[], module_ops[];

#endif /* WORKER_H */
