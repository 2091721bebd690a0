// How fast this card adds four products of bytes with dp4a: see peak.cuh.
//: entry = "peak_dp4a"
//: role = "peak"
//: requires = ["dp4a"]
//: architectures = ["6.1", "7.0", "7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"]
//: tile = { m = 256, n = 16, k = 4 }
//: grid = ["split"]
//: threads = 256
//: arguments = ["y", "iterations"]
//: sass = { needs = ["IDP.4A.S8.S8"], at_least = 16, max_registers = 64 }

#include "peak.cuh"

constexpr int kSums = QP_TILE_N;
static_assert(QP_TILE_M == QP_THREADS && QP_TILE_K == 4, "each thread makes kSums sums of four products");

QP_KERNEL __launch_bounds__(QP_THREADS) peak_dp4a(int* __restrict__ y, int iterations) {
  const uint32_t x = qp_peak_word(0, false);
  uint32_t w[kSums];
  int sums[kSums];
#pragma unroll
  for (int i = 0; i < kSums; i++) {
    w[i] = qp_peak_word(i, true);
    sums[i] = 0;
  }
#pragma unroll 4
  for (int t = 0; t < iterations; t++) {
#pragma unroll
    for (int i = 0; i < kSums; i++) sums[i] = qp_dp4a(x, w[i], sums[i]);
  }
  int total = 0;
#pragma unroll
  for (int i = 0; i < kSums; i++) total += sums[i];
  y[blockIdx.x * QP_THREADS + threadIdx.x] = total;
}
