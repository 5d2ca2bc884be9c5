/* backend.c — the CPU as a machine: its memory is host memory, its queue is the caller's thread. */
#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>

#include "attention.h"
#include "cpu.h"

enum { LOAD = 4096 }; /* tokens: products are at their best long before, and memory grows with them */

/* ---- memory ---- */

static void *block_new(size_t bytes)
{
    if (bytes > SIZE_MAX - 64) return NULL;
    return aligned_alloc(64, bytes ? (bytes + 63) / 64 * 64 : 64);
}

static void *cpu_alloc(t2d_backend *be, size_t bytes)
{
    (void)be;
    return block_new(bytes);
}

static void cpu_release(t2d_backend *be, void *p)
{
    (void)be;
    free(p);
}

static void cpu_upload(t2d_backend *be, void *to, const void *from_host, size_t bytes)
{
    (void)be;
    if (bytes) memcpy(to, from_host, bytes);
}

t2d_status t2d_cpu_check(t2d_cpu *cpu, t2d_error *err)
{
    if (cpu->out_of_memory) {
        cpu->out_of_memory = false;
        return t2d_fail(err, T2D_E_MEMORY, "cpu: out of memory for scratch; use a smaller picture or batch");
    }
    if (cpu->failure[0]) {
        const t2d_status status = t2d_fail(err, T2D_E_DEVICE, "cpu: %s", cpu->failure);
        cpu->failure[0] = '\0';
        return status;
    }
    return T2D_OK;
}

static t2d_status cpu_download(t2d_backend *be, void *to_host, const void *from, size_t bytes, t2d_error *err)
{
    if (bytes) memcpy(to_host, from, bytes);
    return t2d_cpu_check((t2d_cpu *)be, err);
}

void *t2d_cpu_scratch(t2d_cpu *cpu, int slot, size_t bytes)
{
    if (cpu->scratch[slot].bytes >= bytes && cpu->scratch[slot].data) return cpu->scratch[slot].data;
    free(cpu->scratch[slot].data);
    cpu->scratch[slot].data = block_new(bytes);
    cpu->scratch[slot].bytes = cpu->scratch[slot].data ? bytes : 0;
    if (!cpu->scratch[slot].data) cpu->out_of_memory = true;
    return cpu->scratch[slot].data;
}

static t2d_status cpu_finish(t2d_backend *be, t2d_error *err) { return t2d_cpu_check((t2d_cpu *)be, err); }

/* Nothing is gained by recording: a call is not a launch. */
static bool cpu_replay(t2d_backend *be, const void *key, size_t bytes)
{
    (void)be, (void)key, (void)bytes;
    return false;
}

static void cpu_recorded(t2d_backend *be) { (void)be; }

static void cpu_close(t2d_backend *be)
{
    t2d_cpu *cpu = (t2d_cpu *)be;
    if (!cpu) return;
    t2d_cpu_primitives_destroy(cpu);
    for (int i = 0; i < T2D_CPU_SCRATCH; i++) free(cpu->scratch[i].data);
    free(cpu);
}

/* ---- the machine ---- */

static const t2d_ops OPS = {
    .name = "cpu",
    .alloc = cpu_alloc,
    .release = cpu_release,
    .upload = cpu_upload,
    .download = cpu_download,
    .close = cpu_close,
    .linear_create = t2d_cpu_linear_create,
    .linear_destroy = t2d_cpu_linear_destroy,
    .embed = t2d_cpu_embed,
    .embed_text = t2d_cpu_embed_text,
    .layernorm = t2d_cpu_layernorm,
    .linear = t2d_cpu_linear,
    .swiglu = t2d_cpu_swiglu,
    .attention = t2d_cpu_attention,
    .gather_rows = t2d_cpu_gather_rows,
    .unit_rows = t2d_cpu_unit_rows,
    .cls_logits = t2d_cpu_cls_logits,
    .head_pool = t2d_cpu_head_pool,
    .similarity = t2d_cpu_similarity,
    .clean = t2d_cpu_clean,
    .merge_max = t2d_cpu_merge_max,
    .readout = t2d_cpu_readout,
    .finish = cpu_finish,
    .replay = cpu_replay,
    .recorded = cpu_recorded,
};

/* "model name : AMD EPYC" -> "AMD EPYC"; "CPU" where the system does not say. */
static void chip_name(char *name, size_t size)
{
    snprintf(name, size, "CPU");
    FILE *f = fopen("/proc/cpuinfo", "r");
    if (!f) return;
    char line[256];
    while (fgets(line, sizeof line, f)) {
        char *value = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;
        if (!value) continue;
        value += strspn(value, ": \t");
        value[strcspn(value, "\n")] = '\0';
        snprintf(name, size, "%s", value);
        break;
    }
    fclose(f);
}

/* The instruction sets are a growing set of bits; the widest that is named here is told. */
static const char *instruction_set(void)
{
    static const struct {
        dnnl_cpu_isa_t isa;
        const char *name;
    } known[] = {
        {dnnl_cpu_isa_avx512_core_amx, "AMX"},
        {dnnl_cpu_isa_avx512_core_bf16, "AVX-512 BF16"},
        {dnnl_cpu_isa_avx512_core, "AVX-512"},
        {dnnl_cpu_isa_avx2, "AVX2"},
        {dnnl_cpu_isa_avx, "AVX"},
        {dnnl_cpu_isa_sse41, "SSE4.1"},
    };
    const unsigned have = (unsigned)dnnl_get_effective_cpu_isa();
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if ((have & (unsigned)known[i].isa) == (unsigned)known[i].isa) return known[i].name;
    return "portable code";
}

bool t2d_cpu_has_bf16(void)
{
    const unsigned want = (unsigned)dnnl_cpu_isa_avx512_core_bf16;
    return ((unsigned)dnnl_get_effective_cpu_isa() & want) == want;
}

t2d_status t2d_cpu_open(t2d_dtype dtype, int threads, t2d_backend **be, t2d_error *err)
{
    char chip[96];
    *be = NULL;
    chip_name(chip, sizeof chip);
    if (dtype != T2D_DTYPE_FP32 && dtype != T2D_DTYPE_BF16)
        return t2d_fail(err, T2D_E_UNSUPPORTED, "cpu: fp16 is not computed here; use fp32 or bf16");
    t2d_cpu *cpu = t2d_new(1, sizeof *cpu, "cpu backend", err);
    if (!cpu) return T2D_E_MEMORY;
    cpu->base.op = &OPS;
    cpu->base.dtype = dtype;
    cpu->base.threads = threads;
    cpu->base.load = LOAD;
    snprintf(cpu->base.device, sizeof cpu->base.device, "cpu");
    snprintf(cpu->base.description, sizeof cpu->base.description, "%s, oneDNN %d.%d %s%s, %d thread%s", chip,
             dnnl_version()->major, dnnl_version()->minor, instruction_set(),
             dtype == T2D_DTYPE_BF16 && !t2d_cpu_has_bf16()
                 ? " (no bf16 instructions: bf16 values, fp32 products)"
                 : "",
             cpu->base.threads, cpu->base.threads == 1 ? "" : "s");
    const bool half = dtype == T2D_DTYPE_BF16 && t2d_cpu_has_bf16();
    snprintf(cpu->base.choices, sizeof cpu->base.choices,
             "products: oneDNN in %s; attention: %s; the rest: vector loops in fp32", half ? "bf16" : "fp32",
             half && t2d_attention_bf16() ? "AVX512-BF16" : "vector loops in fp32");
    *be = &cpu->base;
    return T2D_OK;
}
