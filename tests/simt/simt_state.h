/* simt_state.h — what the runtime's files share: the fibers of the running block, the scheduler, the
 * checkers.
 *
 * One block runs at a time, so all of this is global: one launch at a time per process. */
#pragma once
#include "simt_runtime.h"
#include <string>
#include <vector>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define SIMT_ASAN 1
#else
#define SIMT_ASAN 0
#endif

namespace simt
{
enum : int { kMaxThreads = 1024 };
enum : size_t { kGuard = 4096, kMaxSmem = 227 * 1024, kStack = (SIMT_ASAN ? 256 : 64) << 10 };

/* ---- fibers (simt_fiber.cpp): one per CUDA thread of the block ---- */
struct Copy { /* one cp.async in flight */
    unsigned char *dst;
    const unsigned char *src;
    int bytes, src_bytes, group; /* group -1: not committed */
    bool landed;
};
struct Fiber {
    void *sp, *fake_stack; /* saved stack pointers: the machine's, AddressSanitizer's */
    char *stack;
    int tid;
    bool exited;
    const char *waits; /* what it waits for; null: it can run */
    Site site;
    uintptr_t pc; /* of its last collective */
    void *args;
    int predicate;
    std::vector<Copy> copies;
    int groups;
};
extern Fiber fibers[kMaxThreads + 1]; /* the last one stands for the program */
extern Fiber *current, *const program;
void fiber_start(Fiber *f, int tid, void (*entry)());
void fiber_switch(Fiber *to, bool dying);
void fiber_entered(); /* first thing a new fiber does */

/* ---- scheduler (simt_schedule.cpp) ---- */
extern int nthreads, alive, async_mode;
extern bool in_kernel;
extern simt_stats stats;
uint64_t random_bits();
void make_runnable(int tid);
void block_on(const char *what, Site s); /* the running thread waits until make_runnable */
void preempt();                          /* now and then, another thread goes on first */
[[noreturn]] void fail_block();          /* gives the block up; the launch returns an error */

/* ---- streams (simt_stream.cpp) ---- */
cudaError_t note(cudaError_t e); /* remembered for cudaGetLastError; returns e */
/* Does the work at once without a stream; else in its order, some time before somebody has waited for it. */
cudaError_t submit(cudaStream_t stream, std::function<cudaError_t()> work);
cudaError_t broken_device(); /* 0: it works */
bool capturing();            /* whether any stream records a graph: memory must not be asked for */

/* ---- collectives (simt_collective.cpp) ---- */
extern int group_first; /* first thread of the group whose collective is being executed */
void collectives_reset();
void collectives_thread_exit(Fiber *f);

/* ---- findings (simt_report.cpp) ---- */
__attribute__((format(printf, 1, 2))) void error(const char *format, ...);
std::string where(uintptr_t pc); /* file:line of an instruction of the kernel */
std::string at(Site s);
extern uintptr_t program_base;

/* ---- shared and device memory (simt_memory.cpp, simt_shadow.cpp) ---- */
struct Cell { /* shadow of one byte of shared memory: last write, two readers since */
    uint32_t write_clock, read_clock[2], write_pc, read_pc[2];
    uint16_t writer, reader[2]; /* thread + 1; 0: nobody */
    uint8_t written, atomic, pending;
};
extern bool race_build;
extern unsigned char *smem;
extern size_t smem_bytes;
void memory_init();
void memory_reset(); /* before each block: poison, forget */
void memory_check(); /* after each block: guards */
void memory_launch();
void memory_block();
bool is_shared(const void *p);
/* Shadow of p, or null where there is none; out of bounds is reported. */
Cell *cells_of(const unsigned char *p, size_t n, uintptr_t pc, const char *kind);
/* `agent`: the thread recorded as accessor (nthreads: the copy engine); clock: its own; seen: what it knows.
 */
void shadow_access(Cell *c, size_t n, int agent, uint32_t clock, const uint32_t *seen, int kind, uintptr_t pc,
                   bool async_proxy);
/* A read by an instruction that lane `tid` takes part in (ldmatrix, wgmma). */
void lane_read(int tid, const void *p, size_t n, bool async_proxy);

/* ---- vector clocks (simt_shadow.cpp) ---- */
typedef std::vector<uint32_t> Clock;
void clocks_reset();
uint32_t *clock_of(int tid);
void release(int tid, Clock &c); /* what tid did so far is ordered before whoever acquires c */
void acquire(int tid, const Clock &c);

/* ---- asynchronous engines (simt_async.cpp, simt_wgmma.cpp) ---- */
void async_reset();
void async_check(); /* after each block */
bool tma_pending();
void tma_complete_one(bool first);
uint32_t swizzle(uint32_t address, int mode); /* mode 0..3: none, 32, 64, 128 bytes */
unsigned char *smem_pointer(uint32_t address);
void wgmma_reset();
void wgmma_check();
} // namespace simt
