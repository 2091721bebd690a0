// y = x · Wᵀ of int8 codes by wgmma, whose operands are read from shared memory by 128 threads together: 9.0 alone.
//
// A buffer holds rows of 128 bytes, their 16-byte chunks permuted as wgmma wants them. A product goes on while the next
// buffer is waited for, so that a buffer is free only when the product after its own has begun. Rows of weights
// are dealt such that a thread ends up with 8 neighbouring columns, which it can write at once.
//: entry = "gemm_s8_wgmma"
//: role = "gemm"
//: schemes = ["W8A8"]
//: packing = "rows_s8"
//: input = "int8"
//: activations = ["float16", "bfloat16", "float32"]
//: requires = ["wgmma", "cp_async"]
//: architectures = ["9.0a"]
//: min_rows = 65
//: tile = { m = 128, n = 256, k = 128 }
//: threads = 256
//: arguments = ["x", "x_scale", "packed", "scales", "bias", "y", "m", "n", "k"]
//: sass = { needs = ["IGMMA.64x256x32", "LDGSTS.E.BYPASS.LTC128B.128"], at_least = 4, max_registers = 255 }
//:
//: [variants.m128n256]
//: shared_bytes = 196608
//: defines = { QP_STAGES = 4 }
//:
//: [variants.m128n128] # two blocks an SM; for products with too few tiles of the larger size
//: tile = { m = 128, n = 128, k = 128 }
//: shared_bytes = 98304
//: blocks = 2
//: defines = { QP_STAGES = 3 }
//: sass = { needs = ["IGMMA.64x128x32", "LDGSTS.E.BYPASS.LTC128B.128"], at_least = 4, max_registers = 128 }

#include "gemm_s8.cuh"

constexpr int kGroups = QP_THREADS / 128;
constexpr int kChunk = 16, kChunks = QP_TILE_K / kChunk;
constexpr int kRowsAtOnce = QP_THREADS / kChunks;
constexpr int kCopiesX = QP_TILE_M / kRowsAtOnce, kCopiesW = QP_TILE_N / kRowsAtOnce;
constexpr int kStageBytes = (QP_TILE_M + QP_TILE_N) * QP_TILE_K;
constexpr int kSums = QP_TILE_N / 2;
// Tiles that are on their way: one buffer is multiplied, and one may still be read by the product before.
constexpr int kAhead = QP_STAGES - 2;
constexpr int kColumns = 8;

static_assert(QP_TILE_M == kGroups * 64, "a warpgroup computes 64 rows");
static_assert(QP_TILE_K == 128, "rows of 128 bytes are what the descriptor says");
static_assert(kRowsAtOnce == 32, "so that each of a thread's rows of weights has the same place among 32");
static_assert(QP_SHARED_BYTES == QP_STAGES * kStageBytes, "shared memory holds the buffers and no more");

QP_DEVICE void multiply(int (&sums)[kSums], const unsigned char* x, const unsigned char* w) {
  const uint64_t a = qp_wgmma_descriptor(x), b = qp_wgmma_descriptor(w);
#if QP_TILE_N == 256
  qp_wgmma_s8_64x256x32(sums, a, b);
#else
  qp_wgmma_s8_64x128x32(sums, a, b);
#endif
}

// Writes the thread's part of y.
template <bool kIsAligned>
QP_DEVICE void finish(const int (&sums)[kSums], const qp_ends& ends, qp_act* y, qp_tile tile, int m, int n) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int row = warp * 16 + (lane >> 2), from_column = (lane & 3) * kColumns;
  const qp_rows rows = qp_find_rows(ends, tile, row, from_column, m, n);
#pragma unroll
  for (int part = 0; part < QP_TILE_N / 32; part++) {
    const qp_columns<kColumns> columns = qp_read_columns<kColumns>(ends, from_column + part * 32, tile, n);
    if (columns.count <= 0) continue;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      if (!rows.is_inside[half]) continue;
      int neighbours[kColumns];
#pragma unroll
      for (int i = 0; i < kColumns; i++) neighbours[i] = sums[(part * 4 + i / 2) * 4 + half * 2 + i % 2];
      qp_store_row<kIsAligned>(columns, y + rows.at[half] + part * 32, rows.x_scale[half], neighbours);
    }
  }
}

