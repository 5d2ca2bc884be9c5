/* nvml_mock.c — a libnvidia-ml for host/bench/nvml.c, after the NVML API reference: one card that tells
 * everything, one that tells nothing, and no other.  Plain types: the toolkit need not be there. */
#include <stdio.h>
#include <string.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };

static struct card {
    const char *bus;
    int tells;
} cards[] = {{"0000:3b:00.0", 1}, {"0000:3c:00.0", 0}};
static int started;
static unsigned long long millijoules = 1000000;

int nvmlInit_v2(void)
{
    started++;
    return SUCCESS;
}

int nvmlShutdown(void) { return started-- > 0 ? SUCCESS : UNINITIALIZED; }

const char *nvmlErrorString(int e) { return e == NOT_FOUND ? "Not Found" : "Another Error"; }

int nvmlSystemGetDriverVersion(char *version, unsigned length)
{
    return snprintf(version, length, "570.1") < (int)length ? SUCCESS : INSUFFICIENT_SIZE;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, struct card **device)
{
    if (!started) return UNINITIALIZED;
    for (int i = 0; i < 2; i++)
        if (strcmp(cards[i].bus, bus) == 0) {
            *device = &cards[i];
            return SUCCESS;
        }
    return NOT_FOUND;
}

static int tell(const struct card *device, unsigned *to, unsigned value)
{
    if (!started) return UNINITIALIZED;
    if (!device->tells) return NOT_SUPPORTED;
    *to = value;
    return SUCCESS;
}

int nvmlDeviceGetEnforcedPowerLimit(struct card *device, unsigned *milliwatts)
{
    return tell(device, milliwatts, 700000);
}

/* Clocks: 0 graphics, 1 SM, 2 memory, 3 video; temperature 0: the chip's. */
int nvmlDeviceGetClockInfo(struct card *device, int type, unsigned *mhz)
{
    static const unsigned clocks[] = {1111, 1980, 2619, 1500};
    return tell(device, mhz, clocks[type]);
}

int nvmlDeviceGetTemperature(struct card *device, int sensor, unsigned *celsius)
{
    return sensor == 0 ? tell(device, celsius, 41) : NOT_SUPPORTED;
}

int nvmlDeviceGetMemoryInfo(struct card *device, unsigned long long memory[3])
{
    if (!device->tells) return NOT_SUPPORTED;
    memory[0] = 80 << 20; /* total, free, used */
    memory[1] = 77 << 20;
    memory[2] = 3 << 20;
    return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(struct card *device, unsigned long long *energy)
{
    if (!device->tells) return NOT_SUPPORTED;
    *energy = millijoules += 5000;
    return SUCCESS;
}
