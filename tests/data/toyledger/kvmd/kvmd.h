#ifndef _TOY_KVMD_H
#define _TOY_KVMD_H
int kvmd_answer(void);
#endif
