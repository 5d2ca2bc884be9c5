/* simt_report.cpp — findings as sentences: each once, with the lines of the kernel it is about. */
#include "simt_device.h"
#include "simt_state.h"
#include <map>
#include <set>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

namespace simt
{
uintptr_t program_base;
static long errors, printed;
static int quiet_;
static std::string first_error;
static std::set<std::string> seen;

/* The innermost inlined frame of pc that is not the emulator's own. */
static std::string resolve(uintptr_t pc)
{
    char command[512], exe[256], line[512];
    const ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    std::string result;
    if (!pc || n <= 0) return "?";
    exe[n] = 0;
    snprintf(command, sizeof command, "LD_PRELOAD= addr2line -i -e '%s' 0x%lx 2>/dev/null", exe,
             (unsigned long)(pc - 1 - program_base));
    if (FILE *f = popen(command, "r")) {
        while (fgets(line, sizeof line, f)) {
            const char *slash = strrchr(line, '/');
            const std::string frame = slash ? slash + 1 : line;
            if (result.empty() && frame[0] != '?' && frame.compare(0, 5, "simt_"))
                result = frame.substr(0, frame.find_first_of(" \n"));
        }
        pclose(f);
    }
    return result.empty() ? "pc " + std::to_string(pc - program_base) : result;
}

std::string where(uintptr_t pc)
{
    static std::map<uintptr_t, std::string> cache;
    std::string &r = cache[pc];
    if (r.empty()) r = resolve(pc);
    return r;
}

std::string at(Site s)
{
    if (!s.file) return "?";
    const char *base = strrchr(s.file, '/');
    return std::string(base ? base + 1 : s.file) + ":" + std::to_string(s.line);
}

/* The text before '|' identifies the finding; what follows is one instance of it. */
void error(const char *format, ...)
{
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    errors++;
    if (!seen.insert(std::string(text, strcspn(text, "|"))).second) return;
    for (char *c = text; *c; c++)
        if (*c == '|') *c = ' ';
    if (first_error.empty()) first_error = text;
    if (quiet_ || printed++ > 20) return;
    fprintf(stderr, "SIMT: %s", text);
    if (in_kernel) fprintf(stderr, " [block (%u,%u,%u)", blockIdx.x, blockIdx.y, blockIdx.z);
    if (in_kernel && current && current != program) fprintf(stderr, " thread %d", current->tid);
    fputs(in_kernel ? "]\n" : "\n", stderr);
}
} // namespace simt

extern "C" {
long simt_errors(void) { return simt::errors; }
const char *simt_first_error(void) { return simt::first_error.c_str(); }
void simt_errors_reset(int quiet)
{
    simt::errors = simt::printed = 0;
    simt::quiet_ = quiet;
    simt::first_error.clear();
    simt::seen.clear();
}
simt_stats simt_get_stats(int reset)
{
    const simt_stats s = simt::stats;
    if (reset) simt::stats = simt_stats();
    return s;
}
const char *simt_build(void) { return SIMT_ASAN ? "asan" : simt::race_build ? "race" : "plain"; }
}
