/* model.h — from a model file to tokens, features and class vectors: both towers, psi, the tokenizer, the
 * templates. */
#ifndef T2D_MODEL_H
#define T2D_MODEL_H

#include "backend.h"
#include "io/io.h"

/* ---- text in: cleaning and byte-pair encoding (tokenizer.c, clean.c, templates.c) ----
 */

typedef struct t2d_tokenizer t2d_tokenizer;

/* merges: the lines "left right\n" in order of rank, as the model file stores them.  The vocabulary is 256
 * bytes, 256 bytes with </w>, one entry per merge, start and end. */
t2d_status t2d_tokenizer_create(const char *merges, size_t bytes, t2d_tokenizer **tokenizer, t2d_error *err);
void t2d_tokenizer_destroy(t2d_tokenizer *tokenizer);
int t2d_tokenizer_vocabulary(
    const t2d_tokenizer *tokenizer); /* 514 + merges; start = this - 2, end = this - 1 */

/* Cleans and encodes UTF-8 text: start, ids, end.  *count is the full number even when it exceeds `capacity`;
 * then only `capacity` ids are written and the status is T2D_E_ARGUMENT ("... 78 tokens, at most 77").
 * Invalid UTF-8 is T2D_E_ARGUMENT.  Thread safe. */
t2d_status t2d_tokenizer_encode(const t2d_tokenizer *tokenizer, const char *text, int32_t *ids, int capacity,
                                int *count, t2d_error *err);

/* The cleaning alone; the caller frees the result. */
t2d_status t2d_text_clean(const char *text, char **clean, t2d_error *err);

/* A named set of prompts, each with one "{}"; NULL when there is no such set (then *names lists those there
 * are). */
const char *const *t2d_templates_find(const char *name, int *count);
const char *t2d_templates_names(void); /* "sub_imagenet_template, simple, ..." */

/* Puts a class name in a prompt's "{}"; the caller frees. */
t2d_status t2d_template_fill(const char *prompt, const char *name, char **text, t2d_error *err);

/* ---- position tables (position.c; the hub models' interpolate_pos_encoding) ---- */

/* table [from * from, dim] -> out [to_h * to_w, dim].  antialias: size rule, a = -0.5; else a = -0.75 with
 * scale from / (to + offset). */
t2d_status t2d_position_resize(const float *table, int from, float *out, int to_h, int to_w, int dim,
                               bool antialias, float offset, t2d_error *err);

/* ---- the model ---- */

typedef struct t2d_config {
    struct {
        int dim, depth, heads, hidden, patch, registers, grid; /* grid: side of the stored position table */
        bool swiglu, antialias;
        float eps, offset;
    } vision;
    struct {
        int dim, depth, heads, hidden, context, vocabulary, embed;
        float eps;
    } text;
    float mean[3], std[3];
    int size, stride, short_side, long_side;
    char templates[64];
    float background, clean_lambda;
} t2d_config;

/* Reads and checks the metadata, and that the file has exactly the tensors such a model has, in shape and
 * dtype. */
t2d_status t2d_config_read(const t2d_st_file *file, t2d_config *config, t2d_error *err);

/* Checksums as a file states them, in checksum.NAME: XXH3-64 of a tensor's bytes, and, in
 * checksum.__metadata__, of "key=value\n" in order of the keys, which are sorted here. */
enum { T2D_CHECKSUM = 17 }; /* 16 digits and the end */
void t2d_tensor_checksum(const void *bytes, size_t count, char hex[T2D_CHECKSUM]);
t2d_status t2d_metadata_checksum(const char *(*meta)[2], int count, char hex[T2D_CHECKSUM], t2d_error *err);

/* Compares the metadata with its checksum. */
t2d_status t2d_verify_metadata(const t2d_st_file *file, t2d_error *err);

/* Reads one tensor and compares it with its checksum; floats must be finite. */
t2d_status t2d_verify_tensor(const t2d_st_file *file, const t2d_st_tensor *tensor, t2d_error *err);

typedef struct t2d_block {
    float *norm1_w, *norm1_b, *norm2_w, *norm2_b;
    t2d_linear *qkv, *out, *up, *down;
} t2d_block;

typedef struct t2d_tower { /* DINOv2 and CLIP's text tower are the same block with other constants */
    int dim, depth, heads, hidden;
    bool causal, swiglu;
    t2d_epilogue activation;
    float eps;
    t2d_block *blocks;
    float *norm_w, *norm_b;
} t2d_tower;

typedef struct t2d_model {
    t2d_config config;
    t2d_tower vision, text;
    t2d_linear *patch;
    float *cls, *registers;             /* machine; CLS with its position added */
    float *position;                    /* host: [grid * grid, dim] */
    float *token_table, *text_position; /* machine */
    t2d_linear *text_projection, *psi1, *psi2;
    t2d_tokenizer *tokenizer;
} t2d_model;

/* Loads all weights onto the machine; every tensor's checksum and values are checked on the way. */
t2d_status t2d_model_load(const char *path, t2d_backend *be, t2d_model *model, t2d_error *err);
void t2d_model_unload(t2d_backend *be, t2d_model *model);

/* Activations of one pass through a tower: one block of machine memory. */
typedef struct t2d_workspace {
    int rows, dim, hidden; /* planned for */
    float *x;              /* [rows, dim] residual stream */
    void *norm;            /* [rows, dim] act */
    void *qkv;             /* [rows, 3 * dim] act; after the pass: the last block's */
    void *mix;             /* [rows, dim] act */
    void *wide;            /* [rows, hidden or 2 * hidden] act */
    void *block;
    size_t bytes;
} t2d_workspace;
t2d_status t2d_workspace_plan(t2d_backend *be, const t2d_tower *tower, int rows, t2d_workspace *ws,
                              t2d_error *err);
void t2d_workspace_release(t2d_backend *be, t2d_workspace *ws);

/* ws->x in, ws->x out (before the final norm); ws->qkv holds the last block's. */
void t2d_tower_forward(t2d_backend *be, const t2d_tower *tower, t2d_workspace *ws, int sequences, int tokens);

/* ids [prompts] of texts -> raw CLIP features (host, [prompts, embed]); prompts are cut at their end token
 * and batched by length. */
t2d_status t2d_text_features(t2d_backend *be, const t2d_model *model, const char *const *texts, int count,
                             float *features, t2d_error *err);

/* Class names x prompts -> unit vectors in DINO's space (host, [count, vision dim]). */
t2d_status t2d_text_embed(t2d_backend *be, const t2d_model *model, const char *const *names, int count,
                          const char *const *prompts, int prompt_count, float *vectors, t2d_error *err);

#endif
