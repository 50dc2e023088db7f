/*
 * mkdep.c - which headers a source includes directly, as a rule for make
 *
 * Usage: mkdep INCLUDE-FOLDER SOURCE...
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char line[512], name[256], path[1024];
	int at;

	for (at = 2; at < argc; at++) {
		FILE *source = fopen(argv[at], "r");

		if (!source)
			return 1;
		printf("%.*s.o:", (int) strlen(argv[at]) - 2, argv[at]);
		while (fgets(line, sizeof line, source)) {
			if (sscanf(line, "#include <%255[^>]>", name) != 1)
				continue;
			snprintf(path, sizeof path, "%s/%s", argv[1], name);
			if (access(path, F_OK) == 0)
				printf(" %s", path);
		}
		printf("\n");
		fclose(source);
	}
	return 0;
}
