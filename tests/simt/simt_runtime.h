/* simt_runtime.h — what the emulated device language (simt_device.h, simt_ptx.h) asks of the runtime. */
#pragma once
#include "simt_control.h"
#include "simt_types.h"
#include <functional>

namespace simt
{
struct Site { /* where in the kernel's source */
    const char *file;
    int line;
};

/* Runs the kernel `body` once per thread of the grid: at once without a stream, else in the stream's order.
 */
cudaError_t launch_grid(dim3 grid, dim3 block, size_t smem, cudaStream_t stream, std::function<void()> body,
                        size_t param_bytes);
unsigned char *dynamic_smem_base();
[[noreturn]] void trap(const char *what, Site s);

/* A collective over the warp (width 32, lanes in mask) or the warpgroup (width 128): the last lane to arrive
 * runs fn for all.  args[lane] is null where the lane does not take part.  aligned: every lane of the warp
 * must take part, at one line of source (.sync.aligned). */
typedef void (*GroupFn)(void **args, int width);
void group_op(const char *what, int width, unsigned mask, bool aligned, Site s, void *args, GroupFn fn);
void syncwarp(unsigned mask, Site s);
unsigned vote(unsigned mask, int pred, Site s);
struct Shuffle {
    unsigned char in[8], out[8];
    int mode, n, width; /* mode 0 index, 1 up, 2 down, 3 xor */
};
void shuffle_lanes(void **args, int width);

/* Barrier `id` of `nthreads` (0: all that are alive); returns the number of threads with pred != 0. */
int barrier(int id, int nthreads, bool wait, int pred, Site s);

/* Reports one load, store or atomic of the running thread to the checkers. */
enum { kRead, kWrite, kAtomic };
void access(const void *p, size_t bytes, int kind, uintptr_t pc);

/* sm_80: asynchronous copies and matrix instructions */
void cp_async(void *dst, const void *src, int bytes, int src_bytes);
void cp_async_commit();
void cp_async_wait(int n);
struct LdmatrixArgs {
    uint32_t *r;
    const void *p;
};
void ldmatrix(void **args, bool trans);
struct MmaArgs {
    float *d;
    const uint32_t *a;
    uint32_t b[2];
};
void mma_m16n8k16(void **args, bool half);

/* sm_90: mbarriers, tensor maps, warpgroup products */
uint32_t smem_address(const void *p);
void mbarrier_init(uint64_t *bar, unsigned count);
void mbarrier_arrive(uint64_t *bar, unsigned tx);
void mbarrier_wait(uint64_t *bar, unsigned parity, Site s);
void fence_proxy_async();
void tma_load_2d(void *dst, const void *map, int x, int y, uint64_t *bar, uintptr_t pc);
void wgmma_issue(float *d, uint64_t a, uint64_t b, bool transpose_b, int scale_d, Site s);
void wgmma_commit(Site s);
void wgmma_wait(int n, Site s);
} // namespace simt
