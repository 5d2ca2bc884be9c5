/* simt_async.cpp — cp.async, mbarriers and TMA.  Copies land at issue or as late as allowed, at random;
 * either way nobody may touch the bytes before the wait. */
#include "simt_ptx.h"
#include "simt_state.h"
#include <map>

namespace simt
{
/* ---- cp.async ---- */
static void land(Copy &c)
{
    memcpy(c.dst, c.src, c.src_bytes);
    memset(c.dst + c.src_bytes, 0, c.bytes - c.src_bytes);
    c.landed = true;
}
static bool lands_now()
{
    return async_mode == SIMT_ASYNC_EARLY || (async_mode == SIMT_ASYNC_RANDOM && random_bits() % 2);
}

void cp_async(void *dst, const void *src, int n, int src_n)
{
    const uintptr_t pc = (uintptr_t)__builtin_return_address(0);
    Copy c = {(unsigned char *)dst, (const unsigned char *)src, n, src_n, -1, false};
    if ((uintptr_t)dst % n || (src_n && (uintptr_t)src % n))
        error("cp.async at %s: misaligned address|", where(pc).c_str());
    if (!is_shared(dst)) {
        error("cp.async at %s: destination is not shared memory|", where(pc).c_str());
        return;
    }
    if (src_n) access(src, src_n, kRead, pc);
    Cell *cell = cells_of(c.dst, n, pc, "cp.async write");
    if (!cell && c.dst >= smem - kGuard && c.dst < smem + kMaxSmem + kGuard) return;
    const int t = current->tid;
    if (cell && race_build) {
        shadow_access(cell, n, t, clock_of(t)[t], clock_of(t), kWrite, pc, false);
        for (int i = 0; i < n; i++) cell[i].pending = 1;
    }
    if (lands_now()) land(c);
    current->copies.push_back(c);
}

void cp_async_commit()
{
    for (Copy &c : current->copies)
        if (c.group < 0) c.group = current->groups;
    current->groups++;
}

void cp_async_wait(int n)
{
    std::vector<Copy> rest;
    for (Copy &c : current->copies) {
        if (c.group < 0 || c.group >= current->groups - n) {
            rest.push_back(c);
            continue;
        }
        if (!c.landed) land(c);
        Cell *cell = race_build ? cells_of(c.dst, c.bytes, 0, "") : nullptr;
        for (int i = 0; cell && i < c.bytes; i++) { /* from now on it is this thread's write */
            cell[i].pending = 0;
            cell[i].write_clock = clock_of(current->tid)[current->tid];
        }
    }
    current->copies.swap(rest);
}

/* ---- mbarriers ---- */
struct MBarrier {
    unsigned count, pending, phase;
    long tx;
    Clock clock;
    std::vector<int> waiters;
};
static std::map<uint64_t *, MBarrier> mbarriers;

static MBarrier *find(uint64_t *p, const char *what)
{
    auto it = mbarriers.find(p);
    if (it != mbarriers.end()) return &it->second;
    error("%s on an mbarrier that was not initialised|", what);
    fail_block();
}
static void maybe_complete(MBarrier &b)
{
    if (b.pending || b.tx) return;
    b.phase++;
    b.pending = b.count;
    for (int t : b.waiters) make_runnable(t);
    b.waiters.clear();
}

void mbarrier_init(uint64_t *p, unsigned count)
{
    mbarriers[p] = MBarrier{count, count, 0, 0, Clock(nthreads + 1), {}};
}
void mbarrier_arrive(uint64_t *p, unsigned tx)
{
    MBarrier *b = find(p, "arrive");
    if (!b->pending) {
        error("more arrivals on an mbarrier than its count|");
        fail_block();
    }
    if (race_build) release(current->tid, b->clock);
    b->tx += tx;
    b->pending--;
    maybe_complete(*b);
    preempt();
}
void mbarrier_wait(uint64_t *p, unsigned parity, Site s)
{
    MBarrier *b = find(p, "wait");
    while ((b->phase & 1) == (parity & 1)) {
        b->waiters.push_back(current->tid);
        block_on("mbarrier wait", s);
    }
    if (race_build) acquire(current->tid, b->clock);
}

/* ---- shared addresses and swizzles ---- */
uint32_t swizzle(uint32_t a, int mode) { return a ^ (a >> 3 & ((1u << mode) - 1) << 4); }
uint32_t smem_address(const void *p)
{
    if ((unsigned char *)p < smem || (unsigned char *)p > smem + kMaxSmem)
        error("the emulator gives shared addresses only to dynamic shared memory|");
    return 1024 + (uint32_t)((unsigned char *)p - smem);
}
unsigned char *smem_pointer(uint32_t a) { return smem + (int)a - 1024; }

/* ---- TMA ---- */
struct TensorMap {
    const unsigned char *base;
    uint64_t cols, rows, pitch;
    uint32_t box_cols, box_rows, swizzle, magic;
};
enum : uint32_t { kMapMagic = 0x746d6170u };
struct Tma {
    unsigned char *dst;
    TensorMap map; /* a copy: the kernel's parameter lives on the issuing thread's stack here */
    int x, y;
    uint64_t *bar;
};
static std::vector<Tma> tmas;
static uint32_t engine_clock;

void async_reset()
{
    mbarriers.clear();
    tmas.clear();
    engine_clock = 0;
}
void async_check()
{
    if (!tmas.empty()) error("the block ends with a TMA load in flight|");
    for (const auto &b : mbarriers)
        if (b.second.tx) error("an mbarrier is left with unmatched bytes|: %ld", b.second.tx);
}
bool tma_pending() { return !tmas.empty(); }

static void copy_element(const Tma &t, uint32_t address, int64_t y, int64_t x)
{
    const TensorMap &m = t.map;
    unsigned char *d = smem_pointer(swizzle(address, (int)m.swizzle));
    const bool inside = y >= 0 && x >= 0 && y < (int64_t)m.rows && x < (int64_t)m.cols;
    if (inside)
        memcpy(d, m.base + y * m.pitch + x * 2, 2);
    else
        memset(d, 0, 2);
    for (int k = 0; race_build && k < 2; k++)
        if (Cell *c = cells_of(d + k, 1, 0, "TMA write")) {
            c->pending = 0;
            c->write_clock = engine_clock;
        }
}

void tma_complete_one(bool first)
{
    const size_t i = first ? 0 : random_bits() % tmas.size();
    const Tma t = tmas[i];
    tmas.erase(tmas.begin() + (ptrdiff_t)i);
    const uint32_t base = smem_address(t.dst), row_bytes = t.map.box_cols * 2;
    engine_clock++;
    for (uint32_t r = 0; r < t.map.box_rows; r++)
        for (uint32_t c = 0; c < t.map.box_cols; c++)
            copy_element(t, base + r * row_bytes + c * 2, t.y + (int64_t)r, t.x + (int64_t)c);
    MBarrier &b = mbarriers[t.bar];
    if (race_build) b.clock[nthreads] = engine_clock;
    b.tx -= (long)t.map.box_rows * row_bytes;
    maybe_complete(b);
}

void tma_load_2d(void *dst, const void *map, int x, int y, uint64_t *bar, uintptr_t pc)
{
    TensorMap m;
    memcpy(&m, map, sizeof m);
    if (m.magic != kMapMagic) {
        error("TMA at %s: not a tensor map|", where(pc).c_str());
        fail_block();
    }
    if ((uintptr_t)dst % 128 || (m.swizzle && (uintptr_t)dst % (128u << m.swizzle)))
        error("TMA at %s: the destination is not aligned for its swizzle|", where(pc).c_str());
    find(bar, "TMA");
    const size_t n = (size_t)m.box_rows * m.box_cols * 2;
    Cell *c = cells_of((unsigned char *)dst, n, pc, "TMA write");
    if (!c && smem_bytes) fail_block();
    if (race_build && c) {
        shadow_access(c, n, nthreads, engine_clock + 1, clock_of(current->tid), kWrite, pc, false);
        for (size_t i = 0; i < n; i++) c[i].pending = 1;
    }
    tmas.push_back(Tma{(unsigned char *)dst, m, x, y, bar});
    if (async_mode == SIMT_ASYNC_EARLY) tma_complete_one(tmas.size() == 1);
    preempt();
}
} // namespace simt

/* The driver's rules for cuTensorMapEncodeTiled, two-byte elements. */
cudaError_t tma_map_2d(CUtensorMap *map, const void *base, uint64_t cols, uint64_t rows, uint64_t pitch,
                       uint32_t box_cols, uint32_t box_rows, TmaSwizzle swizzle)
{
    const bool box = box_cols && box_rows && box_cols <= 256 && box_rows <= 256 && box_cols * 2 % 16 == 0;
    const bool fits = !swizzle || box_cols * 2 <= (16u << swizzle);
    if ((uintptr_t)base % 16 || pitch % 16 || !box || !fits) return cudaErrorInvalidValue;
    const simt::TensorMap m = {(const unsigned char *)base, cols,           rows, pitch, box_cols, box_rows,
                               (uint32_t)swizzle,           simt::kMapMagic};
    static_assert(sizeof m <= sizeof *map, "a tensor map has 128 bytes");
    memset(map, 0, sizeof *map);
    memcpy(map, &m, sizeof m);
    return cudaSuccess;
}
