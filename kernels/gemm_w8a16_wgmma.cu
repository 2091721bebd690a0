// y = x · Wᵀ + b for many rows and 8-bit weights with a scale for each feature by wgmma, expanded in registers: 9.0 alone.
//: entry = "gemm_w8a16_wgmma"
//: role = "gemm"
//: schemes = ["W8A16", "W8A8"]
//: packing = "mma_w8"
//: activations = ["float16", "bfloat16"]
//: requires = ["wgmma", "cp_async_bulk", "setmaxnreg"]
//: architectures = ["9.0a"]
//: tile = { m = 128, n = 256, k = 64 }
//: grid = ["tile"]
//: threads = 384
//: shared_bytes = 196608
//: arguments = ["x_map", "packed", "scales", "bias", "y", "m", "n", "k"]
//: sass = { needs = ["HGMMA.64x128x16", "UTMALDG.2D", "UBLKCP", "USETMAXREG"], at_least = 1, max_registers = 168 }
//:
//: [variants]
//: all = { defines = { QP_WEIGHTS = 2, QP_STAGES = 6 } }

#include "gemm_weights_wgmma.cuh"

QP_KERNEL __launch_bounds__(QP_THREADS, QP_BLOCKS)
gemm_w8a16_wgmma(QP_PARAMETER qp_tensor_map x_map, const uint4* __restrict__ packed, const void* __restrict__ scales,
                 const qp_act* __restrict__ bias, qp_act* __restrict__ y, int m, int n, int k) {
  qp_gemm_wgmma(x_map, packed, scales, nullptr, bias, y, m, n, k);
}
