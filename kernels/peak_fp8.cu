// How fast this card multiplies 8-bit floating-point numbers (e4m3) on tensor cores by mma.sync: see peak.cuh.
// On 9.0 to 11.0 they are made of 16-bit products, and the rate says so.
//: entry = "peak_fp8"
//: role = "peak"
//: architectures = ["8.9", "9.0", "10.0", "12.0"]
//: tile = { m = 1024, n = 8, k = 32 }
//: grid = ["split"]
//: threads = 256
//: arguments = ["y", "iterations"]
//: [sass]
//: "8.9" = { needs = ["QMMA.16832"], at_least = 8, max_registers = 96 }
//: "9.0" = { needs = ["HMMA.16816"], forbids = ["QMMA"], at_least = 64, max_registers = 96 }
//: "10.0" = { needs = ["HMMA.16816"], forbids = ["QMMA"], at_least = 64, max_registers = 96 }
//: "12.0" = { needs = ["QMMA.16832"], at_least = 8, max_registers = 96 }

#include "peak.cuh"

static_assert(QP_TILE_M == QP_THREADS / 32 * kChains * 16 && QP_TILE_K == 32, "16 rows for each warp and chain");

QP_KERNEL __launch_bounds__(QP_THREADS) peak_fp8(float* __restrict__ y, int iterations) {
  const int t = threadIdx.x & 3;
  const uint32_t low = qp_peak_e4m3(t, false), high = qp_peak_e4m3(t + 4, false);
  const uint32_t a[4] = {low, low, high, high};
  uint32_t b[2] = {qp_peak_e4m3(t, true), qp_peak_e4m3(t + 4, true)};
  // 0, which the compiler cannot know: where products are emulated, it would compute equal ones once and add their results.
  const uint32_t nothing = gridDim.y - 1;
  float sums[kChains][4];
#pragma unroll
  for (int c = 0; c < kChains; c++) sums[c][0] = sums[c][1] = sums[c][2] = sums[c][3] = 0.0f;
#pragma unroll 4
  for (int i = 0; i < iterations; i++) {
#pragma unroll
    for (int c = 0; c < kChains; c++) {
      b[0] += nothing;
      qp_mma_e4m3_16x8x32(sums[c], a, b);
    }
  }
  float total = 0.0f;
#pragma unroll
  for (int c = 0; c < kChains; c++) total += sums[c][0] + sums[c][1] + sums[c][2] + sums[c][3];
  y[blockIdx.x * QP_THREADS + threadIdx.x] = total;
}
