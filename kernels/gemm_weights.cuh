// y = x · Wᵀ + b on tensor cores, for few to 128 rows: the weight is streamed in the order in which it is multiplied, once for
// QP_TILE_M rows, 128 at most. Beyond, blocks of the same strips are neighbours in the grid: the second finds it in L2.
//
// A block computes QP_TILE_M rows of QP_TILE_N / 32 strips. Weights, scales and x come through a ring of stages of
// QP_TILE_K along K in shared memory, copied asynchronously: what is on its way is bounded by the ring, not by
// registers, and up to 16 rows two blocks have some 96 KB of weights on their way to a multiprocessor. Each strip has as
// many warps as every other, and these share each stage: each takes a slice of it along K, and the sums of the slices are
// added at the end, in their order. So blocks for few rows can be narrow, and are enough to fill a card without cutting K.
//
// The weights are the first operand of MMAs of 16 features, 8 rows of x and 16 along K: a lane's 16 bytes are its part of
// four of them, and 16 bytes of a row of x, as they lie, its part of both on the other side. With fewer than 8 rows, the
// last stands for those that are not there; what is computed of them is not written. Codes are integers, exact in 16 bits;
// scales are applied to the float32 sums of a group, and for few rows zero points are.
//
// The sums of 128 rows would not fit the registers of four warps, twice as they are there: of the group and of all. So four
// warps take 64 rows each over the whole stage, and four the others; weights are expanded by both warps of a strip. That
// costs each of them some 36 instructions for 32 MMAs, which keep a scheduler's tensor core busy for 4 to 8 clocks each. A
// warp for 16 features of all rows would expand once, but read 256 bytes of x for each MMA where this one reads 128: as
// many as shared memory gives in the time.

#pragma once

#include "gemm_weights_layout.cuh"
#include "parts.cuh"

// ---- Products ----

struct qp_totals {
  float part[kColumns][kPairs][4];  // Of the group so far.
  float plain[kColumns][4];         // Of x alone, where zero points are taken off the sums.
  float whole[kColumns][kPairs][4];
};

