/* base.h — what every room stands on: errors, memory, whole-or-nothing files, the clock.
 * Nothing here knows of models or pictures. */
#ifndef T2D_BASE_H
#define T2D_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "talk2dino.h"

/* Fills *err (when not NULL) with a printf-formatted sentence and returns `status`:
 *     return t2d_fail(err, T2D_E_FORMAT, "%s: want %d rows, file has %d", name, want, rows);
 * Control characters and invalid UTF-8 in the result are replaced, so that file contents cannot disturb a
 * terminal.  Arguments may point into *err. */
t2d_status t2d_fail(t2d_error *err, t2d_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the message that is already in *err, unless it begins so, and returns its status
 * (without err, T2D_E_FORMAT: who may be called so keeps the status). */
t2d_status t2d_fail_in(t2d_error *err, const char *prefix);

/* calloc with a sentence: NULL and *err filled (T2D_E_MEMORY, "<what>: out of memory (N x M bytes wanted)")
 * when there is none or count * size overflows.  64-byte aligned; free with free(). count * size of 0 gives a
 * valid pointer. */
void *t2d_new(size_t count, size_t size, const char *what, t2d_error *err);

/* strdup with the same rule. */
char *t2d_strdup(const char *text, t2d_error *err);

/* Reads a whole file ("-": standard input), at most `max_bytes`.  *bytes is freed by the caller with free();
 * one zero byte follows the data, not counted. */
t2d_status t2d_read_file(const char *path, size_t max_bytes, unsigned char **bytes, size_t *count,
                         t2d_error *err);

/* A file that appears whole or not at all: written under a temporary name in the same folder, renamed by
 * commit.  A symbolic link stays, the file behind it is replaced.  A path of "-" writes standard output. */
typedef struct t2d_outfile {
    FILE *stream;
    char *path, *temporary;
    bool later; /* set after opening: no fsync, for a sync of the file system will follow (t2d_syncer) */
} t2d_outfile;
t2d_status t2d_outfile_open(t2d_outfile *out, const char *path, t2d_error *err);
t2d_status t2d_outfile_commit(t2d_outfile *out,
                              t2d_error *err); /* flush, fsync, rename; aborts when that fails */
void t2d_outfile_abort(t2d_outfile *out);      /* harmless after commit or a failed open */

/* Sends the file systems of some folders down to the disk, in a thread of its own: many small files at once,
 * where an fsync of each would wait for the disk as often. */
typedef struct t2d_syncer t2d_syncer;
t2d_status t2d_syncer_start(t2d_syncer **syncer, const char *const *folders, int count, t2d_error *err);
void t2d_syncer_ask(t2d_syncer *syncer); /* soon; does not wait */
/* Once more, and waits; T2D_E_IO when anything written could not be kept.  NULL is harmless. */
t2d_status t2d_syncer_finish(t2d_syncer *syncer, t2d_error *err);

/* Monotonic seconds. */
double t2d_clock(void);
/* Seconds of CPU that all threads of this process have had. */
double t2d_cpu_clock(void);

/* splitmix64's finalizer (Steele, Lea and Flood, 2014): a number's bits, thoroughly mixed. */
uint64_t t2d_mix(uint64_t x);

#endif
