// y = x · Wᵀ of int8 codes on tensor cores of 8.0 and later; on 9.0 and 10.x, where other units are faster, too.
//: entry = "gemm_s8_mma"
//: role = "gemm"
//: schemes = ["W8A8"]
//: packing = "rows_s8"
//: input = "int8"
//: activations = ["float16", "bfloat16", "float32"]
//: requires = ["imma_16832", "ldmatrix", "cp_async"]
//: architectures = ["8.0", "8.6", "8.9", "9.0", "10.0", "12.0"]
//: tile = { m = 128, n = 256, k = 64 }
//: threads = 256
//: arguments = ["x", "x_scale", "packed", "scales", "bias", "y", "scratch", "counters", "m", "n", "k", "split"]
//: sass = { needs = ["IMMA.16832", "LDSM.16.M88.4", "LDGSTS.E.BYPASS.LTC128B.128"], at_least = 8, max_registers = 255 }
//:
//: [variants.m128n256] # 64 × 64 a warp: 4 MMAs for each ldmatrix
//: shared_bytes = 98304
//: defines = { QP_STAGES = 4, QP_WARPS_N = 4 }
//:
//: [variants.m128n128] # two blocks an SM; for products with too few tiles of the larger size
//: tile = { m = 128, n = 128, k = 64 }
//: shared_bytes = 49152
//: blocks = 2
//: defines = { QP_STAGES = 3, QP_WARPS_N = 4 }
//:
//: [variants.m32n64] # few rows: weights are streamed, by many blocks, along parts of K
//: max_rows = 128
//: tile = { m = 32, n = 64, k = 128 }
//: threads = 128
//: shared_bytes = 49152
//: blocks = 4
//: defines = { QP_STAGES = 4, QP_WARPS_N = 2 }

#include "gemm_s8_mma.cuh"

QP_KERNEL __launch_bounds__(QP_THREADS, QP_BLOCKS)
gemm_s8_mma(const int8_t* __restrict__ x, const float* __restrict__ x_scale, const int8_t* __restrict__ packed,
            const float* __restrict__ scales, const qp_act* __restrict__ bias, qp_act* __restrict__ y,
            uint4* __restrict__ scratch, uint32_t* __restrict__ counters, int m, int n, int k, int split) {
  gemm_s8(x, x_scale, packed, scales, bias, y, scratch, counters, m, n, k, split);
}
