#ifndef _TOY_PAGE_H
#define _TOY_PAGE_H
#define PAGE_SIZE 4096
#ifdef TOY_NEVER
  #error don't compile this "half
#endif
#endif
