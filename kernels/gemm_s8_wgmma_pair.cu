// y = x · Wᵀ of int8 codes by wgmma, fed by the copy engine, two blocks sharing the weights: 9.0 alone.
//: entry = "gemm_s8_wgmma_pair"
//: role = "gemm"
//: schemes = ["W8A8"]
//: packing = "rows_s8"
//: input = "int8"
//: activations = ["float16", "bfloat16", "float32"]
//: requires = ["wgmma", "cp_async_bulk", "bulk_multicast"]
//: architectures = ["9.0a"]
//: min_rows = 8192
//: tile = { m = 128, n = 256, k = 128 }
//: grid = ["tile"]
//: cluster = 2
//: threads = 288
//: shared_bytes = 196608
//: arguments = ["x_map", "packed_map", "x_scale", "scales", "bias", "y", "m", "n", "k"]
//: sass = { needs = ["IGMMA.64x256x32", "UTMALDG.2D.MULTICAST"], at_least = 1, max_registers = 224 }
//:
//: [variants.m128n256]
//: defines = { QP_STAGES = 4 }

#include "gemm_s8_wgmma_tma.cuh"

QP_KERNEL __cluster_dims__(QP_CLUSTER, 1, 1) __launch_bounds__(QP_THREADS, QP_BLOCKS)
gemm_s8_wgmma_pair(QP_PARAMETER qp_tensor_map x_map, QP_PARAMETER qp_tensor_map packed_map,
                   const float* __restrict__ x_scale, const float* __restrict__ scales, const qp_act* __restrict__ bias,
                   qp_act* __restrict__ y, int m, int n, int k) {
  qp_gemm_s8_tma(x_map, packed_map, x_scale, scales, bias, y, nullptr, nullptr, m, n, k, 1);
}
