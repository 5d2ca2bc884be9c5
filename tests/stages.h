/* stages.h — published stages of a reference case ($T2D_REFERENCE/cases/NAME/expected.safetensors), for
 * suites that need no model. */
#ifndef T2D_TEST_STAGES_H
#define T2D_TEST_STAGES_H

#include <jansson.h>

#include "cpu/readout.h"
#include "io/io.h"
#include "kernels.h"

static const char *const STAGE_CASES[] = {"tiny_reg", "tiny_noreg"};
enum { STAGE_CASE_COUNT = 2 };

/* Skips the running test, with a sentence, where the reference is missing. */
static inline t2d_st_file *stages_open(const char *name)
{
    char path[512];
    t2d_error err;
    t2d_st_file *file;
    const char *reference = getenv("T2D_REFERENCE");
    if (!reference || !*reference) cr_skip_test("T2D_REFERENCE is not set: the folder of reference cases");
    snprintf(path, sizeof path, "%s/cases/%s/expected.safetensors", reference, name);
    cr_assert_eq(t2d_st_open(path, &file, &err), T2D_OK, "%s", err.message);
    return file;
}

/* A stage's raw values, malloc'd; NULL where the case leaves it out.  shape: its last three sizes. */
static inline void *stage_read(const t2d_st_file *file, const char *stage, int shape[3])
{
    t2d_error err;
    const t2d_st_tensor *t = t2d_st_find(file, stage);
    if (!t) return NULL;
    for (int i = 0; i < 3; i++) shape[i] = t->rank >= 3 - i ? (int)t->shape[t->rank - 3 + i] : 1;
    void *data = malloc((size_t)t->bytes);
    cr_assert_eq(t2d_st_read(file, t, data, &err), T2D_OK, "%s", err.message);
    return data;
}

/* similarity [classes, grid, grid] -> sigmoid [grid * grid, classes]. */
static inline float *stage_scores(const float *similarity, const int shape[3])
{
    const int classes = shape[0], patches = shape[1] * shape[2];
    float *scores = malloc((size_t)classes * patches * sizeof *scores);
    for (int p = 0; p < patches; p++)
        for (int n = 0; n < classes; n++)
            scores[p * classes + n] = 1.0f / (1.0f + t2d_sleef_exp(-similarity[n * patches + p]));
    return scores;
}

static inline void stage_picture(const char *name, t2d_image *image)
{
    char path[512];
    t2d_error err;
    snprintf(path, sizeof path, "%s/cases/%s/image.png", getenv("T2D_REFERENCE"), name);
    cr_assert_eq(t2d_image_read(path, 0, image, &err), T2D_OK, "%s", err.message);
}

static inline float stage_background(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/cases/%s/case.json", getenv("T2D_REFERENCE"), name);
    json_t *root = json_load_file(path, 0, NULL);
    const double threshold = json_number_value(json_object_get(root, "background_threshold"));
    cr_assert(threshold > 0, "%s: no background_threshold", path);
    json_decref(root);
    return (float)threshold;
}

#endif
