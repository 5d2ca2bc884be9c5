/* eval_compare.h — two results over the same pictures. */
#ifndef T2D_EVAL_COMPARE_H
#define T2D_EVAL_COMPARE_H

/* Prints mIoU of both files, and their difference with its interval; says what is wrong.  The exit code. */
int compare_results(const char *a, const char *b);

#endif
