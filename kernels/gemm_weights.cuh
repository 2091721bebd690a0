// y = x · Wᵀ + b on tensor cores, for few to 128 rows: the weight is streamed in the order in which it is multiplied, once for
// QP_TILE_M rows, 128 at most. Beyond, blocks of the same strips are neighbours in the grid: the second finds it in L2.
//
// A block computes QP_TILE_M rows of four strips. Up to 64 rows, four of its warps take a strip each, over one half of each
// stage of QP_TILE_K along K, four over the other; the halves are added at the end. The weights are the first operand of
// MMAs of 16 features, 8 rows of x and 16 along K: a lane's 16 bytes are its part of four of them, and 16 bytes of a row of
// x, as they lie, its part of both on the other side. Weights go from memory to registers, each tile when its predecessor
// is used up; x and the scales come through a ring of stages in shared memory, copied asynchronously. Codes are integers,
// exact in 16 bits; scales are applied to the float32 sums of a group.
//
// The sums of 128 rows would not fit the registers of four warps, twice as they are there: of the group and of all. So four
// warps take 64 rows each over the whole stage, and four the others; the weights come through the ring as x does, read
// from memory once by the block and expanded by both warps of a strip. That costs each of them some 36 instructions for 32
// MMAs, which keep a scheduler's tensor core busy for 4 to 8 clocks each. A warp for 16 features of all rows would expand
// once, but read 256 bytes of x for each MMA where this one reads 128: as many as shared memory gives in the time.

#pragma once

#include "gemm_weights_stage.cuh"

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

// A warp's part of a stage; loads the words of the next one, if there are any and they do not come with the stage.
QP_DEVICE void qp_multiply_stage(qp_totals& totals, uint4 (&words)[kLoads], const uint4* next, bool has_next,
                                 const unsigned char* stage, const unsigned char* table, const qp_place& at) {
  const int first = at.half * kChunk, row = at.upper * kRows + at.lane / 4;
  const unsigned char* x = stage + row * kRowBytes + (first + at.lane % 4 * kAlong) * 2;
  const unsigned char* scales = stage + kXBytes + at.strip * kStripScaleBytes + at.lane / 4 * kFeatures * kScaleBytes;
  const unsigned char* zeros = stage + kZerosAt + at.strip * kStripZeroBytes + at.lane / 4 * kFeatures;
  const unsigned char* shared = stage + kWordsAt + at.strip * kStripWordBytes + at.lane * 16;
#pragma unroll
  for (int tile = 0; tile < kChunkTiles; tile++) {
    const int k = first + tile * kTile, x_at = tile * kTile * 2 ^ row % 2 * kFlip;
    uint4 loads[kTileLoads];
#pragma unroll
    for (int i = 0; i < kTileLoads; i++)
      loads[i] = kRowParts > 1 ? qp_load16_shared(shared + (tile * kTileLoads + i) * 512) : words[tile * kTileLoads + i];
#if QP_WEIGHTS == QP_INT8
    qp_multiply_tile(totals.whole, x + x_at, [&](uint32_t (&to)[4], int j) {
      qp_expand(to, qp_first_word(loads, j), qp_second_word(loads, j));
    });
#elif QP_WEIGHTS == QP_NF4
    qp_multiply_tile(totals.part, x + x_at, [&](uint32_t (&to)[4], int j) {
      qp_expand(to, qp_first_word(loads, j), table, at.lane * 4);
    });
#else
    const uint32_t points =
        QP_ASYMMETRIC ? *reinterpret_cast<const uint32_t*>(zeros + k / kGroup * kStrip) : 0x08080808u;
    qp_multiply_tile(totals.part, x + x_at, [&](uint32_t (&to)[4], int j) {
      qp_expand(to, qp_first_word(loads, j), qp_prepare_zero(points, j));
    });
#endif
    if (kRowParts == 1 && has_next) qp_load_tile(words, next, tile);
    if (kHasGroups && ((tile + 1) % kGroupTiles == 0 || tile + 1 == kChunkTiles))
      qp_close_group(totals, scales + k / kGroup * kStrip * kScaleBytes);
  }
}

// ---- The ends ----

// The sums of both halves, in the warps of the first.
QP_DEVICE void qp_add_halves(float (&sums)[kSums], unsigned char* memory, const qp_place& at) {
  float* mine = reinterpret_cast<float*>(memory) + at.strip * kSums * 32 + at.lane;
  qp_sync();
  if (at.half == 1)
#pragma unroll
    for (int i = 0; i < kSums; i++) mine[i * 32] = sums[i];
  qp_sync();
  if (at.half == 0)
#pragma unroll
    for (int i = 0; i < kSums; i++) sums[i] += mine[i * 32];
}

