// How fast this card multiplies 16-bit floating-point numbers by wgmma, with sums in 32 bits: see peak.cuh.
//: entry = "peak_wgmma_16"
//: role = "peak"
//: activations = ["float16", "bfloat16"]
//: requires = ["wgmma"]
//: architectures = ["9.0a"]
//: tile = { m = 128, n = 256, k = 64 }
//: grid = ["split"]
//: threads = 256
//: shared_bytes = 49152
//: arguments = ["y", "iterations"]
//: sass = { needs = ["HGMMA.64x256x16"], at_least = 4, max_registers = 200 }

#include "peak_wgmma.cuh"

#if QP_ACT == QP_FLOAT16
#define QP_MULTIPLY qp_wgmma_f16_64x256x16
#else
#define QP_MULTIPLY qp_wgmma_bf16_64x256x16
#endif

QP_KERNEL __launch_bounds__(QP_THREADS) peak_wgmma_16(float* __restrict__ y, int iterations) {
  QP_SHARED_SWIZZLED(shared);
  qp_peak_wgmma(
      shared, y, iterations, [](int i, bool is_weight) { return qp_peak_pair(i % 8, is_weight); },
      [](float (&sums)[kSums], uint64_t x, uint64_t w) { QP_MULTIPLY(sums, x, w); });
}
