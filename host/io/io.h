/* io.h — pictures, arrays and model files to and from disk.  Knows formats, not models. */
#ifndef T2D_IO_H
#define T2D_IO_H

#include "base/base.h"

/* ---- resizing, named after whose resize it is ---- */

/* OpenCV's INTER_LINEAR on 8-bit RGB, bit for bit (fixed point).
 * src [sh, sw, 3] -> dst [dh, dw, 3], both owned by the caller; bits do not depend on `threads`. */
t2d_status t2d_resize_cv2_linear(const uint8_t *src, int sw, int sh, uint8_t *dst, int dw, int dh,
                                 int threads, t2d_error *err);

/* mmseg's keep-ratio size: the largest (w, h) that fits long_side x short_side, rounded as mmcv does
 * (imrescale). */
void t2d_keep_ratio_size(int width, int height, int long_side, int short_side, int *new_width,
                         int *new_height);

/* ---- label maps in ---- */

/* One value per pixel as the file stores it: values[y * width + x]. */
typedef struct t2d_labels {
    int width, height;
    uint16_t *values;
} t2d_labels;

/* Decodes a palette or gray PNG (1 to 16 bits) without looking at its colours.  The caller releases. */
t2d_status t2d_labels_decode(const void *bytes, size_t count, const char *name, t2d_labels *labels,
                             t2d_error *err);
void t2d_labels_release(t2d_labels *labels);

/* ---- pictures out ---- */

/* The 256 VOC colours, RGB; entry 255 is the ignore colour (224, 224, 192). */
void t2d_voc_palette(uint8_t palette[256][3]);

/* RGB PNG, whole or not at all.  later, here and below: without an fsync of its own (t2d_outfile). */
t2d_status t2d_png_write_rgb(const char *path, const uint8_t *pixels, int width, int height, bool later,
                             t2d_error *err);

/* t2d_mask_write, one of many. */
t2d_status t2d_mask_write_later(const char *path, const t2d_mask *mask, bool later, t2d_error *err);

/* t2d_overlay_write with colours of one's own: palette [mask->labels, 3], or NULL for VOC's. */
t2d_status t2d_overlay_write_coloured(const char *path, const t2d_image *image, const t2d_mask *mask,
                                      const char *const *names, const uint8_t *palette, float alpha,
                                      bool later, t2d_error *err);

/* Whether a file begins like a PNG and ends with its IEND chunk: what stands between is not looked at. */
bool t2d_png_is_whole(const char *path);

/* ---- arrays out ---- */

/* NumPy .npy, version 1.0, little endian fp32 ('<f4', C order). */
t2d_status t2d_npy_write(const char *path, const float *data, const int *shape, int rank, t2d_error *err);

/* The same file, mapped into memory before its values are known: for arrays too large to hold twice.  Space
 * is reserved on disk at once, so a full disk is an error here and not a signal later. */
typedef struct t2d_npy_map {
    float *data; /* count floats, zero */
    size_t count;
    void *base;
    size_t bytes;
    int file;
    char *path, *temporary;
} t2d_npy_map;
t2d_status t2d_npy_map_open(t2d_npy_map *map, const char *path, const int *shape, int rank, t2d_error *err);
t2d_status t2d_npy_map_commit(t2d_npy_map *map, t2d_error *err);
void t2d_npy_map_abort(t2d_npy_map *map); /* harmless after commit or a failed open */

/* ---- safetensors ---- */

typedef enum t2d_st_type {
    T2D_ST_F32,
    T2D_ST_F16,
    T2D_ST_BF16,
    T2D_ST_I32,
    T2D_ST_I64,
    T2D_ST_U8
} t2d_st_type;
size_t t2d_st_type_size(t2d_st_type type);
const char *t2d_st_type_name(t2d_st_type type); /* "F32", ... */

typedef struct t2d_st_tensor {
    const char *name; /* owned by the file object, as are all strings here */
    t2d_st_type type;
    int rank; /* 0..8 */
    int64_t shape[8];
    int64_t count;          /* product of the shape */
    uint64_t offset, bytes; /* in the file, from its first byte */
} t2d_st_tensor;

typedef struct t2d_st_file t2d_st_file;

/* Opens a safetensors file and checks the header strictly: length cap (100 MB), UTF-8, JSON without duplicate
 * keys, known dtypes, shapes that match their byte ranges, no overlaps, no holes, nothing outside the file,
 * file length exact.  No tensor data is read. */
t2d_status t2d_st_open(const char *path, t2d_st_file **file, t2d_error *err);
void t2d_st_close(t2d_st_file *file);
int t2d_st_count(const t2d_st_file *file);
const t2d_st_tensor *t2d_st_at(const t2d_st_file *file, int index);          /* in file (offset) order */
const t2d_st_tensor *t2d_st_find(const t2d_st_file *file, const char *name); /* NULL when absent */
/* Value of a __metadata__ key, NULL when absent. */
const char *t2d_st_meta(const t2d_st_file *file, const char *key);
int t2d_st_meta_count(const t2d_st_file *file);
void t2d_st_meta_at(const t2d_st_file *file, int index, const char **key, const char **value);

/* Reads a tensor's raw bytes (t->bytes of them) into `bytes`, by pread; a short file is an error.  Thread
 * safe. */
t2d_status t2d_st_read(const t2d_st_file *file, const t2d_st_tensor *t, void *bytes, t2d_error *err);

/* Reads an F32/F16/BF16 tensor as fp32.  `checksum`: 16 hex digits of XXH3-64 over the raw bytes that must
 * match, or NULL.  NaN or Inf anywhere is T2D_E_FORMAT naming the tensor and the index. */
t2d_status t2d_st_read_f32(const t2d_st_file *file, const t2d_st_tensor *t, const char *checksum, float *out,
                           t2d_error *err);

/* Writes tensors (names, shapes, host data) as one safetensors file, whole or not at all.  meta: pairs of
 * strings. */
typedef struct t2d_st_item {
    const char *name;
    t2d_st_type type;
    int rank;
    int64_t shape[8];
    const void *data;
} t2d_st_item;
t2d_status t2d_st_write(const char *path, const t2d_st_item *items, int count, const char *const (*meta)[2],
                        int meta_count, t2d_error *err);

/* The same into a stream, for tensors that are too many to be held at once: `next` gives the data of
 * items[index], one after the other, good until it is called again; NULL (*err says why) is taken for want of
 * memory.  Without `next` the items hold their data.  What was written stays when it fails; `name` stands for
 * the stream in messages. */
typedef const void *t2d_st_next(void *context, int index, t2d_error *err);
t2d_status t2d_st_write_stream(FILE *stream, const char *name, const t2d_st_item *items, int count,
                               const char *const (*meta)[2], int meta_count, t2d_st_next *next, void *context,
                               t2d_error *err);

#endif
