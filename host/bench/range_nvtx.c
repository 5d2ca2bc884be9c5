/* range_nvtx.c — NVTX 3 is headers alone: without a profiler a range is a call through a pointer. */
#include "bench/range.h"

#include <nvtx3/nvToolsExt.h>

static nvtxDomainHandle_t domain(void)
{
    static nvtxDomainHandle_t talk2dino;
    if (!talk2dino) talk2dino = nvtxDomainCreateA("talk2dino");
    return talk2dino;
}

void t2d_range_push(const char *name)
{
    const nvtxEventAttributes_t event = {.version = NVTX_VERSION,
                                         .size = NVTX_EVENT_ATTRIB_STRUCT_SIZE,
                                         .messageType = NVTX_MESSAGE_TYPE_ASCII,
                                         .message.ascii = name};
    (void)nvtxDomainRangePushEx(domain(), &event);
}

void t2d_range_pop(void) { (void)nvtxDomainRangePop(domain()); }
