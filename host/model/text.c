/* text.c — class names to unit vectors in DINO's space.
 *
 * Per class, as the published code has it: every prompt through CLIP (raw features), their arithmetic mean,
 * psi, then unit length.  A prompt is cut behind its end token: the tower is causal and the end token's row
 * is the feature, so later tokens cannot matter.  Prompts of equal length travel together. */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROWS = 1024,         /* tokens per pass through the tower */
    TEXTS_AT_ONCE = 4096 /* prompts whose features are held before their mean */
};

typedef struct prompt {
    int32_t *ids;
    int tokens; /* up to and including the first end token */
    int index;  /* in the caller's list */
} prompt;

static int by_length(const void *a, const void *b)
{
    const prompt *p = a, *q = b;
    return p->tokens != q->tokens ? (p->tokens < q->tokens ? -1 : 1) : (p->index < q->index ? -1 : 1);
}

static t2d_status encode_all(const t2d_model *model, const char *const *texts, int count, prompt *prompts,
                             int32_t *ids, t2d_error *err)
{
    const int context = model->config.text.context, end = model->config.text.vocabulary - 1;
    for (int i = 0; i < count; i++) {
        prompt *p = &prompts[i];
        *p = (prompt){.ids = ids + (size_t)i * (size_t)context, .index = i};
        int total;
        const t2d_status status =
            t2d_tokenizer_encode(model->tokenizer, texts[i], p->ids, context, &total, err);
        if (status != T2D_OK) return status;
        while (p->ids[p->tokens] != end) p->tokens++;
        p->tokens++;
    }
    qsort(prompts, (size_t)count, sizeof *prompts, by_length);
    return T2D_OK;
}

/* Machine memory for one pass, beside the tower's workspace. */
typedef struct pass {
    t2d_workspace ws;
    float *ends, *features; /* [ROWS, dim], [ROWS, embed] */
    int32_t *ids, *index;   /* host */
    float *host;            /* [ROWS, embed] */
} pass;

static t2d_status pass_plan(t2d_backend *be, const t2d_model *model, int rows, pass *p, t2d_error *err)
{
    const size_t n = (size_t)rows, dim = (size_t)model->config.text.dim,
                 embed = (size_t)model->config.text.embed;
    t2d_status status = t2d_workspace_plan(be, &model->text, rows, &p->ws, err);
    if (status != T2D_OK) return status;
    p->ends = be->op->alloc(be, n * dim * sizeof(float));
    p->features = be->op->alloc(be, n * embed * sizeof(float));
    if (!p->ends || !p->features)
        return t2d_no_room(be, "text features", n * (dim + embed) * sizeof(float), err);
    p->ids = t2d_new(n, sizeof *p->ids, "token ids", err);
    p->index = t2d_new(n, sizeof *p->index, "token rows", err);
    p->host = t2d_new(n * embed, sizeof(float), "text features", err);
    return p->ids && p->index && p->host ? T2D_OK : T2D_E_MEMORY;
}

static void pass_release(t2d_backend *be, pass *p)
{
    t2d_workspace_release(be, &p->ws);
    be->op->release(be, p->ends);
    be->op->release(be, p->features);
    free(p->ids);
    free(p->index);
    free(p->host);
}

/* `count` prompts of the same length through the tower. */
static t2d_status forward(t2d_backend *be, const t2d_model *model, pass *p, const prompt *prompts, int count,
                          float *features, t2d_error *err)
{
    const t2d_ops *op = be->op;
    const t2d_tower *tower = &model->text;
    const int tokens = prompts->tokens, dim = tower->dim;
    const size_t embed = (size_t)model->config.text.embed;
    for (int i = 0; i < count; i++) {
        memcpy(p->ids + (size_t)i * (size_t)tokens, prompts[i].ids, (size_t)tokens * sizeof *p->ids);
        p->index[i] = (i + 1) * tokens - 1;
    }
    op->embed_text(be, p->ws.x, p->ids, model->token_table, model->text_position, count, tokens, dim);
    t2d_tower_forward(be, tower, &p->ws, count, tokens);
    float *rows = p->ws.x; /* [count, dim] in place of the stream: its other rows have done their work */
    op->gather_rows(be, p->ends, p->ws.x, p->index, count, dim);
    op->layernorm(be, rows, true, p->ends, tower->norm_w, tower->norm_b, count, dim, tower->eps);
    op->linear(be, p->features, rows, model->text_projection, count, 1, T2D_EPI_NONE); /* [count, embed] */
    const t2d_status status =
        op->download(be, p->host, p->features, (size_t)count * embed * sizeof(float), err);
    for (int i = 0; status == T2D_OK && i < count; i++)
        memcpy(features + (size_t)prompts[i].index * embed, p->host + (size_t)i * embed,
               embed * sizeof(float));
    return status;
}

