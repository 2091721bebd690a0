// y = x · Wᵀ of int8 codes by wgmma, fed by the copy engine: 9.0 alone.
//
// One warp does nothing but start copies: for each stage one of x and one of the weights, as soon as all have read what
// was there. The others multiply, 64 rows a warpgroup. A block takes one tile after another, so that stages are filled
// for the next while results of this one are written.
//
// For every 1024 clocks that its products take, a block of 128 × 256 reads 48 KiB: on 132 multiprocessors that is as much as
// L2 gives. The two blocks of a cluster compute tiles of the same columns, one below the other, and each copies half of the
// weights to both: 32 KiB.
//
// Where tiles of y are fewer than multiprocessors, K is split among blocks; the last of a tile adds up what all have.

#pragma once

#include "gemm_s8.cuh"
#include "ring.cuh"

constexpr int kGroups = QP_TILE_M / 64, kWarps = kGroups * 4;
constexpr int kStageBytes = (QP_TILE_M + QP_TILE_N) * QP_TILE_K;
constexpr int kSums = QP_TILE_N / 2;
constexpr int kColumns = 4;

static_assert(QP_THREADS == (kWarps + 1) * 32, "a warpgroup computes 64 rows, and one warp more copies");
static_assert(QP_TILE_K == 128, "rows of 128 bytes are what the descriptor says");
static_assert(QP_SHARED_BYTES == QP_STAGES * kStageBytes, "shared memory holds the stages and no more");

// Copies a tile of x and one of the weights to each stage; of a cluster each block its half of the weights, to both.
QP_DEVICE void qp_copy_rows(const qp_tensor_map& x_map, const qp_tensor_map& packed_map, const qp_ring& ring, qp_turn& turn,
                         qp_tile tile, qp_share share) {
  for (int step = share.first; step < share.last; step++) {
    qp_wait_until_emptied(ring, turn);
    unsigned char* stage = ring.memory + turn.stage * kStageBytes;
    uint64_t* filled = ring.filled + turn.stage;
    qp_arrive_and_expect(filled, kStageBytes);
    qp_copy_box(stage, x_map, step * QP_TILE_K, tile.m, filled);
    unsigned char* weights = stage + QP_TILE_M * QP_TILE_K;
    if constexpr (kIsCluster) {
      const int half = (blockIdx.x % QP_CLUSTER) * (QP_TILE_N / QP_CLUSTER);
      qp_copy_box_to_both(weights + half * QP_TILE_K, packed_map, step * QP_TILE_K, tile.n + half, filled);
    } else {
      qp_copy_box(weights, packed_map, step * QP_TILE_K, tile.n, filled);
    }
    qp_advance(turn);
  }
}

QP_DEVICE void qp_multiply(int (&sums)[kSums], const unsigned char* x, const unsigned char* w) {
#pragma unroll
  for (int at = 0; at < QP_TILE_K; at += 32) {
    const uint64_t a = qp_wgmma_descriptor(x + at), b = qp_wgmma_descriptor(w + at);
#if QP_TILE_N == 256
    qp_wgmma_s8_64x256x32(sums, a, b);
#else
    qp_wgmma_s8_64x128x32(sums, a, b);
#endif
  }
}

// The sums of a tile over some stages, each of which the warp lets go of.
QP_DEVICE void qp_add_up(int (&sums)[kSums], const qp_ring& ring, qp_turn& turn, qp_share share) {
  const int group = threadIdx.x / 128;
#pragma unroll
  for (int i = 0; i < kSums; i++) sums[i] = 0;
  if (share.first == share.last) return;
  uint64_t* before = ring.emptied;
  for (int step = share.first; step < share.last; step++) {
    qp_wait_until_filled(ring, turn);
    const unsigned char* stage = ring.memory + turn.stage * kStageBytes;
    qp_wgmma_fence();
    qp_multiply(sums, stage + group * 64 * QP_TILE_K, stage + QP_TILE_M * QP_TILE_K);
    qp_wgmma_commit();
    // While this product goes on, the one before it is through with its stage.
    qp_wgmma_wait<1>();
    if (step > share.first) qp_let_go(before);
    before = ring.emptied + turn.stage;
    qp_advance(turn);
  }
  qp_wgmma_finish(sums);
  qp_let_go(before);
}

