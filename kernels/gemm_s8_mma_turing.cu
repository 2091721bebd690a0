// y = x · Wᵀ of int8 codes on the tensor cores of 7.5, which multiply 8 × 8 × 16; there are no asynchronous copies. Built for
// a later card it takes what that one has, as gemm_s8_mma does, in two stages.
//: entry = "gemm_s8_mma_turing"
//: role = "gemm"
//: schemes = ["W8A8"]
//: packing = "rows_s8"
//: input = "int8"
//: activations = ["float16", "bfloat16", "float32"]
//: requires = ["imma_8816", "ldmatrix"]
//: architectures = ["7.5", "8.0"]
//: tile = { m = 128, n = 128, k = 64 }
//: threads = 256
//: arguments = ["x", "x_scale", "packed", "scales", "bias", "y", "scratch", "counters", "m", "n", "k", "split"]
//: [sass]
//: "7.5" = { needs = ["IMMA.8816", "LDSM.16.M88.4", "STS.128", "LDG.E.128"], at_least = 3, max_registers = 255 }
//: "8.0" = { needs = ["IMMA.16832", "LDSM.16.M88.4", "LDGSTS.E.BYPASS.128"], at_least = 3, max_registers = 255 }
//:
//: [variants.m128n128]
//: shared_bytes = 32768
//: defines = { QP_STAGES = 2, QP_WARPS_N = 4 }
//:
//: [variants.m32n64]
//: max_rows = 128
//: tile = { m = 32, n = 64, k = 64 }
//: threads = 128
//: shared_bytes = 12288
//: blocks = 4
//: defines = { QP_STAGES = 2, QP_WARPS_N = 2 }

#include "gemm_s8_mma.cuh"

QP_KERNEL __launch_bounds__(QP_THREADS, QP_BLOCKS)
gemm_s8_mma_turing(const int8_t* __restrict__ x, const float* __restrict__ x_scale, const int8_t* __restrict__ packed,
                   const float* __restrict__ scales, const qp_act* __restrict__ bias, qp_act* __restrict__ y,
                   uint4* __restrict__ scratch, uint32_t* __restrict__ counters, int m, int n, int k, int split) {
  gemm_s8(x, x_scale, packed, scales, bias, y, scratch, counters, m, n, k, split);
}
