/* simt_memory.cpp — shared and device memory: poison, guards, exact bounds, alignment, and races between
 * blocks.
 *
 * The race build compiles kernels with -fsanitize=thread but is not linked with libtsan: the __tsan_* hooks
 * below are what the compiler calls for every load and store, and they do what compute-sanitizer does. */
#include "simt_device.h"
#include "simt_state.h"
#include <link.h>
#include <map>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

namespace simt
{
bool race_build;
unsigned char *smem; /* dynamic shared memory, page aligned, guards around it */
size_t smem_bytes;
static unsigned char *tls_lo, *tls_hi; /* static shared memory: the program's TLS */
static std::vector<Cell> shadow, tls_shadow;

struct Allocation {
    size_t bytes;
    uint32_t *writer,
        *reader; /* block (counted over all launches) that last touched each byte; top bit: atomic */
};
static unsigned char *arena, *arena_end, *arena_next;
static std::map<unsigned char *, Allocation> allocations;
static uint32_t block_id, launch_first_block = 1;
static size_t memory_limit = (size_t)1 << 33, memory_used;

unsigned char *dynamic_smem_base() { return smem; }

static bool near_smem(const unsigned char *p) { return p >= smem - kGuard && p < smem + kMaxSmem + kGuard; }
bool is_shared(const void *q)
{
    const unsigned char *p = (const unsigned char *)q;
    return SIMT_ASAN || (p >= smem && p < smem + kMaxSmem) || (p >= tls_lo && p < tls_hi);
}

Cell *cells_of(const unsigned char *p, size_t n, uintptr_t pc, const char *kind)
{
    if (near_smem(p)) {
        if (p >= smem && p + n <= smem + smem_bytes) return &shadow[p - smem];
        error("%s outside dynamic shared memory at %s|: bytes %td..%td of %zu", kind, where(pc).c_str(),
              p - smem, p - smem + (ptrdiff_t)n - 1, smem_bytes);
        return nullptr;
    }
    if (!SIMT_ASAN && p >= tls_lo && p + n <= tls_hi) return &tls_shadow[p - tls_lo];
    return nullptr;
}

/* Blocks are not ordered: no byte may be written by one and touched by another in the same launch. */
static void check_blocks(Allocation &a, size_t from, size_t n, int kind, const char *name, uintptr_t pc)
{
    for (size_t i = from; i < from + n; i++) {
        const uint32_t w = a.writer[i] & 0x7fffffffu, r = a.reader[i];
        const bool atomics = kind == kAtomic && a.writer[i] >> 31;
        if (kind != kRead && r >= launch_first_block && r != block_id) {
            error("race on device memory between blocks: %s at %s after another block's read|", name,
                  where(pc).c_str());
            return;
        }
        if (w >= launch_first_block && w != block_id && !atomics) {
            error("race on device memory between blocks: %s at %s after another block's write|", name,
                  where(pc).c_str());
            return;
        }
        if (kind == kRead)
            a.reader[i] = block_id;
        else
            a.writer[i] = block_id | (kind == kAtomic ? 0x80000000u : 0);
    }
}

static void device_access(const unsigned char *p, size_t n, int kind, const char *name, uintptr_t pc)
{
    auto it = allocations.upper_bound((unsigned char *)p);
    if (it == allocations.begin() || (--it, p + n > it->first + it->second.bytes)) {
        error("%s outside device memory at %s|: %zu bytes at %p", name, where(pc).c_str(), n,
              (const void *)p);
        return;
    }
    if (n <= 16 && (uintptr_t)p % n) error("misaligned %zu-byte %s at %s|", n, name, where(pc).c_str());
    if (race_build) check_blocks(it->second, p - it->first, n, kind, name, pc);
}

void access(const void *ptr, size_t n, int kind, uintptr_t pc)
{
    if (!current || current == program) return;
    static const char *const names[] = {"read", "write", "atomic"};
    const unsigned char *p = (const unsigned char *)ptr;
    if (p >= arena && p < arena_end) return device_access(p, n, kind, names[kind], pc);
    Cell *c = cells_of(p, n, pc, names[kind]);
    if (!c) return;
    if (n <= 16 && (n & (n - 1)) == 0 && (uintptr_t)p % n)
        error("misaligned %zu-byte %s at %s|", n, names[kind], where(pc).c_str());
    const int t = current->tid;
    if (race_build) shadow_access(c, n, t, clock_of(t)[t], clock_of(t), kind, pc, false);
}

/* ---- set up ---- */
static void on_segv(int sig, siginfo_t *info, void *)
{
    char text[256];
    const unsigned char *p = (unsigned char *)info->si_addr;
    const int n =
        snprintf(text, sizeof text, "SIMT: signal %d at address %p in block (%u,%u,%u) thread (%u,%u,%u)%s\n",
                 sig, info->si_addr, blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y,
                 threadIdx.z, p >= arena && p < arena_end ? ": outside device memory" : "");
    if (write(2, text, n) < 0) _exit(134);
    signal(sig, SIG_DFL);
    raise(sig);
}

static int find_tls(struct dl_phdr_info *info, size_t, void *)
{
    program_base = info->dlpi_addr;
    for (int k = 0; k < info->dlpi_phnum; k++)
        if (info->dlpi_phdr[k].p_type == PT_TLS) {
            tls_lo = (unsigned char *)info->dlpi_tls_data;
            tls_hi = tls_lo + info->dlpi_phdr[k].p_memsz;
        }
    return 1; /* the program itself comes first; that is all we want */
}

static void *reserve(size_t n, int protection)
{
    void *p = mmap(nullptr, n, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) abort();
    return p;
}

void memory_init()
{
    if (smem) return;
    dl_iterate_phdr(find_tls, nullptr);
    smem = (unsigned char *)reserve(kMaxSmem + 4 * kGuard, PROT_READ | PROT_WRITE) + kGuard;
    const size_t arena_bytes = 1ull << 34;
    arena = arena_next = (unsigned char *)reserve(arena_bytes, PROT_NONE);
    arena_end = arena + arena_bytes;
    shadow.resize(kMaxSmem);
    tls_shadow.resize(tls_hi - tls_lo);
    if (SIMT_ASAN) return;
    static char alternate[1 << 16];
    stack_t ss = {};
    ss.ss_sp = alternate;
    ss.ss_size = sizeof alternate;
    sigaltstack(&ss, nullptr);
    struct sigaction sa = {};
    sa.sa_sigaction = on_segv;
    sa.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &sa, nullptr);
}

