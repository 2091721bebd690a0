// y = x · Wᵀ + b on tensor cores, for few to 128 rows: the weight is streamed in the order in which it is multiplied, once for
// QP_TILE_M rows, 64 at most. Beyond, blocks of the same strips are neighbours in the grid: the second finds it in L2.
//
// A block computes QP_TILE_M rows of four strips. Four of its warps take a strip each, over one half of each stage of
// QP_TILE_K along K, four over the other; the halves are added at the end. The weights are the first operand of MMAs of
// 16 features, 8 rows of x and 16 along K: a lane's 16 bytes are its part of four of them, and 16 bytes of a row of x, as
// they lie, its part of both on the other side. Weights go from memory to registers, each tile when its predecessor is
// used up; x and the scales come through a ring of stages in shared memory, copied asynchronously. Codes are integers,
// exact in 16 bits; scales are applied to the float32 sums of a group.

#pragma once

#include "weights_pairs.cuh"

#ifndef QP_ASYMMETRIC
#define QP_ASYMMETRIC 0  // Whether groups have zero points.
#endif

constexpr int kStrips = 4, kHalves = 2;
constexpr int kColumns = QP_TILE_M / 8;  // MMAs along M.
constexpr int kPairs = kFeatures / 2;     // MMAs along N: features j and j + 1 of a lane, 8 apart.
constexpr int kStage = QP_TILE_K;
constexpr int kStages = QP_STAGES;
constexpr int kChunk = kStage / kHalves;  // Of K, by each warp in each stage.
constexpr int kChunkTiles = kChunk / kTile;
constexpr int kLoads = kChunkTiles * kTileLoads;
static_assert(QP_TILE_N == kStrips * kStrip && QP_THREADS == kStrips * kHalves * 32, "a warp a strip and half");
static_assert(kChunk % kTile == 0 && (kPadding % kChunk == 0), "a chunk is whole, or not there");

// A row of x in a stage. Eight lanes read 16 bytes each of two rows at once: 64 bytes beyond a multiple of 128 keep
// their banks apart.
constexpr int kRowBytes = kStage * 2 + 64;
constexpr int kXBytes = QP_TILE_M * kRowBytes;
// On a multiprocessor: what bounds the registers. With less to hold, the compiler looks ahead until it spills.
constexpr int kBlocks = QP_TILE_M <= 8 && QP_WEIGHTS == QP_NF4 ? 3 : QP_TILE_M <= 16 ? 2 : 1;

// Scales of a stage: for each strip its groups, each as 32 values; then the zero points, as bytes.
constexpr int kStageGroups = kHasGroups ? kStage / kGroup : 0;
constexpr int kScaleBytes = QP_WEIGHTS == QP_NF4 ? 4 : 2;
constexpr int kStripScaleBytes = kStageGroups * kStrip * kScaleBytes;
constexpr int kStripZeroBytes = QP_ASYMMETRIC ? kStageGroups * kStrip : 0;
constexpr int kStageBytes = kXBytes + kStrips * (kStripScaleBytes + kStripZeroBytes);

constexpr int kTableAt = kStages * kStageBytes;
constexpr int kSums = kColumns * kPairs * 4;  // Of each lane.
static_assert(QP_SHARED_BYTES == kTableAt + kPairTableBytes, "shared_bytes in the manifest");
static_assert(kStrips * kSums * 32 * 4 <= kStages * kStageBytes, "the sums of a half fit where x was");
static_assert(kStages >= 2, "a stage is copied while another is used");

struct qp_problem {
  const qp_act* x;
  const unsigned char* scales;
  const unsigned char* zeros;
  int m, n, k, tiles, strips;
  bool is_aligned;
};

// ---- Copies of a stage ----

// `bytes` from `from` on, a multiple of 16, of a strip's values, for each of the four strips; zeros beyond the weight.
template <int kStripBytes>
QP_DEVICE void qp_copy_values(unsigned char* to, const unsigned char* from, const qp_problem& of, int stage) {
  constexpr int kVectors = kStripBytes / 16;
  const size_t whole = static_cast<size_t>(of.tiles) * kTile * kStripBytes / kStage;
#pragma unroll
  for (int part = 0; part < kStrips * kVectors; part += QP_THREADS) {
    const int i = part + threadIdx.x;
    if (i >= kStrips * kVectors) continue;
    const int strip = blockIdx.y * kStrips + i / kVectors;
    const size_t at = static_cast<size_t>(stage) * kStripBytes + i % kVectors * 16;
    const bool is_there = strip < of.strips && at < whole;
    qp_copy_async16(to + i * 16, from + (is_there ? strip * whole + at : 0), is_there ? 16 : 0);
  }
}

