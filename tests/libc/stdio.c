/* Formatted output and input, line buffering, memory streams. SPDX-License-Identifier: MIT */
#include "check.h"
#include <math.h>
#include <unistd.h>
#include <wchar.h>

int main(int argc, char **argv)
{
    char text[128];
    char *memory = NULL;
    size_t size = 0;
    FILE *f;
    int n;
    double d;

    CHECK(argc >= 1 && argv[argc] == NULL);
    CHECK(getchar() == EOF && !ferror(stdin)); /* the console belongs to others */
    CHECK(snprintf(text, sizeof(text), "%d %5.2f %s %#x %lld", 42, 3.14159, "text", 255, -1LL) == 21);
    CHECK(!strcmp(text, "42  3.14 text 0xff -1"));
    CHECK(sscanf("17 2.5 word", "%d %lf %s", &n, &d, text) == 3 && n == 17 && d == 2.5 &&
          !strcmp(text, "word"));
    f = open_memstream(&memory, &size);
    CHECK(f && fprintf(f, "%ls", L"wide") == 4 && !fclose(f) && size == 4 && !strcmp(memory, "wide"));
    free(memory);
    CHECK(isatty(1));
    CHECK(fabs(sqrt(2.0) * sqrt(2.0) - 2.0) < 1e-15);
    CHECK(strtod("0x1.8p1", NULL) == 3.0);
    CHECK(write(1, "", 0) == 0);
    CHECK_ERROR(write(77, "x", 1), EBADF);
    CHECK_ERROR(close(77), EBADF);
    return check_end();
}
