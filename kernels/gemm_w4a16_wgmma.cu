// y = x · Wᵀ + b for many rows and 4-bit integers in groups by wgmma, expanded in registers: 9.0 alone.
//: entry = "gemm_w4a16_wgmma"
//: role = "gemm"
//: schemes = ["W4A16", "W4A16_G64", "W4A16_G32", "W4A16_ASYM"]
//: packing = "mma_w4"
//: activations = ["float16", "bfloat16"]
//: requires = ["wgmma", "cp_async_bulk", "setmaxnreg"]
//: architectures = ["9.0a"]
//: tile = { m = 128, n = 256, k = 64 }
//: grid = ["tile"]
//: threads = 384
//: shared_bytes = 147456
//: arguments = ["x_map", "packed", "scales", "zeros", "bias", "y", "m", "n", "k"]
//: sass = { needs = ["HGMMA.64x128x16", "UTMALDG.2D", "UBLKCP", "USETMAXREG"], at_least = 1, max_registers = 168 }
//:
//: [variants]
//: g128 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128, QP_STAGES = 6 }, schemes = ["W4A16", "W4A16_ASYM"] }
//: g64 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 64, QP_STAGES = 6 }, schemes = ["W4A16_G64"] }
//: g32 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 32, QP_STAGES = 6 }, schemes = ["W4A16_G32"] }

#include "gemm_weights_wgmma.cuh"

QP_KERNEL __launch_bounds__(QP_THREADS, QP_BLOCKS)
gemm_w4a16_wgmma(QP_PARAMETER qp_tensor_map x_map, const uint4* __restrict__ packed, const void* __restrict__ scales,
                 const uint32_t* __restrict__ zeros, const qp_act* __restrict__ bias, qp_act* __restrict__ y, int m,
                 int n, int k) {
  qp_gemm_wgmma(x_map, packed, scales, zeros, bias, y, m, n, k);
}
