/* A conditional move in here is what the flags of today's compilers would give. */
int unpack(int have, int want, int other)
{
	return have > want ? other : want;
}
