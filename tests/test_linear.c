/* test_linear.c — y = epilogue(x W^T + b) against double precision, and its promises about bits. */
#include "kernels.h"

typedef struct shape {
    int sequences, tokens, in, out;
} shape;

static const shape SHAPES[] = {
    {1, 1, 512, 768},  {3, 5, 64, 192},   {1, 63, 128, 256}, {2, 64, 64, 65},     {1, 65, 96, 100},
    {2, 77, 512, 512}, {70, 1, 64, 2},    {1, 95, 64, 64},   {1, 96, 64, 64},     {1, 129, 588, 384},
    {3, 257, 64, 320}, {1, 1029, 192, 2}, {2, 1029, 64, 64}, {1, 1374, 128, 384}, {1, 66, 1536, 1537},
};
enum { SHAPE_COUNT = sizeof SHAPES / sizeof *SHAPES };

/* One linear and its input, on the host and on a machine. */
typedef struct fixture {
    shape s;
    size_t rows;
    float *x, *w, *b, *gamma;
    void *x_device;
    t2d_linear *lin;
} fixture;

static void setup(fixture *f, t2d_backend *be, shape s, bool gamma, bool fp32)
{
    t2d_error err;
    *f = (fixture){.s = s, .rows = (size_t)s.sequences * s.tokens};
    f->x = random_floats(f->rows * s.in, 1.0f, 1);
    f->w = random_floats((size_t)s.out * s.in, 0.1f, 2);
    f->b = random_floats(s.out, 1.0f, 3);
    f->gamma = gamma ? random_floats(s.out, 0.3f, 4) : NULL;
    for (int i = 0; i < s.in; i++) f->x[(f->rows / 2) * s.in + i] *= 300.0f; /* DINO has outlier tokens */
    f->x_device = upload_act(be, f->x, f->rows * s.in, fp32);
    const t2d_linear_desc d = {.name = "test",
                               .out = s.out,
                               .in = s.in,
                               .weight = f->w,
                               .bias = f->b,
                               .gamma = f->gamma,
                               .fp32 = fp32};
    cr_assert(be->op->linear_create(be, &d, &f->lin, &err) == T2D_OK, "%s", err.message);
}

static void teardown(fixture *f, t2d_backend *be)
{
    be->op->linear_destroy(be, f->lin);
    be->op->release(be, f->x_device);
    free(f->x);
    free(f->w);
    free(f->b);
    free(f->gamma);
}

static double activate(double u, t2d_epilogue e)
{
    switch (e) {
    case T2D_EPI_GELU:
        return 0.5 * u * (1 + erf(u / sqrt(2)));
    case T2D_EPI_QUICK_GELU:
        return u / (1 + exp(-1.702 * u));
    case T2D_EPI_TANH:
        return tanh(u);
    default:
        return u;
    }
}

/* Every element of a result; `before`: what y held, for ADD. */
static void check_result(const fixture *f, const float *got, const float *before, t2d_epilogue e, bool bf16)
{
    const shape s = f->s;
    char where[96];
    snprintf(where, sizeof where, "linear %dx%d, %d -> %d, epilogue %d%s", s.sequences, s.tokens, s.in, s.out,
             (int)e, bf16 ? ", bf16" : "");
    for (size_t r = 0; r < f->rows; r++)
        for (int o = 0; o < s.out; o++) {
            double sum = 0, size = 0;
            for (int i = 0; i < s.in; i++) {
                float w = f->w[(size_t)o * s.in + i] * (f->gamma ? f->gamma[o] : 1.0f);
                if (bf16) w = bf16_value(bf16_bits(w));
                sum += (double)f->x[r * s.in + i] * w;
                size += fabs((double)f->x[r * s.in + i] * w);
            }
            const double b = f->b[o] * (f->gamma ? f->gamma[o] : 1.0f),
                         old = before ? before[r * s.out + o] : 0;
            const double want = activate(sum + b, e) + old;
            const bool plain = e == T2D_EPI_NONE || e == T2D_EPI_ADD;
            check_near(got[r * s.out + o], want, size + fabs(b) + (plain ? fabs(old) : 1),
                       plain ? TOL_LINEAR : TOL_ACTIVATION, bf16 && e != T2D_EPI_ADD, where, r, (size_t)o);
        }
}

/* Runs the fixture's linear; y starts as `before` or as NaN. */
static float *run(t2d_backend *be, const fixture *f, const void *x, int sequences, const float *before,
                  t2d_epilogue e, bool fp32)
{
    const size_t count = (size_t)sequences * f->s.tokens * f->s.out;
    const bool wide = fp32 || e == T2D_EPI_ADD;
    void *y = guarded(be, count * (wide ? 4 : t2d_act_size(be)));
    if (before) be->op->upload(be, y, before, count * 4);
    be->op->linear(be, y, x, f->lin, sequences, f->s.tokens, e);
    float *got = download_act(be, y, count, wide);
    be->op->release(be, y);
    return got;
}

Test(linear, every_epilogue_against_double)
{
    for (int d = 0; d < 2; d++) {
        t2d_backend *be = open_cpu(DTYPES[d], 2);
        for (int i = 0; i < SHAPE_COUNT; i++) {
            fixture f;
            const t2d_epilogue e = (t2d_epilogue)(i % 5);
            setup(&f, be, SHAPES[i], e == T2D_EPI_ADD, false);
            float *before = e == T2D_EPI_ADD ? random_floats(f.rows * f.s.out, 2.0f, 9) : NULL;
            float *got = run(be, &f, f.x_device, f.s.sequences, before, e, false);
            check_result(&f, got, before, e, d == 1);
            free(got);
            free(before);
            teardown(&f, be);
        }
        be->op->close(be);
    }
}

