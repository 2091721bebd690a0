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

// Two neighbours along k: 1 … 5 of x, and ±1 of w; over all k their products sum up to 1.
QP_DEVICE uint32_t operand(int i, bool is_weight) {
  const float sign = i % 2 ? -1.0f : 1.0f;
  const float low = is_weight ? sign : i / 2 + 1.0f, high = is_weight ? -sign : i == 7 ? i / 2 + 2.0f : i / 2 + 1.0f;
  return qp_act2_from_floats(low, high);
}

QP_KERNEL __launch_bounds__(QP_THREADS) peak_hmma(float* __restrict__ y, int iterations) {
  const int t = threadIdx.x & 3;
  const uint32_t low = operand(t, false), high = operand(t + 4, false);
  const uint32_t a[4] = {low, low, high, high};
  const uint32_t b[2] = {operand(t, true), operand(t + 4, true)};
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
