/* tries_tower.c — the operations of a transformer, one block's worth, and their formulas one value at a time.
 */
#include <math.h>
#include <string.h>

#include "desk.h"

#define OP(t) (t)->d->be->op
#define BE(t) (t)->d->be
#define ACT(d) ((double)t2d_act_size((d)->be))

/* ---- layer norm: n = rows, dim ---- */

static void layernorm_run(trial *t)
{
    OP(t)->layernorm(BE(t), t->out, t->flag, t->in[0].at, t->in[1].at, t->in[2].at, t->n[0], t->n[1], 1e-6f);
}

static void layernorm_check(trial *t)
{
    const int dim = t->n[1];
    for (int k = 0; k < CHECKS; k++) {
        const size_t row = pick(t, k, (size_t)t->n[0]) * (size_t)dim, i = pick(t, k, (size_t)dim);
        double mean = 0, var = 0;
        for (int c = 0; c < dim; c++) mean += value_of(t, &t->in[0], row + (size_t)c) / (double)dim;
        for (int c = 0; c < dim; c++) var += pow(value_of(t, &t->in[0], row + (size_t)c) - mean, 2) / dim;
        const double sd = sqrt(var + 1e-6), unit = (value_of(t, &t->in[0], row + i) - mean) / sd;
        const double w = value_of(t, &t->in[1], i), b = value_of(t, &t->in[2], i);
        near(t, *got_of(t, row + i, 1, !t->flag), unit * w + b,
             fabs(w) * (1 + fabs(unit) + fabs(mean) / sd) + fabs(b), TOL_LAYERNORM, !t->flag);
    }
}

static void layernorm(desk *d, const shape *s, bool to_fp32)
{
    const int rows = s->sequences * s->tokens;
    const size_t count = (size_t)rows * (size_t)s->dim;
    trial t = trial_of(d, s, "layernorm", to_fp32 ? "to fp32" : "", "%d x %d", rows, s->dim);
    if (!trial_wanted(&t, 8.0 * (double)count, (double)count * (4 + (to_fp32 ? 4 : ACT(d))), false)) return;
    t.n[0] = rows, t.n[1] = s->dim, t.flag = to_fp32;
    trial_input(&t, 0, count, 3, 0.5f, false);
    trial_input(&t, 1, (size_t)s->dim, 1, 0, false);
    trial_input(&t, 2, (size_t)s->dim, 1, 0, false);
    t.out = trial_memory(&t, count * (to_fp32 ? 4 : t2d_act_size(d->be)));
    trial_finish(&t, layernorm_run, layernorm_check);
}

/* ---- linear: n = out, in, epilogue; flag: fp32 whatever the compute type ---- */

static void linear_run(trial *t)
{
    OP(t)->linear(BE(t), t->out, t->in[0].at, t->linear, t->s->sequences, t->s->tokens,
                  (t2d_epilogue)t->n[2]);
}

static double activate(double u, t2d_epilogue e)
{
    if (e == T2D_EPI_GELU) return 0.5 * u * (1 + erf(u / sqrt(2)));
    if (e == T2D_EPI_QUICK_GELU) return u / (1 + exp(-1.702 * u));
    return e == T2D_EPI_TANH ? tanh(u) : u;
}

static void linear_check(trial *t)
{
    const int out = t->n[0], in = t->n[1];
    const t2d_epilogue e = (t2d_epilogue)t->n[2];
    const bool add = e == T2D_EPI_ADD, plain = add || e == T2D_EPI_NONE, act = !add && !t->flag;
    /* cuda/linear.c: of 16 bits, bias is rounded too, or the product before an activation (slope 1.13) */
    const bool early = strcmp(OP(t)->name, "cuda") == 0;
    for (int k = 0; k < 4 * CHECKS; k++) {
        const size_t row = pick(t, k, (size_t)t->s->sequences * (size_t)t->s->tokens);
        const size_t o = pick(t, k, (size_t)out), at = row * (size_t)out + o;
        const double bias = linear_bias((int)o);
        double sum = bias, size = fabs(sum);
        for (int i = 0; i < in; i++) {
            const float w = linear_value(out, in, o * (size_t)in + (size_t)i);
            const double product = (double)value_of(t, &t->in[0], row * (size_t)in + (size_t)i) *
                                   (t->flag ? w : rounded(t->d, w));
            sum += product, size += fabs(product);
        }
        const double old = add ? value_of(t, &t->in[1], at) : 0;
        tolerance tol = plain ? TOL_LINEAR : TOL_ACTIVATION;
        const double scale = size + (plain ? fabs(old) : 1);
        if (early && act)
            tol.limit += rounding(t->d) * (plain ? fabs(bias) : 1.13 * fabs(sum - bias)) / scale;
        near(t, *got_of(t, at, 1, act), activate(sum, e) + old, scale, tol, act);
    }
}

