/* test_demo.c — the model that ships gives the same masks on every machine and in every type: its margins are
 * those of a trained model.  T2D_TEST_DEVICE is the machine under test; the CPU in fp32 decides. */
#include "segment/segment.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#ifndef T2D_TEST_DEVICE
#define T2D_TEST_DEVICE "cpu"
#define EMULATED 0
#elif defined T2D_ON_GPU
#define EMULATED 0
#else
#define EMULATED 1
#endif

/* Of a scene: all of it, or what makes four windows for an emulator. */
enum { LEFT = EMULATED ? 140 : 0, WIDTH = EMULATED ? 189 : 448, HEIGHT = EMULATED ? 189 : 336 };

static const char *const words[] = {"sky",  "grass", "sea",  "sand",     "road",    "mountain",
                                    "car",  "bus",   "boat", "house",    "ball",    "tent",
                                    "tree", "cloud", "sun",  "umbrella", "balloon", "person"};
enum { WORDS = sizeof words / sizeof *words };

static void must(t2d_status status, const t2d_error *err)
{
    cr_assert_eq(status, T2D_OK, "%s", err->message);
}

/* The demo's folder: where the model and its samples lie. */
static const char *folder(void)
{
    const char *given = getenv("T2D_DEMO");
    return given && *given ? given : T2D_DEMO;
}

/* The lower part of a sample, where things stand. */
static t2d_image cut_sample(const char *name)
{
    char path[512];
    t2d_error err;
    t2d_image whole;
    snprintf(path, sizeof path, "%s/samples/%s.png", folder(), name);
    must(t2d_image_read(path, 0, &whole, &err), &err);
    cr_assert(whole.width >= LEFT + WIDTH && whole.height >= HEIGHT);
    t2d_image cut = {.width = WIDTH, .height = HEIGHT, .pixels = malloc((size_t)WIDTH * HEIGHT * 3)};
    for (int y = 0; y < HEIGHT; y++) {
        const size_t row = (size_t)(whole.height - HEIGHT + y);
        memcpy(cut.pixels + (size_t)y * WIDTH * 3, whole.pixels + (row * (size_t)whole.width + LEFT) * 3,
               (size_t)WIDTH * 3);
    }
    t2d_image_release(&whole);
    return cut;
}

static uint16_t *labels_of(const t2d_image *image, const char *device, t2d_dtype dtype)
{
    const t2d_engine_options options = {.device = device, .dtype = dtype, .threads = 2};
    t2d_error err;
    t2d_engine *engine;
    t2d_vocab *vocab;
    t2d_session *session;
    t2d_mask mask = {0};
    char path[512];
    snprintf(path, sizeof path, "%s/model.safetensors", folder());
    must(t2d_engine_open(path, &options, &engine, &err), &err);
    must(t2d_vocab_create(engine, words, WORDS, NULL, &vocab, &err), &err);
    must(t2d_session_create(engine, &session, &err), &err);
    t2d_segment_options how;
    t2d_segment_defaults(engine, &how);
    how.short_side = HEIGHT; /* as large as in the whole scene */
    must(t2d_segment(session, vocab, image, &how, &mask, NULL, &err), &err);
    t2d_session_destroy(session);
    t2d_vocab_destroy(vocab);
    t2d_engine_close(engine);
    return mask.ids;
}

static void expect_agreement(const char *name, t2d_dtype dtype, double least)
{
    t2d_image image = cut_sample(name);
    uint16_t *exact = labels_of(&image, "cpu", T2D_DTYPE_FP32),
             *found = labels_of(&image, T2D_TEST_DEVICE, dtype);
    size_t same = 0, seen[WORDS] = {0};
    for (size_t i = 0; i < (size_t)WIDTH * HEIGHT; i++) {
        same += exact[i] == found[i];
        seen[exact[i]]++;
    }
    int kinds = 0;
    for (int i = 0; i < WORDS; i++) kinds += seen[i] > WIDTH * HEIGHT / 100;
    cr_expect_geq(kinds, 3, "%s: only %d words are found, so that agreeing says little", name, kinds);
    cr_expect((double)same >= least * WIDTH * HEIGHT,
              "%s on %s: %.3f %% of the labels are those of fp32 on the CPU", name, T2D_TEST_DEVICE,
              100.0 * (double)same / (WIDTH * HEIGHT));
    free(exact);
    free(found);
    t2d_image_release(&image);
}

Test(demo, bf16)
{
    expect_agreement("beach", T2D_DTYPE_BF16, 0.99);
    expect_agreement("town", T2D_DTYPE_BF16, 0.99);
}

Test(demo, other_machine)
{
    if (strcmp(T2D_TEST_DEVICE, "cpu") == 0) cr_skip_test("there is no other machine than the CPU here");
    expect_agreement("town", T2D_DTYPE_FP32, 0.9999);
    expect_agreement("town", T2D_DTYPE_FP16, 0.99);
}
