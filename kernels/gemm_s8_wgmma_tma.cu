// y = x · Wᵀ of int8 codes by wgmma, fed by the copy engine: 9.0 alone.
//: entry = "gemm_s8_wgmma_tma"
//: role = "gemm"
//: schemes = ["W8A8"]
//: packing = "rows_s8"
//: input = "int8"
//: activations = ["float16", "bfloat16", "float32"]
//: requires = ["wgmma", "cp_async_bulk"]
//: architectures = ["9.0a"]
//: min_rows = 65
//: tile = { m = 128, n = 256, k = 128 }
//: grid = ["tile"]
//: threads = 288
//: arguments = ["x_map", "packed_map", "x_scale", "scales", "bias", "y", "scratch", "counters", "m", "n", "k", "split"]
//: sass = { needs = ["IGMMA.64x256x32"], at_least = 4, max_registers = 224 }
//:
//: [variants.m128n256]
//: shared_bytes = 196608
//: defines = { QP_STAGES = 4 }
//:
//: [variants.m128n128] # for products with too few tiles of the larger size
//: tile = { m = 128, n = 128, k = 128 }
//: shared_bytes = 196608
//: defines = { QP_STAGES = 6 }
//: sass = { needs = ["IGMMA.64x128x32"], at_least = 4, max_registers = 168 }

#include "gemm_s8_wgmma_tma.cuh"

QP_KERNEL __launch_bounds__(QP_THREADS, QP_BLOCKS)
gemm_s8_wgmma_tma(QP_PARAMETER qp_tensor_map x_map, QP_PARAMETER qp_tensor_map packed_map,
                  const float* __restrict__ x_scale, const float* __restrict__ scales, const qp_act* __restrict__ bias,
                  qp_act* __restrict__ y, int* scratch, uint32_t* counters, int m, int n, int k, int split) {
  qp_gemm_s8_tma(x_map, packed_map, x_scale, scales, bias, y, scratch, counters, m, n, k, split);
}
