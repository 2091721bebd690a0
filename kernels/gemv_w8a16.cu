// y = x · Wᵀ + b for up to 8 rows and 8-bit integer weights with a scale for each output feature.
//: entry = "gemv_w8a16"
//: role = "gemv"
//: schemes = ["W8A16", "W8A8"]
//: packing = "mma_w8"
//: activations = ["float16", "bfloat16", "float32"]
//: architectures = ["6.0", "6.1", "7.0", "7.5", "8.0", "9.0", "10.0", "12.0"]
//: max_rows = 8
//: tile = { m = 1, n = 32, k = 4096 }
//: threads = 256
//: arguments = ["x", "packed", "scales", "bias", "y", "scratch", "counters", "m", "n", "k", "split"]
//: sass = { needs = ["LDG.128"], at_least = 4, max_registers = 128 }
//: [variants]
//: m1 = { max_rows = 1, tile = { m = 1, n = 32, k = 4096 }, shared_bytes = 16384, defines = { QP_WEIGHTS = 2 } }
//: m1_wide = { threads = 512, max_rows = 1, tile = { m = 1, n = 32, k = 4096 }, shared_bytes = 16384, defines = { QP_WEIGHTS = 2 } }
//: m4 = { max_rows = 4, tile = { m = 4, n = 32, k = 2048 }, shared_bytes = 32768, defines = { QP_WEIGHTS = 2 }, architectures = ["6.0", "7.0"] }
//: m8 = { max_rows = 8, tile = { m = 8, n = 32, k = 1024 }, shared_bytes = 32768, defines = { QP_WEIGHTS = 2 }, architectures = ["6.0", "7.0"], sass = { needs = ["LDG.128"], at_least = 4, max_registers = 255 } }

#include "gemv.cuh"

QP_KERNEL __launch_bounds__(QP_THREADS, kBlocks) gemv_w8a16(
    const qp_act* __restrict__ x, const uint4* __restrict__ packed, const void* __restrict__ scales,
    const qp_act* __restrict__ bias, qp_act* __restrict__ y, float* scratch, uint32_t* counters, int m, int n, int k,
    int split) {
  qp_gemv(x, packed, scales, nullptr, bias, y, scratch, counters, m, n, k, split);
}
