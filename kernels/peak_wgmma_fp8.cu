// How fast this card multiplies 8-bit floating-point numbers (e4m3) by wgmma, with sums in 32 bits: see peak.cuh.
//: entry = "peak_wgmma_fp8"
//: role = "peak"
//: requires = ["wgmma"]
//: architectures = ["9.0a"]
//: tile = { m = 128, n = 256, k = 128 }
//: grid = ["split"]
//: threads = 256
//: shared_bytes = 49152
//: arguments = ["y", "iterations"]
//: sass = { needs = ["QGMMA.64x256x32"], at_least = 4, max_registers = 200 }

#include "peak_wgmma.cuh"

QP_KERNEL __launch_bounds__(QP_THREADS) peak_wgmma_fp8(float* __restrict__ y, int iterations) {
  QP_SHARED_SWIZZLED(shared);
  qp_peak_wgmma(
      shared, y, iterations, [](int i, bool is_weight) { return qp_peak_e4m3(i % 8, is_weight); },
      [](float (&sums)[kSums], uint64_t x, uint64_t w) { qp_wgmma_e4m3_64x256x32(sums, x, w); });
}
