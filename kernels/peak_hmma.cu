// How fast this card multiplies 16-bit floating-point numbers on tensor cores, with sums in 32 bits: see peak.cuh.
//: entry = "peak_hmma"
//: role = "peak"
//: activations = ["float16", "bfloat16"]
//: requires = ["hmma_1688"]
//: architectures = ["7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"]
//: tile = { m = 1024, n = 8, k = 16 }
//: grid = ["split"]
//: threads = 256
//: arguments = ["y", "iterations"]
//: sass = { needs = ["HMMA"], at_least = 8, max_registers = 96 }
//:
//: [variants.float16]
//: activations = ["float16"]
//:
//: [variants.bfloat16]
//: activations = ["bfloat16"]
//: architectures = ["8.0", "8.6", "8.9", "9.0", "10.0", "12.0"]

#include "peak.cuh"

static_assert(QP_TILE_M == QP_THREADS / 32 * kChains * 16 && QP_TILE_K == 16, "16 rows for each warp and chain");

QP_KERNEL __launch_bounds__(QP_THREADS) peak_hmma(float* __restrict__ y, int iterations) {
  const int t = threadIdx.x & 3;
  const uint32_t low = qp_peak_pair(t, false), high = qp_peak_pair(t + 4, false);
  const uint32_t a[4] = {low, low, high, high};
  const uint32_t b[2] = {qp_peak_pair(t, true), qp_peak_pair(t + 4, true)};
  float sums[kChains][4];
#pragma unroll
  for (int c = 0; c < kChains; c++) sums[c][0] = sums[c][1] = sums[c][2] = sums[c][3] = 0.0f;
#pragma unroll 4
  for (int i = 0; i < iterations; i++) {
#pragma unroll
    for (int c = 0; c < kChains; c++) qp_mma_act_16x8x16(sums[c], a, b);
  }
  float total = 0.0f;
#pragma unroll
  for (int c = 0; c < kChains; c++) total += sums[c][0] + sums[c][1] + sums[c][2] + sums[c][3];
  y[blockIdx.x * QP_THREADS + threadIdx.x] = total;
}
