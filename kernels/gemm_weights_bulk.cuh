// gemm_weights.cuh with stages that the copy engine brings: 9.0 and later.
//
// Two warps start copies, one thread of each: of the words, scales and zero points of each strip, and of the rows of x. The
// others wait for a stage and let go of it, each for itself: no barrier of the block is between two stages, and no
// instruction of theirs copies, of which there is one for four others where all threads do.
//
// L2 gives x to each block: of 16 rows as many bytes as it gives of weights to blocks of 64 features. The two blocks of a
// cluster compute neighbouring tiles of the same rows, and each copies every second row to both.

#pragma once

#include "gemm_weights.cuh"
#include "ring.cuh"

constexpr int kStageTiles = kStage / kTile;
static_assert(QP_COPIERS == 2, "one warp copies weights, one x");
static_assert(kGroupStages == 1, "a stage is of whole groups");
static_assert(kSlices > 1, "behind the barriers of the slices all warps see the ends");
static_assert(kRowBytes % 16 == 0 && kStageBytes % 16 == 0, "the copy engine wants multiples of 16");
static_assert(QP_TILE_M % QP_CLUSTER == 0, "each block of a cluster copies as many rows");

// Of a strip, so many tiles from the stage's first on: words, or scales, or zero points.
QP_DEVICE void qp_copy_strips(unsigned char* to, const unsigned char* from, int strip_bytes, int tile_bytes, int stage,
                              int tiles, const qp_problem& of, int strips, uint64_t* filled) {
  const size_t strip = static_cast<size_t>(of.tiles) * tile_bytes;
  from += qp_first_strip() * strip + static_cast<size_t>(stage) * kStageTiles * tile_bytes;
#pragma unroll
  for (int i = 0; i < kStrips; i++)
    if (i < strips) qp_copy_bulk(to + i * strip_bytes, from + i * strip, tiles * tile_bytes, filled);
}

// Copies weights, as far as they are there. By one thread.
QP_DEVICE void qp_copy_weights(const qp_ring& ring, const qp_problem& of, qp_share share) {
  constexpr int kScales = kHasGroups ? kTile * kStrip * kScaleBytes / kGroup : 0, kPoints = kScales / kScaleBytes;
  constexpr int kOfTile = kTileBytes + kScales + (QP_ASYMMETRIC ? kPoints : 0);
  const int strips = max(0, min(kStrips, of.strips - qp_first_strip()));  // The second of a cluster may have none.
  qp_turn turn = {0, 0};
  for (int stage = share.first; stage < share.last; stage++) {
    qp_wait_until_emptied(ring, turn);
    unsigned char* to = ring.memory + turn.stage * kStageBytes;
    uint64_t* filled = ring.filled + turn.stage;
    const int tiles = min(kStageTiles, of.tiles - stage * kStageTiles);
    qp_arrive_and_expect(filled, strips * tiles * kOfTile);
    qp_copy_strips(to + kWordsAt, of.words, kStripWordBytes, kTileBytes, stage, tiles, of, strips, filled);
    if constexpr (kHasGroups)
      qp_copy_strips(to + kXBytes, of.scales, kStripScaleBytes, kScales, stage, tiles, of, strips, filled);
    if constexpr (QP_ASYMMETRIC)
      qp_copy_strips(to + kZerosAt, of.zeros, kStripZeroBytes, kPoints, stage, tiles, of, strips, filled);
    qp_advance(turn);
  }
  qp_wait_until_read(ring, turn);
}

// Copies rows of x, as far as they are there, of a cluster its part of them to all; and puts zeros behind their end, up to
// where the weights end. By one thread.
QP_DEVICE void qp_copy_rows(const qp_ring& ring, const qp_problem& of, qp_share share) {
  const int first = qp_first_row(), rows = min(QP_TILE_M, of.m - first), padded = of.tiles * kTile;
  const int rank = kIsCluster ? blockIdx.x % QP_CLUSTER : 0;
  const qp_act* x = of.x + static_cast<size_t>(first + rank) * of.k;
  qp_wait_for_kernel_before();
  qp_let_next_kernel_begin();
  qp_turn turn = {0, 0};
  for (int stage = share.first; stage < share.last; stage++) {
    qp_wait_until_emptied(ring, turn);
    unsigned char* to = ring.memory + turn.stage * kStageBytes;
    uint64_t* filled = ring.filled + turn.stage;
    const int column = stage * kStage, count = min(kStage, of.k - column), end = min(kStage, padded - column);
    const qp_act* from = x + column;
    for (int k = count; k < end; k += kAlong)
      for (int row = 0; row < rows; row++) qp_store16_shared(to + row * kRowBytes + k * 2, make_uint4(0, 0, 0, 0));
    qp_arrive_and_expect(filled, rows * count * 2);
    unsigned char* own = to + rank * kRowBytes;
#pragma unroll
    for (int row = 0; row < QP_TILE_M; row += QP_CLUSTER) {
      if (row + rank >= rows) break;
      if constexpr (kIsCluster) qp_copy_bulk_to_both(own + row * kRowBytes, from, count * 2, filled);
      else qp_copy_bulk(own + row * kRowBytes, from, count * 2, filled);
      from += QP_CLUSTER * of.k;
    }
    qp_advance(turn);
  }
}

QP_DEVICE void qp_multiply(const qp_ring& ring, const qp_problem& of, qp_share share, const qp_act* bias, qp_act* y,
                           float* scratch, uint32_t* counters, int split) {
  unsigned char* memory = ring.memory;
  const qp_place at = qp_find_place();
  const int first_tile = at.slice * kSliceTiles;
#if QP_WEIGHTS == QP_NF4
  qp_fill_pairs<kWarps * 32>(memory + kTableAt);
  qp_sync_warps();
#endif
  qp_wait_for_kernel_before();
  const qp_ends ends = qp_bring_ends(memory, of, bias);
  const unsigned char* table = qp_find_table(memory);
  qp_totals totals = {};
  qp_reader from = qp_read_first(at);
  qp_turn turn = {0, 0};
#pragma unroll 1
  for (int stage = share.first; stage < share.last; stage++) {
    qp_wait_until_filled(ring, turn);
    // The last stage may end before this slice begins: what is there then is of another stage, or of none.
    if (stage * kStageTiles + first_tile < of.tiles) qp_multiply_stage(totals, ring.memory, from, table);
    qp_sync_warp();  // The other lanes have read their part, too.
    qp_let_go(ring.emptied + turn.stage);
    qp_read_next(from, qp_step(turn.stage));
    qp_advance(turn);
  }
  // Of a cluster the last tile may have no features.
  if (!kIsCluster || qp_first_strip() < of.strips) qp_finish(totals, memory, ends, of, y, scratch, counters, split, at);
}

QP_DEVICE void qp_gemm(const qp_act* x, const uint4* packed, const void* scales, const void* zeros, const qp_act* bias,
                       qp_act* y, float* scratch, uint32_t* counters, int m, int n, int k, int split) {
  QP_SHARED_DYNAMIC(memory);
  const qp_problem of = qp_describe(x, packed, scales, zeros, m, n, k);
  const qp_share share = qp_find_share(of.tiles * kTile, split, blockIdx.z);
  const qp_ring ring = qp_keep(qp_make_ring(memory, QP_COPIERS, kWarps));
  const int warp = threadIdx.x / 32;
  if (warp < kWarps) qp_multiply(ring, of, share, bias, y, scratch, counters, split);
  else if (qp_elect()) warp == kWarps ? qp_copy_weights(ring, of, share) : qp_copy_rows(ring, of, share);
}
