/* terminal.c — pictures of half blocks: the upper pixel is the letter's colour, the lower one its ground. */
#include "cli/terminal.h"
#include "io/io.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDEST = 100 };

static int columns(void)
{
    struct winsize size;
    if (!isatty(STDOUT_FILENO) || getenv("NO_COLOR")) return 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
    return size.ws_col < WIDEST ? size.ws_col : WIDEST;
}

/* The mean of a block of the picture, under the colour of the label in its middle. */
static void blended(const t2d_image *image, const t2d_mask *mask, uint8_t palette[256][3], int wide, int high,
                    int x, int y, int rgb[3])
{
    const int left = x * image->width / wide, right = (x + 1) * image->width / wide;
    const int top = y * image->height / high, bottom = (y + 1) * image->height / high;
    const int row = (top + bottom) / 2, column = (left + right) / 2;
    const uint8_t *label = palette[mask->ids[(size_t)row * mask->width + column] & 255];
    for (int c = 0; c < 3; c++) {
        int sum = 0, count = 0;
        for (int j = top; j < bottom; j++)
            for (int i = left; i < right; i++, count++)
                sum += image->pixels[((size_t)j * image->width + i) * 3 + c];
        rgb[c] = (4 * (count ? sum / count : 0) + 6 * label[c]) / 10;
    }
}

void terminal_picture(const t2d_image *image, const t2d_mask *mask)
{
    uint8_t palette[256][3];
    t2d_voc_palette(palette);
    int wide = columns();
    if (wide > image->width) wide = image->width;
    if (wide < 1) return;
    int high = image->height * wide / image->width / 2 * 2;
    if (high < 2) high = 2;
    for (int y = 0; y + 1 < high; y += 2) {
        for (int x = 0; x < wide; x++) {
            int up[3], low[3];
            blended(image, mask, palette, wide, high, x, y, up);
            blended(image, mask, palette, wide, high, x, y + 1, low);
            printf("\033[38;2;%d;%d;%dm\033[48;2;%d;%d;%dm\u2580", up[0], up[1], up[2], low[0], low[1],
                   low[2]);
        }
        puts("\033[0m");
    }
}

void terminal_swatch(int label)
{
    uint8_t palette[256][3];
    t2d_voc_palette(palette);
    const uint8_t *c = palette[label & 255];
    if (columns() > 0) printf("\033[48;2;%d;%d;%dm  \033[0m", c[0], c[1], c[2]);
}
