/* pattern.c - the seeded pattern in user memory */
#include "pattern.h"
#include "kvmdctl.h"

#define PAGE_WORDS 1024u

void pattern_fill(u32 *words, u32 pages, u32 seed, u32 first_page)
{
	for (u32 page = 0; page < pages; page++) {
		u32 value = kvmdctl_page_start(seed, first_page + page);

		for (u32 each = 0; each < PAGE_WORDS; each++, value += KVMDCTL_STEP)
			*words++ = value;
	}
}

static void note(struct verdict *verdict, const u32 *place, u32 expected, u32 found)
{
	if (verdict->bad_words++ == 0) {
		verdict->first_bad = place;
		verdict->expected = expected;
		verdict->found = found;
	}
}

void pattern_verify(const u32 *words, u32 pages, u32 seed, u32 first_page, struct verdict *verdict)
{
	for (u32 page = 0; page < pages; page++) {
		u32 expected = kvmdctl_page_start(seed, first_page + page);

		for (u32 each = 0; each < PAGE_WORDS; each++, words++, expected += KVMDCTL_STEP) {
			u32 found = *words;

			if (found != expected)
				note(verdict, words, expected, found);
		}
	}
}
