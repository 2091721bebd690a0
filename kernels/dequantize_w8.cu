// 8-bit integer weights, with a scale for each output feature, to the type of activations.
//: entry = "dequantize_w8"
//: role = "dequantize"
//: schemes = ["W8A16", "W8A8"]
//: packing = "mma_w8"
//: activations = ["float16", "bfloat16", "float32"]
//: architectures = ["6.0", "6.1", "7.0", "7.5", "8.0", "9.0", "10.0", "12.0"]
//: min_rows = 129
//: tile = { n = 32, k = 1024 }
//: grid = ["n", "split"]
//: threads = 256
//: arguments = ["packed", "scales", "y", "n", "k", "split"]
//: sass = { needs = ["LDG.128", "STG.128"], at_least = 4, max_registers = 96 }
//: variants.int8 = { defines = { QP_WEIGHTS = 2 } }

#include "dequantize.cuh"

QP_KERNEL __launch_bounds__(QP_THREADS, kBlocks) dequantize_w8(
    const uint4* __restrict__ packed, const void* __restrict__ scales, qp_act* __restrict__ y, int n,
    int k, int split) {
  qp_dequantize(packed, scales, nullptr, y, n, k, split);
}
