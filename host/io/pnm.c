/* pnm.c — PGM and PPM, as text (P2, P3) and binary (P5, P6), up to 16 bits.  Samples are scaled to 0..255 by
 * the file's maximum.  OpenCV does so for 8-bit text only and leaves other maxima than 255 and 65535 dark;
 * for those two, which are nearly all there are, the bits are OpenCV's. */
#include "io/decode.h"

#include <limits.h>

typedef struct reader {
    const t2d_encoded *file;
    size_t at;
} reader;

static bool is_space(int c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static bool is_digit(int c) { return c >= '0' && c <= '9'; }

/* The byte under the reader; -1 at the end. */
static int peek(const reader *r) { return r->at < r->file->count ? r->file->bytes[r->at] : -1; }

static void skip_blanks(reader *r)
{
    bool comment = false;
    for (int c = peek(r); comment ? c >= 0 : is_space(c) || c == '#'; c = peek(r)) {
        comment = c == '#' || (comment && c != '\n' && c != '\r');
        r->at++;
    }
}

/* A number of at most INT_MAX; -1 for anything else. */
static int read_number(reader *r)
{
    skip_blanks(r);
    if (!is_digit(peek(r))) return -1;
    int64_t value = 0;
    for (; is_digit(peek(r)); r->at++) {
        value = value * 10 + (peek(r) - '0');
        if (value > INT_MAX) return -1;
    }
    return (int)value;
}

/* A sample of 0..maximum as 0..255.  Above 255 by way of 16 bits, whose low byte goes. */
static uint8_t scale(int sample, int maximum)
{
    if (maximum == 255) return (uint8_t)sample;
    return (uint8_t)(maximum > 255 ? (int64_t)sample * 65535 / maximum >> 8 : sample * 255 / maximum);
}

/* The next sample, or -1: no number (text), the end of the data is checked before (binary). */
static int read_sample(reader *r, bool text, int maximum)
{
    if (text) return read_number(r);
    int sample = r->file->bytes[r->at++];
    if (maximum > 255) sample = sample << 8 | r->file->bytes[r->at++];
    return sample;
}

typedef struct layout {
    bool text;
    int channels, width, height, maximum;
} layout;

static t2d_status read_header(reader *r, layout *l, t2d_error *err)
{
    const char *name = r->file->name;
    const int kind = r->file->bytes[1];
    l->text = kind == '2' || kind == '3';
    l->channels = kind == '3' || kind == '6' ? 3 : 1;
    r->at = 2;
    if (!is_space(peek(r)) && peek(r) != '#')
        return t2d_fail(err, T2D_E_FORMAT, "%s: no white space after the P%c that begins a PNM file", name,
                        kind);
    l->width = read_number(r);
    l->height = read_number(r);
    l->maximum = read_number(r);
    if (l->width < 0 || l->height < 0 || l->maximum < 0)
        return t2d_fail(err, T2D_E_FORMAT, "%s: the PNM header has no readable width, height and maximum",
                        name);
    if (l->maximum < 1 || l->maximum > 65535)
        return t2d_fail(err, T2D_E_FORMAT, "%s: the PNM header's maximum is %d, it must be 1 to 65535", name,
                        l->maximum);
    if (!l->text && !is_space(peek(r)))
        return t2d_fail(err, T2D_E_FORMAT, "%s: no white space between the PNM header and the pixels", name);
    if (!l->text) r->at++;
    return T2D_OK;
}

/* Refuses a file that is too short for its size before memory is taken for it: a sample needs its bytes, in
 * text a digit and (but for the last) a blank. */
static t2d_status check_length(const reader *r, const layout *l, t2d_error *err)
{
    const int64_t sample_bytes = l->text || l->maximum > 255 ? 2 : 1;
    const int64_t line_bytes = l->width * sample_bytes * l->channels;
    const int64_t have = (int64_t)(r->file->count - r->at) + l->text;
    if (line_bytes == 0 || have / line_bytes >= l->height) return T2D_OK;
    return t2d_fail_short(r->file, "PNM", (int)(have / line_bytes), l->height, err);
}

static t2d_status read_line(reader *r, const layout *l, int y, uint8_t *out, t2d_error *err)
{
    for (int x = 0; x < l->width; x++, out += 3)
        for (int c = 0; c < 3; c++) {
            if (c >= l->channels) {
                out[c] = out[0];
                continue;
            }
            const int sample = read_sample(r, l->text, l->maximum);
            if (sample < 0 && peek(r) < 0) return t2d_fail_short(r->file, "PNM", y, l->height, err);
            if (sample < 0 || sample > l->maximum)
                return t2d_fail(err, T2D_E_FORMAT, "%s: line %d, pixel %d is not a number of 0 to %d",
                                r->file->name, y, x, l->maximum);
            out[c] = scale(sample, l->maximum);
        }
    return T2D_OK;
}

t2d_status t2d_decode_pnm(const t2d_encoded *file, t2d_image *image, int *orientation, t2d_error *err)
{
    (void)orientation; /* PNM knows none */
    reader r = {file, 0};
    layout l = {0};
    t2d_status status = read_header(&r, &l, err);
    if (!status) status = check_length(&r, &l, err);
    if (!status) status = t2d_image_allocate(file, l.width, l.height, image, err);
    for (int y = 0; !status && y < l.height; y++)
        status = read_line(&r, &l, y, image->pixels + (size_t)y * l.width * 3, err);
    return status;
}
