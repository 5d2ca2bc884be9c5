/* simt_wgmma.cpp — Hopper's warpgroup products, m64n64k16 bf16 with both operands in shared memory.
 *
 * A product runs at issue or as late as its wait, at random, and its operands count as read until then.  The
 * descriptors follow CUTLASS's canonical layouts; test_selftest.c runs the same kernels on a chip. */
#include "simt_ptx.h"
#include "simt_state.h"

namespace simt
{
struct Wgmma {
    std::vector<float *> d; /* the 32 accumulators of each of the 128 threads */
    uint64_t a, b;
    bool transpose_b, accumulate;
    int group; /* -1: not committed */
    bool done;
};
struct WarpGroup {
    std::vector<Wgmma> ops;
    int groups;
};
static WarpGroup warpgroups[kMaxThreads / 128];

void wgmma_reset()
{
    for (WarpGroup &w : warpgroups) w = WarpGroup();
}

void wgmma_check()
{
    for (const WarpGroup &w : warpgroups)
        if (!w.ops.empty()) error("a warpgroup exits with a wgmma in flight|");
}

static unsigned char *element(uint64_t desc, bool mn_major, int mn, int k)
{
    const uint32_t start = (uint32_t)(desc & 0x3fff) << 4;
    const uint32_t lbo = (uint32_t)(desc >> 16 & 0x3fff) << 4, sbo = (uint32_t)(desc >> 32 & 0x3fff) << 4;
    static const int modes[] = {0, 3, 2, 1}; /* the descriptor counts swizzles backwards */
    const int mode = modes[desc >> 62], pitch = 16 << mode, per = 8 << mode;
    uint32_t offset;
    if (!mode && mn_major)
        offset = mn / 8 * sbo + k / 8 * lbo + k % 8 * 16 + mn % 8 * 2;
    else if (!mode)
        offset = mn / 8 * sbo + k / 8 * lbo + mn % 8 * 16 + k % 8 * 2;
    else if (mn_major)
        offset = mn / per * lbo + k / 8 * sbo + k % 8 * pitch + mn % per * 2;
    else
        offset = mn / 8 * sbo + mn % 8 * pitch + k * 2;
    return smem_pointer(swizzle(start + offset, mode));
}

static float load(uint64_t desc, bool mn_major, int mn, int k, int tid)
{
    const unsigned char *p = element(desc, mn_major, mn, k);
    uint16_t h;
    lane_read(tid, p, 2, true);
    memcpy(&h, p, 2);
    return bf16_to_float(h);
}

__attribute__((optimize("O3"))) static void execute(Wgmma &w, int first)
{
    static float a[64][16], b[16][64];
    for (int mn = 0; mn < 64; mn++)
        for (int k = 0; k < 16; k++) {
            a[mn][k] = load(w.a, false, mn, k, first + mn / 16 * 32);
            b[k][mn] = load(w.b, w.transpose_b, mn, k, first);
        }
    for (int t = 0; t < 128; t++)
        for (int i = 0; i < 32; i++) {
            const int e = i & 3, r = t / 32 * 16 + t % 32 / 4 + (e >> 1) * 8,
                      c = i / 4 * 8 + t % 4 * 2 + (e & 1);
            float s = w.accumulate ? w.d[t][i] : 0.f;
            for (int k = 0; k < 16; k++) s += a[r][k] * b[k][c];
            w.d[t][i] = s;
        }
    w.done = true;
}

/* Reads the operands once more, for the checkers alone. */
static void read_again(const Wgmma &op, int first)
{
    Wgmma w = op;
    std::vector<float> scrap(128 * 32);
    for (int t = 0; t < 128; t++) w.d[t] = &scrap[t * 32];
    execute(w, first);
}

struct IssueArgs {
    float *d;
    uint64_t a, b;
    bool transpose_b;
    int scale;
};
static void issue(void **v, int)
{
    const IssueArgs &x = *(IssueArgs *)v[0];
    Wgmma w = {{}, x.a, x.b, x.transpose_b, x.scale != 0, -1, false};
    for (int i = 0; i < 128; i++) {
        const IssueArgs &y = *(IssueArgs *)v[i];
        if (y.a != x.a || y.b != x.b || y.scale != x.scale)
            error("wgmma at %s: descriptors or scale differ between threads|",
                  where(fibers[group_first].pc).c_str());
        w.d.push_back(y.d);
    }
    WarpGroup &g = warpgroups[group_first / 128];
    g.ops.push_back(w);
    if (async_mode == SIMT_ASYNC_EARLY || (async_mode == SIMT_ASYNC_RANDOM && random_bits() % 2))
        for (Wgmma &o : g.ops) /* in order */
            if (!o.done) execute(o, group_first);
}

void wgmma_issue(float *d, uint64_t a, uint64_t b, bool transpose_b, int scale, Site s)
{
    current->pc = (uintptr_t)__builtin_return_address(0);
    IssueArgs args = {d, a, b, transpose_b, scale};
    group_op("wgmma", 128, 0, true, s, &args, issue);
}

void wgmma_commit(Site s)
{
    static char none;
    current->pc = (uintptr_t)__builtin_return_address(0);
    group_op("wgmma.commit_group", 128, 0, true, s, &none, [](void **, int) {
        WarpGroup &g = warpgroups[group_first / 128];
        for (Wgmma &w : g.ops)
            if (w.group < 0) w.group = g.groups;
        g.groups++;
    });
}

void wgmma_wait(int n, Site s)
{
    current->pc = (uintptr_t)__builtin_return_address(0);
    group_op("wgmma.wait_group", 128, 0, true, s, &n, [](void **v, int) {
        WarpGroup &g = warpgroups[group_first / 128];
        const int before = g.groups - *(int *)v[0];
        size_t i = 0;
        for (; i < g.ops.size() && g.ops[i].group >= 0 && g.ops[i].group < before; i++)
            if (!g.ops[i].done)
                execute(g.ops[i], group_first);
            else if (race_build)
                read_again(g.ops[i], group_first);
        g.ops.erase(g.ops.begin(), g.ops.begin() + (ptrdiff_t)i);
    });
}
} // namespace simt
