/* model_test.h — a tiny model on either machine, pictures, and ways to segment, for the suites of whole
 * models.
 *
 * Needs a tiny model of random weights and a picture (T2D_TINY_MODEL, T2D_TEST_PICTURE: the ctest fixture
 * `tiny`); tests are skipped without them. */
#ifndef MODEL_TEST_H
#define MODEL_TEST_H

#include "kernel_test.h"
#include "segment/segment.h"

enum { SIZE = 112, PICTURES = 3 };

static const char *const classes[] = {"sky", "sea;water", "sand", "tree", "sun"};
enum { CLASSES = 5 };

typedef struct place {
    t2d_engine *engine;
    t2d_vocab *vocab;
    t2d_session *session;
} place;

static inline void must(t2d_status status, const t2d_error *err)
{
    cr_assert_eq(status, T2D_OK, "%s", err->message);
}

static inline const char *needed(const char *variable)
{
    const char *path = getenv(variable);
    FILE *f = path ? fopen(path, "rb") : NULL;
    if (!f)
        cr_skip_test("%s names no file: the fixture did not run (python3 with numpy and xxhash)", variable);
    fclose(f);
    return path;
}

static inline place open_model(const char *path, const char *device, t2d_dtype dtype)
{
    place p;
    t2d_error err;
    const t2d_engine_options options = {.device = device, .dtype = dtype, .threads = 1};
    must(t2d_engine_open(path, &options, &p.engine, &err), &err);
    must(t2d_vocab_create(p.engine, classes, CLASSES, NULL, &p.vocab, &err), &err);
    must(t2d_session_create(p.engine, &p.session, &err), &err);
    return p;
}

static inline place open_place(const char *device, t2d_dtype dtype)
{
    return open_model(needed("T2D_TINY_MODEL"), device, dtype);
}

static inline void close_place(place *p)
{
    t2d_session_destroy(p->session);
    t2d_vocab_destroy(p->vocab);
    t2d_engine_close(p->engine);
}

/* Pieces of the picture, each larger than the one before: memory has to grow on the way. */
static inline void open_pictures(t2d_image images[PICTURES])
{
    static const int sizes[PICTURES][2] = {{112, 112}, {97, 140}, {150, 113}};
    t2d_image all;
    t2d_error err;
    must(t2d_image_read(needed("T2D_TEST_PICTURE"), 0, &all, &err), &err);
    for (int i = 0; i < PICTURES; i++) {
        const int w = sizes[i][0], h = sizes[i][1];
        images[i] = (t2d_image){.width = w, .height = h, .pixels = malloc((size_t)w * h * 3)};
        for (int y = 0; y < h; y++)
            memcpy(images[i].pixels + (size_t)y * w * 3,
                   all.pixels + ((size_t)(y + 60 * i) * all.width + 90 * i) * 3, (size_t)w * 3);
    }
    t2d_image_release(&all);
}

static inline void close_pictures(t2d_image images[PICTURES])
{
    for (int i = 0; i < PICTURES; i++) free(images[i].pixels);
}

static inline t2d_segment_options options_of(const place *p)
{
    t2d_segment_options o;
    t2d_segment_defaults(p->engine, &o);
    o.size = SIZE;
    o.stride = SIZE / 2;
    o.short_side = SIZE + 20;
    return o;
}

static inline uint16_t *segment(const place *p, const t2d_image *image, const t2d_segment_options *o)
{
    t2d_error err;
    t2d_mask mask = {0};
    must(t2d_segment(p->session, p->vocab, image, o, &mask, NULL, &err), &err);
    return mask.ids;
}

static inline void expect_no_findings(void) { cr_assert_eq(simt_errors(), 0, "%s", simt_first_error()); }

#endif
