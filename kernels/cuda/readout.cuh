/* readout.cuh — what readout.cu and pamr.cu share: interpolation tables, blends and an exponential that have
 * the CPU's bits (cpu/readout.h says whose bits those are).  Products and sums are written with their
 * rounding, so that nvcc fuses only what is an fmaf here. */
#pragma once
#include "gpu.cuh"

/* One end of an interpolation; the other is first + 1 (or first, at the end) with weight 1 - w1. */
struct Place {
    int first;
    float w1;
};

/* The tables of a job, one behind the other: the result's columns and rows on the canvas, then columns and
 * rows of every window on the grid, `stride` apart. */
struct Tables {
    Place *column, *row, *window_column, *window_row;
    int stride; /* the longest side of a window */
};

/* Sizes that kernels need of a t2d_readout. */
struct Job {
    const float *scores; /* [window_count, grid, grid, classes] */
    const t2d_rect *windows;
    int window_count, grid, classes, canvas_width, canvas_height, width, height, background;
    float background_score;
    bool resize, softmax;
};

inline int longest_side(const t2d_readout *job)
{
    int longest = 1;
    for (int i = 0; i < job->window_count; i++) {
        const t2d_rect r = job->windows[i];
        longest = r.w > longest ? r.w : longest;
        longest = r.h > longest ? r.h : longest;
    }
    return longest;
}

inline Tables tables_at(const void *memory, const t2d_readout *job)
{
    Tables t;
    t.stride = longest_side(job);
    t.column = static_cast<Place *>(const_cast<void *>(memory));
    t.row = t.column + job->width;
    t.window_column = t.row + job->height;
    t.window_row = t.window_column + (size_t)job->window_count * t.stride;
    return t;
}

inline Job job_of(const t2d_readout *job, const t2d_rect *windows)
{
    Job j = {};
    j.scores = job->scores, j.windows = windows;
    j.window_count = job->window_count, j.grid = job->grid, j.classes = job->classes;
    j.canvas_width = job->canvas_width, j.canvas_height = job->canvas_height;
    j.width = job->width, j.height = job->height;
    j.background = job->with_background, j.background_score = job->background;
    j.resize = job->width != job->canvas_width || job->height != job->canvas_height;
    j.softmax = job->softmax;
    return j;
}

inline bool job_is_sound(const t2d_readout *job)
{
    return job->window_count >= 1 && job->grid >= 1 && job->classes >= 1 &&
           job->classes + job->with_background <= 65536 && job->width >= 1 && job->height >= 1 &&
           job->canvas_width >= 1 && job->canvas_height >= 1 && job->height <= 8 * 65535;
}

__device__ __forceinline__ float blend(float a, float b, float w0, float w1)
{
    return fmaf(a, w0, __fmul_rn(b, w1));
}

/* Two neighbours on an axis of `in` and their weights. */
struct Ends {
    int first, second;
    float w0, w1;
};
__device__ __forceinline__ Ends ends_of(Place p, int in)
{
    return {p.first, p.first + 1 < in ? p.first + 1 : p.first, __fadd_rn(1.f, -p.w1), p.w1};
}

/* A pixel of a window on the grid: offsets of four rows of scores, and their weights. */
struct Corners {
    const float *a, *b, *c, *d;
    float x0, x1, y0, y1;
};
__device__ __forceinline__ Corners corners_of(const Job &job, const Tables &t, int window, int x, int y)
{
    const Ends h = ends_of(t.window_column[(size_t)window * t.stride + x], job.grid);
    const Ends v = ends_of(t.window_row[(size_t)window * t.stride + y], job.grid);
    const float *maps = job.scores + (size_t)window * job.grid * job.grid * job.classes;
    const float *top = maps + (size_t)v.first * job.grid * job.classes;
    const float *bottom = maps + (size_t)v.second * job.grid * job.classes;
    const size_t left = (size_t)h.first * job.classes, right = (size_t)h.second * job.classes;
    return {top + left, top + right, bottom + left, bottom + right, h.w0, h.w1, v.w0, v.w1};
}
__device__ __forceinline__ float corner_blend(const Corners &k, int c)
{
    return blend(blend(__ldg(k.a + c), __ldg(k.b + c), k.x0, k.x1),
                 blend(__ldg(k.c + c), __ldg(k.d + c), k.x0, k.x1), k.y0, k.y1);
}

/* exp as PyTorch's vector kernels compute it (SLEEF, 1 ulp); x <= 0 here. */
__device__ __forceinline__ float sleef_exp(float x)
{
    const float d = x < -104.f ? -104.f : x;
    const float q = rintf(__fmul_rn(d, 1.44269504088896340736f));
    const float s = fmaf(q, -1.428606765330187045e-06f, fmaf(q, -0.693145751953125f, d));
    float u = 0.000198527617612853646278381f;
    u = fmaf(u, s, 0.00139304355252534151077271f);
    u = fmaf(u, s, 0.00833336077630519866943359f);
    u = fmaf(u, s, 0.0416664853692054748535156f);
    u = fmaf(u, s, 0.166666671633720397949219f);
    u = fmaf(u, s, 0.5f);
    u = __fadd_rn(1.f, fmaf(__fmul_rn(s, s), u, s));
    const int n = (int)q, half = n >> 1;
    const float y =
        __fmul_rn(__fmul_rn(u, __int_as_float((half + 127) << 23)), __int_as_float((n - half + 127) << 23));
    return x < -104.f ? 0.f : y;
}
