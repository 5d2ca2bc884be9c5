/* passes.h — many pictures through one session: threads read them ahead, those whose windows fill a pass of
 * the machine are segmented in one call by a thread of its own, and passes are handed on in the order of the
 * pictures. Whoever takes them counts, writes or reports meanwhile.  Never more than a few passes are in
 * memory. */
#ifndef T2D_SEGMENT_PASSES_H
#define T2D_SEGMENT_PASSES_H

#include "segment/segment.h"

enum { T2D_PASS_MOST = 64 }; /* pictures of a pass */

/* A picture on its way: the beginning of the user's own structure.  Its reader fills in the upper part. */
typedef struct t2d_page {
    t2d_status status; /* of the reading */
    t2d_image image;   /* without pixels there is nothing to segment, and the page is handed on as it is */
    float *scores;     /* what t2d_segment takes, or NULL */
    uint8_t *truth;    /* t2d_counting's, where the machine counts */
    void *found;       /* labels [height, width], or the machine's table; good until the pass is given back */
} t2d_page;

typedef struct t2d_pass {
    t2d_page *pages[T2D_PASS_MOST]; /* [count] */
    int count;
    int64_t first;          /* number of its first page */
    bool too_many;          /* the last page's failure ended the run */
    double waited, seconds; /* for pages, before the pass; every picture's part of it */
    t2d_status status;      /* of the segmentation */
    t2d_error err;
} t2d_pass;

typedef struct t2d_passes_job {
    t2d_session *session;
    const t2d_vocab *vocab;
    const t2d_segment_options *options;
    int counted;       /* labels, when the machine is to count pixels; 0: masks are wanted */
    int readers;       /* threads that read */
    int together;      /* pages of a pass; 0: as many as fill it */
    size_t page_bytes; /* of the user's structure */
    /* One thread at a time, in order: the page's number and whatever names it; false: there is none. */
    bool (*begin)(void *context, int64_t number, void *page);
    /* In several threads.  A slot is used again: everything in the page is to be set. */
    void (*read)(void *context, int64_t number, void *page);
    void (*release)(void *page);
    /* In the segmenting thread: whether a page that could not be read is passed over; whether to end. */
    bool (*passes_over)(void *context, int64_t number, const t2d_page *page);
    bool (*stopped)(void *context);
    void *context;
} t2d_passes_job;

typedef struct t2d_passes t2d_passes;

t2d_status t2d_passes_start(t2d_passes **passes, const t2d_passes_job *job, t2d_error *err);

/* Waits for the next pass; NULL after the last.  A pass whose status is not T2D_OK is the last.  Passes are
 * given back, with their pages, in the order in which they were taken; another thread may do so. */
const t2d_pass *t2d_passes_take(t2d_passes *passes);
void t2d_passes_give_back(t2d_passes *passes, const t2d_pass *pass);

/* Ends early or late, and releases what was not given back.  NULL is harmless. */
void t2d_passes_stop(t2d_passes *passes);

#endif
