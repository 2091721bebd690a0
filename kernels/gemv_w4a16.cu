// y = x · Wᵀ + b for up to 8 rows and 4-bit weights: integers in groups, with zero points or none, and NormalFloat.
//: entry = "gemv_w4a16"
//: role = "gemv"
//: schemes = ["W4A16", "W4A16_G64", "W4A16_G32", "W4A16_ASYM", "NF4"]
//: packing = "mma_w4"
//: activations = ["float16", "bfloat16", "float32"]
//: architectures = ["6.0", "6.1", "7.0", "7.5", "8.0", "9.0", "10.0", "12.0"]
//: max_rows = 8
//: tile = { m = 1, n = 32, k = 4096 }
//: threads = 256
//: arguments = ["x", "packed", "scales", "zeros", "bias", "y", "scratch", "counters", "m", "n", "k", "split"]
//: sass = { needs = ["LDG.128"], at_least = 4, max_registers = 128 }
//: [variants]
//: g128_m1 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128 }, schemes = ["W4A16", "W4A16_ASYM"], max_rows = 1, tile = { m = 1, n = 32, k = 4096 }, shared_bytes = 20480 }
//: g128_m1_wide = { threads = 512, defines = { QP_WEIGHTS = 0, QP_GROUP = 128 }, schemes = ["W4A16", "W4A16_ASYM"], max_rows = 1, tile = { m = 1, n = 32, k = 4096 }, shared_bytes = 20480 }
//: g64_m1 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 64 }, schemes = ["W4A16_G64"], max_rows = 1, tile = { m = 1, n = 32, k = 4096 }, shared_bytes = 20480, architectures = ["6.0", "7.0", "7.5", "9.0", "10.0", "12.0"] }
//: g64_m1_wide = { threads = 512, defines = { QP_WEIGHTS = 0, QP_GROUP = 64 }, schemes = ["W4A16_G64"], max_rows = 1, tile = { m = 1, n = 32, k = 4096 }, shared_bytes = 20480, architectures = ["6.0", "7.0", "7.5", "9.0", "10.0", "12.0"] }
//: g32_m1 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 32 }, schemes = ["W4A16_G32"], max_rows = 1, tile = { m = 1, n = 32, k = 4096 }, shared_bytes = 20480, architectures = ["6.0", "7.0", "7.5", "9.0", "10.0", "12.0"] }
//: g32_m1_wide = { threads = 512, defines = { QP_WEIGHTS = 0, QP_GROUP = 32 }, schemes = ["W4A16_G32"], max_rows = 1, tile = { m = 1, n = 32, k = 4096 }, shared_bytes = 20480, architectures = ["6.0", "7.0", "7.5", "9.0", "10.0", "12.0"] }
//: nf4_m1 = { defines = { QP_WEIGHTS = 1 }, schemes = ["NF4"], max_rows = 1, tile = { m = 1, n = 32, k = 4096 }, shared_bytes = 18432, architectures = ["6.0", "7.0", "7.5", "9.0", "10.0", "12.0"] }
//: nf4_m1_wide = { threads = 512, defines = { QP_WEIGHTS = 1 }, schemes = ["NF4"], max_rows = 1, tile = { m = 1, n = 32, k = 4096 }, shared_bytes = 18432, architectures = ["6.0", "7.0", "7.5", "9.0", "10.0", "12.0"] }
//: g128_m4 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128 }, schemes = ["W4A16", "W4A16_ASYM"], max_rows = 4, tile = { m = 4, n = 32, k = 2048 }, shared_bytes = 40960, architectures = ["6.0", "7.0"] }
//: g64_m4 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 64 }, schemes = ["W4A16_G64"], max_rows = 4, tile = { m = 4, n = 32, k = 2048 }, shared_bytes = 40960, architectures = ["6.0", "7.0"] }
//: g32_m4 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 32 }, schemes = ["W4A16_G32"], max_rows = 4, tile = { m = 4, n = 32, k = 2048 }, shared_bytes = 40960, architectures = ["6.0", "7.0"] }
//: nf4_m4 = { defines = { QP_WEIGHTS = 1 }, schemes = ["NF4"], max_rows = 4, tile = { m = 4, n = 32, k = 2048 }, shared_bytes = 34816, architectures = ["6.0", "7.0"] }
//: g128_m8 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128 }, schemes = ["W4A16", "W4A16_ASYM"], max_rows = 8, tile = { m = 8, n = 32, k = 1024 }, shared_bytes = 40960, architectures = ["6.0", "7.0"], sass = { needs = ["LDG.128"], at_least = 4, max_registers = 255 } }
//: g64_m8 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 64 }, schemes = ["W4A16_G64"], max_rows = 8, tile = { m = 8, n = 32, k = 1024 }, shared_bytes = 40960, architectures = ["6.0", "7.0"], sass = { needs = ["LDG.128"], at_least = 4, max_registers = 255 } }
//: g32_m8 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 32 }, schemes = ["W4A16_G32"], max_rows = 8, tile = { m = 8, n = 32, k = 1024 }, shared_bytes = 40960, architectures = ["6.0", "7.0"], sass = { needs = ["LDG.128"], at_least = 4, max_registers = 255 } }
//: nf4_m8 = { defines = { QP_WEIGHTS = 1 }, schemes = ["NF4"], max_rows = 8, tile = { m = 8, n = 32, k = 1024 }, shared_bytes = 34816, architectures = ["6.0", "7.0"], sass = { needs = ["LDG.128"], at_least = 4, max_registers = 255 } }

#include "gemv.cuh"

QP_KERNEL __launch_bounds__(QP_THREADS, kBlocks) gemv_w4a16(
    const qp_act* __restrict__ x, const uint4* __restrict__ packed, const void* __restrict__ scales,
    const uint32_t* __restrict__ zeros, const qp_act* __restrict__ bias, qp_act* __restrict__ y, float* scratch,
    uint32_t* counters, int m, int n, int k, int split) {
  qp_gemv(x, packed, scales, zeros, bias, y, scratch, counters, m, n, k, split);
}
