/* test_cuda_model.c — whole models through the CUDA machine, beside the CPU machine. */
#include "kernel_test.h"

Test(model, first)
{
    t2d_error err;
    t2d_engine *cpu, *gpu;
    t2d_session *a, *b;
    t2d_image image;
    t2d_features f, g;
    test_seed();
    const char *path = getenv("T2D_TINY_MODEL");
    const t2d_engine_options on_cpu = {.device = "cpu"}, on_gpu = {.device = "cuda"};
    cr_assert_eq(t2d_engine_open(path, &on_cpu, &cpu, &err), T2D_OK, "%s", err.message);
    cr_assert_eq(t2d_engine_open(path, &on_gpu, &gpu, &err), T2D_OK, "%s", err.message);
    cr_assert_eq(t2d_image_read(getenv("T2D_TEST_PICTURE"), 0, &image, &err), T2D_OK, "%s", err.message);
    cr_assert_eq(t2d_session_create(cpu, &a, &err), T2D_OK, "%s", err.message);
    cr_assert_eq(t2d_session_create(gpu, &b, &err), T2D_OK, "%s", err.message);
    cr_assert_eq(t2d_features_compute(a, &image, 112, 0, &f, &err), T2D_OK, "%s", err.message);
    cr_assert_eq(t2d_features_compute(b, &image, 112, 0, &g, &err), T2D_OK, "%s", err.message);
    double worst = 0, scale = 0;
    for (int i = 0; i < f.grid * f.grid * f.dim; i++) {
        worst = fmax(worst, fabs((double)f.patch_tokens[i] - (double)g.patch_tokens[i]));
        scale = fmax(scale, fabs((double)f.patch_tokens[i]));
    }
    printf("worst %g scale %g errors %ld %s\n", worst, scale, simt_errors(), simt_first_error());
}
