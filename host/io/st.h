/* st.h — what the safetensors reader and writer share.  A file is eight bytes of header length (little
 * endian), the header (JSON), and the data, whose tensors lie end to end. */
#ifndef T2D_ST_H
#define T2D_ST_H

#include <jansson.h>

#include "io/io.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "safetensors are read and written as they lie in memory");

enum { ST_HEADER_MAX = 100 * 1000 * 1000, ST_RANK_MAX = 8, ST_TYPES = T2D_ST_U8 + 1 };

struct t2d_st_file {
    int fd;
    char *path;
    json_t *header; /* owns every string below */
    t2d_st_tensor *tensors;
    const char *(*meta)[2];
    int count, meta_count;
};

/* Fills tensors and meta of a file whose path is set.  The data starts at byte `data_offset` and has
 * `data_bytes`. */
t2d_status t2d_st_parse(t2d_st_file *file, const char *text, size_t length, uint64_t data_offset,
                        uint64_t data_bytes, t2d_error *err);

/* Product of the shape, and times the type's size; false when a dimension is negative or a product overflows.
 */
bool t2d_st_size(t2d_st_type type, int rank, const int64_t *shape, int64_t *count, uint64_t *bytes);

/* Not empty, no control characters, and not the name that holds the metadata. */
bool t2d_st_name_good(const char *name);

#endif
