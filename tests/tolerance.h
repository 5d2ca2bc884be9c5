/* tolerance.h — how far an operation may be from the double-precision formula, and why that far.
 * Every error is measured against the scale named in the row, computed by the test from the values at hand;
 * with bf16 activations the formula is fed the same rounded inputs, and half a unit of bf16 (at most 2^-8
 * of the result) is added for the rounding of the output. */
#ifndef T2D_TEST_TOLERANCE_H
#define T2D_TEST_TOLERANCE_H

typedef struct tolerance {
    double limit;
    const char *scale, *reason;
} tolerance;

static const tolerance TOL_LINEAR = {
    1e-6, "sum |x w| + |b|",
    "fp32 sums of up to 4096 products, in blocks: a few roundings survive, 2^-24 each"};
static const tolerance TOL_ACTIVATION = {
    1e-6, "1 + sum |x w| + |b|",
    "as linear, and erf, exp, tanh are polynomials good to 2e-7 (slope at most 1.13)"};
static const tolerance TOL_ATTENTION = {1e-6, "(1 + max_k sum |q k| / 8) max |v|",
                                        "a score's rounding goes through exp as a relative error"};
static const tolerance TOL_LAYERNORM = {1e-6, "|w| (1 + |x'| + |mean| / sd) + |b|",
                                        "mean and variance are sums in lanes; x - mean loses mean / sd"};
static const tolerance TOL_UNIT = {5e-7, "1", "one sum of squares, one root, one division"};
static const tolerance TOL_SWIGLU = {5e-7, "|a b|", "one exp, one division, two products"};
static const tolerance TOL_CLS_LOGITS = {5e-7, "sum |q k| / 8", "one sum of 64 products"};
static const tolerance TOL_HEAD_POOL = {1e-6, "(1 + max |logit|) max |feature| / patches",
                                        "softmax weights, then a sum over patches in order"};
static const tolerance TOL_EMBED = {1e-6, "1 + |position| + sum |pixel w| + |b|",
                                    "as linear; coordinates are fp32 in the formula too, as in torch"};
static const tolerance TOL_SIMILARITY = {3e-7, "1 (unit rows)", "sums of blocks of 64 products"};
static const tolerance TOL_SIGMOID = {3e-7, "1", "the score's error through a slope of 1/4, exp, a division"};
static const tolerance TOL_CLEAN = {2e-6, "1",
                                    "two softmaxes of logits up to 3, then a division by the largest"};
static const tolerance TOL_SCORES = {2e-5, "spread of the scores",
                                     "a weight is rounded at coordinates up to 900: torch's scale is fp32"};
static const tolerance TOL_PAMR = {5e-6, "1", "fp32 weights, ten sums of 48 terms one after the other"};
/* Of the result, where it is stored in bf16; in attention also of sum p |v|: its weights are rounded too. */
static const double BF16_ROUNDING = 1.0 / 256;

#endif
