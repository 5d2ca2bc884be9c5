/* bench_machine.c — the machine's state around the calls that count, as far as it is told here. */
#include "cli/bench_report.h"

#include <math.h>

#define MOVED 0.05 /* of a clock, from which a warning is due */

/* ---- energy: of one picture ---- */

static double per_picture(const bench_report *r, double joules)
{
    return joules < 0 ? -1 : joules / ((double)r->batch * r->result.samples.count);
}

static double cpu_joules(const bench_report *r)
{
    const t2d_bench_result *b = &r->result;
    return per_picture(r, t2d_machine_cpu_joules(&b->machine, &b->before, &b->after));
}

static double card_joules(const bench_report *r)
{
    return per_picture(r, t2d_machine_card_joules(&r->result.before, &r->result.after));
}

/* ---- for people ---- */

/* "1980 then 1935 MHz", where it is known. */
static void show_pair(const char *what, double before, double after, const char *unit)
{
    if (before >= 0 && after >= 0) printf("; %s %.0f then %.0f %s", what, before, after, unit);
}

static void show_card(const t2d_bench_result *b)
{
    const t2d_card_state *before = &b->before.card, *after = &b->after.card;
    printf("card         driver %s", b->machine.card.driver[0] ? b->machine.card.driver : "not told");
    show_pair("clock", before->mhz, after->mhz, "MHz");
    show_pair("memory", before->memory_mhz, after->memory_mhz, "MHz");
    show_pair("heat", before->celsius, after->celsius, "C");
    if (b->machine.card.watts >= 0) printf("; power limit %.0f W", b->machine.card.watts);
    if (after->memory_bytes >= 0)
        printf("; %.1f GiB in use by all processes", after->memory_bytes / (1 << 30));
    putchar('\n');
}

static void show_energy(const bench_report *r)
{
    const double cpu = cpu_joules(r), card = card_joules(r);
    if (cpu >= 0) printf("energy       %.4g J a picture by the CPU packages (RAPL)\n", cpu);
    if (card >= 0) printf("energy       %.4g J a picture by the card (NVML)\n", card);
    if (cpu < 0 && card < 0) printf("energy       not told here\n");
}

void bench_machine_show(const bench_report *r)
{
    const t2d_bench_result *b = &r->result;
    printf("machine      %s", b->machine.cpu[0] ? b->machine.cpu : "CPU not named");
    if (b->machine.governor[0]) printf("; governor %s", b->machine.governor);
    show_pair("clock", b->before.cpu_mhz, b->after.cpu_mhz, "MHz");
    show_pair("heat", b->before.cpu_celsius, b->after.cpu_celsius, "C");
    putchar('\n');
    if (b->machine.nvml) show_card(b);
    if (b->machine.no_card[0]) printf("card         nothing is known of it: %s\n", b->machine.no_card);
    show_energy(r);
}

/* ---- warnings ---- */

static void warn_of(const char *clock, double before, double after, json_t *warnings)
{
    if (before > 0 && after > 0 && fabs(after - before) > MOVED * before)
        json_array_append_new(warnings, json_sprintf("the clock of %s moved: %.0f MHz before, %.0f MHz after",
                                                     clock, before, after));
}

void bench_machine_warn(const t2d_bench_result *b, json_t *warnings)
{
    warn_of("the CPU", b->before.cpu_mhz, b->after.cpu_mhz, warnings);
    warn_of("the card", b->before.card.mhz, b->after.card.mhz, warnings);
    warn_of("the card's memory", b->before.card.memory_mhz, b->after.card.memory_mhz, warnings);
}

/* ---- for programs ---- */

static json_t *known(double number) { return number < 0 ? json_null() : json_real(number); }
static json_t *told(const char *text) { return text[0] ? json_string(text) : json_null(); }

static json_t *state(const t2d_machine_state *s)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "cpu_mhz", known(s->cpu_mhz), "cpu_celsius",
                     known(s->cpu_celsius), "card_mhz", known(s->card.mhz), "card_memory_mhz",
                     known(s->card.memory_mhz), "card_celsius", known(s->card.celsius),
                     "card_memory_used_bytes", known(s->card.memory_bytes));
}

json_t *bench_machine_json(const bench_report *r)
{
    const t2d_bench_result *b = &r->result;
    json_t *m = json_pack("{s:o, s:o, s:o, s:o}", "cpu", told(b->machine.cpu), "governor",
                          told(b->machine.governor), "before", state(&b->before), "after", state(&b->after));
    json_object_set_new(m, "card_driver", told(b->machine.card.driver));
    json_object_set_new(m, "card_power_limit_watts", known(b->machine.card.watts));
    json_object_set_new(m, "card_not_known", told(b->machine.no_card));
    json_object_set_new(m, "cpu_joules_per_picture", known(cpu_joules(r)));
    json_object_set_new(m, "card_joules_per_picture", known(card_joules(r)));
    return m;
}
