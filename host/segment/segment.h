/* segment.h — what the segment room's files share: the insides of engine, vocab and session. */
#ifndef T2D_SEGMENT_H
#define T2D_SEGMENT_H

#include "model/model.h"

struct t2d_engine {
    t2d_backend *be; /* the place for loading; sessions have their own */
    t2d_model model;
    t2d_dtype dtype;
    int threads;
};

struct t2d_vocab {
    const t2d_engine *engine;
    int count, rows; /* classes; vectors, aliases counted */
    char **names;    /* [count] first alias */
    int32_t *first;  /* [count + 1] rows of class c: first[c] .. first[c + 1] - 1 */
    float *vectors;  /* host, [rows, dim] */
    float *text;     /* machine, [rows, dim] */
};

/* Memory of the machine that grows and stays. */
typedef struct t2d_buffer {
    void *data;
    size_t bytes;
} t2d_buffer;

/* What is true of a picture, and where the machine writes what was found: t2d_readout's truth and counts. */
typedef struct t2d_counting {
    const uint8_t *truth; /* [height, width] */
    uint32_t *counts;     /* [labels, labels] */
} t2d_counting;

/* One of the pictures that travel together. */
typedef struct t2d_picture {
    const t2d_image *image;
    t2d_mask *mask;        /* or NULL */
    float *scores;         /* or NULL */
    t2d_counting counting; /* or empty */
    bool allocated;        /* mask->ids is ours until all has gone well */
    int width, height;     /* of the canvas */
    size_t at;             /* where its pixels begin in session->pixels */
    int first, count;      /* its windows in session->windows */
} t2d_picture;

struct t2d_session {
    t2d_engine *engine;
    t2d_backend *be;
    t2d_workspace ws;
    int load;            /* tokens per pass: the machine's, or fewer where memory had no room */
    t2d_buffer pixels;   /* the canvases */
    t2d_buffer position; /* [grid * grid, dim] for `grid` */
    int grid;            /* 0: none yet */
    t2d_buffer features; /* [windows at once, tokens, dim] after the final norm */
    t2d_buffer unit;     /* [windows at once, patches, dim] */
    t2d_buffer logits;   /* [windows at once, heads, patches] */
    t2d_buffer scores;   /* [windows, patches, classes] */
    t2d_buffer aliases;  /* [windows at once, patches, vectors], when classes have aliases */
    t2d_buffer pooled;   /* [heads, dim] */
    uint8_t *canvas;     /* host: the resized picture */
    size_t canvas_bytes;
    t2d_rect *windows;
    int window_capacity;
    t2d_picture *pictures;
    int picture_capacity;
};

/* As t2d_segment_batch, but counted by the machine, and labels do not leave it.  countings: [count]; at most
 * T2D_MOST_COUNTED labels. */
t2d_status t2d_segment_count(t2d_session *session, const t2d_vocab *vocab, const t2d_image *images, int count,
                             const t2d_segment_options *options, const t2d_counting *countings,
                             t2d_error *err);

/* Another backend like the engine's, sharing its weights. */
t2d_status t2d_engine_backend(const t2d_engine *engine, t2d_backend **be, t2d_error *err);

/* ---- windows.c ---- */

/* Number of windows of `size` every `stride` along `length`; the last is shifted back to stay inside. */
int t2d_window_count(int length, int size, int stride);
/* Number of windows of a picture of this size, and the canvas they are cut from (or NULL). */
int t2d_windows_of(const t2d_segment_options *options, int width, int height, int *canvas_width,
                   int *canvas_height);
/* All windows of a canvas, row by row, into rects (room for count_x * count_y). */
void t2d_windows_place(int width, int height, int size, int stride, t2d_rect *rects);

/* ---- forward.c: the part of a picture's way that segment and features share ---- */

/* At least `bytes` of machine memory; contents are lost when it grows. */
t2d_status t2d_buffer_reserve(t2d_session *session, t2d_buffer *buffer, size_t bytes, const char *what,
                              t2d_error *err);

/* Plans the workspace for `windows` at once at this window size, and the position table of its grid. */
t2d_status t2d_forward_plan(t2d_session *session, int windows, int size, t2d_error *err);

/* Windows of one picture (`pixels`: the machine's, [height, width, 3]) into the residual stream, as its
 * windows number `slot` and on. */
void t2d_forward_embed(t2d_session *session, const uint8_t *pixels, int width, int height,
                       const t2d_rect *windows, int count, int size, bool swap, int slot);
/* `count` embedded windows through the vision tower: session->features. */
void t2d_forward_blocks(t2d_session *session, int count, int size);

/* 1 (CLS) + registers: the tokens before the patches. */
int t2d_prefix_tokens(const t2d_engine *engine);

/* ---- pictures.c ---- */

/* session->pictures [count], checked and with room for their results, all the way to masks and scores. */
t2d_status t2d_segment_pictures(t2d_session *session, const t2d_vocab *vocab, int count,
                                const t2d_segment_options *options, t2d_error *err);

/* Whether `image` is a picture at all. */
t2d_status t2d_image_check(const t2d_image *image, t2d_error *err);

#endif
