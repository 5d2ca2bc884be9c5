/* simt_collective.cpp — operations of a warp or warpgroup together, and barriers.
 *
 * Lanes gather at a Group; the last to arrive executes for all.  Lanes that meet at different operations,
 * that are absent, or that are missing in the mask are findings, not undefined behaviour. */
#include "simt_device.h"
#include "simt_state.h"

namespace simt
{
int group_first;

struct Group {
    bool live;
    int first, width;
    unsigned mask;
    const char *what;
    Site site;
    GroupFn fn;
    unsigned arrived[4];
};
struct Barrier {
    int arrived, expect, predicates;
    Site site;
    std::vector<int> waiting;
    Clock clock;
};
static Group groups[64];
static Barrier barriers[16];

void collectives_reset()
{
    for (Group &g : groups) g.live = false;
    for (Barrier &b : barriers) b = Barrier();
}

static bool same(Site a, Site b) { return a.line == b.line && !strcmp(a.file, b.file); }
static bool arrived(const Group &g, int rank) { return g.arrived[rank >> 5] >> (rank & 31) & 1; }
static bool complete(const Group &g)
{
    for (int i = 0; i < g.width; i++) {
        const bool wanted = g.width > 32 || (g.mask >> i & 1);
        if (wanted && !arrived(g, i) && g.first + i < nthreads && !fibers[g.first + i].exited) return false;
    }
    return true;
}

static void finish(Group &g)
{
    void *args[128];
    for (int i = 0; i < g.width; i++) args[i] = arrived(g, i) ? fibers[g.first + i].args : nullptr;
    g.live = false;
    stats.collectives++;
    group_first = g.first;
    if (g.fn)
        g.fn(args, g.width);
    else if (race_build) { /* __syncwarp: the only one that orders memory */
        Clock c;
        for (int i = 0; i < g.width; i++)
            if (args[i]) release(g.first + i, c);
        for (int i = 0; i < g.width; i++)
            if (args[i]) acquire(g.first + i, c);
    }
    for (int i = 0; i < g.width; i++)
        if (args[i]) make_runnable(g.first + i);
}

static Group *find_group(int first, int width, unsigned mask, bool *is_new)
{
    Group *empty = nullptr;
    for (Group &g : groups) {
        if (g.live && g.first == first && g.width == width && g.mask == mask) return &g;
        if (!g.live && !empty) empty = &g;
    }
    if (!empty) {
        error("too many collectives pending|");
        fail_block();
    }
    *is_new = true;
    return empty;
}

void group_op(const char *what, int width, unsigned mask, bool aligned, Site s, void *args, GroupFn fn)
{
    const int first = current->tid / width * width, rank = current->tid - first;
    if (width == 32) current->pc = (uintptr_t)__builtin_return_address(0);
    current->args = args;
    if (width == 32 && !(mask >> rank & 1)) {
        error("%s at %s: the calling lane is not in its mask 0x%08x|", what, at(s).c_str(), mask);
        fail_block();
    }
    if (aligned && first + width > nthreads) {
        error("%s at %s needs %d threads, the block ends before|", what, at(s).c_str(), width);
        fail_block();
    }
    bool is_new = false;
    Group *g = find_group(first, width, mask, &is_new);
    if (is_new) {
        *g = Group{true, first, width, mask, what, s, fn, {0, 0, 0, 0}};
        for (int i = 0; aligned && i < width; i++)
            if (fibers[first + i].exited) {
                error("%s at %s after lanes of the warp have exited|", what, at(s).c_str());
                fail_block();
            }
    } else if (strcmp(g->what, what) || (aligned && !same(g->site, s))) {
        error("lanes of one warp meet at different operations: %s at %s and %s at %s|", g->what,
              at(g->site).c_str(), what, at(s).c_str());
        fail_block();
    }
    g->arrived[rank >> 5] |= 1u << (rank & 31);
    if (!complete(*g)) return block_on(what, s);
    finish(*g);
    preempt();
}

void syncwarp(unsigned mask, Site s)
{
    static char none;
    group_op("__syncwarp", 32, mask, false, s, &none, nullptr);
}

/* ---- shuffles and votes ---- */
static int source_lane(const Shuffle *a, int lane)
{
    const int low = lane & ~(a->width - 1), high = low + a->width - 1;
    const int j = a->mode == 0   ? low + (a->n & (a->width - 1))
                  : a->mode == 1 ? lane - a->n
                  : a->mode == 2 ? lane + a->n
                                 : lane ^ a->n;
    return j < low || j > high ? lane : j;
}

void shuffle_lanes(void **args, int)
{
    for (int i = 0; i < 32; i++) {
        Shuffle *a = (Shuffle *)args[i];
        if (!a) continue;
        const int j = source_lane(a, i);
        const Shuffle *from = (const Shuffle *)args[j];
        if (!from)
            error("shuffle at %s reads lane %d, which does not take part|",
                  where(fibers[group_first + i].pc).c_str(), j);
        if (from)
            memcpy(a->out, from->in, 8);
        else
            memset(a->out, 0xff, 8);
    }
}

unsigned vote(unsigned mask, int pred, Site s)
{
    struct Vote {
        int pred;
        unsigned out;
    } a = {pred, 0};
    group_op("__ballot_sync/__any_sync/__all_sync", 32, mask, false, s, &a, [](void **args, int width) {
        unsigned m = 0;
        for (int i = 0; i < width; i++)
            if (args[i] && ((Vote *)args[i])->pred) m |= 1u << i;
        for (int i = 0; i < width; i++)
            if (args[i]) ((Vote *)args[i])->out = m;
    });
    return a.out;
}

/* ---- barriers ---- */
static void open_barrier(Barrier &b)
{
    for (int t : b.waiting) {
        if (race_build) acquire(t, b.clock);
        fibers[t].predicate = b.predicates;
        make_runnable(t);
    }
    b = Barrier();
}

int barrier(int id, int n, bool wait, int pred, Site s)
{
    Barrier &b = barriers[id];
    if (n % 32) error("barrier %d at %s: the thread count %d is not a multiple of 32|", id, at(s).c_str(), n);
    if (b.arrived && n && b.expect != n) {
        error("barrier %d at %s: %d threads expected here, %d elsewhere|", id, at(s).c_str(), n, b.expect);
        fail_block();
    }
    if (b.arrived && !n && !same(b.site, s)) {
        error("threads of one block meet at different barriers: %s and %s|", at(b.site).c_str(),
              at(s).c_str());
        fail_block();
    }
    if (!b.arrived) {
        b.site = s;
        b.expect = n;
    }
    b.arrived++;
    b.predicates += pred;
    if (race_build) release(current->tid, b.clock);
    if (wait) b.waiting.push_back(current->tid);
    if (b.arrived >= (n ? n : alive)) {
        open_barrier(b);
        preempt();
    } else if (wait)
        block_on(n ? "named barrier" : "__syncthreads", s);
    return current->predicate;
}

void collectives_thread_exit(Fiber *f)
{
    for (Group &g : groups)
        if (g.live && f->tid >= g.first && f->tid < g.first + g.width && complete(g)) finish(g);
    if (barriers[0].arrived && barriers[0].arrived >= alive) open_barrier(barriers[0]);
}
} // namespace simt
