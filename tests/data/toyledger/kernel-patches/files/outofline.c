/* What a compiler of today calls without being asked: µ, é and § are two bytes each in here. */
void *memcpy(void *to, const void *from, unsigned long size)
{
	char *target = to;
	const char *source = from;

	while (size--)
		*target++ = *source++;
	return to;
}