// Writes the thread's part of a tile of y. Of 16 columns two neighbouring lanes hold two of each 8, and exchange them for
// four of one: what a quad writes at once is then whole sectors of memory.
template <bool kIsAligned>
QP_DEVICE void qp_write_tile(const int (&sums)[kSums], const qp_ends& ends, qp_act* y, qp_tile tile, int m, int n) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const bool is_odd = lane & 1;
  const int row = warp * 16 + (lane >> 2), from_column = (lane & 1) * 8 + (lane & 2) * 2;
  const qp_rows rows = qp_find_rows(ends, tile, row, from_column, m, n);
#pragma unroll
  for (int part = 0; part < QP_TILE_N / 16; part++) {
    const qp_columns<kColumns> columns = qp_read_columns<kColumns>(ends, from_column + part * 16, tile, n);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      int neighbours[kColumns];
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const int low = sums[part * 8 + half * 2 + i], high = sums[part * 8 + 4 + half * 2 + i];
        const int other = qp_shuffle_xor(is_odd ? low : high, 1);
        neighbours[i] = is_odd ? other : low;
        neighbours[2 + i] = is_odd ? high : other;
      }
      if (rows.is_inside[half] && columns.count > 0)
        qp_store_row<kIsAligned>(columns, y + rows.at[half] + part * 16, rows.x_scale[half], neighbours);
    }
  }
}

// The tile of this block. The blocks of a cluster take tiles one below the other, of which the second may not be there;
// `tiles_m` counts the first ones.
QP_DEVICE qp_tile qp_find_own_tile(int id, int tiles_n, int tiles_m) {
  qp_tile tile = qp_find_tile(id / QP_CLUSTER, tiles_n, tiles_m);
  if constexpr (kIsCluster) tile.m = tile.m * QP_CLUSTER + static_cast<int>(blockIdx.x % QP_CLUSTER) * QP_TILE_M;
  return tile;
}

QP_DEVICE void qp_gemm_s8_tma(const qp_tensor_map& x_map, const qp_tensor_map& packed_map, const float* x_scale,
                              const float* scales, const qp_act* bias, qp_act* y, int* scratch, uint32_t* counters, int m,
                              int n, int k, int split) {
  QP_SHARED_SWIZZLED(shared);
  // Of two tiles in turn, so that one barrier a tile keeps them apart.
  QP_SHARED(qp_ends, ends, [2]);
  const qp_ring ring = qp_make_ring(shared, 1, kWarps);
  constexpr int kTogether = QP_TILE_M * QP_CLUSTER;
  const int tiles_n = (n + QP_TILE_N - 1) / QP_TILE_N, tiles_m = (m + kTogether - 1) / kTogether;
  const int count = tiles_n * tiles_m * QP_CLUSTER * split;
  qp_turn turn = {0, 0};
  if (threadIdx.x >= kWarps * 32) {
    if (!qp_elect()) return;
    for (int id = blockIdx.x; id < count; id += gridDim.x)
      qp_copy_rows(x_map, packed_map, ring, turn, qp_find_own_tile(id / split, tiles_n, tiles_m),
                   qp_find_share(k, split, id % split));
    qp_wait_until_read(ring, turn);
    return;
  }
  int sums[kSums];
  for (int id = blockIdx.x; id < count; id += gridDim.x) {
    const qp_tile tile = qp_find_own_tile(id / split, tiles_n, tiles_m);
    const qp_end own = qp_ask_for_end<kWarps * 32>(x_scale, scales, bias, tile, m, n);
    qp_add_up(sums, ring, turn, qp_find_share(k, split, id % split));
    qp_ends& all = ends[id / gridDim.x & 1];
    qp_put_end(all, own);
    qp_sync_first<kWarps * 32>();
    const bool is_inside = tile.m + static_cast<int>(threadIdx.x >> 5) * 16 + static_cast<int>(threadIdx.x & 31) / 4 < m;
    if (!qp_add_parts<kSums / 4, kWarps * 32>(scratch, counters, id / split, split, id % split, is_inside,
                                              [&](int v) { return sums + v * 4; }))
      continue;
    if (n % kColumns == 0) qp_write_tile<true>(sums, all, y, tile, m, n);
    else qp_write_tile<false>(sums, all, y, tile, m, n);
  }
}
