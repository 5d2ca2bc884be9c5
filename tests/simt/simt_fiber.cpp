/* simt_fiber.cpp — stacks and the switch between them.  Hand-written, because swapcontext makes two system
 * calls per switch and is fifteen times slower. */
#include "simt_device.h"
#include "simt_state.h"
#include <stdlib.h>
#include <sys/mman.h>

namespace simt
{
Fiber fibers[kMaxThreads + 1];
Fiber *current, *const program = &fibers[kMaxThreads];

#if defined(__x86_64__)
asm(R"(
.text
.globl simt_switch
.type simt_switch,@function
simt_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size simt_switch,.-simt_switch
)");
static void *initial_frame(char *top, void (*entry)())
{
    void **sp = (void **)top;
    *--sp = nullptr; /* keeps the entry's stack 16-byte aligned after the return address is popped */
    *--sp = (void *)entry;
    for (int i = 0; i < 6; i++) *--sp = nullptr;
    return sp;
}
#elif defined(__aarch64__)
asm(R"(
.text
.globl simt_switch
.type simt_switch,%function
simt_switch:
    sub sp, sp, #160
    stp x19, x20, [sp]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x2, sp
    str x2, [x0]
    mov sp, x1
    ldp x19, x20, [sp]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size simt_switch,.-simt_switch
)");
static void *initial_frame(char *top, void (*entry)())
{
    void **sp = (void **)top - 20;
    memset(sp, 0, 160);
    sp[11] = (void *)entry; /* x30 */
    return sp;
}
#else
#error "the SIMT emulator knows x86-64 and aarch64"
#endif
extern "C" void simt_switch(void **save, void *load);

#if SIMT_ASAN
static const void *program_stack;
static size_t program_stack_size;
#endif

static void set_current(Fiber *f)
{
    current = f;
    if (f == program) return;
    threadIdx.x = f->tid % blockDim.x;
    threadIdx.y = f->tid / blockDim.x % blockDim.y;
    threadIdx.z = f->tid / (blockDim.x * blockDim.y);
}

void fiber_switch(Fiber *to, bool dying)
{
    Fiber *from = current;
    if (from == to) return;
    stats.switches++;
    set_current(to);
#if SIMT_ASAN
    const void *bottom = to == program ? program_stack : to->stack;
    const size_t size = to == program ? program_stack_size : (size_t)kStack;
    __sanitizer_start_switch_fiber(dying ? nullptr : &from->fake_stack, bottom, size);
#endif
    (void)dying;
    simt_switch(&from->sp, to->sp);
#if SIMT_ASAN
    __sanitizer_finish_switch_fiber(from->fake_stack, nullptr, nullptr);
#endif
}

void fiber_entered()
{
#if SIMT_ASAN
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
    if (!program_stack) {
        program_stack = bottom;
        program_stack_size = size;
    }
#endif
}

void fiber_start(Fiber *f, int tid, void (*entry)())
{
    if (!f->stack) { /* kept from block to block; one inaccessible page below it */
        char *m = (char *)mmap(nullptr, kStack + 4096, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (m == MAP_FAILED) abort();
        mprotect(m, 4096, PROT_NONE);
        f->stack = m + 4096;
    }
#if SIMT_ASAN
    __asan_unpoison_memory_region(f->stack, kStack);
#endif
    f->tid = tid;
    f->exited = false;
    f->copies.clear();
    f->groups = 0;
    f->sp = initial_frame(f->stack + kStack, entry);
}
} // namespace simt
