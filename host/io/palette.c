/* palette.c — the colours of labels, as PASCAL VOC's colour map deals them out: the bits of a label, three at
 * a time, become the highest bits of red, green and blue, so that neighbours differ most. */
#include "io/draw.h"
#include "io/io.h"

#include <string.h>

void t2d_voc_colour(int label, uint8_t rgb[3])
{
    memset(rgb, 0, 3);
    for (int bit = 7; label > 0; bit--, label >>= 3)
        for (int c = 0; c < 3; c++) rgb[c] = (uint8_t)(rgb[c] | ((label >> c) & 1) << bit);
}

void t2d_voc_palette(uint8_t palette[256][3])
{
    for (int label = 0; label < 256; label++) t2d_voc_colour(label, palette[label]);
}
