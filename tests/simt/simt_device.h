/* simt_device.h — the device language: launches, barriers, votes, shuffles, atomics, loads and mathematics.
 *
 * Every operation that can be misused passes the place of its call (SIMT_AT), so that findings name the line
 * of the kernel.  What is missing here is missing on purpose: a kernel that uses it does not compile for the
 * tests. */
#pragma once
#include "simt_runtime.h"
#include <tuple>
#include <type_traits>

#define SIMT_AT const char *file_ = __builtin_FILE(), int line_ = __builtin_LINE()
#define SIMT_HERE (simt::Site{file_, line_})

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

template <typename T> inline T *dynamic_smem() { return reinterpret_cast<T *>(simt::dynamic_smem_base()); }

template <typename... P, typename... A>
inline cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t smem, cudaStream_t stream,
                          A... a)
{
    std::tuple<P...> args(a...);
    return simt::launch_grid(
        grid, block, smem, stream, [kernel, args] { std::apply(kernel, args); }, sizeof args);
}

/* ---- barriers ---- */
inline void __syncthreads(SIMT_AT) { simt::barrier(0, 0, true, 0, SIMT_HERE); }
inline int __syncthreads_count(int p, SIMT_AT) { return simt::barrier(0, 0, true, p != 0, SIMT_HERE); }
inline int __syncthreads_or(int p, SIMT_AT) { return simt::barrier(0, 0, true, p != 0, SIMT_HERE) != 0; }
inline int __syncthreads_and(int p, SIMT_AT) { return simt::barrier(0, 0, true, p == 0, SIMT_HERE) == 0; }
inline void __syncwarp(unsigned mask = 0xffffffffu, SIMT_AT) { simt::syncwarp(mask, SIMT_HERE); }

/* ---- shuffles and votes ---- */
namespace simt
{
template <typename T>
inline T shuffle(const char *what, unsigned mask, T v, int mode, int n, int width, Site s)
{
    static_assert(sizeof(T) <= 8, "shuffles move at most 8 bytes");
    Shuffle a = {{}, {}, mode, n, width};
    memcpy(a.in, &v, sizeof v);
    group_op(what, 32, mask, false, s, &a, shuffle_lanes);
    memcpy(&v, a.out, sizeof v);
    return v;
}
} // namespace simt
template <typename T> inline T __shfl_sync(unsigned m, T v, int src, int w = 32, SIMT_AT)
{
    return simt::shuffle("__shfl_sync", m, v, 0, src, w, SIMT_HERE);
}
template <typename T> inline T __shfl_up_sync(unsigned m, T v, unsigned d, int w = 32, SIMT_AT)
{
    return simt::shuffle("__shfl_up_sync", m, v, 1, (int)d, w, SIMT_HERE);
}
template <typename T> inline T __shfl_down_sync(unsigned m, T v, unsigned d, int w = 32, SIMT_AT)
{
    return simt::shuffle("__shfl_down_sync", m, v, 2, (int)d, w, SIMT_HERE);
}
template <typename T> inline T __shfl_xor_sync(unsigned m, T v, int x, int w = 32, SIMT_AT)
{
    return simt::shuffle("__shfl_xor_sync", m, v, 3, x, w, SIMT_HERE);
}
inline unsigned __ballot_sync(unsigned m, int p, SIMT_AT) { return simt::vote(m, p, SIMT_HERE); }
inline int __any_sync(unsigned m, int p, SIMT_AT) { return simt::vote(m, p, SIMT_HERE) != 0; }
inline int __all_sync(unsigned m, int p, SIMT_AT) { return simt::vote(m, !p, SIMT_HERE) == 0; }

/* ---- atomics: fibers are not preempted, so a plain read-modify-write is atomic ---- */
namespace simt
{
template <typename T, typename F> __attribute__((no_sanitize("thread"), noinline)) T atomic(T *p, F f)
{
    access(p, sizeof *p, kAtomic, (uintptr_t)__builtin_return_address(0));
    const T old = *p;
    *p = f(old);
    return old;
}
} // namespace simt
template <typename T> inline T atomicAdd(T *p, typename std::common_type<T>::type v)
{
    return simt::atomic(p, [v](T o) { return (T)(o + v); });
}
template <typename T> inline T atomicMax(T *p, typename std::common_type<T>::type v)
{
    return simt::atomic(p, [v](T o) { return o < v ? v : o; });
}
template <typename T> inline T atomicMin(T *p, typename std::common_type<T>::type v)
{
    return simt::atomic(p, [v](T o) { return v < o ? v : o; });
}

/* ---- loads and mathematics ---- */
template <typename T> inline T __ldg(const T *p) { return *p; }
#define __expf(x) expf(x) /* macros: glibc declares these names */
#define __logf(x) logf(x)
#define __trap() simt::trap("__trap", simt::Site{__FILE__, __LINE__})
inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float a) { return 1.f / a; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline int __float_as_int(float f) { return simt::bits<int>(f); }
inline unsigned __float_as_uint(float f) { return simt::bits<unsigned>(f); }
inline float __int_as_float(int i) { return simt::bits<float>(i); }
inline float __uint_as_float(unsigned i) { return simt::bits<float>(i); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
#define SIMT_MINMAX(T)                                                                                       \
    inline T min(T a, T b) { return b < a ? b : a; }                                                         \
    inline T max(T a, T b) { return a < b ? b : a; }
SIMT_MINMAX(int)
SIMT_MINMAX(unsigned)
SIMT_MINMAX(long)
SIMT_MINMAX(unsigned long)
SIMT_MINMAX(long long)
SIMT_MINMAX(unsigned long long)
#undef SIMT_MINMAX
