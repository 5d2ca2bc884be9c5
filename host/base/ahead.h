/* ahead.h — things prepared by threads while others are used, taken in order, never more than a few at a
 * time.  What is prepared and how is the caller's: pictures decoded ahead of the forward pass, for one. */
#ifndef T2D_BASE_AHEAD_H
#define T2D_BASE_AHEAD_H

#include "base/base.h"

typedef struct t2d_ahead t2d_ahead;

/* Starts `threads` threads that fill slots (`slot_bytes` each, zeroed at first, reused later) by
 * make(context, item, slot) for items 0 .. count - 1.  At most `depth` items are made and not given back. */
t2d_status t2d_ahead_start(t2d_ahead **ahead, int64_t count, int threads, int depth, size_t slot_bytes,
                           void (*make)(void *context, int64_t item, void *slot), void *context,
                           t2d_error *err);

/* The same for items whose number is not known.  begin(context, item, slot) comes before make: one thread at
 * a time, in the order of the items; false when there is no such item, which ends them. */
t2d_status t2d_ahead_stream(t2d_ahead **ahead, int threads, int depth, size_t slot_bytes,
                            bool (*begin)(void *context, int64_t item, void *slot),
                            void (*make)(void *context, int64_t item, void *slot), void *context,
                            t2d_error *err);

/* Waits for the next item; NULL after the last.  The slot is the caller's until it is given back.  Several
 * may be held; the one that was taken first is given back first, and who holds `depth` of them waits until
 * one is.  One thread takes, and one, which may be another, gives back. */
void *t2d_ahead_take(t2d_ahead *ahead);
void t2d_ahead_give_back(t2d_ahead *ahead);

/* Ends early or late: waits for the threads, and calls `release` on slots that were made but not given back.
 * NULL is harmless. */
void t2d_ahead_stop(t2d_ahead *ahead, void (*release)(void *slot));

#endif