Test(linear, all_epilogues_of_one_shape)
{
    t2d_backend *be = open_cpu(T2D_DTYPE_FP32, 2);
    const shape s = {2, 33, 96, 100};
    for (int e = T2D_EPI_NONE; e <= T2D_EPI_ADD; e++)
        for (int gamma = 0; gamma < 2; gamma++) {
            fixture f;
            setup(&f, be, s, gamma == 1, false);
            float *before = e == T2D_EPI_ADD ? random_floats(f.rows * s.out, 2.0f, 9) : NULL;
            float *got = run(be, &f, f.x_device, s.sequences, before, (t2d_epilogue)e, false);
            check_result(&f, got, before, (t2d_epilogue)e, false);
            free(got);
            free(before);
            teardown(&f, be);
        }
    be->op->close(be);
}

/* psi is fp32 whatever the compute type. */
Test(linear, an_fp32_linear_stays_fp32)
{
    for (int d = 0; d < 2; d++) {
        t2d_backend *be = open_cpu(DTYPES[d], 2);
        fixture f;
        setup(&f, be, (shape){9, 1, 512, 768}, false, true);
        float *got = run(be, &f, f.x_device, 9, NULL, T2D_EPI_TANH, true);
        check_result(&f, got, NULL, T2D_EPI_TANH, false);
        free(got);
        teardown(&f, be);
        be->op->close(be);
    }
}

Test(linear, bits_do_not_depend_on_threads_or_repetition)
{
    for (int d = 0; d < 2; d++)
        for (int i = 0; i < SHAPE_COUNT; i++) {
            float *first = NULL;
            for (int threads = 1; threads <= 4; threads++) {
                t2d_backend *be = open_cpu(DTYPES[d], threads > 3 ? 2 : threads);
                fixture f;
                setup(&f, be, SHAPES[i], true, false);
                float *got = run(be, &f, f.x_device, f.s.sequences, NULL, T2D_EPI_GELU, false);
                const size_t bytes = f.rows * f.s.out * sizeof *got;
                if (first) cr_assert(memcmp(first, got, bytes) == 0, "shape %d, %d threads", i, threads);
                if (first)
                    free(got);
                else
                    first = got;
                teardown(&f, be);
                be->op->close(be);
            }
            free(first);
        }
}

/* Any sequence alone has the bits it has among five. */
Test(linear, bits_do_not_depend_on_the_batch)
{
    const int tokens[] = {1, 5, 13, 63, 64, 65, 77, 96, 257, 1029};
    for (int d = 0; d < 2; d++) {
        t2d_backend *be = open_cpu(DTYPES[d], 2);
        for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
            fixture f;
            setup(&f, be, (shape){5, tokens[i], 192, 416}, false, false);
            float *all = run(be, &f, f.x_device, 5, NULL, T2D_EPI_NONE, false);
            const size_t in_bytes = (size_t)tokens[i] * f.s.in * t2d_act_size(be);
            const size_t out = (size_t)tokens[i] * f.s.out;
            for (int s = 0; s < 5; s++) {
                void *x = guarded(be, in_bytes);
                memcpy(x, (char *)f.x_device + s * in_bytes, in_bytes);
                float *alone = run(be, &f, x, 1, NULL, T2D_EPI_NONE, false);
                cr_assert(memcmp(alone, all + s * out, out * sizeof *all) == 0, "%d tokens, sequence %d",
                          tokens[i], s);
                free(alone);
                be->op->release(be, x);
            }
            free(all);
            teardown(&f, be);
        }
        be->op->close(be);
    }
}

/* Weights prepared by one backend serve another of the same kind, also after the first is closed. */
Test(linear, weights_are_shared_by_backends)
{
    t2d_backend *loader = open_cpu(T2D_DTYPE_FP32, 1), *session = open_cpu(T2D_DTYPE_FP32, 2);
    fixture f;
    setup(&f, loader, (shape){1, 100, 64, 400}, false, false);
    loader->op->close(loader);
    float *got = run(session, &f, f.x_device, 1, NULL, T2D_EPI_NONE, false);
    check_result(&f, got, NULL, T2D_EPI_NONE, false);
    free(got);
    teardown(&f, session);
    session->op->close(session);
}

Test(linear, machines_that_are_not_there_are_refused_with_a_sentence)
{
    t2d_error err;
    t2d_backend *be;
    cr_assert_eq(t2d_backend_open("cuda:0", T2D_DTYPE_FP32, 0, &be, &err), T2D_E_DEVICE);
    cr_assert(strstr(err.message, "cuda:0"), "%s", err.message);
    cr_assert_eq(t2d_backend_open("tpu", T2D_DTYPE_FP32, 0, &be, &err), T2D_E_ARGUMENT);
    cr_assert_eq(t2d_backend_open("cpu", T2D_DTYPE_FP16, 0, &be, &err), T2D_E_UNSUPPORTED);
    cr_assert_eq(t2d_backend_open("cpu", T2D_DTYPE_FP32, -1, &be, &err), T2D_E_ARGUMENT);
    cr_assert_null(be);
    cr_assert_eq(t2d_backend_open("auto", T2D_DTYPE_FP32, 0, &be, &err), T2D_OK, "%s", err.message);
    cr_assert(be->threads >= 1 && be->description[0]);
    be->op->close(be);
}
