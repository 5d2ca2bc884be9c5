/* reference.h — a reference case: a model in the published formats, a picture, and what the published code
 * answers. */
#ifndef T2D_TEST_REFERENCE_H
#define T2D_TEST_REFERENCE_H

#include "segment/segment.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>

typedef struct ref_case {
    const char *name;
    char model[512]; /* the exported model */
    t2d_st_file *expected;
    t2d_image image;
    const char *classes[16];
    int class_count;
    float background;
    json_t *json;
} ref_case;

/* Skips the running test, with a sentence, where the reference or the exported model is missing. */
static inline ref_case ref_open(const char *name)
{
    ref_case c = {.name = name};
    t2d_error err;
    char path[512];
    const char *reference = getenv("T2D_REFERENCE");
    if (!reference || !*reference) cr_skip_test("T2D_REFERENCE is not set: the folder of reference cases");
    snprintf(c.model, sizeof c.model, "%s/%s.safetensors", T2D_REFERENCE_MODELS, name);
    FILE *model = fopen(c.model, "rb");
    if (!model)
        cr_skip_test("%s is not there: the exporter did not run (python3 with numpy and torch)", c.model);
    fclose(model);
    snprintf(path, sizeof path, "%s/cases/%s/expected.safetensors", reference, name);
    cr_assert_eq(t2d_st_open(path, &c.expected, &err), T2D_OK, "%s", err.message);
    snprintf(path, sizeof path, "%s/cases/%s/image.png", reference, name);
    cr_assert_eq(t2d_image_read(path, 0, &c.image, &err), T2D_OK, "%s", err.message);
    snprintf(path, sizeof path, "%s/cases/%s/case.json", reference, name);
    c.json = json_load_file(path, 0, NULL);
    cr_assert_not_null(c.json, "%s: not JSON", path);
    const json_t *names = json_object_get(c.json, "class_names");
    c.class_count = (int)json_array_size(names);
    for (int i = 0; i < c.class_count; i++)
        c.classes[i] = json_string_value(json_array_get(names, (size_t)i));
    c.background = (float)json_number_value(json_object_get(c.json, "background_threshold"));
    return c;
}

static inline void ref_close(ref_case *c)
{
    t2d_st_close(c->expected);
    t2d_image_release(&c->image);
    json_decref(c->json);
}

static inline int ref_has(const ref_case *c, const char *stage)
{
    return t2d_st_find(c->expected, stage) != NULL;
}

/* A stage's values, malloc'd; fails the test where it is missing. */
static inline void *ref_read(const ref_case *c, const char *stage, t2d_st_type type, size_t *count)
{
    t2d_error err;
    const t2d_st_tensor *t = t2d_st_find(c->expected, stage);
    cr_assert_not_null(t, "%s has no stage %s", c->name, stage);
    cr_assert_eq(t->type, type, "%s: stage %s is %s", c->name, stage, t2d_st_type_name(t->type));
    void *data = malloc((size_t)t->bytes + 1);
    cr_assert_eq(t2d_st_read(c->expected, t, data, &err), T2D_OK, "%s", err.message);
    *count = (size_t)t->count;
    return data;
}
static inline float *ref_floats(const ref_case *c, const char *stage, size_t *count)
{
    return ref_read(c, stage, T2D_ST_F32, count);
}
static inline int32_t *ref_ints(const ref_case *c, const char *stage, size_t *count)
{
    return ref_read(c, stage, T2D_ST_I32, count);
}
static inline uint8_t *ref_bytes(const ref_case *c, const char *stage, size_t *count)
{
    return ref_read(c, stage, T2D_ST_U8, count);
}

#endif