static void linear(desk *d, const shape *s, const char *variant, int out, int in, t2d_epilogue e, bool fp32)
{
    const double rows = (double)s->sequences * s->tokens, size = fp32 ? 4 : ACT(d);
    const bool add = e == T2D_EPI_ADD;
    trial t = trial_of(d, s, "linear", variant, "%.0f x %d -> %d", rows, in, out);
    const double bytes = size * rows * in + size * out * in + (add ? 8 : size) * rows * out;
    if (!trial_wanted(&t, 2 * rows * out * in, bytes, true)) return;
    t.n[0] = out, t.n[1] = in, t.n[2] = (int)e, t.flag = fp32;
    trial_input(&t, 0, (size_t)rows * (size_t)in, 1, 0, !fp32);
    trial_linear(&t, out, in, fp32);
    t.out = add ? trial_input(&t, 1, (size_t)rows * (size_t)out, 1, 0, false)->at
                : trial_memory(&t, (size_t)rows * (size_t)out * (size_t)size);
    trial_finish(&t, linear_run, linear_check);
}

/* ---- attention; flag: causal ---- */

static void attention_run(trial *t)
{
    OP(t)->attention(BE(t), t->out, t->in[0].at, t->s->sequences, t->s->tokens, t->s->heads, t->flag);
}

static void attention_check(trial *t)
{
    const size_t dim = (size_t)t->s->heads * T2D_HEAD, tokens = (size_t)t->s->tokens;
    for (int k = 0; k < CHECKS; k++) {
        const size_t row = pick(t, k, tokens * (size_t)t->s->sequences), c = pick(t, k, dim),
                     query = row % tokens;
        const size_t head = c / T2D_HEAD * T2D_HEAD, first = row - query, seen = t->flag ? query + 1 : tokens;
        double sum = 0, mix = 0, magnitude = 0, size = 0, largest = 0;
        for (size_t key = 0; key < seen; key++) { /* scores are small: no maximum is taken away */
            double dot = 0, dots = 0;
            for (size_t i = head; i < head + T2D_HEAD; i++) {
                const double product = (double)value_of(t, &t->in[0], row * 3 * dim + i) *
                                       value_of(t, &t->in[0], (first + key) * 3 * dim + dim + i) / 8;
                dot += product, dots += fabs(product);
                largest = fmax(largest, fabs(value_of(t, &t->in[0], (first + key) * 3 * dim + 2 * dim + i)));
            }
            const double v = value_of(t, &t->in[0], (first + key) * 3 * dim + 2 * dim + c);
            sum += exp(dot), mix += exp(dot) * v, magnitude += exp(dot) * fabs(v);
            size = fmax(size, dots);
        }
        tolerance tol = TOL_ATTENTION; /* 16-bit weights: half a unit of sum p |v| */
        tol.limit += rounding(t->d) * magnitude / sum / ((1 + size) * largest);
        near(t, *got_of(t, row * dim + c, 1, true), mix / sum, (1 + size) * largest, tol, true);
    }
}

static void attention(desk *d, const shape *s, bool causal)
{
    const double rows = (double)s->sequences * s->tokens, dim = s->heads * T2D_HEAD;
    trial t = trial_of(d, s, "attention", causal ? "causal" : "", "%d x %d tokens, %d heads", s->sequences,
                       s->tokens, s->heads);
    if (!trial_wanted(&t, (causal ? 2 * (s->tokens + 1.0) : 4.0 * s->tokens) * rows * dim,
                      4 * rows * dim * ACT(d), true))
        return;
    t.flag = causal;
    trial_input(&t, 0, (size_t)rows * 3 * (size_t)dim, 1, 0, true);
    t.out = trial_memory(&t, (size_t)(rows * dim * ACT(d)));
    trial_finish(&t, attention_run, attention_check);
}

/* ---- SwiGLU: n = rows, hidden ---- */

static void swiglu_run(trial *t) { OP(t)->swiglu(BE(t), t->out, t->in[0].at, t->n[0], t->n[1]); }

static void swiglu_check(trial *t)
{
    for (int k = 0; k < 4 * CHECKS; k++) {
        const size_t hidden = (size_t)t->n[1], row = pick(t, k, (size_t)t->n[0]), c = pick(t, k, hidden);
        const double a = value_of(t, &t->in[0], row * 2 * hidden + c),
                     b = value_of(t, &t->in[0], row * 2 * hidden + hidden + c);
        near(t, *got_of(t, row * hidden + c, 1, true), a / (1 + exp(-a)) * b, fabs(a * b), TOL_SWIGLU, true);
    }
}

