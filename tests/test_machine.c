/* test_machine.c — what a machine tells of its clocks, heat and energy, from a folder that stands for its
 * system, and from a library that stands for NVML. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/machine.h"

/* ---- the machine's state ---- */

static char folder[] = "/tmp/t2d_machine_XXXXXX";

/* A file of one text below `folder`, with the folders it needs. */
static void put(const char *path, const char *text)
{
    char full[256];
    snprintf(full, sizeof full, "%s%s", folder, path);
    for (char *slash = strchr(full + sizeof folder, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *f = fopen(full, "w");
    cr_assert(f && fputs(text, f) >= 0, "%s", full);
    fclose(f);
}

static void remove_folder(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
}

Test(machine, what_the_system_tells)
{
    t2d_machine m;
    t2d_machine_state before, after;
    cr_assert(mkdtemp(folder));
    put("/proc/cpuinfo", "processor\t: 0\nmodel name\t: A Chip\ncpu MHz\t\t: 10\n\nmodel name\t: Other\n");
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "2000000\n");
    put("/sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "3500000\n");
    put("/sys/class/hwmon/hwmon0/name", "nvme\n");
    put("/sys/class/hwmon/hwmon0/temp1_input", "99000\n");
    put("/sys/class/hwmon/hwmon2/name", "k10temp\n");
    put("/sys/class/hwmon/hwmon2/temp1_input", "45500\n");
    for (int i = 0; i < 3; i++) { /* two packages, and psys, which counts both again */
        char path[64];
        snprintf(path, sizeof path, "/sys/class/powercap/intel-rapl:%d/name", i);
        put(path, i < 2 ? "package-0\n" : "psys\n");
        snprintf(path, sizeof path, "/sys/class/powercap/intel-rapl:%d/energy_uj", i);
        put(path, "9000000\n");
        snprintf(path, sizeof path, "/sys/class/powercap/intel-rapl:%d/max_energy_range_uj", i);
        put(path, "10000000\n");
    }
    t2d_machine_open(folder, "", &m);
    cr_assert_str_eq(m.cpu, "A Chip");
    cr_assert_str_eq(m.governor, "powersave");
    cr_assert_eq(m.packages, 2);
    t2d_machine_look(&m, &before);
    put("/sys/class/powercap/intel-rapl:0/energy_uj", "9500000\n");
    put("/sys/class/powercap/intel-rapl:1/energy_uj", "250000\n"); /* started again */
    put("/sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "1000000\n");
    t2d_machine_look(&m, &after);
    cr_assert_eq(before.cpu_mhz, 3500);
    cr_assert_eq(after.cpu_mhz, 2000);
    cr_assert_eq(after.cpu_celsius, 45.5);
    cr_assert_float_eq(t2d_machine_cpu_joules(&m, &before, &after), 0.5 + 1.25, 1e-12);
    cr_assert_lt(t2d_machine_card_joules(&before, &after), 0);
    t2d_machine_close(&m);
    remove_folder();
}

Test(machine, what_it_does_not_tell)
{
    t2d_machine m;
    t2d_machine_state s;
    cr_assert(mkdtemp(folder));
    put("/proc/cpuinfo", "no colon here\ncpu MHz\t\t: 2400.5\n");
    put("/sys/class/powercap/intel-rapl:0/name", "package-0\n"); /* whose counter cannot be read */
    put("/sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n");
    put("/sys/class/thermal/thermal_zone0/temp", "warm\n");
    t2d_machine_open(folder, "", &m);
    t2d_machine_look(&m, &s);
    cr_assert_str_eq(m.cpu, "");
    cr_assert_str_eq(m.governor, "");
    cr_assert_eq(s.cpu_mhz, 2400.5);
    cr_assert_lt(s.cpu_celsius, 0);
    cr_assert_lt(t2d_machine_cpu_joules(&m, &s, &s), 0);
    cr_assert(s.card.mhz < 0 && s.card.joules < 0 && !m.no_card[0]);
    t2d_machine_close(&m);
    remove_folder();
}

static void expect_words(const t2d_error *err, const char *words)
{
    cr_assert(strstr(err->message, words), "%s: no '%s'", err->message, words);
}

/* ---- NVML, by a mock that does what its reference says (nvml_mock.c) ---- */

Test(nvml, a_card_tells)
{
    t2d_error err = {0};
    t2d_nvml *nvml;
    t2d_card card;
    t2d_card_state first, second;
    cr_assert_eq(t2d_nvml_open(T2D_NVML_MOCK, "0000:3b:00.0", &nvml, &card, &err), T2D_OK, "%s", err.message);
    cr_assert_str_eq(card.driver, "570.1");
    cr_assert_eq(card.watts, 700);
    t2d_nvml_look(nvml, &first);
    t2d_nvml_look(nvml, &second);
    cr_assert(first.mhz == 1980 && first.memory_mhz == 2619 && first.celsius == 41, "%g %g %g", first.mhz,
              first.memory_mhz, first.celsius);
    cr_assert_eq(first.memory_bytes, 3 << 20);
    cr_assert_float_eq(second.joules - first.joules, 5, 1e-9);
    t2d_nvml_close(nvml);
}

Test(nvml, a_card_that_tells_nothing)
{
    t2d_error err = {0};
    t2d_nvml *nvml;
    t2d_card card;
    t2d_card_state s;
    cr_assert_eq(t2d_nvml_open(T2D_NVML_MOCK, "0000:3c:00.0", &nvml, &card, &err), T2D_OK, "%s", err.message);
    cr_assert_lt(card.watts, 0);
    t2d_nvml_look(nvml, &s);
    cr_assert(s.mhz < 0 && s.memory_mhz < 0 && s.celsius < 0 && s.memory_bytes < 0 && s.joules < 0);
    t2d_nvml_close(nvml);
}

Test(nvml, what_is_missing_is_named)
{
    t2d_error err = {0};
    t2d_nvml *nvml;
    t2d_card card;
    cr_assert_eq(t2d_nvml_open("libnone.so.1", "0000:3b:00.0", &nvml, &card, &err), T2D_E_DEVICE);
    expect_words(&err, "cannot open libnone.so.1");
    cr_assert_eq(t2d_nvml_open("libm.so.6", "0000:3b:00.0", &nvml, &card, &err), T2D_E_DEVICE);
    expect_words(&err, "libm.so.6 has no nvmlInit_v2");
    cr_assert_eq(t2d_nvml_open(T2D_NVML_MOCK, "0000:99:00.0", &nvml, &card, &err), T2D_E_DEVICE);
    expect_words(&err, "card 0000:99:00.0: Not Found");
    cr_assert_null(nvml);
}
