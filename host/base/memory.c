/* memory.c — heap memory that explains itself when there is none. */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 }; /* a cache line, and the widest vector register */

void *t2d_new(size_t count, size_t size, const char *what, t2d_error *err)
{
    size_t bytes;
    void *p = NULL;
    const int overflow = __builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - ALIGNMENT;
    if (!overflow) {
        const size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        p = aligned_alloc(ALIGNMENT, rounded ? rounded : ALIGNMENT);
        if (p) memset(p, 0, rounded ? rounded : ALIGNMENT);
    }
    if (!p) t2d_fail(err, T2D_E_MEMORY, "%s: out of memory (%zu x %zu bytes wanted)", what, count, size);
    return p;
}

char *t2d_strdup(const char *text, t2d_error *err)
{
    const size_t length = strlen(text);
    char *copy = t2d_new(length + 1, 1, "text", err);
    if (copy) memcpy(copy, text, length + 1);
    return copy;
}