QP_DEVICE void qp_copy_x(unsigned char* to, const qp_problem& of, int stage) {
  constexpr int kVectors = kStage / kAlong;
#pragma unroll
  for (int part = 0; part < QP_TILE_M * kVectors; part += QP_THREADS) {
    const int i = part + threadIdx.x;
    if (QP_TILE_M * kVectors % QP_THREADS != 0 && i >= QP_TILE_M * kVectors) continue;
    const int row = blockIdx.x * QP_TILE_M + i / kVectors, column = stage * kStage + i % kVectors * kAlong;
    const bool is_there = row < of.m && column < of.k;
    qp_copy_async16(to + i / kVectors * kRowBytes + i % kVectors * 16,
                    of.x + (is_there ? static_cast<size_t>(row) * of.k + column : 0), is_there ? 16 : 0);
  }
}

// The same of rows that do not start at multiples of 16 bytes.
QP_DEVICE void qp_copy_unaligned_x(unsigned char* to, const qp_problem& of, int stage) {
#pragma unroll 1
  for (int i = threadIdx.x; i < QP_TILE_M * kStage; i += QP_THREADS) {
    const int row = blockIdx.x * QP_TILE_M + i / kStage, column = stage * kStage + i % kStage;
    reinterpret_cast<qp_act*>(to + i / kStage * kRowBytes)[i % kStage] =
        row < of.m && column < of.k ? of.x[static_cast<size_t>(row) * of.k + column] : static_cast<qp_act>(0);
  }
}

QP_DEVICE void qp_copy_stage(unsigned char* to, const qp_problem& of, int stage) {
  of.is_aligned ? qp_copy_x(to, of, stage) : qp_copy_unaligned_x(to, of, stage);
  if constexpr (kHasGroups) qp_copy_values<kStripScaleBytes>(to + kXBytes, of.scales, of, stage);
  if constexpr (QP_ASYMMETRIC) qp_copy_values<kStripZeroBytes>(to + kXBytes + kStrips * kStripScaleBytes, of.zeros, of, stage);
}

// ---- Products ----

struct qp_totals {
  float part[kColumns][kPairs][4];  // Of the group so far.
  float whole[kColumns][kPairs][4];
};

// Adds one tile. `x` is at this lane's first value.
template <class Expand>
QP_DEVICE void qp_multiply_tile(float (&sums)[kColumns][kPairs][4], const unsigned char* x, Expand expand) {
  uint4 rows[kColumns];
#pragma unroll
  for (int i = 0; i < kColumns; i++) rows[i] = qp_load16_shared(x + i * 8 * kRowBytes);
#pragma unroll
  for (int j = 0; j < kPairs; j++) {
    uint32_t upper[4], lower[4];
    expand(upper, 2 * j);
    expand(lower, 2 * j + 1);
    const uint32_t first[4] = {upper[0], lower[0], upper[1], lower[1]};
    const uint32_t second[4] = {upper[2], lower[2], upper[3], lower[3]};
#pragma unroll
    for (int i = 0; i < kColumns; i++) {
      const uint32_t a[2] = {rows[i].x, rows[i].y}, b[2] = {rows[i].z, rows[i].w};
      qp_mma_act_16x8x16(sums[i][j], first, a);
      qp_mma_act_16x8x16(sums[i][j], second, b);
    }
  }
}

// The end of a group: its sums become numbers. `scales` is at the lane's four of the group.
QP_DEVICE void qp_close_group(qp_totals& totals, const unsigned char* scales) {
  float scale[kFeatures];
  if (kScaleBytes == 4) {
    const uint4 four = qp_load16_shared(scales);
#pragma unroll
    for (int j = 0; j < kFeatures; j++) scale[j] = qp_bits_to_float(qp_word(four, j));
  } else {
#pragma unroll
    for (int j = 0; j < kFeatures; j++) {
      const uint32_t pair = reinterpret_cast<const uint32_t*>(scales)[j / 2];
      scale[j] = j % 2 ? qp_bfloat16_high(pair) : qp_bfloat16_low(pair);
    }
  }
#pragma unroll
  for (int i = 0; i < kColumns; i++)
#pragma unroll
    for (int j = 0; j < kPairs; j++)
#pragma unroll
      for (int c = 0; c < 4; c++) {
        totals.whole[i][j][c] += scale[2 * j + c / 2] * totals.part[i][j][c];
        totals.part[i][j][c] = 0;
      }
}

