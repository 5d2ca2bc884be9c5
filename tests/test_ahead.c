/* test_ahead.c — work done ahead by threads: in order, within bounds, and ended early without a leak. */
#include "base/ahead.h"

#include <criterion/criterion.h>

typedef struct made {
    int64_t item;
    unsigned sum;
} made;

typedef struct maker {
    int64_t in_use; /* the item that the test holds */
    int ahead_most; /* how far beyond it threads went */
} maker;

static void make(void *context, int64_t item, void *slot)
{
    maker *m = context;
    const int ahead = (int)(item - __atomic_load_n(&m->in_use, __ATOMIC_SEQ_CST));
    int most = __atomic_load_n(&m->ahead_most, __ATOMIC_SEQ_CST);
    while (ahead > most && !__atomic_compare_exchange_n(&m->ahead_most, &most, ahead, 0, __ATOMIC_SEQ_CST,
                                                        __ATOMIC_SEQ_CST)) {
    }
    made *s = slot;
    s->item = item;
    for (int i = 0; i < (item % 7) * 1000; i++) s->sum += (unsigned)i ^ (unsigned)item; /* some take longer */
}

static int released;
static void release(void *slot)
{
    (void)slot;
    released++;
}

Test(ahead, keeps_order_and_bounds)
{
    for (int threads = 1; threads <= 5; threads += 2)
        for (int depth = 1; depth <= 4; depth += 3) {
            maker m = {0};
            t2d_ahead *ahead;
            t2d_error err = {0};
            cr_assert_eq(t2d_ahead_start(&ahead, 500, threads, depth, sizeof(made), make, &m, &err), T2D_OK);
            for (int64_t i = 0; i < 500; i++) {
                made *s = t2d_ahead_take(ahead);
                cr_assert(s && s->item == i);
                __atomic_store_n(&m.in_use, i + 1, __ATOMIC_SEQ_CST);
                t2d_ahead_give_back(ahead);
            }
            cr_assert_null(t2d_ahead_take(ahead));
            t2d_ahead_stop(ahead, release);
            cr_assert_lt(m.ahead_most, depth);
        }
    cr_assert_eq(released, 0);
}

/* Some are held while others are taken, as pictures of a batch are. */
Test(ahead, holds_several)
{
    enum { DEPTH = 5, HELD = 4, ITEMS = 103 };
    for (int threads = 1; threads <= 4; threads += 3) {
        maker m = {0};
        t2d_ahead *ahead;
        t2d_error err = {0};
        cr_assert_eq(t2d_ahead_start(&ahead, ITEMS, threads, DEPTH, sizeof(made), make, &m, &err), T2D_OK);
        made *held[HELD];
        int64_t given = 0;
        for (int64_t i = 0; i < ITEMS; i++) {
            held[i % HELD] = t2d_ahead_take(ahead);
            cr_assert(held[i % HELD]);
            for (int64_t k = given; k <= i; k++) cr_assert_eq(held[k % HELD]->item, k);
            while (i - given >= (i % 7 < HELD - 1 ? i % 7 : HELD - 1)) {
                t2d_ahead_give_back(ahead);
                given++;
            }
        }
        cr_assert_null(t2d_ahead_take(ahead));
        released = 0;
        t2d_ahead_stop(ahead, release);
        cr_assert_eq(released, ITEMS - given);
    }
}

/* ---- two rings, one behind the other: what a thread makes of the first's items is taken from the second
 * ---- */

enum { CHAIN = 400, GROUP = 3 };

typedef struct group {
    made *items[GROUP];
    int count;
} group;

/* In the second ring's thread, which takes from the first. */
static void make_group(void *context, int64_t item, void *slot)
{
    (void)item;
    group *g = slot;
    g->count = 0;
    while (g->count < GROUP && (g->items[g->count] = t2d_ahead_take(context))) g->count++;
}

/* Taken by one thread, given back by another. */
Test(ahead, chained)
{
    for (int threads = 1; threads <= 4; threads += 3) {
        maker m = {.in_use = CHAIN};
        t2d_ahead *items, *groups;
        t2d_error err = {0};
        cr_assert_eq(
            t2d_ahead_start(&items, CHAIN, threads, 2 * GROUP + threads, sizeof(made), make, &m, &err),
            T2D_OK);
        cr_assert_eq(t2d_ahead_start(&groups, CHAIN + 1, 1, 2, sizeof(group), make_group, items, &err),
                     T2D_OK);
        int64_t next = 0;
        for (group *g; (g = t2d_ahead_take(groups))->count > 0; t2d_ahead_give_back(groups))
            for (int i = 0; i < g->count; i++) {
                cr_assert_eq(g->items[i]->item, next++);
                t2d_ahead_give_back(items);
            }
        cr_assert_eq(next, CHAIN);
        t2d_ahead_stop(groups, NULL);
        t2d_ahead_stop(items, release);
    }
    cr_assert_eq(released, 0);
}

/* ---- items whose number shows as they begin ---- */

typedef struct stream {
    int64_t begun, most; /* no lock: one thread begins at a time */
} stream;

static bool begin(void *context, int64_t item, void *slot)
{
    stream *s = context;
    cr_assert_eq(item, s->begun); /* in order */
    if (s->begun == s->most) return false;
    s->begun++;
    ((made *)slot)->item = item;
    return true;
}

static void make_begun(void *context, int64_t item, void *slot)
{
    (void)context;
    made *s = slot;
    cr_assert_eq(s->item, item);
    for (int i = 0; i < (item % 7) * 1000; i++) s->sum += (unsigned)i ^ (unsigned)item;
}

Test(ahead, streams)
{
    const int64_t lengths[] = {0, 1, 3, 4, 500};
    for (int threads = 1; threads <= 5; threads++)
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            stream s = {.most = lengths[l]};
            t2d_ahead *ahead;
            t2d_error err = {0};
            cr_assert_eq(t2d_ahead_stream(&ahead, threads, 4, sizeof(made), begin, make_begun, &s, &err),
                         T2D_OK);
            int64_t next = 0;
            for (const made *m; (m = t2d_ahead_take(ahead)); t2d_ahead_give_back(ahead))
                cr_assert_eq(m->item, next++);
            cr_assert_eq(next, s.most);
            cr_assert_null(t2d_ahead_take(ahead));
            t2d_ahead_stop(ahead, release);
        }
    cr_assert_eq(released, 0);
}

Test(ahead, stops_early)
{
    for (int taken = 0; taken < 4; taken++) {
        maker m = {0};
        t2d_ahead *ahead;
        t2d_error err = {0};
        released = 0;
        cr_assert_eq(t2d_ahead_start(&ahead, 1000, 2, 3, sizeof(made), make, &m, &err), T2D_OK);
        for (int i = 0; i < taken; i++) {
            cr_assert(t2d_ahead_take(ahead));
            t2d_ahead_give_back(ahead);
        }
        if (taken == 3) cr_assert(t2d_ahead_take(ahead)); /* held when it stops */
        t2d_ahead_stop(ahead, release);
        cr_assert(released <= 3 && (taken < 3 || released >= 1));
    }
    t2d_ahead_stop(NULL, release);
}
