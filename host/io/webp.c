/* webp.c — WebP by libwebp, lossy and lossless, alpha dropped without blending.  The EXIF chunk is honoured
 * as browsers and newer OpenCV do; OpenCV 4.6 leaves WebP pictures as they lie. */
#include "io/decode.h"

#include <string.h>

#include <webp/decode.h>

enum { RIFF_HEADER = 12, CHUNK_HEADER = 8 };

static size_t read_u32(const uint8_t *p)
{
    return (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
}

/* Some writers put JPEG's "Exif\0\0" in front of the TIFF block, some do not. */
static int find_orientation(const t2d_encoded *file)
{
    size_t at = RIFF_HEADER;
    while (file->count - at >= CHUNK_HEADER) {
        const uint8_t *chunk = file->bytes + at;
        const size_t size = read_u32(chunk + 4);
        if (size > file->count - at - CHUNK_HEADER) break;
        if (memcmp(chunk, "EXIF", 4) == 0) {
            const size_t skip = size > 6 && memcmp(chunk + CHUNK_HEADER, "Exif\0", 5) == 0 ? 6 : 0;
            return t2d_exif_orientation(chunk + CHUNK_HEADER + skip, size - skip);
        }
        const size_t next = at + CHUNK_HEADER + size + (size & 1);
        if (next > file->count) break;
        at = next;
    }
    return 1;
}

static t2d_status fail_webp(const t2d_encoded *file, VP8StatusCode code, t2d_error *err)
{
    switch (code) {
    case VP8_STATUS_OUT_OF_MEMORY:
        return t2d_fail(err, T2D_E_MEMORY, "%s: out of memory while decoding", file->name);
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
        return t2d_fail(err, T2D_E_FORMAT, "%s: the WebP data ends before the picture is complete",
                        file->name);
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return t2d_fail(err, T2D_E_UNSUPPORTED, "%s: a kind of WebP that is not read", file->name);
    default:
        return t2d_fail(err, T2D_E_FORMAT, "%s: the WebP data is damaged", file->name);
    }
}

t2d_status t2d_decode_webp(const t2d_encoded *file, t2d_image *image, int *orientation, t2d_error *err)
{
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return t2d_fail(err, T2D_E_UNSUPPORTED, "%s: libwebp is of another version than its header",
                        file->name);
    if (memcmp(file->bytes, "RIFF", 4) != 0) return fail_webp(file, VP8_STATUS_BITSTREAM_ERROR, err);
    if (read_u32(file->bytes + 4) > file->count - CHUNK_HEADER)
        return fail_webp(file, VP8_STATUS_NOT_ENOUGH_DATA, err);
    VP8StatusCode code = WebPGetFeatures(file->bytes, file->count, &config.input);
    if (code != VP8_STATUS_OK) return fail_webp(file, code, err);
    if (config.input.has_animation)
        return t2d_fail(err, T2D_E_UNSUPPORTED, "%s: an animated WebP; only still pictures are read",
                        file->name);
    const t2d_status status = t2d_image_allocate(file, config.input.width, config.input.height, image, err);
    if (status) return status;

    config.output.colorspace = MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = image->pixels;
    config.output.u.RGBA.stride = image->width * 3;
    config.output.u.RGBA.size = (size_t)image->width * image->height * 3;
    code = WebPDecode(file->bytes, file->count, &config);
    if (code != VP8_STATUS_OK) return fail_webp(file, code, err);
    *orientation = find_orientation(file);
    return T2D_OK;
}