t2d_status t2d_text_features(t2d_backend *be, const t2d_model *model, const char *const *texts, int count,
                             float *features, t2d_error *err)
{
    const int context = model->config.text.context, rows = context > ROWS ? context : ROWS;
    pass p = {0};
    t2d_status status = T2D_E_MEMORY;
    prompt *prompts = t2d_new((size_t)count, sizeof *prompts, "prompts", err);
    int32_t *ids = t2d_new((size_t)count * (size_t)context, sizeof *ids, "token ids", err);
    if (!prompts || !ids) goto done;
    status = encode_all(model, texts, count, prompts, ids, err);
    if (status == T2D_OK) status = pass_plan(be, model, rows, &p, err);
    for (int first = 0, batch; status == T2D_OK && first < count; first += batch) {
        const int tokens = prompts[first].tokens;
        for (batch = 1; first + batch < count && prompts[first + batch].tokens == tokens &&
                        (batch + 1) * tokens <= rows;)
            batch++;
        status = forward(be, model, &p, prompts + first, batch, features, err);
    }
    pass_release(be, &p);
done:
    free(prompts);
    free(ids);
    return status;
}

/* ---- classes ---- */

static void free_texts(char **texts, int count)
{
    for (int i = 0; texts && i < count; i++) free(texts[i]);
    free(texts);
}

/* Mean over prompts of raw CLIP features: host [count, embed]. */
static t2d_status class_means(t2d_backend *be, const t2d_model *model, const char *const *names, int count,
                              const char *const *prompts, int prompt_count, float *means, t2d_error *err)
{
    const size_t embed = (size_t)model->config.text.embed;
    const int total = count * prompt_count;
    t2d_status status = T2D_E_MEMORY;
    char **texts = t2d_new((size_t)total, sizeof *texts, "prompts", err);
    float *features = t2d_new((size_t)total * embed, sizeof(float), "text features", err);
    if (!texts || !features) goto done;
    status = T2D_OK;
    for (int i = 0; status == T2D_OK && i < total; i++)
        status = t2d_template_fill(prompts[i % prompt_count], names[i / prompt_count], &texts[i], err);
    if (status == T2D_OK)
        status = t2d_text_features(be, model, (const char *const *)texts, total, features, err);
    for (int c = 0; status == T2D_OK && c < count; c++)
        for (size_t e = 0; e < embed; e++) {
            float sum = 0;
            for (int p = 0; p < prompt_count; p++)
                sum += features[((size_t)c * (size_t)prompt_count + (size_t)p) * embed + e];
            means[(size_t)c * embed + e] = sum / (float)prompt_count;
        }
done:
    free_texts(texts, total);
    free(features);
    return status;
}

/* vectors = unit(psi(means)), host to host. */
static t2d_status apply_psi(t2d_backend *be, const t2d_model *model, const float *means, int count,
                            float *vectors, t2d_error *err)
{
    const t2d_ops *op = be->op;
    const size_t n = (size_t)count, embed = (size_t)model->config.text.embed,
                 dim = (size_t)model->config.vision.dim;
    float *in = op->alloc(be, n * embed * sizeof(float));
    float *hidden = op->alloc(be, n * dim * sizeof(float)), *out = op->alloc(be, n * dim * sizeof(float));
    t2d_status status = T2D_OK;
    if (!in || !hidden || !out) {
        status = t2d_no_room(be, "psi", n * (embed + 2 * dim) * sizeof(float), err);
        goto done;
    }
    op->upload(be, in, means, n * embed * sizeof(float));
    op->linear(be, hidden, in, model->psi1, count, 1, T2D_EPI_TANH);              /* [count, dim] */
    op->linear(be, out, hidden, model->psi2, count, 1, T2D_EPI_NONE);             /* [count, dim] */
    op->unit_rows(be, hidden, out, 1, count, 0, count, model->config.vision.dim); /* |v| = 1 */
    status = op->download(be, vectors, hidden, n * dim * sizeof(float), err);
done:
    op->release(be, in);
    op->release(be, hidden);
    op->release(be, out);
    return status;
}

t2d_status t2d_text_embed(t2d_backend *be, const t2d_model *model, const char *const *names, int count,
                          const char *const *prompts, int prompt_count, float *vectors, t2d_error *err)
{
    const size_t embed = (size_t)model->config.text.embed, dim = (size_t)model->config.vision.dim;
    const int step = prompt_count >= TEXTS_AT_ONCE ? 1 : TEXTS_AT_ONCE / prompt_count;
    const int most = count < step ? count : step;
    float *means = t2d_new((size_t)most * embed, sizeof(float), "text features", err);
    t2d_status status = means ? T2D_OK : T2D_E_MEMORY;
    for (int first = 0; status == T2D_OK && first < count; first += step) {
        const int some = count - first < step ? count - first : step;
        status = class_means(be, model, names + first, some, prompts, prompt_count, means, err);
        if (status == T2D_OK) status = apply_psi(be, model, means, some, vectors + (size_t)first * dim, err);
    }
    free(means);
    return status;
}