// Adds one tile. `x` is at this lane's first value.
template <class Expand>
QP_DEVICE void qp_multiply_tile(qp_totals& totals, const unsigned char* x, Expand expand) {
  float (&sums)[kColumns][kPairs][4] = kHasGroups ? totals.part : totals.whole;
  uint4 rows[kColumns];
#pragma unroll
  for (int i = 0; i < kColumns; i++) rows[i] = qp_load16_shared(x + i * 8 * kRowBytes);
#if QP_WEIGHTS == QP_INT4
  if constexpr (kTakesZerosOffSums) {
    const uint32_t ones[4] = {kOnes, kOnes, kOnes, kOnes};
#pragma unroll
    for (int i = 0; i < kColumns; i++) {
      const uint32_t a[2] = {rows[i].x, rows[i].y}, b[2] = {rows[i].z, rows[i].w};
      qp_mma_act_16x8x16(totals.plain[i], ones, a);
      qp_mma_act_16x8x16(totals.plain[i], ones, b);
    }
  }
#endif
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

// The end of a group: its sums become numbers. `scales` is at the lane's four of the group, which have `zeros`.
QP_DEVICE void qp_close_group(qp_totals& totals, const unsigned char* scales, [[maybe_unused]] uint32_t zeros) {
#if QP_WEIGHTS == QP_INT4
  if constexpr (kTakesZerosOffSums) {
#pragma unroll
    for (int j = 0; j < kFeatures; j++) {
      const float excess = QP_ASYMMETRIC ? qp_byte_to_float(zeros, j, -kOffset) : kOffset + kZero;
#pragma unroll
      for (int i = 0; i < kColumns; i++)
#pragma unroll
        for (int c = 0; c < 2; c++) totals.part[i][j / 2][j % 2 * 2 + c] -= excess * totals.plain[i][c];
    }
#pragma unroll
    for (int i = 0; i < kColumns; i++) totals.plain[i][0] = totals.plain[i][1] = totals.plain[i][2] = totals.plain[i][3] = 0;
  }
#endif
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

// Where a lane reads its part of a stage in shared memory: kept from stage to stage and moved on.
struct qp_reader {
  int x[2], scales, zeros, words;  // `x` is where the even tiles are, and the odd ones.
};

QP_DEVICE qp_reader qp_read_first(const qp_place& at) {
  const int row = at.upper * kRows + min(at.lane / 4, kRows - 1), flip = row % 2 * kFlip;
  const int x = row * kRowBytes + (at.slice * kSlice + at.lane % 4 * kAlong) * 2;
  const int group = at.slice * kSlice / kGroup * kStrip + at.lane / 4 * kFeatures;
  return {{x ^ flip, x + kTile * 2 ^ flip},
          kXBytes + at.strip * kStripScaleBytes + group * kScaleBytes,
          kZerosAt + at.strip * kStripZeroBytes + group,
          kWordsAt + at.strip * kStripWordBytes + at.slice * kSliceTiles * kTileBytes + at.lane * 16};
}

QP_DEVICE void qp_read_next(qp_reader& from, int step) {
  from.x[0] += step, from.x[1] += step, from.scales += step, from.zeros += step, from.words += step;
}

// A warp's slice of a stage. `table` is for NormalFloat, at this lane's bank.
QP_DEVICE void qp_multiply_stage(qp_totals& totals, const unsigned char* memory, const qp_reader& from,
                                 [[maybe_unused]] const unsigned char* table) {
#pragma unroll
  for (int tile = 0; tile < kSliceTiles; tile++) {
    const int group = tile / kGroupTiles * kStrip;
    const unsigned char* x = memory + from.x[tile % 2] + tile / 2 * kTile * 4;
    uint4 loads[kTileLoads];
#pragma unroll
    for (int i = 0; i < kTileLoads; i++)
      loads[i] = qp_load16_shared(memory + from.words + tile * kTileBytes + i * 512);
    uint32_t zeros = kZeros;
#if QP_WEIGHTS == QP_INT8
    qp_multiply_tile(totals, x, [&](uint32_t (&to)[4], int j) {
      qp_expand(to, qp_first_word(loads, j), qp_second_word(loads, j));
    });
#elif QP_WEIGHTS == QP_NF4
    qp_multiply_tile(totals, x, [&](uint32_t (&to)[4], int j) {
      qp_expand(to, qp_first_word(loads, j), table);
    });
#else
    if constexpr (QP_ASYMMETRIC) zeros = *reinterpret_cast<const uint32_t*>(memory + from.zeros + group);
    qp_multiply_tile(totals, x, [&](uint32_t (&to)[4], int j) {
      if constexpr (kTakesZerosOffSums) qp_expand_codes(to, qp_first_word(loads, j));
      else qp_expand(to, qp_first_word(loads, j), QP_ASYMMETRIC ? qp_prepare_zero(zeros, j) : qp_make_zero(kZero | kZero << 16));
    });
#endif
    if (kHasGroups && ((tile + 1) % kGroupTiles == 0 || tile + 1 == kSliceTiles))
      qp_close_group(totals, memory + from.scales + group * kScaleBytes, zeros);
  }
}

// ---- The ends ----

// Of a lane's sums, where that of its row i and feature j is, and which of the block's tile these are.
QP_DEVICE constexpr int qp_sum_at(int i, int j) { return (i / 2 * kPairs + j / 2) * 4 + j % 2 * 2 + i % 2; }
QP_DEVICE int qp_row_of(int i, const qp_place& at) { return at.upper * kRows + i / 2 * 8 + at.lane % 4 * 2 + i % 2; }
QP_DEVICE int qp_feature_of(int j, const qp_place& at) { return at.strip * kStrip + j * 8 + at.lane / 4; }

// The sums of all slices, in the warps of the first.
QP_DEVICE void qp_add_slices(float (&sums)[kSums], unsigned char* memory, const qp_place& at) {
  constexpr int kOfSlice = kStrips * kSums * 32;
  float* others = reinterpret_cast<float*>(memory) + at.strip * kSums * 32 + at.lane;
  qp_sync_warps();
  if (at.slice > 0)
#pragma unroll
    for (int i = 0; i < kSums; i++) others[(at.slice - 1) * kOfSlice + i * 32] = sums[i];
  qp_sync_warps();
  if (at.slice == 0)
#pragma unroll
    for (int slice = 1; slice < kSlices; slice++)
#pragma unroll
      for (int i = 0; i < kSums; i++) sums[i] += others[(slice - 1) * kOfSlice + i * 32];
}

// Calls `take` with each of a lane's sums that the tile has, and with its place in the tile.
template <class Take>
QP_DEVICE void qp_each_sum(float (&sums)[kSums], const qp_place& at, Take take) {
#pragma unroll
  for (int i = 0; i < 2 * kColumns; i++)
#pragma unroll
    for (int j = 0; j < kFeatures; j++)
      if (qp_row_of(i, at) < QP_TILE_M)
        take(sums[qp_sum_at(i, j)], qp_row_of(i, at) * QP_TILE_N + qp_feature_of(j, at));
}

// The sums of all parts of K, in the block that arrives last; false in the others.
QP_DEVICE bool qp_add_parts(float (&sums)[kSums], float* scratch, uint32_t* counters, int split, const qp_place& at) {
  if (split == 1) return true;
  constexpr int kPart = QP_TILE_M * QP_TILE_N;
  const int tile = blockIdx.y * gridDim.x + blockIdx.x;
  float* parts = scratch + static_cast<size_t>(tile) * split * kPart;
  float* mine = parts + static_cast<size_t>(blockIdx.z) * kPart;
  if (at.slice == 0) qp_each_sum(sums, at, [&](float& sum, int place) { mine[place] = sum; });
  if (!qp_is_last_block<(QP_COPIERS > 0 ? kWarps * 32 : 0)>(counters + tile, split)) return false;
  if (at.slice > 0) return true;
#pragma unroll
  for (int i = 0; i < kSums; i++) sums[i] = 0;
#pragma unroll 1
  for (int part = 0; part < split; part++)
    qp_each_sum(sums, at, [&](float& sum, int place) {
      sum += qp_load_fresh(parts + static_cast<size_t>(part) * kPart + place);
    });
  return true;
}

// What is added to the sums of the tile's features, and what they are multiplied with before.
struct qp_ends {
  float *bias, *scale;
};

// Brought while the first stages are on their way: at the end they would be waited for.
QP_DEVICE qp_ends qp_bring_ends(unsigned char* memory, const qp_problem& of, const qp_act* bias) {
  float* ends = reinterpret_cast<float*>(memory + kEndsAt);
  const int feature = blockIdx.y * QP_TILE_N + threadIdx.x;
  const bool is_there = feature < of.n;
  if (threadIdx.x < QP_TILE_N) {
    ends[threadIdx.x] = is_there && bias ? qp_act_to_float(bias[feature]) : 0.0f;
    if (!kHasGroups)
      ends[QP_TILE_N + threadIdx.x] = is_there ? reinterpret_cast<const float*>(of.scales)[feature] : 0.0f;
  }
  return {ends, ends + QP_TILE_N};
}

QP_DEVICE void qp_write(const float (&sums)[kSums], const qp_ends& ends, const qp_problem& of, qp_act* y,
                        const qp_place& at) {
#pragma unroll
  for (int j = 0; j < kFeatures; j++) {
    const int within = qp_feature_of(j, at), feature = blockIdx.y * QP_TILE_N + within;
    if (feature >= of.n) continue;
    const float scale = kHasGroups ? 1 : ends.scale[within];
    const float add = ends.bias[within];
#pragma unroll
    for (int i = 0; i < 2 * kColumns; i++) {
      if (qp_row_of(i, at) >= QP_TILE_M) continue;
      const int row = blockIdx.x * QP_TILE_M + qp_row_of(i, at);
      const float value = sums[qp_sum_at(i, j)] * scale + add;
      if (row < of.m) y[static_cast<size_t>(row) * of.n + feature] = qp_act_from_float(value);
    }
  }
}

// From a warp's sums over all its stages to its part of y.
QP_DEVICE void qp_finish(const qp_totals& totals, unsigned char* memory, const qp_ends& ends, const qp_problem& of, qp_act* y,
                         float* scratch, uint32_t* counters, int split, const qp_place& at) {
  float sums[kSums];
#pragma unroll
  for (int i = 0; i < kSums; i++) sums[i] = totals.whole[i / 4 / kPairs][i / 4 % kPairs][i % 4];
  if constexpr (kSlices > 1) qp_add_slices(sums, memory, at);
  if (!qp_add_parts(sums, scratch, counters, split, at)) return;
  if (at.slice == 0) qp_write(sums, ends, of, y, at);
}