static void swiglu(desk *d, const shape *s)
{
    const double rows = (double)s->sequences * s->tokens, hidden = 4096; /* of ViT-g */
    trial t = trial_of(d, s, "swiglu", "", "%.0f x %.0f", rows, hidden);
    if (!trial_wanted(&t, 10 * rows * hidden, 3 * rows * hidden * ACT(d), false)) return;
    t.n[0] = (int)rows, t.n[1] = (int)hidden;
    trial_input(&t, 0, (size_t)(rows * 2 * hidden), 3, 0, true);
    t.out = trial_memory(&t, (size_t)(rows * hidden * ACT(d)));
    trial_finish(&t, swiglu_run, swiglu_check);
}

/* ---- the text tower's ends: n = rows, dim; more: host ids or rows ---- */

static void embed_text_run(trial *t)
{
    OP(t)->embed_text(BE(t), t->out, t->more, t->in[0].at, t->in[1].at, t->s->sequences, t->s->tokens,
                      t->n[1]);
}

static void gather_run(trial *t)
{
    OP(t)->gather_rows(BE(t), t->out, t->in[0].at, t->more, t->n[0], t->n[1]);
}

/* A row of the first input, and of the second where there is one: exact. */
static void rows_check(trial *t)
{
    const int32_t *index = t->more;
    for (int k = 0; k < 4 * CHECKS; k++) {
        const size_t dim = (size_t)t->n[1], row = pick(t, k, (size_t)t->n[0]), c = pick(t, k, dim);
        float want = value_of(t, &t->in[0], (size_t)index[row] * dim + c);
        if (t->in[1].at) want += value_of(t, &t->in[1], row % (size_t)t->s->tokens * dim + c);
        must(t, *got_of(t, row * dim + c, 1, false) == want, "a row is not the row that was asked for");
    }
}

static void text_ends(desk *d, const shape *s)
{
    enum { WORDS = 49408, MOST = 1 << 19 };
    static int32_t index[MOST];
    const int rows = s->sequences * s->tokens;
    const double count = (double)rows * s->dim;
    if (rows > MOST) return;
    for (int i = 0; i < rows; i++) index[i] = (int32_t)(t2d_mix((uint64_t)i) % WORDS);
    trial t = trial_of(d, s, "embed_text", "", "%d x %d", rows, s->dim);
    if (trial_wanted(&t, count, 8 * count, false)) {
        t.n[0] = rows, t.n[1] = s->dim, t.more = index;
        trial_input(&t, 0, (size_t)WORDS * (size_t)s->dim, 1, 0, false);
        trial_input(&t, 1, (size_t)s->tokens * (size_t)s->dim, 1, 0, false);
        t.out = trial_memory(&t, (size_t)count * 4);
        trial_finish(&t, embed_text_run, rows_check);
    }
    static int32_t ends[MOST];
    for (int i = 0; i < s->sequences; i++) ends[i] = i * s->tokens + s->tokens / 4;
    t = trial_of(d, s, "gather_rows", "", "%d x %d", s->sequences, s->dim);
    if (trial_wanted(&t, 0, 8.0 * s->sequences * s->dim, false)) {
        t.n[0] = s->sequences, t.n[1] = s->dim, t.more = ends;
        trial_input(&t, 0, (size_t)count, 1, 0, false);
        t.out = trial_memory(&t, (size_t)s->sequences * (size_t)s->dim * 4);
        trial_finish(&t, gather_run, rows_check);
    }
}

/* ---- a block ---- */

void try_tower(desk *d, const shape *s)
{
    layernorm(d, s, false);
    linear(d, s, "qkv", 3 * s->dim, s->dim, T2D_EPI_NONE, false);
    attention(d, s, false);
    linear(d, s, "out, add", s->dim, s->dim, T2D_EPI_ADD, false);
    linear(d, s, "up, GELU", s->hidden, s->dim, T2D_EPI_GELU, false);
    linear(d, s, "down, add", s->dim, s->hidden, T2D_EPI_ADD, false);
    layernorm(d, s, true);
    if (s->sequences == 1) swiglu(d, s);
}

void try_text(desk *d, const shape *s)
{
    const shape psi = {"psi", 768, 0, 0, 0, 0, 0, 1, s->sequences};
    text_ends(d, s);
    layernorm(d, s, false);
    linear(d, s, "qkv", 3 * s->dim, s->dim, T2D_EPI_NONE, false);
    attention(d, s, true);
    linear(d, s, "out, add", s->dim, s->dim, T2D_EPI_ADD, false);
    linear(d, s, "up, QuickGELU", s->hidden, s->dim, T2D_EPI_QUICK_GELU, false);
    linear(d, s, "down, add", s->dim, s->hidden, T2D_EPI_ADD, false);
    linear(d, &psi, "fp32, tanh", 768, s->dim, T2D_EPI_TANH, true);
}
