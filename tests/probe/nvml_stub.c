/* A library that answers like NVML on a machine with a V100 and a GTX 1660, for test_nvml.py.
   Calls that it lacks answer as an old driver does: the function is not found. */
#include <string.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6, DRIVER_MISMATCH = 18 };

#ifdef MISMATCH
int nvmlInitWithFlags(unsigned flags) { return DRIVER_MISMATCH; }
#else
int nvmlInitWithFlags(unsigned flags) { return SUCCESS; }
#endif
int nvmlShutdown(void) { return SUCCESS; }

static int index_of(const void *device) { return *(const int *)device; }
static int devices[] = {0, 1};

int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, const void **device) {
    *device = &devices[index];
    return SUCCESS;
}
int nvmlDeviceGetName(const void *device, char *name, unsigned length) {
    strncpy(name, index_of(device) ? "NVIDIA GeForce GTX 1660" : "Tesla V100-SXM2-16GB", length);
    return SUCCESS;
}
int nvmlDeviceGetUUID(const void *device, char *uuid, unsigned length) {
    strncpy(uuid, index_of(device) ? "GPU-1660" : "GPU-100", length);
    return SUCCESS;
}
int nvmlDeviceGetCudaComputeCapability(const void *device, int *major, int *minor) {
    *major = 7;
    *minor = index_of(device) ? 5 : 0;
    return SUCCESS;
}
struct memory { unsigned long long total, free, used; };
int nvmlDeviceGetMemoryInfo(const void *device, struct memory *memory) {
    memory->total = 16ull << 30;
    memory->free = 15ull << 30;
    memory->used = 1ull << 30;
    return SUCCESS;
}
int nvmlDeviceGetEccMode(const void *device, int *current, int *pending) {
    *current = *pending = 1;
    return index_of(device) ? NOT_SUPPORTED : SUCCESS;
}
int nvmlDeviceGetClockInfo(const void *device, unsigned domain, unsigned *mhz) {
    *mhz = index_of(device) ? 0 : 1380;
    return SUCCESS;
}
int nvmlDeviceGetMaxClockInfo(const void *device, unsigned domain, unsigned *mhz) {
    *mhz = 1530;
    return SUCCESS;
}
int nvmlDeviceGetEnforcedPowerLimit(const void *device, unsigned *milliwatts) {
    *milliwatts = 300000;
    return index_of(device) ? NO_PERMISSION : SUCCESS;
}
int nvmlDeviceGetComputeRunningProcesses_v3(const void *device, unsigned *count, void *processes) {
    *count = 0;
    return SUCCESS;
}
int nvmlSystemGetDriverVersion(char *version, unsigned length) {
    strncpy(version, "535.183.01", length);
    return SUCCESS;
}
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 12020; return SUCCESS; }
int nvmlDeviceGetHandleByUUID(const char *uuid, const void **device) {
    for (int i = 0; i < 2; i++) {
        if (strcmp(uuid, i ? "GPU-1660" : "GPU-100") == 0) {
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
int nvmlDeviceGetCurrentClocksThrottleReasons(const void *device, unsigned long long *bits) {
    *bits = index_of(device) ? 0x1 : 0x4 | 0x20;
    return SUCCESS;
}
