struct entry {
	unsigned short length;
	char name[2];
};

/* A cast as the target of an assignment. */
int count_entries(struct entry *at, int bytes)
{
	int count = 0;

	while (bytes > 0) {
		bytes -= at->length;
		((char *) at) += at->length;
		count++;
	}
	return count;
}
