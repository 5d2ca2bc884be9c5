/* passes.c — two rings, one behind the other: pages by several threads, passes of them by one. */
#include "segment/passes.h"
#include "base/ahead.h"

#include <stdatomic.h>
#include <stdlib.h>

enum {
    AHEAD = 2, /* pages that wait beside those in use and those being read */
    PASSES = 2 /* one is segmented while the one before it is used */
};

/* Host memory that grows and stays. */
typedef struct block {
    void *data;
    size_t bytes;
} block;

struct t2d_passes {
    t2d_passes_job job;
    t2d_ahead *pages, *passes;
    int most, windows;  /* of a pass: pages; windows (0: they do not matter) */
    atomic_bool ending; /* no pass is taken any more */
    /* the segmenting thread's */
    int64_t taken;                   /* pages */
    t2d_page *held;                  /* taken, and of the next pass */
    bool ended;                      /* no pass follows */
    double idle;                     /* since then */
    t2d_image images[T2D_PASS_MOST]; /* of the pass, those that are segmented; and what is wanted of them */
    t2d_mask masks[T2D_PASS_MOST];
    float *scores[T2D_PASS_MOST];
    t2d_counting countings[T2D_PASS_MOST];
    block kept[PASSES][T2D_PASS_MOST]; /* what was found */
};

/* ---- pages ---- */

static bool begin_page(void *context, int64_t number, void *page)
{
    const t2d_passes *p = context;
    return p->job.begin(p->job.context, number, page);
}

static void read_page(void *context, int64_t number, void *page)
{
    const t2d_passes *p = context;
    p->job.read(p->job.context, number, page);
}

/* ---- a pass: gathered, then segmented ---- */

static int windows_of(const t2d_passes *p, const t2d_page *page)
{
    if (!page->image.pixels) return 0;
    return t2d_windows_of(p->job.options, page->image.width, page->image.height, NULL, NULL);
}

/* The next pages whose windows fit into a pass, at least one; the last may be the one that ends the run. */
static void gather(t2d_passes *p, t2d_pass *pass)
{
    int windows = 0;
    while (pass->count < p->most && !p->ended) {
        t2d_page *next = p->held ? p->held : t2d_ahead_take(p->pages);
        p->held = NULL;
        if (!next) break;
        const int more = windows_of(p, next);
        if (p->windows > 0 && windows > 0 && windows + more > p->windows) {
            p->held = next;
            break;
        }
        pass->pages[pass->count++] = next;
        windows += more;
        if (next->status && !p->job.passes_over(p->job.context, p->taken, next))
            p->ended = pass->too_many = true;
        p->taken++;
    }
}

static bool begin_pass(void *context, int64_t number, void *slot)
{
    (void)number;
    t2d_passes *p = context;
    t2d_pass *pass = slot;
    *pass = (t2d_pass){.first = p->taken};
    p->ended = p->ended || atomic_load(&p->ending) || p->job.stopped(p->job.context);
    gather(p, pass);
    pass->waited = t2d_clock() - p->idle;
    return pass->count > 0;
}

static void *reserve(block *b, size_t bytes, t2d_error *err)
{
    if (bytes > b->bytes) {
        free(b->data);
        b->data = t2d_new(bytes, 1, "what was found", err);
        b->bytes = b->data ? bytes : 0;
    }
    return b->data;
}

/* Page number `index` of those that are segmented. */
static t2d_status prepare(t2d_passes *p, t2d_page *page, int index, block *kept, t2d_error *err)
{
    const t2d_image *image = &page->image;
    const size_t pixels = (size_t)image->width * (size_t)image->height, labels = (size_t)p->job.counted;
    page->found = reserve(kept, labels ? labels * labels * sizeof(uint32_t) : pixels * sizeof(uint16_t), err);
    p->images[index] = *image;
    p->masks[index] = (t2d_mask){.width = image->width, .height = image->height, .ids = page->found};
    p->scores[index] = page->scores;
    p->countings[index] = (t2d_counting){page->truth, page->found};
    return page->found ? T2D_OK : T2D_E_MEMORY;
}

/* All of the pass that have pixels, in one call. */
static void segment(t2d_passes *p, t2d_pass *pass, block *kept)
{
    const t2d_passes_job *j = &p->job;
    const double start = t2d_clock();
    int good = 0;
    for (int i = 0; pass->status == T2D_OK && i < pass->count; i++)
        if (pass->pages[i]->image.pixels) {
            pass->status = prepare(p, pass->pages[i], good, &kept[good], &pass->err);
            good++;
        }
    if (pass->status == T2D_OK && good > 0)
        pass->status = j->counted ? t2d_segment_count(j->session, j->vocab, p->images, good, j->options,
                                                      p->countings, &pass->err)
                                  : t2d_segment_batch(j->session, j->vocab, p->images, good, j->options,
                                                      p->masks, p->scores, &pass->err);
    pass->seconds = good > 0 ? (t2d_clock() - start) / good : 0;
    p->ended = p->ended || pass->status;
}

static void make_pass(void *context, int64_t number, void *slot)
{
    t2d_passes *p = context;
    if (!atomic_load(&p->ending)) segment(p, slot, p->kept[number % PASSES]);
    p->idle = t2d_clock();
}

/* ---- the whole ---- */

static void plan(t2d_passes *p)
{
    const t2d_passes_job *j = &p->job;
    const t2d_engine *engine = j->session->engine;
    const int grid = j->options->size / engine->model.config.vision.patch;
    const int tokens = t2d_prefix_tokens(engine) + grid * grid;
    const int windows = t2d_session_tokens(j->session, NULL) / tokens;
    p->windows = j->together > 0 ? 0 : windows > 1 ? windows : 1;
    p->most = j->together > 0 ? j->together : p->windows;
    p->most = p->most < T2D_PASS_MOST ? p->most : T2D_PASS_MOST;
}

t2d_status t2d_passes_start(t2d_passes **passes, const t2d_passes_job *job, t2d_error *err)
{
    t2d_passes *p = *passes = t2d_new(1, sizeof *p, "pictures on their way", err);
    if (!p) return T2D_E_MEMORY;
    p->job = *job;
    plan(p);
    const int depth = PASSES * p->most + job->readers + AHEAD;
    p->idle = t2d_clock();
    t2d_status status =
        t2d_ahead_stream(&p->pages, job->readers, depth, job->page_bytes, begin_page, read_page, p, err);
    if (status == T2D_OK)
        status = t2d_ahead_stream(&p->passes, 1, PASSES, sizeof(t2d_pass), begin_pass, make_pass, p, err);
    if (status) {
        t2d_passes_stop(p);
        *passes = NULL;
    }
    return status;
}

const t2d_pass *t2d_passes_take(t2d_passes *passes) { return t2d_ahead_take(passes->passes); }

void t2d_passes_give_back(t2d_passes *passes, const t2d_pass *pass)
{
    for (int i = 0; i < pass->count; i++) {
        passes->job.release(pass->pages[i]);
        t2d_ahead_give_back(passes->pages);
    }
    t2d_ahead_give_back(passes->passes);
}

void t2d_passes_stop(t2d_passes *passes)
{
    if (!passes) return;
    atomic_store(&passes->ending, true);
    t2d_ahead_stop(passes->passes, NULL);
    t2d_ahead_stop(passes->pages, passes->job.release);
    for (int i = 0; i < PASSES * T2D_PASS_MOST; i++)
        free(passes->kept[i / T2D_PASS_MOST][i % T2D_PASS_MOST].data);
    free(passes);
}