QP_KERNEL __launch_bounds__(QP_THREADS, QP_BLOCKS)
gemm_s8_wgmma(const int8_t* __restrict__ x, const float* __restrict__ x_scale, const int8_t* __restrict__ packed,
              const float* __restrict__ scales, const qp_act* __restrict__ bias, qp_act* __restrict__ y, int m, int n,
              int k) {
  QP_SHARED_SWIZZLED(shared);
  QP_SHARED(qp_ends, ends, [1]);
  const int group = threadIdx.x / 128;
  const qp_tile tile = qp_choose_tile();
  const int tiles = (k + QP_TILE_K - 1) / QP_TILE_K;

  // This thread copies chunk `chunk` of every 32nd row. Of 32 rows of weights, row 8·t + 2·j + i goes to 8·j + 2·t + i:
  // thread t of a quad computes columns 2·t and 2·t + 1 of each 8.
  const int row = threadIdx.x / kChunks, chunk = threadIdx.x % kChunks;
  const int w_row = (row & 7) / 2 * 8 + row / 8 * 2 + (row & 1);
  const int shared_x = row * QP_TILE_K + (chunk ^ (row & 7)) * kChunk;
  const int shared_w = QP_TILE_M * QP_TILE_K + w_row * QP_TILE_K + (chunk ^ (w_row & 7)) * kChunk;
  const int64_t step = static_cast<int64_t>(kRowsAtOnce) * k;
  const int8_t* from_x = x + static_cast<int64_t>(tile.m + row) * k + chunk * kChunk;
  const int8_t* from_w = packed + static_cast<int64_t>(tile.n + row) * k + chunk * kChunk;
  const int x_rows = m - tile.m - row, w_rows = n - tile.n - row;

  const auto fetch = [&](int t) {
    const bool is_inside = t * QP_TILE_K + chunk * kChunk < k;
    unsigned char* stage = shared + t % QP_STAGES * kStageBytes;
    const int64_t at = static_cast<int64_t>(t) * QP_TILE_K;
#pragma unroll
    for (int i = 0; i < kCopiesX; i++)
      qp_copy_async16(stage + shared_x + i * kRowsAtOnce * QP_TILE_K, from_x + i * step + at,
                      is_inside && i * kRowsAtOnce < x_rows ? kChunk : 0);
#pragma unroll
    for (int i = 0; i < kCopiesW; i++)
      qp_copy_async16(stage + shared_w + i * kRowsAtOnce * QP_TILE_K, from_w + i * step + at,
                      is_inside && i * kRowsAtOnce < w_rows ? kChunk : 0);
  };

  int sums[kSums];
#pragma unroll
  for (int i = 0; i < kSums; i++) sums[i] = 0;
#pragma unroll
  for (int t = 0; t < kAhead; t++) {
    if (t < tiles) fetch(t);
    qp_copy_commit();
  }
  qp_put_end(ends[0], qp_ask_for_end<QP_THREADS>(x_scale, scales, bias, tile, m, n));
  for (int t = 0; t < tiles; t++) {
    qp_copy_wait<kAhead - 1>();
    qp_fence_async_proxy();
    qp_sync();
    const unsigned char* stage = shared + t % QP_STAGES * kStageBytes;
    qp_wgmma_fence();
#pragma unroll
    for (int at = 0; at < QP_TILE_K; at += 32)
      multiply(sums, stage + group * 64 * QP_TILE_K + at, stage + QP_TILE_M * QP_TILE_K + at);
    qp_wgmma_commit();
    // The buffer of two tiles ago: before the barrier, every warpgroup had waited for the product with it.
    if (t + kAhead < tiles) fetch(t + kAhead);
    qp_copy_commit();
    qp_wgmma_wait<1>();
  }
  qp_wgmma_finish(sums);

  if (n % kColumns == 0) finish<true>(sums, ends[0], y, tile, m, n);
  else finish<false>(sums, ends[0], y, tile, m, n);
}
