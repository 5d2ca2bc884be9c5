/* bandwidth.c — bytes per second from and to memory, when all threads want them and no cache has them: the
 * other ceiling.  On a CPU McCalpin's STREAM triad (1995) in fp32; on another machine its own copy of rows.
 */
#include "bench/bench.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TURNS = 5, ROW = 1 << 16, CACHES = 4 }; /* STREAM: each array at least four times the last cache */
#define LEAST ((size_t)64 << 20)               /* bytes of an array */
#define MOST ((size_t)256 << 20)               /* as the largest product of ceiling.c */

static size_t array_bytes(void)
{
    const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    const size_t bytes = cache > 0 ? CACHES * (size_t)cache : LEAST;
    return bytes < LEAST ? LEAST : bytes > MOST ? MOST : bytes;
}

static void keep_best(double bytes, double seconds, double *bytes_per_second)
{
    if (bytes / seconds > *bytes_per_second) *bytes_per_second = bytes / seconds;
}

/* ---- a CPU ---- */

static double triad(float *restrict a, const float *restrict b, const float *restrict c, size_t count,
                    int threads)
{
    const double start = t2d_clock();
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size_t i = 0; i < count; i++) a[i] = b[i] + 3 * c[i];
    return t2d_clock() - start;
}

/* STREAM counts three arrays; the line of `a` that is fetched before it is written is not counted. */
static t2d_status measure_cpu(int threads, double *bytes_per_second, t2d_error *err)
{
    const size_t bytes = array_bytes(), count = bytes / sizeof(float);
    float *memory = aligned_alloc(64, 3 * bytes), *a = memory, *b = a + count, *c = b + count;
    if (!memory) return t2d_fail(err, T2D_E_MEMORY, "bandwidth: out of memory (%zu bytes wanted)", 3 * bytes);
#pragma omp parallel for num_threads(threads)                                                                \
    schedule(static) /* pages belong to those who touch them first */
    for (size_t i = 0; i < count; i++) a[i] = 0, b[i] = (float)(i & 0xffff), c[i] = 0.25F;
    for (int turn = 0; turn < TURNS; turn++)
        keep_best(3.0 * (double)bytes, triad(a, b, c, count, threads), bytes_per_second);
    free(memory);
    return T2D_OK;
}

/* ---- another machine ---- */

/* All rows of `to` from rows `index` of `from`; the list of them is short beside a row. */
static t2d_status copy(t2d_backend *be, float *to, const float *from, const int32_t *index, int rows,
                       double *seconds, t2d_error *err)
{
    const double start = t2d_clock();
    be->op->gather_rows(be, to, from, index, rows, ROW);
    const t2d_status status = be->op->finish(be, err);
    *seconds = t2d_clock() - start;
    return status;
}

static t2d_status copy_turns(t2d_backend *be, float *to, float *from, int32_t *index, int rows,
                             double *bytes_per_second, t2d_error *err)
{
    double seconds;
    t2d_status status = copy(be, from, to, index, rows, &seconds, err); /* its first row everywhere */
    for (int r = 0; r < rows; r++) index[r] = r;
    for (int turn = 0; status == T2D_OK && turn < TURNS; turn++) {
        status = copy(be, to, from, index, rows, &seconds, err);
        if (status == T2D_OK) keep_best(2.0 * rows * ROW * sizeof(float), seconds, bytes_per_second);
    }
    return status;
}

static t2d_status measure_copy(t2d_backend *be, double *bytes_per_second, t2d_error *err)
{
    const int rows = (int)(MOST / (ROW * sizeof(float)));
    int32_t *index = t2d_new((size_t)rows, sizeof *index, "bandwidth", err);
    float *row = t2d_new(ROW, sizeof *row, "bandwidth", err), *from = NULL, *to = NULL;
    t2d_status status = T2D_E_MEMORY;
    if (!index || !row) goto done;
    from = be->op->alloc(be, MOST);
    to = from ? be->op->alloc(be, MOST) : NULL;
    if (!to) {
        status = t2d_no_room(be, "bandwidth", MOST, err);
        goto done;
    }
    for (int i = 0; i < ROW; i++) row[i] = (float)i;
    be->op->upload(be, to, row, ROW * sizeof(float));
    status = copy_turns(be, to, from, index, rows, bytes_per_second, err);
done:
    if (to) be->op->release(be, to);
    if (from) be->op->release(be, from);
    free(row);
    free(index);
    return status;
}

t2d_status t2d_bandwidth_measure(t2d_session *session, double *bytes_per_second, t2d_error *err)
{
    t2d_backend *be = session->be;
    return strcmp(be->op->name, "cpu") == 0 ? measure_cpu(be->threads, bytes_per_second, err)
                                            : measure_copy(be, bytes_per_second, err);
}
