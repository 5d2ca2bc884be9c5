/* many.h — what commands over many pictures share: signals, shards, failures that are passed over, progress.
 */
#ifndef T2D_MANY_H
#define T2D_MANY_H

#include "cli/cli.h"

#include <stdatomic.h>

/* The first SIGINT or SIGTERM is noted here, so that the pictures at hand are finished; a second one ends the
 * process. */
extern atomic_bool stopped;
void catch_signals(void);

/* "2/4", the second of four: pictures *first, *first + *step, ...  Says what is wrong. */
int read_shard(const char *text, int64_t *first, int64_t *step);

/* --max-failures: "20", or "1.5%" (relative).  NULL: none is allowed.  Says what is wrong. */
typedef struct failure_limit {
    double number;
    bool relative;
} failure_limit;
int read_failure_limit(const char *text, failure_limit *limit);

/* Done pictures of `total` (0: not known yet), `fresh` of them since `start`: rate and time left on a
 * terminal. */
void progress_rate(int64_t done, int64_t total, int64_t fresh, double start);

#endif
