/* tasks.h - the agent's workers: processes that do what may take long, so that the agent always answers */
#ifndef TASKS_H
#define TASKS_H

#include "request.h"
#include "sys.h"

/* spawn, reap, kill */
extern const struct operation task_ops[];

/* the program that a worker runs */
void tasks_begin(const char *program);

/* tasks that are there, dead ones too, without the agent */
u32 tasks_count(void);

/* hand a request to its task; 0, or the status of the refusal */
int task_forward(const struct frame *frame);

/* what to wait for: at most TASKS entries are written, their number is returned */
u32 tasks_poll(struct pollfd *polls);

/* pass on what the tasks have replied, and what is to be said of those that died */
void tasks_serve(void);

#endif /* TASKS_H */
