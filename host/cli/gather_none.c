/* gather_none.c — a t2d that was built without MPI. */
#include "cli/gather.h"

bool gather_is_built(void) { return false; }

int gather_parts(const ranks *self, const char *path, int code)
{
    (void)self;
    (void)path;
    return code;
}
