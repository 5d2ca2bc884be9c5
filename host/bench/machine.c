/* machine.c — the state of CPU and card from /proc, /sys and NVML.  Containers and virtual machines hide much
 * of it; what is hidden is left out. */
#include "bench/machine.h"

#include <stdlib.h>
#include <string.h>

enum { LINE = 256, MOST = 64 }; /* hwmon folders and thermal zones that are looked at */

/* ---- files of one line ---- */

static bool read_line(const t2d_machine *m, const char *path, char line[LINE])
{
    char full[512];
    snprintf(full, sizeof full, "%s%s", m->root, path);
    FILE *f = fopen(full, "re");
    const bool good = f && fgets(line, LINE, f);
    if (f) fclose(f);
    if (good) line[strcspn(line, "\n")] = '\0';
    return good;
}

static double read_number(const t2d_machine *m, const char *path)
{
    char line[LINE], *end;
    if (!read_line(m, path, line)) return -1;
    const double number = strtod(line, &end);
    return end == line || *end ? -1 : number;
}

/* ---- /proc/cpuinfo: "key : value", a paragraph per CPU ---- */

typedef void visit_value(void *context, const char *value);

static void each_cpuinfo(const t2d_machine *m, const char *key, visit_value *visit, void *context)
{
    char path[LINE + 16], line[LINE];
    snprintf(path, sizeof path, "%s/proc/cpuinfo", m->root);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (!colon || strncmp(line, key, strlen(key)) != 0) continue;
        line[strcspn(line, "\n")] = '\0';
        visit(context, colon + 1 + strspn(colon + 1, " \t"));
    }
    if (f) fclose(f);
}

static void keep_name(void *context, const char *value)
{
    t2d_machine *m = context;
    if (!m->cpu[0]) snprintf(m->cpu, sizeof m->cpu, "%s", value);
}

static void keep_largest(void *context, const char *value)
{
    double *largest = context;
    const double number = strtod(value, NULL);
    if (number > *largest) *largest = number;
}

/* ---- clocks and heat ---- */

static double cpu_mhz(const t2d_machine *m)
{
    double largest = -1;
    char path[96];
    for (int cpu = 0;; cpu++) {
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq", cpu);
        const double khz = read_number(m, path);
        if (khz < 0) break;
        if (1e-3 * khz > largest) largest = 1e-3 * khz;
    }
    if (largest < 0) each_cpuinfo(m, "cpu MHz", keep_largest, &largest);
    return largest;
}

static bool is_one_of(const char *word, const char *const *list)
{
    while (*list && strcmp(*list, word) != 0) list++;
    return *list != NULL;
}

/* The CPU's own, by the names that Linux's drivers have. */
static void find_thermometer(t2d_machine *m)
{
    static const char *const drivers[] = {"coretemp", "k10temp", "zenpower", NULL};
    static const char *const zones[] = {"x86_pkg_temp", "cpu-thermal", NULL};
    char path[96], line[LINE];
    for (int i = 0; i < MOST && !m->thermometer[0]; i++) {
        snprintf(path, sizeof path, "/sys/class/hwmon/hwmon%d/name", i);
        if (read_line(m, path, line) && is_one_of(line, drivers))
            snprintf(m->thermometer, sizeof m->thermometer, "/sys/class/hwmon/hwmon%d/temp1_input", i);
    }
    for (int i = 0; i < MOST && !m->thermometer[0]; i++) {
        snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/type", i);
        if (read_line(m, path, line) && is_one_of(line, zones))
            snprintf(m->thermometer, sizeof m->thermometer, "/sys/class/thermal/thermal_zone%d/temp", i);
    }
}

/* ---- energy: RAPL's packages ---- */

static double read_package(const t2d_machine *m, int package, const char *file)
{
    char path[96];
    snprintf(path, sizeof path, "/sys/class/powercap/intel-rapl:%d/%s", package, file);
    return read_number(m, path);
}

/* A domain that is no package (psys) would be counted twice, and stands behind them. */
static void find_packages(t2d_machine *m)
{
    char path[96], line[LINE];
    for (; m->packages < T2D_PACKAGES; m->packages++) {
        snprintf(path, sizeof path, "/sys/class/powercap/intel-rapl:%d/name", m->packages);
        if (!read_line(m, path, line) || strncmp(line, "package", strlen("package")) != 0) return;
        if (read_package(m, m->packages, "energy_uj") < 0) return; /* root's alone on many systems */
        m->package_end[m->packages] = read_package(m, m->packages, "max_energy_range_uj");
    }
}

/* ---- the machine ---- */

void t2d_machine_open(const char *root, const char *bus, t2d_machine *m)
{
    t2d_error err;
    char line[LINE];
    *m = (t2d_machine){.card = {.watts = -1}};
    snprintf(m->root, sizeof m->root, "%s", root);
    each_cpuinfo(m, "model name", keep_name, m);
    if (read_line(m, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", line))
        snprintf(m->governor, sizeof m->governor, "%.31s", line);
    find_thermometer(m);
    find_packages(m);
    if (bus[0] && t2d_nvml_open("libnvidia-ml.so.1", bus, &m->nvml, &m->card, &err) != T2D_OK)
        snprintf(m->no_card, sizeof m->no_card, "%.255s", err.message);
}

void t2d_machine_look(const t2d_machine *m, t2d_machine_state *s)
{
    *s = (t2d_machine_state){.cpu_mhz = cpu_mhz(m), .cpu_celsius = -1, .card = {-1, -1, -1, -1, -1}};
    if (m->thermometer[0]) {
        const double thousandths = read_number(m, m->thermometer);
        s->cpu_celsius = thousandths < 0 ? -1 : 1e-3 * thousandths;
    }
    for (int i = 0; i < m->packages; i++) s->package_microjoules[i] = read_package(m, i, "energy_uj");
    if (m->nvml) t2d_nvml_look(m->nvml, &s->card);
}

void t2d_machine_close(t2d_machine *m)
{
    t2d_nvml_close(m->nvml);
    m->nvml = NULL;
}

double t2d_machine_cpu_joules(const t2d_machine *m, const t2d_machine_state *before,
                              const t2d_machine_state *after)
{
    double microjoules = 0;
    for (int i = 0; i < m->packages; i++) {
        const double used = after->package_microjoules[i] - before->package_microjoules[i];
        microjoules += used < 0 ? used + m->package_end[i] : used;
    }
    return m->packages > 0 ? 1e-6 * microjoules : -1;
}

double t2d_machine_card_joules(const t2d_machine_state *before, const t2d_machine_state *after)
{
    return before->card.joules < 0 || after->card.joules < 0 ? -1 : after->card.joules - before->card.joules;
}
