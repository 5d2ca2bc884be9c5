/* ranks.h — several processes that share one evaluation. */
#ifndef T2D_RANKS_H
#define T2D_RANKS_H

#include "cli/cli.h"

#include <stdatomic.h>

/* This process is `rank` of `count`; `local` on its machine (-1: not known). */
typedef struct ranks {
    int rank, count, local;
    const char *from; /* who said so; NULL: one process alone */
} ranks;

/* From --rank and --ranks when they are given (>= 0), else from the launcher's variables: Open MPI, PMI
 * (MPICH, Intel MPI), SLURM steps, torchrun.  Says what is wrong. */
int ranks_find(int rank, int count, int local, ranks *found);

/* "FILE.part-2-of-3"; malloc'd, NULL without memory. */
char *ranks_part(const char *path, int rank, int count);

/* Waits until every rank's part of `path` has the lines it should have (`pictures` in all), no longer than
 * `patience` seconds without news.  Says what is wrong. */
int ranks_wait(const char *path, int count, int64_t pictures, int patience, const atomic_bool *stop);

#endif
