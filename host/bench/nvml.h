/* nvml.h — what NVIDIA's management library says of a card, where there is one to ask.  Negative numbers: it
 * does not say. */
#ifndef T2D_NVML_H
#define T2D_NVML_H

#include "base/base.h"

typedef struct t2d_nvml t2d_nvml;

typedef struct t2d_card {
    char driver[80]; /* version, or "" */
    double watts;    /* the limit that is enforced */
} t2d_card;

typedef struct t2d_card_state {
    double mhz, memory_mhz, celsius;
    double memory_bytes; /* in use, by all processes */
    double joules;       /* since the driver was loaded */
} t2d_card_state;

/* Opens `library` ("libnvidia-ml.so.1") and the card at a PCI address as CUDA writes it ("0000:3b:00.0"). */
t2d_status t2d_nvml_open(const char *library, const char *bus, t2d_nvml **nvml, t2d_card *card,
                         t2d_error *err);
void t2d_nvml_look(const t2d_nvml *nvml, t2d_card_state *state);
void t2d_nvml_close(t2d_nvml *nvml); /* or NULL */

#endif
