/* test_cuda_count.c — kernels/cuda/count.cu against a count of one pixel after the other: the same integers.
 */
#include "kernel_test.h"

typedef struct picture {
    size_t pixels;
    int labels;
    uint16_t *found;
    uint8_t *truth;
} picture;

/* Runs of about `run` pixels; every `uncounted`-th of them, about, is true of nothing. */
static picture picture_of(size_t pixels, int labels, int run, int uncounted)
{
    picture p = {pixels, labels, malloc(pixels * sizeof *p.found), malloc(pixels)};
    for (size_t i = 0; i < pixels; i++) {
        if (i > 0 && test_bits() % (uint32_t)run) {
            p.found[i] = p.found[i - 1];
            p.truth[i] = p.truth[i - 1];
            continue;
        }
        const int rest = 256 - labels;
        p.found[i] = (uint16_t)(test_bits() % (uint32_t)labels);
        p.truth[i] = (uint8_t)(test_bits() % (uint32_t)uncounted ? (int)(test_bits() % (uint32_t)labels)
                                                                 : 255 - (int)(test_bits() % (uint32_t)rest));
    }
    return p;
}

static void picture_case(size_t pixels, int labels, int run, int uncounted)
{
    char what[96];
    picture p = picture_of(pixels, labels, run, uncounted);
    const size_t cells = (size_t)labels * (size_t)labels;
    uint32_t *want = calloc(cells, sizeof *want), *got = NULL;
    for (size_t i = 0; i < pixels; i++)
        if (p.truth[i] < labels) want[p.truth[i] * labels + p.found[i]]++;
    void *counts = test_device(NULL, cells * sizeof *want);
    void *found = test_device(p.found, pixels * sizeof *p.found), *truth = test_device(p.truth, pixels);
    snprintf(what, sizeof what, "%zu pixels, %d labels, runs of %d, one in %d not counted", pixels, labels,
             run, uncounted);
    TEST_RUN(got, counts, cells * sizeof *want, what,
             t2d_cuda_count(counts, found, truth, (int64_t)pixels, labels, 0));
    for (size_t i = 0; i < cells; i++)
        cr_assert(got[i] == want[i], "%s: truth %zu, found %zu: got %u, want %u", what, i / (size_t)labels,
                  i % (size_t)labels, got[i], want[i]);
    cudaFree(counts), cudaFree(found), cudaFree(truth);
    free(want), free(got), free(p.found), free(p.truth);
}

/* The presets' labels, and the most and the fewest there can be. */
Test(cuda_count, same_as_one_by_one)
{
    static const int labels[] = {1, 2, 19, 20, 21, 59, 60, 81, 150, 171, 255};
    test_seed();
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++)
        picture_case(1 + test_bits() % 6000, labels[i], 1 + (int)(test_bits() % 60),
                     2 + (int)(test_bits() % 9));
}

/* Ends of strips, warps and blocks. */
Test(cuda_count, any_number_of_pixels)
{
    static const size_t pixels[] = {1, 15, 16, 17, 31, 511, 512, 513, 2047, 2048, 2049, 4099};
    test_seed();
    for (size_t i = 0; i < sizeof pixels / sizeof *pixels; i++) {
        picture_case(pixels[i], 21, 1, 5);         /* every pixel another pair */
        picture_case(pixels[i], 3, 1 << 20, 1000); /* one region */
        picture_case(pixels[i], 7, 20, 1);         /* nothing counts */
    }
}

Test(cuda_count, refusals)
{
    cr_expect(t2d_cuda_count(NULL, NULL, NULL, 0, 1, 0) != 0);
    cr_expect(t2d_cuda_count(NULL, NULL, NULL, (int64_t)1 << 32, 1, 0) != 0);
    cr_expect(t2d_cuda_count(NULL, NULL, NULL, 1, 0, 0) != 0);
    cr_expect(t2d_cuda_count(NULL, NULL, NULL, 1, 256, 0) != 0);
}
