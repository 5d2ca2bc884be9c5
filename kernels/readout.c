/* readout.c — is a readout what it must be?  The same question on every machine. */
#include "backend.h"

static t2d_status check_windows(const t2d_readout *job, t2d_error *err)
{
    for (int i = 0; i < job->window_count; i++) {
        t2d_rect r = job->windows[i];
        if (r.w < 1 || r.h < 1 || r.x < 0 || r.y < 0 || r.w > job->canvas_width - r.x ||
            r.h > job->canvas_height - r.y)
            return t2d_fail(err, T2D_E_ARGUMENT,
                            "readout: window %d (%d x %d at %d, %d) leaves the %d x %d canvas", i, r.w, r.h,
                            r.x, r.y, job->canvas_width, job->canvas_height);
    }
    return T2D_OK;
}

t2d_status t2d_readout_check(const t2d_readout *job, t2d_error *err)
{
    if (job->window_count < 1 || job->grid < 1 || job->classes < 1)
        return t2d_fail(err, T2D_E_ARGUMENT,
                        "readout: %d windows of grid %d with %d classes; want at least one each",
                        job->window_count, job->grid, job->classes);
    if (job->classes + job->with_background > UINT16_MAX + 1)
        return t2d_fail(err, T2D_E_ARGUMENT, "readout: %d classes; a label has 16 bits", job->classes);
    if (job->width < 1 || job->height < 1 || job->canvas_width < 1 || job->canvas_height < 1)
        return t2d_fail(err, T2D_E_ARGUMENT, "readout: canvas %d x %d, result %d x %d; want positive sizes",
                        job->canvas_width, job->canvas_height, job->width, job->height);
    if (job->pamr && !job->canvas)
        return t2d_fail(err, T2D_E_ARGUMENT, "readout: PAMR needs the canvas's pixels");
    if (job->counts && !job->truth)
        return t2d_fail(err, T2D_E_ARGUMENT, "readout: counts need to know what is true");
    if (job->counts && job->classes + job->with_background > T2D_MOST_COUNTED)
        return t2d_fail(err, T2D_E_ARGUMENT, "readout: %d labels; at most %d are counted",
                        job->classes + job->with_background, T2D_MOST_COUNTED);
    if (job->counts && (int64_t)job->width * job->height > UINT32_MAX)
        return t2d_fail(err, T2D_E_ARGUMENT, "readout: a result of %d x %d is too large to be counted",
                        job->width, job->height);
    return check_windows(job, err);
}
