/* talk2dino.h — the whole C API: pictures and words in, masks out.
 *
 * Five nouns.  An ENGINE is a model loaded on a device: immutable, may be shared by threads.  A VOCAB is a
 * list of encoded class names: immutable too, belongs to its engine.  A SESSION holds the workspace: one
 * thread at a time. An IMAGE is RGB pixels in host memory, a MASK is one class id per pixel.
 *
 * Every function that can fail returns a t2d_status and, when `err` is not NULL, fills it with a sentence
 * that says what was wrong, where, and what was expected.  The library never prints, exits or reads the
 * environment. Objects are destroyed in reverse order: sessions and vocabs before their engine. */
#ifndef TALK2DINO_H
#define TALK2DINO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define T2D_VERSION_MAJOR 0
#define T2D_VERSION_MINOR 1
#define T2D_VERSION_PATCH 0

#if defined(__GNUC__)
#define T2D_API __attribute__((visibility("default")))
#else
#define T2D_API
#endif

/* ---- what went wrong ---- */

typedef enum t2d_status {
    T2D_OK = 0,
    T2D_E_ARGUMENT, /* the caller asked for something that has no meaning: an option, a size, an empty list */
    T2D_E_IO,       /* the operating system refused: no such file, no space, no permission */
    T2D_E_FORMAT,   /* a file or a text is damaged or not of the expected kind */
    T2D_E_MEMORY,   /* out of host or device memory */
    T2D_E_DEVICE,   /* no such device, or the device failed */
    T2D_E_UNSUPPORTED, /* well formed, but this build or this machine cannot do it */
} t2d_status;

typedef struct t2d_error {
    t2d_status status;
    char message[1024]; /* UTF-8, one sentence, no newline; file contents in it are escaped */
} t2d_error;

/* "0.1.0" */
T2D_API const char *t2d_version(void);

/* ---- images and masks (host memory; the caller owns and releases them) ---- */

/* RGB, 8 bits, interleaved, rows without padding: pixels[(y * width + x) * 3 + channel]. */
typedef struct t2d_image {
    int width, height;
    uint8_t *pixels;
} t2d_image;

/* One label per pixel: ids[y * width + x] in 0 .. labels-1.  With a background threshold, 0 is the background
 * and class n of the vocab is n + 1; otherwise class n is n. */
typedef struct t2d_mask {
    int width, height;
    int labels;
    uint16_t *ids;
} t2d_mask;

/* Pictures of more pixels than this are refused before they are decoded, unless the caller says otherwise. */
#define T2D_MAX_PIXELS ((int64_t)1 << 28)

/* Decodes PNG (8 or 16 bit; gray, palette, alpha over black removed without blending: colour is kept), JPEG
 * (gray, RGB, CMYK, progressive), WebP or PPM/PGM, turned upright by its EXIF orientation, as OpenCV's colour
 * mode does. max_pixels: 0 for T2D_MAX_PIXELS.  On success the caller owns image->pixels (t2d_image_release).
 */
T2D_API t2d_status t2d_image_read(const char *path, int64_t max_pixels, t2d_image *image, t2d_error *err);

/* The same from memory; `name` stands for the picture in messages. */
T2D_API t2d_status t2d_image_decode(const void *bytes, size_t count, const char *name, int64_t max_pixels,
                                    t2d_image *image, t2d_error *err);
T2D_API void t2d_image_release(t2d_image *image);
T2D_API void t2d_mask_release(t2d_mask *mask);

/* Writes a mask as an indexed PNG with the VOC palette (up to 255 labels; 255 is the ignore colour) or as
 * 16-bit gray (more).  Whole or not at all: a temporary file in the same folder is renamed. */
T2D_API t2d_status t2d_mask_write(const char *path, const t2d_mask *mask, t2d_error *err);

/* Writes `image` blended with the mask's colours as an RGB PNG with a legend of the labels that occur, below
 * the picture.  names: mask->labels strings (UTF-8).  alpha: weight of the colours, 0..1. */
T2D_API t2d_status t2d_overlay_write(const char *path, const t2d_image *image, const t2d_mask *mask,
                                     const char *const *names, float alpha, t2d_error *err);

/* ---- engine ---- */

typedef struct t2d_engine t2d_engine;

typedef enum t2d_dtype { T2D_DTYPE_FP32 = 0, T2D_DTYPE_FP16, T2D_DTYPE_BF16 } t2d_dtype;

typedef struct t2d_engine_options {
    const char *device; /* "auto" (NULL), "cpu", "cuda", "cuda:N"; only auto may fall back to the CPU */
    t2d_dtype dtype;    /* of weights and activations; sums, softmax and norms are always fp32 */
    int threads;        /* CPU threads; 0: as many as the process may use */
} t2d_engine_options;

/* Opens a model file, checks every tensor, and prepares the weights on the device.  options may be NULL. */
T2D_API t2d_status t2d_engine_open(const char *path, const t2d_engine_options *options, t2d_engine **engine,
                                   t2d_error *err);
T2D_API void t2d_engine_close(t2d_engine *engine);

/* What an engine is.  Strings live as long as the engine. */
typedef struct t2d_engine_info {
    const char *device;      /* "cpu" or "cuda:0" */
    const char *device_name; /* the machine in words: chip, instruction set, threads */
    t2d_dtype dtype;
    int threads;
    int vision_dim, vision_depth, vision_heads, patch, registers;
    int text_dim, text_depth, text_heads, context, vocabulary;
    int size, stride, short_side, long_side; /* the model file's defaults for segmentation */
    const char *templates;                   /* name of the default template set */
    float background;                        /* the file's background threshold */
} t2d_engine_info;
T2D_API void t2d_engine_describe(const t2d_engine *engine, t2d_engine_info *info);

