/* simt_shadow.cpp — vector clocks and the shadow of shared memory: data races, uninitialised reads, touches
 * of memory that an asynchronous copy has not finished.  None of it depends on the schedule. */
#include "simt_state.h"

namespace simt
{
/* vc[t * (nthreads + 1) + u]: what t knows of u; column nthreads is the asynchronous copy engine. */
static std::vector<uint32_t> vc;
static std::vector<uint32_t> proxy_fence; /* own clock at a thread's last fence.proxy.async */

uint32_t *clock_of(int t) { return &vc[(size_t)t * (nthreads + 1)]; }

void clocks_reset()
{
    vc.assign((size_t)nthreads * (nthreads + 1), 0);
    proxy_fence.assign(nthreads, 0);
    for (int t = 0; t < nthreads; t++) clock_of(t)[t] = 1;
}

void release(int t, Clock &c)
{
    uint32_t *own = clock_of(t);
    c.resize(nthreads + 1);
    for (int i = 0; i <= nthreads; i++) c[i] = c[i] < own[i] ? own[i] : c[i];
    own[t]++;
}
void acquire(int t, const Clock &c)
{
    uint32_t *own = clock_of(t);
    for (size_t i = 0; i < c.size(); i++) own[i] = own[i] < c[i] ? c[i] : own[i];
}

void fence_proxy_async()
{
    if (!race_build) return;
    const int t = current->tid;
    proxy_fence[t] = clock_of(t)[t]++;
}

static std::string who(int t) { return t == nthreads ? "TMA" : "thread " + std::to_string(t); }
static void race(int kind, int t, uintptr_t pc, int u, uint32_t other_pc)
{
    static const char *const names[] = {"read", "write", "atomic"};
    error("race on shared memory: %s at %s, unordered with an access at %s|(%s, %s)", names[kind],
          where(pc).c_str(), where(other_pc + program_base).c_str(), who(t).c_str(), who(u).c_str());
}

/* The last write against this access; true when something was reported. */
static bool check_writer(const Cell *c, int agent, const uint32_t *seen, int kind, uintptr_t pc, bool proxy)
{
    const int w = c->writer - 1;
    if (c->pending) {
        error("access at %s to shared memory that an unfinished asynchronous copy issued at %s writes|",
              where(pc).c_str(), where(c->write_pc + program_base).c_str());
        return true;
    }
    if (w >= 0 && w != agent && c->write_clock > seen[w] && !(kind == kAtomic && c->atomic)) {
        race(kind, agent, pc, w, c->write_pc);
        return true;
    }
    if (kind == kRead && proxy && w >= 0 && w < nthreads && c->write_clock > proxy_fence[w]) {
        error("wgmma at %s reads shared memory stored at %s without fence.proxy.async by the storing thread|",
              where(pc).c_str(), where(c->write_pc + program_base).c_str());
        return true;
    }
    if (kind != kWrite && !c->written) {
        error("read of uninitialised shared memory at %s|", where(pc).c_str());
        return true;
    }
    return false;
}

static bool check_readers(const Cell *c, int agent, const uint32_t *seen, int kind, uintptr_t pc)
{
    for (int k = 0; k < 2; k++) {
        const int r = c->reader[k] - 1;
        if (r >= 0 && r != agent && c->read_clock[k] > seen[r]) {
            race(kind, agent, pc, r, c->read_pc[k]);
            return true;
        }
    }
    return false;
}

void shadow_access(Cell *c, size_t n, int agent, uint32_t clock, const uint32_t *seen, int kind, uintptr_t pc,
                   bool proxy)
{
    const uint32_t rel = (uint32_t)(pc - program_base);
    bool reported = false;
    for (; n--; c++) {
        if (!reported) reported = check_writer(c, agent, seen, kind, pc, proxy);
        if (kind == kRead) {
            const int r = c->reader[0] - 1;
            const int slot = r < 0 || r == agent || c->read_clock[0] <= seen[r] ? 0 : 1;
            c->reader[slot] = (uint16_t)(agent + 1);
            c->read_clock[slot] = clock;
            c->read_pc[slot] = rel;
            continue;
        }
        if (!reported) reported = check_readers(c, agent, seen, kind, pc);
        c->writer = (uint16_t)(agent + 1);
        c->write_clock = clock;
        c->write_pc = rel;
        c->atomic = kind == kAtomic;
        c->written = 1;
        c->reader[0] = c->reader[1] = 0;
    }
}

void lane_read(int t, const void *p, size_t n, bool proxy)
{
    const uintptr_t pc = fibers[t].pc;
    if (!is_shared(p)) {
        error("ldmatrix/wgmma at %s: not a shared memory address|", where(pc).c_str());
        return;
    }
    Cell *c = cells_of((const unsigned char *)p, n, pc, "read");
    if (c && race_build) shadow_access(c, n, t, clock_of(t)[t], clock_of(t), kRead, pc, proxy);
}
} // namespace simt
