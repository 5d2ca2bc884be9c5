/* simt_control.h — what a kernel test, in C, says to the emulator: schedules, findings, and the few calls of
 * CUDA's runtime that a test needs (the emulator's stand-ins have the names and types of the real ones). */
#ifndef SIMT_CONTROL_H
#define SIMT_CONTROL_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int cudaError_t;
int cudaMalloc(void **p, size_t bytes); /* filled with NaN, ends within 255 bytes of an inaccessible page */
int cudaFree(void *p);                  /* later accesses fault */
int cudaMemcpy(void *to, const void *from, size_t bytes, int kind);
int cudaMemset(void *p, int value, size_t bytes);
int cudaDeviceSynchronize(void);
int cudaGetLastError(void);

/* Order in which threads (and blocks) run, and when asynchronous copies land.  One seed, one run. */
enum { SIMT_FORWARD, SIMT_BACKWARD, SIMT_RANDOM };
enum { SIMT_ASYNC_EARLY, SIMT_ASYNC_LATE, SIMT_ASYNC_RANDOM };
void simt_config(uint64_t seed, int order, int async_mode);

/* "plain", "race" or "asan" */
const char *simt_build(void);

/* Findings since the last reset: races, bounds, deadlocks, ...; each is printed once to stderr unless
 * `quiet`. */
long simt_errors(void);
const char *simt_first_error(void);
void simt_errors_reset(int quiet);

typedef struct simt_stats {
    long blocks, threads, switches, collectives, ldmatrix, ldmatrix_conflicts;
} simt_stats;
simt_stats simt_get_stats(int reset);

#ifdef __cplusplus
}
#endif
#endif