QP_DEVICE void qp_load_tile(uint4 (&words)[kLoads], const uint4* from, int tile) {
#pragma unroll
  for (int i = tile * kTileLoads; i < (tile + 1) * kTileLoads; i++) words[i] = qp_load16_once(from + i * 32);
}

// A warp's half of a stage; loads the words of the next one, if there are any.
QP_DEVICE void qp_multiply_stage(qp_totals& totals, uint4 (&words)[kLoads], const uint4* next, bool has_next,
                                 const unsigned char* stage, const unsigned char* table, int strip, int half,
                                 int lane) {
  const unsigned char* x = stage + lane / 4 * kRowBytes + (half * kChunk + lane % 4 * kAlong) * 2;
  const unsigned char* scales = stage + kXBytes + strip * kStripScaleBytes + lane / 4 * kFeatures * kScaleBytes;
  const unsigned char* zeros = stage + kXBytes + kStrips * kStripScaleBytes + strip * kStripZeroBytes + lane / 4 * kFeatures;
#pragma unroll
  for (int tile = 0; tile < kChunkTiles; tile++) {
    const uint4* loads = words + tile * kTileLoads;
#if QP_WEIGHTS == QP_INT8
    qp_multiply_tile(totals.whole, x + tile * kTile * 2, [&](uint32_t (&to)[4], int j) {
      qp_expand(to, qp_first_word(loads, j), qp_second_word(loads, j));
    });
#elif QP_WEIGHTS == QP_NF4
    qp_multiply_tile(totals.part, x + tile * kTile * 2, [&](uint32_t (&to)[4], int j) {
      qp_expand(to, qp_first_word(loads, j), table, lane * 4);
    });
#else
    const int at = (half * kChunk + tile * kTile) / kGroup * kStrip;
    const uint32_t points = QP_ASYMMETRIC ? *reinterpret_cast<const uint32_t*>(zeros + at) : 0x08080808u;
    qp_multiply_tile(totals.part, x + tile * kTile * 2, [&](uint32_t (&to)[4], int j) {
      qp_expand(to, qp_first_word(loads, j), qp_prepare_zero(points, j));
    });
#endif
    if (has_next) qp_load_tile(words, next, tile);
    if (kHasGroups && ((tile + 1) % kGroupTiles == 0 || tile + 1 == kChunkTiles))
      qp_close_group(totals, scales + (half * kChunk + tile * kTile) / kGroup * kStrip * kScaleBytes);
  }
}

// ---- The ends ----

// The sums of both halves, in the warps of the first.
QP_DEVICE void qp_add_halves(float (&sums)[kSums], unsigned char* memory, int strip, int half, int lane) {
  float* mine = reinterpret_cast<float*>(memory) + strip * kSums * 32 + lane;
  qp_sync();
  if (half == 1)
#pragma unroll
    for (int i = 0; i < kSums; i++) mine[i * 32] = sums[i];
  qp_sync();
  if (half == 0)
#pragma unroll
    for (int i = 0; i < kSums; i++) sums[i] += mine[i * 32];
}

// The sums of all parts of K, in the block that arrives last; false in the others.
QP_DEVICE bool qp_add_parts(float (&sums)[kSums], float* scratch, uint32_t* counters, int split, int strip, int half,
                            int lane) {
  if (split == 1) return true;
  const int tile = blockIdx.y * gridDim.x + blockIdx.x;
  constexpr int kPart = kStrips * kSums * 32;
  float* parts = scratch + static_cast<size_t>(tile) * split * kPart + strip * kSums * 32 + lane;
  if (half == 0)
#pragma unroll
    for (int i = 0; i < kSums; i++) parts[static_cast<size_t>(blockIdx.z) * kPart + i * 32] = sums[i];
  if (!qp_is_last_block(counters + tile, split)) return false;
  if (half == 0) {
#pragma unroll
    for (int i = 0; i < kSums; i++) sums[i] = 0;
#pragma unroll 1
    for (int part = 0; part < split; part++)
#pragma unroll
      for (int i = 0; i < kSums; i++) sums[i] += qp_load_fresh(parts + static_cast<size_t>(part) * kPart + i * 32);
  }
  return true;
}

