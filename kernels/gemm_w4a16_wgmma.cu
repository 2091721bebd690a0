// y = x · Wᵀ + b for many rows and 4-bit integers in groups by wgmma, expanded in registers: 9.0 alone.
//: entry = "gemm_w4a16_wgmma"
//: role = "gemm"
//: schemes = ["W4A16", "W4A16_G64", "W4A16_G32", "W4A16_ASYM"]
//: packing = "mma_w4"
//: activations = ["float16", "bfloat16"]
//: row_bytes = 16
//: requires = ["wgmma", "cp_async_bulk", "setmaxnreg"]
//: architectures = ["9.0a"]
//: min_rows = 33
//: tile = { m = 128, n = 256, k = 64 }
//: grid = ["tile"]
//: threads = 384
//: arguments = ["x_map", "packed", "scales", "zeros", "bias", "y", "scratch", "counters", "m", "n", "k", "split"]
//: sass = { needs = ["HGMMA.64x128x16", "UTMALDG.2D", "UBLKCP", "USETMAXREG"], at_least = 1, max_registers = 168 }
//:
//: [variants]
//: g128 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128, QP_STAGES = 6 }, schemes = ["W4A16", "W4A16_ASYM"], shared_bytes = 147456 }
//: g64 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 64, QP_STAGES = 6 }, schemes = ["W4A16_G64"], shared_bytes = 147456 }
//: g32 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 32, QP_STAGES = 6 }, schemes = ["W4A16_G32"], shared_bytes = 147456 }
//: g128_m256 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128, QP_STAGES = 6 }, schemes = ["W4A16", "W4A16_ASYM"], tile = { m = 256, n = 128, k = 64 }, shared_bytes = 221184, sass = { needs = ["HGMMA.64x256x16", "UTMALDG.2D", "UBLKCP", "USETMAXREG"], at_least = 1, max_registers = 168 } }
//: g128_m64 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128, QP_STAGES = 10 }, schemes = ["W4A16", "W4A16_ASYM"], max_rows = 64, tile = { m = 64, n = 256, k = 64 }, shared_bytes = 163840, sass = { needs = ["HGMMA.64x64x16", "UTMALDG.2D", "UBLKCP", "USETMAXREG"], at_least = 1, max_registers = 168 } }
//: g64_m256 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 64, QP_STAGES = 6 }, schemes = ["W4A16_G64"], tile = { m = 256, n = 128, k = 64 }, shared_bytes = 221184, sass = { needs = ["HGMMA.64x256x16", "UTMALDG.2D", "UBLKCP", "USETMAXREG"], at_least = 1, max_registers = 168 } }
//: g64_m64 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 64, QP_STAGES = 10 }, schemes = ["W4A16_G64"], max_rows = 64, tile = { m = 64, n = 256, k = 64 }, shared_bytes = 163840, sass = { needs = ["HGMMA.64x64x16", "UTMALDG.2D", "UBLKCP", "USETMAXREG"], at_least = 1, max_registers = 168 } }
//: g32_m256 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 32, QP_STAGES = 6 }, schemes = ["W4A16_G32"], tile = { m = 256, n = 128, k = 64 }, shared_bytes = 221184, sass = { needs = ["HGMMA.64x256x16", "UTMALDG.2D", "UBLKCP", "USETMAXREG"], at_least = 1, max_registers = 168 } }
//: g32_m64 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 32, QP_STAGES = 10 }, schemes = ["W4A16_G32"], max_rows = 64, tile = { m = 64, n = 256, k = 64 }, shared_bytes = 163840, sass = { needs = ["HGMMA.64x64x16", "UTMALDG.2D", "UBLKCP", "USETMAXREG"], at_least = 1, max_registers = 168 } }

#include "gemm_weights_wgmma.cuh"

QP_KERNEL __launch_bounds__(QP_THREADS, QP_BLOCKS)
gemm_w4a16_wgmma(QP_PARAMETER qp_tensor_map x_map, const uint4* __restrict__ packed, const void* __restrict__ scales,
                 const uint32_t* __restrict__ zeros, const qp_act* __restrict__ bias, qp_act* __restrict__ y,
                 float* scratch, uint32_t* counters, int m, int n, int k, int split) {
  qp_gemm_wgmma(x_map, packed, scales, zeros, bias, y, scratch, counters, m, n, k, split);
}
