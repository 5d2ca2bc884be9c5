/* gather.h — results files of ranks that have no folder in common, brought to rank 0 by MPI. */
#ifndef T2D_GATHER_H
#define T2D_GATHER_H

#include "cli/ranks.h"

/* Whether this t2d was built with MPI. */
bool gather_is_built(void);

/* Every rank calls it when its part of `path` is counted, with the exit code of that.  When all came through,
 * rank 0 has every part as gather_name(path, rank, count).  Says what is wrong. */
int gather_parts(const ranks *self, const char *path, int code);

/* "FILE.from-2-of-3"; malloc'd, NULL without memory. */
char *gather_name(const char *path, int rank, int count);

#endif
