// How fast this card multiplies 8-bit integers by wgmma, with operands that stay in shared memory: see peak.cuh.
//: entry = "peak_wgmma"
//: role = "peak"
//: requires = ["wgmma"]
//: architectures = ["9.0a"]
//: tile = { m = 128, n = 256, k = 128 }
//: grid = ["split"]
//: threads = 256
//: shared_bytes = 49152
//: arguments = ["y", "iterations"]
//: sass = { needs = ["IGMMA.64x256x32"], at_least = 4, max_registers = 200 }

#include "peak.cuh"

constexpr int kSums = QP_TILE_N / 2, kRowWords = QP_TILE_K / 4;
static_assert(QP_SHARED_BYTES == (QP_TILE_M + QP_TILE_N) * QP_TILE_K, "shared memory holds the operands and no more");

QP_KERNEL __launch_bounds__(QP_THREADS) peak_wgmma(int* __restrict__ y, int iterations) {
  QP_SHARED_DYNAMIC(shared);
  for (int i = threadIdx.x; i < (QP_TILE_M + QP_TILE_N) * kRowWords; i += QP_THREADS) {
    const int row = i / kRowWords, word = i % kRowWords, chunk = word / 4 ^ (row & 7);
    qp_store4(shared + row * QP_TILE_K + chunk * 16 + word % 4 * 4, qp_peak_word(word, row >= QP_TILE_M));
  }
  qp_fence_async_proxy();
  qp_sync();
  const unsigned char* x = shared + threadIdx.x / 128 * 64 * QP_TILE_K;
  const unsigned char* w = shared + QP_TILE_M * QP_TILE_K;
  int sums[kSums];
#pragma unroll
  for (int i = 0; i < kSums; i++) sums[i] = 0;
  for (int t = 0; t < iterations; t++) {
    qp_wgmma_fence();
#pragma unroll
    for (int at = 0; at < QP_TILE_K; at += 32)
      qp_wgmma_s8_64x256x32(sums, qp_wgmma_descriptor(x + at), qp_wgmma_descriptor(w + at));
    qp_wgmma_commit();
    qp_wgmma_wait<1>();
  }
  qp_wgmma_finish(sums);
  int total = 0;
#pragma unroll
  for (int i = 0; i < kSums; i++) total += sums[i];
  y[blockIdx.x * QP_THREADS + threadIdx.x] = total;
}