void memory_launch() { launch_first_block = block_id + 1; }

void memory_reset()
{
    block_id++;
#if SIMT_ASAN
    __asan_unpoison_memory_region(smem - kGuard, kMaxSmem + 2 * kGuard);
#endif
    memset(smem, 0xff, smem_bytes); /* NaN in every float format */
    memset(smem + smem_bytes, 0xa5, kGuard);
    memset(smem - kGuard, 0xa5, kGuard);
#if SIMT_ASAN
    __asan_poison_memory_region(smem + smem_bytes, kMaxSmem + kGuard - smem_bytes);
    __asan_poison_memory_region(smem - kGuard, kGuard);
#else
    for (unsigned char *p = tls_lo; p < tls_hi; p++) *p = 0xff;
#endif
    if (!race_build) return;
    memset((void *)shadow.data(), 0, smem_bytes * sizeof(Cell));
    for (Cell &c : tls_shadow) c = Cell();
    clocks_reset();
}

void memory_check()
{
    for (size_t i = 0; !SIMT_ASAN && i < kGuard; i++)
        if (smem[smem_bytes + i] != 0xa5) {
            error("write past the end of dynamic shared memory|: byte %zu of %zu", smem_bytes + i,
                  smem_bytes);
            return;
        }
}
} // namespace simt

/* ---- the runtime's memory calls ---- */
extern "C" {
cudaError_t cudaMalloc(void **p, size_t n)
{
    using namespace simt;
    memory_init();
    stats.allocations++;
    if (broken_device()) return note(broken_device());
    if (capturing()) return note(cudaErrorStreamCaptureUnsupported);
    if (n + memory_used > memory_limit) return note(cudaErrorMemoryAllocation);
    const size_t pages = (n + 255 + 4095) / 4096 * 4096;
    unsigned char *base = arena_next, *user = base + pages - (n + 255) / 256 * 256;
    arena_next += pages + 4096; /* the next page stays inaccessible */
    if (arena_next > arena_end || mprotect(base, pages, PROT_READ | PROT_WRITE))
        return note(cudaErrorMemoryAllocation);
    memset(base, 0xff, pages);
#if SIMT_ASAN
    __asan_poison_memory_region(base, pages);
    __asan_unpoison_memory_region(user, n);
#endif
    Allocation a = {n, nullptr, nullptr};
    if (race_build) {
        a.writer = (uint32_t *)calloc(n + 1, 4);
        a.reader = (uint32_t *)calloc(n + 1, 4);
    }
    allocations[user] = a;
    memory_used += n;
    *p = user;
    return cudaSuccess;
}
cudaError_t cudaFree(void *p)
{
    using namespace simt;
    if (!p) return cudaSuccess;
    auto it = allocations.find((unsigned char *)p);
    if (it == allocations.end()) return note(cudaErrorInvalidValue);
    free(it->second.writer);
    free(it->second.reader);
    unsigned char *low = (unsigned char *)((uintptr_t)p & ~4095ul);
    const size_t bytes = ((unsigned char *)p + it->second.bytes - low + 4095) / 4096 * 4096;
    mprotect(low, bytes, PROT_NONE);
    madvise(low, bytes, MADV_DONTNEED);
    memory_used -= it->second.bytes;
    allocations.erase(it);
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    *free_bytes = simt::memory_used < simt::memory_limit ? simt::memory_limit - simt::memory_used : 0;
    *total = simt::memory_limit;
    return cudaSuccess;
}
cudaError_t cudaMemcpy(void *to, const void *from, size_t n, enum cudaMemcpyKind)
{
    memcpy(to, from, n);
    return cudaSuccess;
}
cudaError_t cudaMemset(void *p, int v, size_t n)
{
    memset(p, v, n);
    return cudaSuccess;
}
void simt_memory_limit(size_t bytes) { simt::memory_limit = bytes; }
size_t simt_memory_used(void) { return simt::memory_used; }

/* ---- instrumentation hooks ---- */
#if !SIMT_ASAN
#define PC ((uintptr_t)__builtin_return_address(0))
#define HOOK(N)                                                                                              \
    void __tsan_read##N(void *p) { simt::access(p, N, simt::kRead, PC); }                                    \
    void __tsan_write##N(void *p) { simt::access(p, N, simt::kWrite, PC); }                                  \
    void __tsan_unaligned_read##N(void *p) { simt::access(p, N, simt::kRead, PC); }                          \
    void __tsan_unaligned_write##N(void *p) { simt::access(p, N, simt::kWrite, PC); }
HOOK(1)
HOOK(2)
HOOK(4)
HOOK(8)
HOOK(16)
void __tsan_read_range(void *p, long n) { simt::access(p, n, simt::kRead, PC); }
void __tsan_write_range(void *p, long n) { simt::access(p, n, simt::kWrite, PC); }
void __tsan_func_entry(void *) {}
void __tsan_func_exit(void *) {}
void __tsan_vptr_update(void *, void *) {}
void __tsan_init(void) { simt::race_build = true; }
#endif
}
