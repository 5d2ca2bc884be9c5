/* simt_schedule.cpp — which thread runs next, and the launch: blocks one after another in a seeded
 * permutation, threads switched at random wherever they synchronise (or forward, or backward). */
#include "simt_device.h"
#include "simt_state.h"
#include <map>
#include <stdlib.h>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace simt
{
int nthreads, alive, async_mode = SIMT_ASYNC_RANDOM;
bool in_kernel;
simt_stats stats;
static int order = SIMT_RANDOM;
static bool aborted;
static uint64_t runnable[kMaxThreads / 64], state = 0x9e3779b97f4a7c15ull;
static const std::function<void()> *body;

uint64_t random_bits()
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x2545f4914f6cdd1dull >> 16;
}

/* ---- threads ---- */
void make_runnable(int t)
{
    runnable[t >> 6] |= 1ull << (t & 63);
    fibers[t].waits = nullptr;
}
static void make_waiting(int t) { runnable[t >> 6] &= ~(1ull << (t & 63)); }

/* First runnable thread at or after s, wrapping; -1: none. */
static int first_from(int s)
{
    int w = s >> 6;
    uint64_t b = runnable[w] & (~0ull << (s & 63));
    for (int i = 0; i <= 16; i++) {
        if (b) return w * 64 + __builtin_ctzll(b);
        w = (w + 1) & 15;
        b = runnable[w];
    }
    return -1;
}
static int last()
{
    for (int w = 15; w >= 0; w--)
        if (runnable[w]) return w * 64 + 63 - __builtin_clzll(runnable[w]);
    return -1;
}

static Fiber *pick()
{
    if (tma_pending() && random_bits() % 16 == 0) tma_complete_one(false);
    for (;;) {
        const int t = order == SIMT_RANDOM    ? first_from((int)(random_bits() % (unsigned)nthreads))
                      : order == SIMT_FORWARD ? first_from(0)
                                              : last();
        if (t >= 0) return &fibers[t];
        if (!tma_pending()) return program; /* finished or deadlocked: run_block looks */
        tma_complete_one(order != SIMT_RANDOM);
    }
}

void block_on(const char *what, Site s)
{
    current->waits = what;
    current->site = s;
    make_waiting(current->tid);
    fiber_switch(pick(), false);
}
void preempt()
{
    if (order == SIMT_RANDOM && random_bits() % 4 == 0) fiber_switch(pick(), false);
}
void fail_block()
{
    aborted = true;
    fiber_switch(program, false);
    abort(); /* never resumed */
}
void trap(const char *what, Site s)
{
    error("%s at %s|", what, at(s).c_str());
    fail_block();
}

static void thread_main()
{
    fiber_entered();
    (*body)();
    current->exited = true;
    alive--;
    make_waiting(current->tid);
    for (const Copy &c : current->copies)
        if (!c.landed) {
            error("a thread exits with a cp.async in flight|");
            break;
        }
    collectives_thread_exit(current);
    fiber_switch(pick(), true);
    abort();
}

/* ---- blocks ---- */
static void report_deadlock()
{
    std::map<std::string, std::vector<int>> by;
    for (int t = 0; t < nthreads; t++) {
        const Fiber &f = fibers[t];
        by[f.exited ? "have exited" : "wait in " + std::string(f.waits) + " at " + at(f.site)].push_back(t);
    }
    std::string s;
    for (auto &k : by)
        s += (s.empty() ? "" : "; ") + std::to_string(k.second.size()) + " threads " + k.first +
             " (first: " + std::to_string(k.second[0]) + ")";
    error("deadlock: %s|", s.c_str());
}

static void run_block()
{
    stats.blocks++;
    stats.threads += nthreads;
    memory_reset();
    memset(runnable, 0, sizeof runnable);
    collectives_reset();
    async_reset();
    wgmma_reset();
    aborted = false;
    alive = nthreads;
    for (int t = 0; t < nthreads; t++) {
        fiber_start(&fibers[t], t, thread_main);
        make_runnable(t);
    }
    current = program;
    fiber_switch(pick(), false);
    if (!aborted && alive) {
        report_deadlock();
        aborted = true;
    }
    memory_check();
    if (!aborted) {
        async_check();
        wgmma_check();
    }
    current = nullptr;
}

static uint64_t gcd(uint64_t a, uint64_t b) { return b ? gcd(b, a % b) : a; }

static bool legal(dim3 grid, dim3 block)
{
    const uint64_t n = (uint64_t)block.x * block.y * block.z;
    return n && n <= kMaxThreads && block.z <= 64 && grid.x && grid.y && grid.z && grid.x <= 0x7fffffffu &&
           grid.y <= 65535 && grid.z <= 65535;
}

static cudaError_t run_grid(dim3 grid, dim3 block, size_t dynamic, const std::function<void()> &kernel)
{
    nthreads = (int)(block.x * block.y * block.z);
    smem_bytes = dynamic;
    body = &kernel;
    blockDim = block;
    gridDim = grid;
    in_kernel = true;
    memory_launch();
    const long before = simt_errors();
    const uint64_t total = (uint64_t)grid.x * grid.y * grid.z;
    uint64_t start = 0, step = 1; /* block i is (start + i * step) % total, a permutation */
    if (order == SIMT_RANDOM) {
        start = random_bits() % total;
        step = random_bits() % total | 1;
        if (gcd(total, step) != 1) step = 1;
    }
    aborted = false;
    for (uint64_t i = 0; i < total && !aborted && simt_errors() < before + 1000; i++) {
        const uint64_t b = order == SIMT_BACKWARD ? total - 1 - i : (start + i * step) % total;
        blockIdx = {(unsigned)(b % grid.x), (unsigned)(b / grid.x % grid.y), (unsigned)(b / grid.x / grid.y)};
        run_block();
    }
    in_kernel = false;
    return aborted ? cudaErrorLaunchFailure : cudaSuccess;
}

cudaError_t launch_grid(dim3 grid, dim3 block, size_t dynamic, cudaStream_t stream,
                        std::function<void()> kernel, size_t param_bytes)
{
    memory_init();
    stats.launches++;
    if (!legal(grid, block)) return note(cudaErrorInvalidConfiguration);
    if (dynamic > kMaxSmem || param_bytes > 4096) return note(cudaErrorInvalidValue);
    return submit(stream, [=] { return run_grid(grid, block, dynamic, kernel); });
}
} // namespace simt

extern "C" {
void simt_config(uint64_t seed, int order, int async_mode)
{
    simt::state = (seed + 1) * 0x9e3779b97f4a7c15ull | 1;
    simt::order = order;
    simt::async_mode = async_mode;
}
}
