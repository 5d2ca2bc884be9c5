/* random_model.h — a model of seeded random weights in memory: for times without a file.  Its masks mean
 * nothing. */
#ifndef T2D_RANDOM_MODEL_H
#define T2D_RANDOM_MODEL_H

#include "model/model.h"

typedef struct t2d_model_size {
    const char *name;
    int dim, depth, registers;       /* the vision tower, patches of 14 */
    int text_dim, text_depth, embed; /* the text tower and its features */
    int merges;                      /* lines of the tokenizer's table; 514 more make the vocabulary */
} t2d_model_size;

/* DINOv2's published sizes beside the text tower of CLIP ViT-B/16, by name ("vit-b14-reg4"); names: a list of
 * them. */
t2d_status t2d_model_size_find(const char *name, t2d_model_size *size, t2d_error *err);
const char *t2d_model_size_names(void);

/* A file that no folder holds: `path` opens it until it is closed. */
typedef struct t2d_random_model {
    int fd;
    char path[32];
} t2d_random_model;
t2d_status t2d_random_model_open(const t2d_model_size *size, uint64_t seed, t2d_random_model *model,
                                 t2d_error *err);
void t2d_random_model_close(t2d_random_model *model); /* harmless after a failed open */

#endif
