// y = x · Wᵀ + b for many rows and 8-bit weights with a scale for each feature by wgmma, expanded in registers: 9.0 alone.
//: entry = "gemm_w8a16_wgmma"
//: role = "gemm"
//: schemes = ["W8A16", "W8A8"]
//: packing = "mma_w8"
//: activations = ["float16", "bfloat16"]
//: row_bytes = 16
//: requires = ["wgmma", "cp_async_bulk", "setmaxnreg"]
//: architectures = ["9.0a"]
//: min_rows = 33
//: tile = { m = 128, n = 256, k = 64 }
//: grid = ["tile"]
//: threads = 384
//: arguments = ["x_map", "packed", "scales", "bias", "y", "scratch", "counters", "m", "n", "k", "split"]
//: sass = { needs = ["HGMMA.64x128x16", "UTMALDG.2D", "UBLKCP", "USETMAXREG"], at_least = 1, max_registers = 168 }
//:
//: [variants]
//: m128 = { defines = { QP_WEIGHTS = 2, QP_STAGES = 6 }, shared_bytes = 196608 }
//: m256 = { defines = { QP_WEIGHTS = 2, QP_STAGES = 5 }, tile = { m = 256, n = 128, k = 64 }, shared_bytes = 204800, sass = { needs = ["HGMMA.64x256x16", "UTMALDG.2D", "UBLKCP", "USETMAXREG"], at_least = 1, max_registers = 168 } }
//: m64 = { defines = { QP_WEIGHTS = 2, QP_STAGES = 8 }, max_rows = 64, tile = { m = 64, n = 256, k = 64 }, shared_bytes = 196608, sass = { needs = ["HGMMA.64x64x16", "UTMALDG.2D", "UBLKCP", "USETMAXREG"], at_least = 1, max_registers = 168 } }

#include "gemm_weights_wgmma.cuh"

QP_KERNEL __launch_bounds__(QP_THREADS, QP_BLOCKS)
gemm_w8a16_wgmma(QP_PARAMETER qp_tensor_map x_map, const uint4* __restrict__ packed, const void* __restrict__ scales,
                 const qp_act* __restrict__ bias, qp_act* __restrict__ y, float* scratch,
                 uint32_t* counters, int m, int n, int k, int split) {
  qp_gemm_wgmma(x_map, packed, scales, nullptr, bias, y, scratch, counters, m, n, k, split);
}
