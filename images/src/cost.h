/* cost.h - what a call costs */
#ifndef COST_H
#define COST_H

#include "request.h"

extern const struct operation cost_ops[];

#endif /* COST_H */
