/* terminal.h — a segmented picture in the terminal. */
#ifndef T2D_TERMINAL_H
#define T2D_TERMINAL_H

#include "cli/cli.h"

/* Where standard output is no terminal, or one that may not be coloured (NO_COLOR), these draw nothing. */

/* The picture blended with the mask's colours, two pixels in each character (half blocks). */
void terminal_picture(const t2d_image *image, const t2d_mask *mask);
/* Two spaces on a label's colour. */
void terminal_swatch(int label);

#endif
