/* simt_control.h — what a kernel test, in C, says to the emulator: schedules, faults, findings.  The calls of
 * CUDA's runtime are in toolkit/cuda_runtime_api.h. */
#ifndef SIMT_CONTROL_H
#define SIMT_CONTROL_H
#include "toolkit/cuda_runtime_api.h"
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Order in which threads (and blocks) run, and when asynchronous work (copies of a kernel, all work of a
 * stream) is done.  One seed, one run. */
enum { SIMT_FORWARD, SIMT_BACKWARD, SIMT_RANDOM };
enum { SIMT_ASYNC_EARLY, SIMT_ASYNC_LATE, SIMT_ASYNC_RANDOM };
void simt_config(uint64_t seed, int order, int async_mode);

/* "plain", "race" or "asan" */
const char *simt_build(void);

/* ---- the emulated device ---- */

/* Device memory there is; what is allocated counts. */
void simt_memory_limit(size_t bytes);
size_t simt_memory_used(void);
/* From now on every call answers `error`, as after a fault of the chip; 0: repaired.  devices: how many. */
void simt_break_device(cudaError_t error);
void simt_set_devices(int count, int capability_major, int capability_minor);

/* Work of the host's in a stream's order; `bytes` of *argument are copied.  What a library does, to us. */
cudaError_t simt_submit(cudaStream_t stream, void (*work)(const void *argument), const void *argument,
                        size_t bytes);

/* ---- findings ---- */

/* Findings since the last reset: races, bounds, deadlocks, ...; each is printed once to stderr unless
 * `quiet`. */
long simt_errors(void);
const char *simt_first_error(void);
void simt_errors_reset(int quiet);

typedef struct simt_stats {
    long blocks, threads, switches, collectives, ldmatrix, ldmatrix_conflicts;
    long launches, graph_launches, allocations, waits; /* of the host */
    long brought;                                      /* bytes to it, by cudaMemcpyAsync */
} simt_stats;
simt_stats simt_get_stats(int reset);

#ifdef __cplusplus
}
#endif
#endif
