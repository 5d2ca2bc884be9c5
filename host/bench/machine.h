/* machine.h — in what state the machine is: clocks, heat, energy.  What a system does not tell is negative or
 * "". */
#ifndef T2D_MACHINE_H
#define T2D_MACHINE_H

#include "backend.h"
#include "bench/nvml.h"

enum { T2D_PACKAGES = 8 };

typedef struct t2d_machine_state {
    double cpu_mhz; /* of the fastest CPU at that moment */
    double cpu_celsius;
    double package_microjoules[T2D_PACKAGES]; /* counters that start again at their end */
    t2d_card_state card;
} t2d_machine_state;

typedef struct t2d_machine {
    char root[256]; /* before "/sys" and "/proc" */
    char cpu[128], governor[32];
    char thermometer[64]; /* the file */
    int packages;         /* whose energy is counted */
    double package_end[T2D_PACKAGES];
    t2d_nvml *nvml;
    t2d_card card;
    char no_card[256]; /* why nothing is known of the card that is used */
} t2d_machine;

/* root: "" but for tests.  bus: the card's PCI address, or "". */
void t2d_machine_open(const char *root, const char *bus, t2d_machine *machine);
void t2d_machine_look(const t2d_machine *machine, t2d_machine_state *state);
void t2d_machine_close(t2d_machine *machine);

/* Joules between two looks; negative: not known.  A counter that started again has done so once. */
double t2d_machine_cpu_joules(const t2d_machine *machine, const t2d_machine_state *before,
                              const t2d_machine_state *after);
double t2d_machine_card_joules(const t2d_machine_state *before, const t2d_machine_state *after);

#endif
