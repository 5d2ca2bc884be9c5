/* terminal.h — a segmented picture in the terminal. */
#ifndef T2D_TERMINAL_H
#define T2D_TERMINAL_H

#include "cli/cli.h"

/* Draws the picture blended with the mask's colours, two pixels in each character (half blocks), and a legend,
 * when standard output is a terminal that may be coloured; else nothing. */
void terminal_picture(const t2d_image *image, const t2d_mask *mask, const char *const *names);

#endif
