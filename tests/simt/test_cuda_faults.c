/* test_cuda_faults.c — what the CUDA machine asks of its device, and what it says when that is not given. For
 * the emulator alone, whose device can be told to run out of memory and to break. */
#include "model_test.h"

/* Once warm, a batch asks for no memory, waits once, and the third of its kind is a replay. */
Test(faults, steady_state)
{
    t2d_image images[PICTURES];
    t2d_error err;
    simt_config(test_seed(), SIMT_RANDOM, SIMT_ASYNC_RANDOM);
    open_pictures(images);
    place gpu = open_place("cuda", T2D_DTYPE_FP16);
    const t2d_segment_options o = options_of(&gpu);
    for (int again = 0; again < 4; again++) {
        t2d_mask masks[PICTURES] = {{0}};
        simt_get_stats(1);
        must(t2d_segment_batch(gpu.session, gpu.vocab, images, PICTURES, &o, masks, NULL, &err), &err);
        for (int i = 0; i < PICTURES; i++) t2d_mask_release(&masks[i]);
        if (again == 0) continue;
        const simt_stats now = simt_get_stats(1);
        cr_expect_eq(now.allocations, 0, "run %d allocates %ld times", again, now.allocations);
        cr_expect_eq(now.waits, 1, "run %d waits %ld times", again, now.waits);
        cr_expect_eq(now.graph_launches, 1, "run %d launches %ld graphs", again, now.graph_launches);
    }
    close_place(&gpu);
    close_pictures(images);
    expect_no_findings();
}

/* A batch that is counted brings its tables to the host, and no labels. */
Test(faults, counted_labels_stay)
{
    t2d_image images[PICTURES];
    t2d_error err;
    static uint8_t truth[160 * 160];
    uint32_t counts[PICTURES][CLASSES * CLASSES];
    t2d_counting countings[PICTURES];
    simt_config(test_seed(), SIMT_RANDOM, SIMT_ASYNC_RANDOM);
    open_pictures(images);
    place gpu = open_place("cuda", T2D_DTYPE_FP16);
    const t2d_segment_options o = options_of(&gpu);
    for (int i = 0; i < PICTURES; i++) countings[i] = (t2d_counting){truth, counts[i]};
    for (int again = 0; again < 4; again++) {
        simt_get_stats(1);
        must(t2d_segment_count(gpu.session, gpu.vocab, images, PICTURES, &o, countings, &err), &err);
        const simt_stats now = simt_get_stats(1);
        if (again == 0) continue; /* makes its plans */
        cr_expect_eq(now.brought, (long)sizeof counts, "run %d brings %ld bytes", again, now.brought);
        cr_expect_eq(now.allocations, 0, "run %d allocates %ld times", again, now.allocations);
        cr_expect_eq(now.waits, 1, "run %d waits %ld times", again, now.waits);
    }
    close_place(&gpu);
    close_pictures(images);
    expect_no_findings();
}

/* ---- faults ---- */

Test(faults, less_memory_means_smaller_batches)
{
    t2d_image images[PICTURES];
    t2d_error err;
    int planned;
    simt_config(test_seed(), SIMT_RANDOM, SIMT_ASYNC_RANDOM);
    open_pictures(images);
    place gpu = open_place("cuda", T2D_DTYPE_FP32);
    const t2d_segment_options o = options_of(&gpu);
    uint16_t *want = segment(&gpu, &images[0], &o);
    cr_expect_eq(t2d_session_tokens(gpu.session, &planned), planned);
    const size_t all = simt_memory_used();
    t2d_session_destroy(gpu.session);
    const size_t without = simt_memory_used();
    must(t2d_session_create(gpu.engine, &gpu.session, &err), &err);
    simt_memory_limit(without + (all - without) * 6 / 10);
    uint16_t *got = segment(&gpu, &images[0], &o);
    cr_expect_lt(t2d_session_tokens(gpu.session, &planned), planned);
    cr_expect_arr_eq(got, want, (size_t)images[0].width * images[0].height * sizeof *got);

    simt_memory_limit(without + 1000); /* no room for a single window */
    t2d_session *poor;
    t2d_mask mask = {0};
    must(t2d_session_create(gpu.engine, &poor, &err), &err);
    cr_expect_eq(t2d_segment(poor, gpu.vocab, &images[0], &o, &mask, NULL, &err), T2D_E_MEMORY);
    cr_expect_not_null(strstr(err.message, "out of memory on cuda:0"), "%s", err.message);
    cr_expect_null(mask.ids);
    simt_memory_limit((size_t)1 << 33); /* room again: the same session goes on */
    must(t2d_segment(poor, gpu.vocab, &images[0], &o, &mask, NULL, &err), &err);
    cr_expect_arr_eq(mask.ids, want, (size_t)images[0].width * images[0].height * sizeof *want);
    free(want);
    free(got);
    t2d_mask_release(&mask);
    t2d_session_destroy(poor);
    close_place(&gpu);
    close_pictures(images);
    expect_no_findings();
}

Test(faults, a_broken_device_is_told)
{
    t2d_image images[PICTURES];
    t2d_error err;
    t2d_mask mask = {0};
    simt_config(test_seed(), SIMT_RANDOM, SIMT_ASYNC_RANDOM);
    open_pictures(images);
    place gpu = open_place("cuda", T2D_DTYPE_FP32);
    const t2d_segment_options o = options_of(&gpu);
    simt_break_device(cudaErrorECCUncorrectable);
    cr_expect_eq(t2d_segment(gpu.session, gpu.vocab, &images[0], &o, &mask, NULL, &err), T2D_E_DEVICE);
    cr_expect_not_null(strstr(err.message, "ECC"), "%s", err.message);
    cr_expect_null(mask.ids);
    simt_break_device(0);
    free(segment(&gpu, &images[0], &o)); /* nothing of the old failure is left */
    close_place(&gpu);
    close_pictures(images);
    expect_no_findings();
}

static void expect_refusal(const char *device, t2d_status want, const char *part)
{
    t2d_error err;
    t2d_backend *be;
    cr_expect_eq(t2d_backend_open(device, T2D_DTYPE_FP32, 1, &be, &err), want, "%s: %s", device, err.message);
    cr_expect_null(be);
    cr_expect_not_null(strstr(err.message, part), "%s", err.message);
}

Test(faults, devices_that_are_not_there)
{
    t2d_backend *be;
    t2d_error err;
    expect_refusal("cuda:1", T2D_E_DEVICE, "there is 1 CUDA device");
    expect_refusal("cuda:", T2D_E_ARGUMENT, "with a number");
    expect_refusal("cuda:x", T2D_E_ARGUMENT, "with a number");
    expect_refusal("gpu", T2D_E_ARGUMENT, "unknown");
    simt_set_devices(1, 7, 5);
    expect_refusal("cuda", T2D_E_DEVICE, "too old");
    simt_set_devices(0, 0, 0);
    expect_refusal("cuda", T2D_E_DEVICE, "driver");
    must(t2d_backend_open("auto", T2D_DTYPE_FP32, 1, &be, &err), &err);
    cr_expect_str_eq(be->device, "cpu");
    be->op->close(be);
    simt_set_devices(2, 9, 0);
    must(t2d_backend_open("auto", T2D_DTYPE_FP32, 1, &be, &err), &err);
    cr_expect_str_eq(be->device, "cuda:0");
    be->op->close(be);
}
