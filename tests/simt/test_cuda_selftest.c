/* test_cuda_selftest.c — do the emulator (or the chip) and the PTX manual agree?  Values are small integers,
 * so every comparison is exact. */
#include "kernel_test.h"
#include "selftest.h"

enum { WORDS = 4096 };
static uint32_t a[WORDS], b[WORDS], o[WORDS];

static void run(enum selftest which, const char *name)
{
    memset(o, 0, sizeof o);
    void *da = test_device(a, sizeof a), *db = test_device(b, sizeof b), *out = test_device(o, sizeof o);
    simt_config(test_bits(), test_bits() % 3, test_bits() % 3);
    const int e = selftest(which, da, db, out);
    cr_assert(simt_errors() == 0, "%s: %s", name, simt_first_error());
    cr_assert(e == 0, "%s: the launcher answers %d", name, e);
    cudaMemcpy(o, out, sizeof o, 2);
    cudaFree(da), cudaFree(db), cudaFree(out);
}

static void fill(void)
{
    for (int i = 0; i < WORDS; i++) a[i] = test_bits(), b[i] = test_bits();
}
static float small_integer(void) { return (float)((int)(test_bits() % 17) - 8); }

Test(cuda_selftest, shuffles)
{
    test_seed();
    run(SELF_SHUFFLE, "shuffle");
    for (int i = 0; i < 3; i++)
        for (int l = 0; l < 32; l++) {
            const int width = 8 << i, low = l / width * width, *p = (const int *)o + i * 128;
            cr_expect_eq(p[l], (low + (l + 3) % width) * 10);
            cr_expect_eq(p[32 + l], (l - 3 < low ? l : l - 3) * 10);
            cr_expect_eq(p[64 + l], (l + 3 >= low + width ? l : l + 3) * 10);
            cr_expect_eq(p[96 + l], (l ^ 5) * 10);
        }
}

Test(cuda_selftest, votes)
{
    test_seed();
    run(SELF_VOTE, "vote");
    for (int l = 0; l < 96; l++) {
        const int *p = (const int *)o + l * 6;
        uint32_t ballot = 0;
        for (int k = 0; k < 32; k++)
            if ((l / 32 * 32 + k) % 3 == 0) ballot |= 1u << k;
        cr_expect_eq((uint32_t)p[0], ballot);
        cr_expect_eq(p[1] != 0, l >= 64);
        cr_expect_eq(p[2] != 0, l < 64);
        cr_expect_eq(p[3], 20);
        cr_expect_eq(p[4] != 0, 1);
        cr_expect_eq(p[5] != 0, 0);
    }
}

Test(cuda_selftest, named_barriers)
{
    test_seed();
    for (int again = 0; again < 8; again++) {
        run(SELF_NAMED_BARRIER, "named barrier");
        for (int i = 0; i < 4; i++)
            for (int l = 0; l < 64; l++) cr_expect_eq((int)o[i * 64 + l], i * 1000 + 63 - l);
    }
}

Test(cuda_selftest, atomics)
{
    test_seed();
    run(SELF_ATOMIC, "atomic");
    cr_expect_eq(o[0], 19900);
    cr_expect_eq(o[1], 100);
    cr_expect_eq(o[2], 600);
}

Test(cuda_selftest, ldmatrix)
{
    test_seed();
    run(SELF_LDMATRIX, "ldmatrix");
    for (int l = 0; l < 32; l++)
        for (int m = 0; m < 4; m++) {
            const int r0 = m % 2 * 8, c0 = m / 2 * 8, r = l / 4, c = l % 4 * 2;
            const uint32_t plain = (uint32_t)((r0 + r) * 16 + c0 + c);
            const uint32_t trans = (uint32_t)((r0 + c) * 16 + c0 + r);
            cr_expect_eq(o[l * 8 + m], plain | (plain + 1) << 16);
            cr_expect_eq(o[l * 8 + 4 + m], trans | (trans + 16) << 16);
        }
}

Test(cuda_selftest, mma)
{
    test_seed();
    float fa[2][16][16], fb[2][16][8];
    for (int h = 0; h < 2; h++) { /* h = 0: bf16, 1: fp16; elements go where the manual's figures put them */
        const t2d_dtype type = h ? T2D_DTYPE_FP16 : T2D_DTYPE_BF16;
        for (int r = 0; r < 16; r++)
            for (int c = 0; c < 16; c++) {
                fa[h][r][c] = small_integer();
                test_put(a + h * 128, ((r % 8) * 4 + c % 8 / 2) * 8 + (r / 8 + c / 8 * 2) * 2 + c % 2, type,
                         fa[h][r][c]);
            }
        for (int k = 0; k < 16; k++)
            for (int n = 0; n < 8; n++) {
                fb[h][k][n] = small_integer();
                test_put(b + h * 64, (n * 4 + k % 8 / 2) * 4 + k / 8 * 2 + k % 2, type, fb[h][k][n]);
            }
    }
    run(SELF_MMA, "mma");
    for (int h = 0; h < 2; h++)
        for (int r = 0; r < 16; r++)
            for (int c = 0; c < 8; c++) {
                const int i = r / 8 * 2 + c % 2;
                float sum = (float)i;
                for (int k = 0; k < 16; k++) sum += fa[h][r][k] * fb[h][k][c];
                cr_expect_eq(test_get(o, h * 128 + ((r % 8) * 4 + c / 2) * 4 + i, T2D_DTYPE_FP32), sum);
            }
}

Test(cuda_selftest, cp_async)
{
    test_seed();
    for (int again = 0; again < 8; again++) {
        fill();
        run(SELF_CP_ASYNC, "cp.async");
        for (int l = 0; l < 32; l++)
            for (int k = 0; k < 4; k++) {
                cr_expect_eq(o[l * 4 + k], a[(l ^ 1) * 4 + k]);
                cr_expect_eq(o[128 + l * 4 + k], (l ^ 1) % 2 ? a[(l ^ 1) * 4 + k] : 0);
            }
    }
}

static void product(enum selftest which, const char *name)
{
#ifdef T2D_ON_GPU
    struct cudaDeviceProp chip;
    if (cudaGetDeviceProperties(&chip, 0) || chip.major != 9)
        cr_skip_test("%s needs a chip of compute capability 9.0", name);
#endif
    static float x[64][64], y[64][64];
    for (int i = 0; i < 64 * 64; i++) {
        test_put(a, i, T2D_DTYPE_BF16, x[i / 64][i % 64] = small_integer());
        test_put(b, i, T2D_DTYPE_BF16, y[i / 64][i % 64] = small_integer());
    }
    for (int again = 0; again < 4; again++) run(which, name);
    for (int r = 0; r < 64; r++)
        for (int c = 0; c < 64; c++) {
            float sum = 0;
            for (int k = 0; k < 64; k++) sum += x[r][k] * y[k][c];
            cr_expect_eq(test_get(o, r * 64 + c, T2D_DTYPE_FP32), sum);
        }
}
Test(cuda_selftest, tma_wgmma) { test_seed(), product(SELF_TMA, "tma and wgmma"); }
Test(cuda_selftest, proxy_fence) { test_seed(), product(SELF_PROXY, "wgmma after stores"); }
