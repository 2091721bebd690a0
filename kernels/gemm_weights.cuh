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

// Each slice's warps add up a part of the strip's sums over all slices, and write it, as many of each round as shared memory
// has room for.
constexpr int kOwn = kSums / kSlices;
constexpr int kRounds = kSlices * kStrips * kSums * 32 * 4 <= kEndsAt ? 1 : 2;
constexpr int kOwnOfRound = kOwn / kRounds, kOfRound = kSums / kRounds;
static_assert(kOwnOfRound * kRounds * kSlices == kSums, "as many sums for each slice and round");
static_assert(kSlices == 1 || kSlices * kStrips * kOfRound * 32 * 4 <= kEndsAt, "they fit where the stages were");

struct qp_sum {
  int number, row, feature;  // In the block's tile, which may have fewer rows.
};

// What a lane's own sum of that number is.
QP_DEVICE qp_sum qp_find_sum(int own, const qp_place& at) {
  const int number = own / kOwnOfRound * kOfRound + at.slice * kOwnOfRound + own % kOwnOfRound, pair = number / 4;
  return {number, at.upper * kRows + pair / kPairs * 8 + at.lane % 4 * 2 + number % 2,
          at.strip * kStrip + pair % kPairs * 16 + number % 4 / 2 * 8 + at.lane / 4};
}

// The lane's own sums, of all slices in their order.
QP_DEVICE void qp_add_slices(float (&sums)[kOwn], const qp_totals& totals, unsigned char* memory, const qp_place& at) {
  constexpr int kOfSlice = kStrips * kOfRound * 32;
  float* shared = reinterpret_cast<float*>(memory) + at.strip * kOfRound * 32 + at.lane;
#pragma unroll
  for (int round = 0; round < kRounds; round++) {
    qp_sync_warps();
#pragma unroll
    for (int i = round * kOfRound; i < (round + 1) * kOfRound; i++)
      shared[at.slice * kOfSlice + i % kOfRound * 32] = totals.whole[i / 4 / kPairs][i / 4 % kPairs][i % 4];
    qp_sync_warps();
#pragma unroll
    for (int own = round * kOwnOfRound; own < (round + 1) * kOwnOfRound; own++) {
      const float* from = shared + qp_find_sum(own, at).number % kOfRound * 32;
      sums[own] = from[0];
#pragma unroll
      for (int slice = 1; slice < kSlices; slice++) sums[own] += from[slice * kOfSlice];
    }
  }
}

// Calls `take` with each of a lane's own sums that the tile has, and with its place in the tile.
template <class Take>
QP_DEVICE void qp_each_sum(float (&sums)[kOwn], const qp_place& at, Take take) {
#pragma unroll
  for (int own = 0; own < kOwn; own++) {
    const qp_sum sum = qp_find_sum(own, at);
    if (sum.row < QP_TILE_M) take(sums[own], sum.row * QP_TILE_N + sum.feature);
  }
}

// The sums of all parts of K, in the block that arrives last; false in the others.
QP_DEVICE bool qp_add_parts(float (&sums)[kOwn], float* scratch, uint32_t* counters, int split, const qp_place& at) {
  if (split == 1) return true;
  constexpr int kPart = QP_TILE_M * QP_TILE_N;
  const int tile = qp_number_of_tile();
  float* parts = scratch + static_cast<size_t>(tile) * split * kPart;
  float* mine = parts + static_cast<size_t>(blockIdx.z) * kPart;
  qp_each_sum(sums, at, [&](float& sum, int place) { mine[place] = sum; });
  if (!qp_is_last_block<(QP_COPIERS > 0 ? kWarps * 32 : 0)>(counters + tile, split)) return false;
#pragma unroll
  for (int own = 0; own < kOwn; own++) sums[own] = 0;
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
  const int feature = qp_first_strip() * kStrip + threadIdx.x;
  const bool is_there = feature < of.n;
  if (threadIdx.x < QP_TILE_N) {
    // Fresh: what is promised to be there all along, the compiler may load before the kernel before has ended.
    ends[threadIdx.x] = is_there && bias ? qp_act_to_float(qp_load2_fresh(bias + feature)) : 0.0f;
    if (!kHasGroups)
      ends[QP_TILE_N + threadIdx.x] = is_there ? reinterpret_cast<const float*>(of.scales)[feature] : 0.0f;
  }
  return {ends, ends + QP_TILE_N};
}

QP_DEVICE void qp_write(const float (&sums)[kOwn], const qp_ends& ends, const qp_problem& of, qp_act* y,
                        const qp_place& at) {
  float values[kOwn];
#pragma unroll
  for (int own = 0; own < kOwn; own++) {
    const int feature = qp_find_sum(own, at).feature;
    values[own] = sums[own] * (kHasGroups ? 1 : ends.scale[feature]) + ends.bias[feature];
  }
#pragma unroll
  for (int own = 0; own < kOwn; own++) {
    const qp_sum sum = qp_find_sum(own, at);
    const int row = qp_first_row() + sum.row, feature = qp_first_strip() * kStrip + sum.feature;
    if (sum.row < QP_TILE_M && row < of.m && feature < of.n)
      y[static_cast<size_t>(row) * of.n + feature] = qp_act_from_float(values[own]);
  }
}

// From a warp's sums over all its stages to its part of y.
QP_DEVICE void qp_finish(const qp_totals& totals, unsigned char* memory, const qp_ends& ends, const qp_problem& of, qp_act* y,
                         float* scratch, uint32_t* counters, int split, const qp_place& at) {
  float sums[kOwn];
  if constexpr (kSlices > 1) {
    qp_add_slices(sums, totals, memory, at);
  } else {
#pragma unroll
    for (int i = 0; i < kSums; i++) sums[i] = totals.whole[i / 4 / kPairs][i / 4 % kPairs][i % 4];
  }
  if (qp_add_parts(sums, scratch, counters, split, at)) qp_write(sums, ends, of, y, at);
}