/* ---- vocab ---- */

typedef struct t2d_vocab t2d_vocab;

typedef struct t2d_vocab_options {
    const char
        *templates; /* a set by name ("sub_imagenet_template", "identity", ...); NULL: the model's default */
    const char *const
        *prompts; /* or one's own prompts, each with one "{}"; overrides `templates` when count > 0 */
    int prompt_count;
} t2d_vocab_options;

/* Encodes `count` classes.  A class is a name, or several aliases joined by ';' whose scores are merged by
 * maximum (per patch, before upsampling).  options may be NULL.  The strings are not kept; t2d_vocab_name has
 * copies. */
T2D_API t2d_status t2d_vocab_create(t2d_engine *engine, const char *const *classes, int count,
                                    const t2d_vocab_options *options, t2d_vocab **vocab, t2d_error *err);
T2D_API void t2d_vocab_destroy(t2d_vocab *vocab);
T2D_API int t2d_vocab_count(const t2d_vocab *vocab);
/* First alias of class `index`; lives as long as the vocab. */
T2D_API const char *t2d_vocab_name(const t2d_vocab *vocab, int index);
/* Number of unit vectors (aliases counted), their width, and the vectors [rows, dim] themselves, in host
 * memory that lives as long as the vocab. */
T2D_API int t2d_vocab_rows(const t2d_vocab *vocab);
T2D_API int t2d_vocab_dim(const t2d_vocab *vocab);
T2D_API const float *t2d_vocab_vectors(const t2d_vocab *vocab);

/* Token ids of one text, start and end token included, as the text tower sees it.  ids: room for `capacity`
 * numbers; *count: how many there are.  Too long a text for the tower's context is T2D_E_ARGUMENT with the
 * count. */
T2D_API t2d_status t2d_tokenize(const t2d_engine *engine, const char *text, int32_t *ids, int capacity,
                                int *count, t2d_error *err);

/* ---- session ---- */

typedef struct t2d_session t2d_session;

T2D_API t2d_status t2d_session_create(t2d_engine *engine, t2d_session **session, t2d_error *err);
T2D_API void t2d_session_destroy(t2d_session *session);

typedef enum t2d_mode {
    T2D_SLIDE = 0, /* the evaluation protocol: keep-ratio resize, overlapping windows, mean, resize back */
    T2D_WHOLE,     /* the published demo: the picture squeezed to size x size */
} t2d_mode;

/* Set by t2d_segment_defaults from the engine's model file; change what you need. */
typedef struct t2d_segment_options {
    t2d_mode mode;
    int size;                  /* side of a window in pixels, a multiple of the patch */
    int stride;                /* step between windows (slide) */
    int short_side, long_side; /* keep-ratio resize to fit (long_side, short_side) (slide) */
    int with_background;
    float background; /* score of the background channel, used with with_background */
    int clean;        /* background cleaning (the paper's with_bg_clean) */
    float clean_lambda;
    int pamr;          /* PAMR refinement, 10 iterations */
    int swap_channels; /* feed BGR, as the published demo does by mistake */
} t2d_segment_options;
T2D_API void t2d_segment_defaults(const t2d_engine *engine, t2d_segment_options *options);

/* Segments one picture.
 * mask: filled on success; the session allocates mask->ids when it is NULL, otherwise it must hold width *
 * height numbers of a mask of the picture's size.  The caller owns it either way.  mask may be NULL when
 * scores is not. scores: NULL, or [labels, height, width] fp32 (background channel first, where there is
 * one): what the argmax saw. The same picture gives the same bits whatever was segmented before, and for any
 * number of threads. */
T2D_API t2d_status t2d_segment(t2d_session *session, const t2d_vocab *vocab, const t2d_image *image,
                               const t2d_segment_options *options, t2d_mask *mask, float *scores,
                               t2d_error *err);

/* Segments `count` pictures together: their windows share the passes through the tower, which is what keeps a
 * GPU busy, and every picture's results have the same bits as alone.  masks: [count] as above, or NULL;
 * scores: NULL, or [count] of what t2d_segment takes.  On failure masks that were allocated here are released
 * again; the caller's own memory may hold results of some pictures. */
T2D_API t2d_status t2d_segment_batch(t2d_session *session, const t2d_vocab *vocab, const t2d_image *images,
                                     int count, const t2d_segment_options *options, t2d_mask *masks,
                                     float *const *scores, t2d_error *err);

/* Tokens (1 + registers + patches per window) that share a pass at most.  *planned (unless NULL): how many it
 * were with enough memory; fewer windows travel together for the rest of a session whose device ran out of
 * it. */
T2D_API int t2d_session_tokens(const t2d_session *session, int *planned);

/* Features of the whole picture squeezed to size x size (bilinear, no antialias, as published). */
typedef struct t2d_features {
    int size, grid; /* grid x grid patches */
    int dim, heads, registers;
    float *patch_tokens;         /* [grid * grid, dim] after the final norm */
    float *cls;                  /* [dim] */
    float *register_tokens;      /* [registers, dim], NULL when there are none */
    float *cls_attention_logits; /* [heads, grid * grid], CLS query against patch keys of the last block */
    float *head_embeddings;      /* [heads, dim], mean over patches of softmax-weighted patch tokens */
    void *block;                 /* the one allocation behind the five */
} t2d_features;
T2D_API t2d_status t2d_features_compute(t2d_session *session, const t2d_image *image, int size,
                                        int swap_channels, t2d_features *features, t2d_error *err);
T2D_API void t2d_features_release(t2d_features *features);

#ifdef __cplusplus
}
#endif
#endif
