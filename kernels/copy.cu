// Copies n vectors of 16 bytes: what it reaches is what a kernel bound by memory can reach on this card.
//: entry = "copy"
//: role = "copy"
//: architectures = ["6.0", "6.1", "7.0", "7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"]
//: tile = { n = 1024 }
//: grid = ["n"]
//: threads = 256
//: arguments = ["x", "y", "n"]
//: sass = { needs = ["LDG.E.128", "STG.E.128"], at_least = 4, max_registers = 40 }

#include "prims.cuh"

constexpr int kVectors = QP_TILE_N / QP_THREADS;

// x, y: n × 16 bytes. Every thread has all its loads under way before the first store, which makes 64 bytes a thread.
QP_KERNEL __launch_bounds__(QP_THREADS) copy(const uint4* __restrict__ x, uint4* __restrict__ y, int n) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * QP_TILE_N + threadIdx.x;
  uint4 held[kVectors];
#pragma unroll
  for (int i = 0; i < kVectors; i++) {
    const int64_t at = first + i * QP_THREADS;
    if (at < n) held[i] = qp_load16_once(x + at);
  }
#pragma unroll
  for (int i = 0; i < kVectors; i++) {
    const int64_t at = first + i * QP_THREADS;
    if (at < n) qp_store16_once(y + at, held[i]);
  }
}
