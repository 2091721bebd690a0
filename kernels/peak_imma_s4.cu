// How fast this card multiplies 4-bit integers on tensor cores by mma.sync: see peak.cuh.
// From 9.0 on they are made of 8-bit products, and the rate says so.
//: entry = "peak_imma_s4"
//: role = "peak"
//: architectures = ["7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"]
//: tile = { m = 1024, n = 8, k = 64 }
//: grid = ["split"]
//: threads = 256
//: arguments = ["y", "iterations"]
//: [sass] # from 9.0 on, a function that is called for each instruction, and multiplies 8-bit integers
//: "7.5" = { needs = ["IMMA.8832.S4"], at_least = 8, max_registers = 96 }
//: "8.0" = { needs = ["IMMA.16864.S4"], at_least = 8, max_registers = 96 }
//: "8.6" = { needs = ["IMMA.16864.S4"], at_least = 8, max_registers = 96 }
//: "8.9" = { needs = ["IMMA.16864.S4"], at_least = 8, max_registers = 96 }
//: "9.0" = { needs = ["IMMA.16832.S8", "CALL"], at_least = 2, max_registers = 96 }
//: "10.0" = { needs = ["IMMA.16832.S8", "CALL"], at_least = 2, max_registers = 96 }
//: "12.0" = { needs = ["IMMA.16832.S8", "CALL"], at_least = 2, max_registers = 96 }

#include "peak.cuh"

static_assert(QP_TILE_M == QP_THREADS / 32 * kChains * 16 && QP_TILE_K == 64, "16 rows for each warp and chain");

QP_KERNEL __launch_bounds__(QP_THREADS) peak_imma_s4(int* __restrict__ y, int iterations) {
  // Registers of the second half of k follow those of the first; rows g and g + 8 are the same.
  const int t = threadIdx.x & 3;
  const uint32_t low = qp_peak_word(t, false), high = qp_peak_word(t + 4, false);
  const uint32_t a[4] = {low, low, high, high};
  const uint32_t b[2] = {qp_peak_word(t, true), qp_peak_word(t + 4, true)};
  int sums[kChains][4];
#pragma unroll
  for (int c = 0; c < kChains; c++) sums[c][0] = sums[c][1] = sums[c][2] = sums[c][3] = 0;
#pragma unroll 4
  for (int i = 0; i < iterations; i++) {
#pragma unroll
    for (int c = 0; c < kChains; c++) qp_mma_s4_16x8x64(sums[c], a, b);
  }
  int total = 0;
#pragma unroll
  for (int c = 0; c < kChains; c++) total += sums[c][0] + sums[c][1] + sums[c][2] + sums[c][3];
  y[blockIdx.x * QP_THREADS + threadIdx.x] = total;
}
