/* ahead.c — a ring of slots: threads fill them in any order, they are taken in one. */
#include "base/ahead.h"

#include <pthread.h>
#include <stdlib.h>

struct t2d_ahead {
    pthread_mutex_t order; /* held by who begins an item; taken before `lock` */
    pthread_mutex_t lock;
    pthread_cond_t room, made;
    bool (*begin)(void *context, int64_t item, void *slot); /* or NULL */
    void (*make)(void *context, int64_t item, void *slot);
    void *context;
    int64_t count, next, taken, returned; /* items; the next to be made, to be taken, to be given back */
    int depth, thread_count;
    bool stopping;
    pthread_t *threads;
    bool *ready; /* [depth] slot of item i is i % depth */
    char *slots;
    size_t slot_bytes;
};

static void *slot_of(t2d_ahead *a, int64_t item)
{
    return a->slots + (size_t)(item % a->depth) * a->slot_bytes;
}

/* The next item, where there is room for it; -1: none. */
static int64_t next_item(t2d_ahead *a)
{
    pthread_mutex_lock(&a->lock);
    while (!a->stopping && a->next < a->count && a->next - a->returned >= a->depth)
        pthread_cond_wait(&a->room, &a->lock);
    const int64_t item = a->stopping || a->next >= a->count ? -1 : a->next++;
    pthread_mutex_unlock(&a->lock);
    return item;
}

static void end_before(t2d_ahead *a, int64_t item)
{
    pthread_mutex_lock(&a->lock);
    a->count = item;
    pthread_cond_signal(&a->made);
    pthread_mutex_unlock(&a->lock);
}

static int64_t begin_item(t2d_ahead *a)
{
    pthread_mutex_lock(&a->order);
    int64_t item = next_item(a);
    if (item >= 0 && a->begin && !a->begin(a->context, item, slot_of(a, item))) {
        end_before(a, item);
        item = -1;
    }
    pthread_mutex_unlock(&a->order);
    return item;
}

static void *work(void *argument)
{
    t2d_ahead *a = argument;
    for (int64_t item; (item = begin_item(a)) >= 0;) {
        a->make(a->context, item, slot_of(a, item));
        pthread_mutex_lock(&a->lock);
        a->ready[item % a->depth] = true;
        pthread_cond_signal(&a->made);
        pthread_mutex_unlock(&a->lock);
    }
    return NULL;
}

static t2d_status start_threads(t2d_ahead *a, int threads, t2d_error *err)
{
    while (a->thread_count < threads && pthread_create(&a->threads[a->thread_count], NULL, work, a) == 0)
        a->thread_count++;
    return a->thread_count > 0 ? T2D_OK : t2d_fail(err, T2D_E_MEMORY, "no thread can be started");
}

static t2d_status start(t2d_ahead **ahead, const t2d_ahead *given, int threads, size_t slot_bytes,
                        t2d_error *err)
{
    *ahead = NULL;
    t2d_ahead *a = t2d_new(1, sizeof *a, "threads", err);
    if (!a) return T2D_E_MEMORY;
    *a = *given;
    a->slot_bytes = (slot_bytes + 63) / 64 * 64;
    pthread_mutex_init(&a->order, NULL);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->room, NULL);
    pthread_cond_init(&a->made, NULL);
    a->threads = t2d_new((size_t)threads, sizeof *a->threads, "threads", err);
    a->ready = t2d_new((size_t)a->depth, sizeof *a->ready, "threads", err);
    a->slots = t2d_new((size_t)a->depth, a->slot_bytes, "threads", err);
    t2d_status status = a->threads && a->ready && a->slots ? T2D_OK : T2D_E_MEMORY;
    if (status == T2D_OK) status = start_threads(a, threads, err);
    if (status)
        t2d_ahead_stop(a, NULL);
    else
        *ahead = a;
    return status;
}

t2d_status t2d_ahead_start(t2d_ahead **ahead, int64_t count, int threads, int depth, size_t slot_bytes,
                           void (*make)(void *context, int64_t item, void *slot), void *context,
                           t2d_error *err)
{
    const t2d_ahead given = {.make = make, .context = context, .count = count, .depth = depth};
    return start(ahead, &given, threads, slot_bytes, err);
}

t2d_status t2d_ahead_stream(t2d_ahead **ahead, int threads, int depth, size_t slot_bytes,
                            bool (*begin)(void *context, int64_t item, void *slot),
                            void (*make)(void *context, int64_t item, void *slot), void *context,
                            t2d_error *err)
{
    const t2d_ahead given = {
        .begin = begin, .make = make, .context = context, .count = INT64_MAX, .depth = depth};
    return start(ahead, &given, threads, slot_bytes, err);
}

/* Whether the next item can be taken now. */
static bool is_there(const t2d_ahead *a)
{
    return a->taken - a->returned < a->depth && a->ready[a->taken % a->depth];
}

void *t2d_ahead_take(t2d_ahead *a)
{
    pthread_mutex_lock(&a->lock);
    while (a->taken < a->count && !is_there(a)) pthread_cond_wait(&a->made, &a->lock);
    const int64_t item = a->taken < a->count ? a->taken++ : -1;
    pthread_mutex_unlock(&a->lock);
    return item >= 0 ? slot_of(a, item) : NULL;
}

void t2d_ahead_give_back(t2d_ahead *a)
{
    pthread_mutex_lock(&a->lock);
    a->ready[a->returned % a->depth] = false;
    a->returned++;
    pthread_cond_signal(&a->room);
    pthread_cond_signal(&a->made);
    pthread_mutex_unlock(&a->lock);
}

void t2d_ahead_stop(t2d_ahead *a, void (*release)(void *slot))
{
    if (!a) return;
    pthread_mutex_lock(&a->lock);
    a->stopping = true;
    pthread_cond_broadcast(&a->room);
    pthread_mutex_unlock(&a->lock);
    for (int i = 0; i < a->thread_count; i++) pthread_join(a->threads[i], NULL);
    for (int i = 0; release && i < a->depth; i++)
        if (a->ready[i]) release(a->slots + (size_t)i * a->slot_bytes);
    pthread_mutex_destroy(&a->order);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->room);
    pthread_cond_destroy(&a->made);
    free(a->threads);
    free(a->ready);
    free(a->slots);
    free(a);
}
