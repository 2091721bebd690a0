// What the probes of wgmma share: two warpgroups multiply 64 rows each of x by 256 of w, which stay in shared memory.
//
// QP_TILE_K is as many numbers as rows of 128 bytes hold: four products along k, 32 bytes each.

#pragma once

#include "peak.cuh"

constexpr int kSums = QP_TILE_N / 2, kRowBytes = 128, kStepBytes = 32;
static_assert(QP_SHARED_BYTES == (QP_TILE_M + QP_TILE_N) * kRowBytes, "shared memory holds the operands and no more");
static_assert(QP_TILE_M == QP_THREADS / 2 && QP_TILE_N == 256, "64 rows for each warpgroup");

// `word_at` gives the i-th word of each row of x, or of w; `multiply` adds one product to the sums.
template <class Number, class WordAt, class Multiply>
QP_DEVICE void qp_peak_wgmma(unsigned char* shared, Number* y, int iterations, WordAt word_at, Multiply multiply) {
  for (int i = threadIdx.x; i < (QP_TILE_M + QP_TILE_N) * kRowBytes / 4; i += QP_THREADS) {
    const int row = i / (kRowBytes / 4), word = i % (kRowBytes / 4), chunk = word / 4 ^ (row & 7);
    qp_store4(shared + row * kRowBytes + chunk * 16 + word % 4 * 4, word_at(word, row >= QP_TILE_M));
  }
  qp_fence_async_proxy();
  qp_sync();
  const unsigned char* x = shared + threadIdx.x / 128 * 64 * kRowBytes;
  const unsigned char* w = shared + QP_TILE_M * kRowBytes;
  Number sums[kSums];
#pragma unroll
  for (int i = 0; i < kSums; i++) sums[i] = 0;
  for (int t = 0; t < iterations; t++) {
    qp_wgmma_fence();
#pragma unroll
    for (int at = 0; at < kRowBytes; at += kStepBytes)
      multiply(sums, qp_wgmma_descriptor(x + at), qp_wgmma_descriptor(w + at));
    qp_wgmma_commit();
    qp_wgmma_wait<1>();
  }
  qp_wgmma_finish(sums);
  Number total = 0;
#pragma unroll
  for (int i = 0; i < kSums; i++) total += sums[i];
  y[blockIdx.x * QP_THREADS + threadIdx.x] = total;
}