QP_DEVICE void qp_write(const float (&sums)[kSums], const qp_problem& of, const qp_act* bias, qp_act* y, int strip,
                        int lane) {
#pragma unroll
  for (int j = 0; j < kFeatures; j++) {
    const int feature = strip * kStrip + j * 8 + lane / 4;
    if (feature >= of.n) continue;
    const float scale = kHasGroups ? 1 : reinterpret_cast<const float*>(of.scales)[feature];
    const float add = bias ? qp_act_to_float(bias[feature]) : 0;
#pragma unroll
    for (int i = 0; i < 2 * kColumns; i++) {
      const int row = blockIdx.x * QP_TILE_M + i / 2 * 8 + lane % 4 * 2 + i % 2;
      const float sum = sums[(i / 2 * kPairs + j / 2) * 4 + j % 2 * 2 + i % 2];
      if (row < of.m) y[static_cast<size_t>(row) * of.n + feature] = qp_act_from_float(sum * scale + add);
    }
  }
}

QP_DEVICE void qp_gemm(const qp_act* x, const uint4* packed, const void* scales, const void* zeros, const qp_act* bias,
                       qp_act* y, float* scratch, uint32_t* counters, int m, int n, int k, int split) {
  QP_SHARED_DYNAMIC(memory);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, half = warp / kStrips;
  const int strip = blockIdx.y * kStrips + warp % kStrips;
  const qp_problem of = {x, static_cast<const unsigned char*>(scales), static_cast<const unsigned char*>(zeros),
                         m, n, k, qp_tiles(k), (n + kStrip - 1) / kStrip,
                         (reinterpret_cast<size_t>(x) | k * sizeof(qp_act)) % 16 == 0};
  const int stages = (of.tiles * kTile + kStage - 1) / kStage, share = (stages + split - 1) / split;
  const int first = min(stages, static_cast<int>(blockIdx.z) * share), last = min(stages, first + share);

  // This warp's words, stage by stage: the last stage may have none for the second half.
  const int first_tile = (first * kHalves + half) * kChunkTiles, last_tile = min(of.tiles, last * kHalves * kChunkTiles);
  const int tiles_left = strip < of.strips ? last_tile - first_tile : 0;
  const uint4* next = qp_lane_weights(packed, tiles_left > 0 ? strip : 0, of.tiles, tiles_left > 0 ? first_tile : 0, lane);
  uint4 words[kLoads] = {};
  if (tiles_left > 0)
#pragma unroll
    for (int tile = 0; tile < kChunkTiles; tile++) qp_load_tile(words, next, tile);
  int to_load = tiles_left - kHalves * kChunkTiles;

#pragma unroll
  for (int i = 0; i < kStages - 1; i++) {
    if (first + i < last) qp_copy_stage(memory + i * kStageBytes, of, first + i);
    qp_copy_commit();
  }
#if QP_WEIGHTS == QP_NF4
  qp_fill_pairs(memory + kTableAt);
#endif
  qp_totals totals = {};
  int slot = 0;
#pragma unroll 1
  for (int stage = first; stage < last; stage++) {
    qp_copy_wait<kStages - 2>();
    qp_sync();
    const int ahead = stage + kStages - 1, free = slot == 0 ? kStages - 1 : slot - 1;
    if (ahead < last) qp_copy_stage(memory + free * kStageBytes, of, ahead);
    qp_copy_commit();
    next += kHalves * kLoads * 32;
    qp_multiply_stage(totals, words, next, to_load > 0, memory + slot * kStageBytes, memory + kTableAt,
                      warp % kStrips, half, lane);
    to_load -= kHalves * kChunkTiles;
    slot = slot + 1 == kStages ? 0 : slot + 1;
  }
  qp_copy_wait<0>();
  float sums[kSums];
#pragma unroll
  for (int i = 0; i < kSums; i++) sums[i] = totals.whole[i / 4 / kPairs][i / 4 % kPairs][i % 4];
  qp_add_halves(sums, memory, warp % kStrips, half, lane);
  if (!qp_add_parts(sums, scratch, counters, split, warp % kStrips, half, lane)) return;
  if (half == 0) qp_write(sums, of, bias, y, strip, lane);
}