// The sums of all parts of K, in the block that arrives last; false in the others.
QP_DEVICE bool qp_add_parts(float (&sums)[kSums], float* scratch, uint32_t* counters, int split, const qp_place& at) {
  if (split == 1) return true;
  const int tile = blockIdx.y * gridDim.x + blockIdx.x;
  constexpr int kPart = kRowParts * kStrips * kSums * 32;
  float* parts = scratch + static_cast<size_t>(tile) * split * kPart + (at.upper * kStrips + at.strip) * kSums * 32 + at.lane;
  if (at.half == 0)
#pragma unroll
    for (int i = 0; i < kSums; i++) parts[static_cast<size_t>(blockIdx.z) * kPart + i * 32] = sums[i];
  if (!qp_is_last_block(counters + tile, split)) return false;
  if (at.half == 0) {
#pragma unroll
    for (int i = 0; i < kSums; i++) sums[i] = 0;
#pragma unroll 1
    for (int part = 0; part < split; part++)
#pragma unroll
      for (int i = 0; i < kSums; i++) sums[i] += qp_load_fresh(parts + static_cast<size_t>(part) * kPart + i * 32);
  }
  return true;
}

QP_DEVICE void qp_write(const float (&sums)[kSums], const qp_problem& of, const qp_act* bias, qp_act* y,
                        const qp_place& at) {
#pragma unroll
  for (int j = 0; j < kFeatures; j++) {
    const int feature = (blockIdx.y * kStrips + at.strip) * kStrip + j * 8 + at.lane / 4;
    if (feature >= of.n) continue;
    const float scale = kHasGroups ? 1 : reinterpret_cast<const float*>(of.scales)[feature];
    const float add = bias ? qp_act_to_float(bias[feature]) : 0;
#pragma unroll
    for (int i = 0; i < 2 * kColumns; i++) {
      const int row = blockIdx.x * QP_TILE_M + at.upper * kRows + i / 2 * 8 + at.lane % 4 * 2 + i % 2;
      const float sum = sums[(i / 2 * kPairs + j / 2) * 4 + j % 2 * 2 + i % 2];
      if (row < of.m) y[static_cast<size_t>(row) * of.n + feature] = qp_act_from_float(sum * scale + add);
    }
  }
}

QP_DEVICE void qp_gemm(const qp_act* x, const uint4* packed, const void* scales, const void* zeros, const qp_act* bias,
                       qp_act* y, float* scratch, uint32_t* counters, int m, int n, int k, int split) {
  QP_SHARED_DYNAMIC(memory);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, pass = warp / kStrips;
  const qp_place at = {warp % kStrips, kHalves > 1 ? pass : 0, kRowParts > 1 ? pass : 0, lane};
  const int strip = blockIdx.y * kStrips + at.strip;
  const qp_problem of = {x, static_cast<const unsigned char*>(scales), static_cast<const unsigned char*>(zeros),
                         reinterpret_cast<const unsigned char*>(packed), m, n, k, qp_tiles(k), (n + kStrip - 1) / kStrip,
                         (reinterpret_cast<size_t>(x) | k * sizeof(qp_act)) % 16 == 0};
  const int stages = (of.tiles * kTile + kStage - 1) / kStage, share = (stages + split - 1) / split;
  const int first = min(stages, static_cast<int>(blockIdx.z) * share), last = min(stages, first + share);

  // This warp's words, stage by stage: the last stage may have none for the second half.
  const int first_tile = (first * kHalves + at.half) * kChunkTiles, last_tile = min(of.tiles, last * kHalves * kChunkTiles);
  const int tiles_left = kRowParts == 1 && strip < of.strips ? last_tile - first_tile : 0;
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
    qp_multiply_stage(totals, words, next, to_load > 0, memory + slot * kStageBytes, memory + kTableAt, at);
    to_load -= kHalves * kChunkTiles;
    slot = slot + 1 == kStages ? 0 : slot + 1;
  }
  qp_copy_wait<0>();
  float sums[kSums];
#pragma unroll
  for (int i = 0; i < kSums; i++) sums[i] = totals.whole[i / 4 / kPairs][i / 4 % kPairs][i % 4];
  if constexpr (kHalves > 1) qp_add_halves(sums, memory, at);
  if (!qp_add_parts(sums, scratch, counters, split, at)) return;
  if (at.half == 0) qp_write(sums, of, bias, y, at);
}
