/* nvml.c — NVML, opened when there is a card to ask.  Its types and functions are written down here after the
 * NVML API reference, so that they are known where no toolkit was installed. */
#include "bench/nvml.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, TEMPERATURE_GPU = 0, CLOCK_SM = 1, CLOCK_MEM = 2 };

typedef struct card *device; /* nvmlDevice_t */

typedef struct memory { /* nvmlMemory_t, bytes */
    unsigned long long total, free, used;
} memory;

struct t2d_nvml {
    void *library;
    device device;
    bool started;
    int (*start)(void);
    int (*stop)(void);
    const char *(*explain)(int);
    int (*driver)(char *, unsigned);
    int (*find)(const char *, device *);
    int (*limit)(device, unsigned *);            /* milliwatts */
    int (*clock)(device, int, unsigned *);       /* MHz */
    int (*temperature)(device, int, unsigned *); /* degrees Celsius */
    int (*memory)(device, memory *);
    int (*energy)(device, unsigned long long *); /* millijoules */
};

/* All of them, or the name of the first that is missing. */
static const char *find_functions(t2d_nvml *n)
{
    const struct {
        const char *name;
        void *to;
    } functions[] = {
        {"nvmlInit_v2", &n->start},
        {"nvmlShutdown", &n->stop},
        {"nvmlErrorString", &n->explain},
        {"nvmlSystemGetDriverVersion", &n->driver},
        {"nvmlDeviceGetHandleByPciBusId_v2", &n->find},
        {"nvmlDeviceGetEnforcedPowerLimit", &n->limit},
        {"nvmlDeviceGetClockInfo", &n->clock},
        {"nvmlDeviceGetTemperature", &n->temperature},
        {"nvmlDeviceGetMemoryInfo", &n->memory},
        {"nvmlDeviceGetTotalEnergyConsumption", &n->energy},
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *found = dlsym(n->library, functions[i].name);
        if (!found) return functions[i].name;
        memcpy(functions[i].to, &found, sizeof found);
    }
    return NULL;
}

static t2d_status start(t2d_nvml *n, const char *library, const char *bus, t2d_error *err)
{
    n->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!n->library) return t2d_fail(err, T2D_E_DEVICE, "cannot open %s: %s", library, dlerror());
    const char *missing = find_functions(n);
    if (missing) return t2d_fail(err, T2D_E_DEVICE, "%s has no %s", library, missing);
    int e = n->start();
    n->started = e == SUCCESS;
    if (e == SUCCESS) e = n->find(bus, &n->device);
    if (e != SUCCESS) return t2d_fail(err, T2D_E_DEVICE, "%s, card %s: %s", library, bus, n->explain(e));
    return T2D_OK;
}

t2d_status t2d_nvml_open(const char *library, const char *bus, t2d_nvml **nvml, t2d_card *card,
                         t2d_error *err)
{
    unsigned milliwatts;
    *card = (t2d_card){.watts = -1};
    t2d_nvml *n = *nvml = t2d_new(1, sizeof *n, "NVML", err);
    if (!n) return T2D_E_MEMORY;
    const t2d_status status = start(n, library, bus, err);
    if (status != T2D_OK) {
        t2d_nvml_close(n);
        *nvml = NULL;
        return status;
    }
    if (n->driver(card->driver, sizeof card->driver) != SUCCESS) card->driver[0] = '\0';
    if (n->limit(n->device, &milliwatts) == SUCCESS) card->watts = 1e-3 * milliwatts;
    return T2D_OK;
}

void t2d_nvml_look(const t2d_nvml *n, t2d_card_state *s)
{
    unsigned value;
    unsigned long long millijoules;
    memory m;
    *s = (t2d_card_state){-1, -1, -1, -1, -1};
    if (n->clock(n->device, CLOCK_SM, &value) == SUCCESS) s->mhz = value;
    if (n->clock(n->device, CLOCK_MEM, &value) == SUCCESS) s->memory_mhz = value;
    if (n->temperature(n->device, TEMPERATURE_GPU, &value) == SUCCESS) s->celsius = value;
    if (n->memory(n->device, &m) == SUCCESS) s->memory_bytes = (double)m.used;
    if (n->energy(n->device, &millijoules) == SUCCESS) s->joules = 1e-3 * (double)millijoules;
}

void t2d_nvml_close(t2d_nvml *n)
{
    if (!n) return;
    if (n->started) (void)n->stop();
    if (n->library) dlclose(n->library);
    free(n);
}
