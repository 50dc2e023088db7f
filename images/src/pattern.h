/* pattern.h - the seeded pattern of kvmd/kvmdctl.h, in user memory */
#ifndef PATTERN_H
#define PATTERN_H

#include "types.h"

struct verdict {
	u32 bad_words;
	const u32 *first_bad;
	u32 expected, found;	/* of the first bad word */
};

/* whole pages, the first of them with the number first_page */
void pattern_fill(u32 *words, u32 pages, u32 seed, u32 first_page);

/* adds to a verdict that the caller has cleared */
void pattern_verify(const u32 *words, u32 pages, u32 seed, u32 first_page, struct verdict *verdict);

#endif /* PATTERN_H */
