/* selftest.h — the primitives of selftest.cu, by name. */
#ifndef T2D_SELFTEST_H
#define T2D_SELFTEST_H
#ifdef __cplusplus
extern "C" {
#endif
enum selftest {
    SELF_SHUFFLE,
    SELF_VOTE,
    SELF_NAMED_BARRIER,
    SELF_ATOMIC,
    SELF_LDMATRIX,
    SELF_MMA,
    SELF_CP_ASYNC,
    SELF_TMA,  /* sm_90a alone */
    SELF_PROXY /* sm_90a alone */
};
/* a, b, o: 16 KiB of device memory each; o is zero. */
int selftest(enum selftest which, const void *a, const void *b, void *o);
#ifdef __cplusplus
}
#endif
#endif
