/* A library that answers like NVML on a machine with a V100 and a GTX 1660, for test_nvml.py.
   Calls that it lacks answer as an old driver does: the function is not found. */
#include <string.h>

enum {
    SUCCESS = 0, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6, GPU_IS_LOST = 15,
    DRIVER_MISMATCH = 18
};

/* With LOST, the second card falls off the bus once its memory has been asked for. */
#ifdef LOST
static int is_lost;
#define LOSE(device) do { if (is_lost && index_of(device)) return GPU_IS_LOST; } while (0)
#else
#define LOSE(device) do { } while (0)
#endif
/* With DENIED, the driver tells nothing of the cards but their names. */
#ifdef DENIED
#define ALLOW() return NO_PERMISSION
#else
#define ALLOW() do { } while (0)
#endif

#ifdef MISMATCH
int nvmlInitWithFlags(unsigned flags) { return DRIVER_MISMATCH; }
#else
int nvmlInitWithFlags(unsigned flags) { return SUCCESS; }
#endif
int nvmlShutdown(void) { return SUCCESS; }

static int index_of(const void *device) { return *(const int *)device; }
static int devices[] = {0, 1};

#ifdef NONE
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 0; return SUCCESS; }
#else
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return SUCCESS; }
#endif
int nvmlDeviceGetHandleByIndex_v2(unsigned index, const void **device) {
#ifdef GONE
    return 15; /* NVML_ERROR_GPU_IS_LOST */
#endif
    *device = &devices[index];
    return SUCCESS;
}
int nvmlDeviceGetName(const void *device, char *name, unsigned length) {
    const char *names[] = {"Tesla V100-SXM2-16GB", "NVIDIA GeForce GTX 1660"};
    const char *parts[] = {"NVIDIA A100-SXM4-40GB MIG 1g.5gb", "NVIDIA A100-SXM4-40GB MIG 2g.10gb"};
    const char *known = index_of(device) < 10 ? names[index_of(device)] : parts[index_of(device) - 10];
    strncpy(name, known, length);
    return SUCCESS;
}
int nvmlDeviceGetUUID(const void *device, char *uuid, unsigned length) {
    strncpy(uuid, index_of(device) ? "GPU-beef" : "GPU-100", length);
    return SUCCESS;
}
int nvmlDeviceGetCudaComputeCapability(const void *device, int *major, int *minor) {
    ALLOW();
    LOSE(device);
    *major = 7;
    *minor = index_of(device) ? 5 : 0;
    return SUCCESS;
}
struct memory { unsigned long long total, free, used; };
int nvmlDeviceGetMemoryInfo(const void *device, struct memory *memory) {
    ALLOW();
    LOSE(device);
    memory->total = 16ull << 30;
    memory->free = 15ull << 30;
    memory->used = 1ull << 30;
#ifdef LOST
    is_lost = index_of(device);
#endif
    return SUCCESS;
}
int nvmlDeviceGetEccMode(const void *device, int *current, int *pending) {
    ALLOW();
    LOSE(device);
    *current = *pending = 1;
    return index_of(device) ? NOT_SUPPORTED : SUCCESS;
}
int nvmlDeviceGetClockInfo(const void *device, unsigned domain, unsigned *mhz) {
    ALLOW();
    LOSE(device);
    *mhz = index_of(device) ? 0 : 1380;
    return SUCCESS;
}
int nvmlDeviceGetMaxClockInfo(const void *device, unsigned domain, unsigned *mhz) {
    ALLOW();
    LOSE(device);
    *mhz = 1530;
    return SUCCESS;
}
int nvmlDeviceGetEnforcedPowerLimit(const void *device, unsigned *milliwatts) {
    ALLOW();
    LOSE(device);
    *milliwatts = 300000;
    return index_of(device) ? NO_PERMISSION : SUCCESS;
}
int nvmlDeviceGetComputeRunningProcesses_v3(const void *device, unsigned *count, void *processes) {
    ALLOW();
    LOSE(device);
    *count = 0;
    return SUCCESS;
}
int nvmlSystemGetDriverVersion(char *version, unsigned length) {
    strncpy(version, "535.183.01", length);
    return SUCCESS;
}
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 12020; return SUCCESS; }
int nvmlDeviceGetPowerManagementDefaultLimit(const void *device, unsigned *milliwatts) {
    ALLOW();
    LOSE(device);
    *milliwatts = 300000;
    return SUCCESS;
}
int nvmlDeviceGetPerformanceState(const void *device, unsigned *state) {
    ALLOW();
    LOSE(device);
    *state = index_of(device) ? 32 : 0;
    return SUCCESS;
}
/* Only the name from before driver 535. */
int nvmlDeviceGetCurrentClocksThrottleReasons(const void *device, unsigned long long *mask) {
    ALLOW();
    LOSE(device);
    *mask = index_of(device) ? 0x1 : 0x4 | 0x20 | 1ull << 40;
    return SUCCESS;
}
int nvmlDeviceGetCurrPcieLinkGeneration(const void *device, unsigned *generation) {
    ALLOW();
    LOSE(device);
    *generation = 1;
    return SUCCESS;
}
int nvmlDeviceGetMaxPcieLinkGeneration(const void *device, unsigned *generation) {
    ALLOW();
    LOSE(device);
    *generation = 3;
    return SUCCESS;
}
int nvmlDeviceGetCurrPcieLinkWidth(const void *device, unsigned *width) {
    ALLOW();
    LOSE(device);
    *width = index_of(device) ? 4 : 16;
    return SUCCESS;
}
int nvmlDeviceGetMaxPcieLinkWidth(const void *device, unsigned *width) {
    ALLOW();
    LOSE(device);
    *width = 16;
    return SUCCESS;
}
int nvmlDeviceGetComputeMode(const void *device, int *mode) {
    ALLOW();
    LOSE(device);
    *mode = index_of(device) ? 3 : 0;
    return SUCCESS;
}
int nvmlDeviceGetTotalEccErrors(const void *device, int error, int counter, unsigned long long *count) {
    ALLOW();
    LOSE(device);
    *count = error == 1 && counter == 0 ? 2 : 0;
    return index_of(device) ? NOT_SUPPORTED : SUCCESS;
}
/* With MIG, the first card has two slices, in the first and the third place. */
#ifdef MIG
static int slices[] = {10, 11};
int nvmlDeviceGetMigMode(const void *device, unsigned *current, unsigned *pending) {
    *current = *pending = 1;
    return index_of(device) ? NOT_SUPPORTED : SUCCESS;
}
int nvmlDeviceGetMaxMigDeviceCount(const void *device, unsigned *count) { *count = 7; return SUCCESS; }
int nvmlDeviceGetMigDeviceHandleByIndex(const void *device, unsigned place, const void **slice) {
    if (place != 0 && place != 2) return NOT_FOUND;
    *slice = &slices[place / 2];
    return SUCCESS;
}
#endif
int nvmlDeviceGetHandleByUUID(const char *uuid, const void **device) {
    for (int i = 0; i < 2; i++) {
        if (strcmp(uuid, i ? "GPU-beef" : "GPU-100") == 0) {
            *device = &devices[i];
            return SUCCESS;
        }
    }
    return NOT_FOUND;
}
int nvmlDeviceGetTemperature(const void *device, unsigned sensor, unsigned *celsius) {
    *celsius = 61;
    return SUCCESS;
}
int nvmlDeviceGetPowerUsage(const void *device, unsigned *milliwatts) {
    *milliwatts = 251500;
    return index_of(device) ? NOT_SUPPORTED : SUCCESS;
}
