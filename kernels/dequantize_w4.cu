// 4-bit weights to the type of activations: integers in groups, with zero points or none, and NormalFloat.
//: entry = "dequantize_w4"
//: role = "dequantize"
//: schemes = ["W4A16", "W4A16_G64", "W4A16_G32", "W4A16_ASYM", "NF4"]
//: packing = "mma_w4"
//: activations = ["float16", "bfloat16", "float32"]
//: architectures = ["6.0", "6.1", "7.0", "7.5", "8.0", "9.0", "10.0", "12.0"]
//: min_rows = 129
//: tile = { n = 32, k = 1024 }
//: grid = ["n", "split"]
//: threads = 256
//: arguments = ["packed", "scales", "zeros", "y", "n", "k", "split"]
//: sass = { needs = ["LDG.128", "STG.128"], at_least = 4, max_registers = 96 }
//: variants.g128 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128 }, schemes = ["W4A16", "W4A16_ASYM"] }
//: variants.g64 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 64 }, schemes = ["W4A16_G64"], architectures = ["6.0", "8.0", "9.0"] }
//: variants.g32 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 32 }, schemes = ["W4A16_G32"], architectures = ["6.0", "8.0", "9.0"] }
//: variants.nf4 = { defines = { QP_WEIGHTS = 1 }, schemes = ["NF4"], shared_bytes = 2048, architectures = ["6.0", "8.0", "9.0"] }

#include "dequantize.cuh"

QP_KERNEL __launch_bounds__(QP_THREADS, kBlocks) dequantize_w4(
    const uint4* __restrict__ packed, const void* __restrict__ scales, const uint32_t* __restrict__ zeros, qp_act* __restrict__ y, int n,
    int k, int split) {
  qp_dequantize(packed, scales, zeros, y, n, k, split);
}
