// y = x · Wᵀ + b for few rows, without tensor cores: each byte of the weight is read once, 16 at a time.
//
// A block computes QP_TILE_M rows of a strip. Its warps take chunks of K in turn, and add up at the end, in a fixed order.
// A chunk is loaded while the one before is computed. x lies in shared memory as float, QP_TILE_K of K at a time, and
// each 8 of its values serve four features. Sums are float32; scales and zero points are applied to sums of a group.

#pragma once

#include "weights.cuh"

constexpr int kRows = QP_TILE_M;
constexpr int kWarps = QP_THREADS / 32;
constexpr int kLoads = 4;
constexpr int kChunkTiles = kLoads / kTileLoads;
constexpr int kChunk = kChunkTiles * kTile;
constexpr int kPanel = QP_TILE_K;
constexpr int kPanelPasses = kPanel / (kChunk * kWarps);
static_assert(kPanelPasses * kChunk * kWarps == kPanel, "each warp takes as many chunks of a panel");
static_assert(QP_TILE_N == kStrip, "a block computes one strip");
static_assert(kRows * kStrip <= QP_THREADS, "a thread for each result");

// Behind x, for 4-bit integers: the sums of each 8 of its values, with the bias of each weight, and plain.
constexpr int kSumsBytes = QP_WEIGHTS == QP_INT4 ? kRows * (kPanel / kAlong) * 8 : 0;
constexpr int kTableAt = kRows * kPanel * 4 + kSumsBytes;
static_assert(QP_SHARED_BYTES == kTableAt + (QP_WEIGHTS == QP_NF4 ? kTableBytes : 0), "shared_bytes in the manifest");
static_assert(kWarps * kRows * kStrip * 4 <= kTableAt, "the sums of all warps fit where x was");

struct qp_chunk {
  uint4 words[kLoads];
#if QP_WEIGHTS == QP_INT4
  uint2 scales[kChunkTiles];  // Four bfloat16; of the tile where a group begins.
  uint32_t zeros[kChunkTiles];
#elif QP_WEIGHTS == QP_NF4
  uint4 scales[kChunkTiles];  // Four float.
#endif
};

struct qp_source {
  const uint4* packed;
  const void* scales;
  const uint32_t* zeros;
  int strip, tiles, shift, lane;
};

QP_DEVICE void qp_load_chunk(qp_chunk& chunk, const qp_source& from, int index) {
  const uint4* weights = qp_lane_weights(from.packed, from.strip, from.tiles, index * kChunkTiles, from.lane);
#pragma unroll
  for (int i = 0; i < kLoads; i++) chunk.words[i] = qp_load16_once(weights + i * 32);
#if QP_WEIGHTS != QP_INT8
  const int group = index * kChunk >> from.shift, groups = from.tiles * kTile >> from.shift;
#pragma unroll
  for (int tile = 0; tile < kChunkTiles; tile++) {
    if ((tile * kTile & ((1 << from.shift) - 1)) != 0) continue;
    const size_t at = qp_group_at(from.strip, groups, group + (tile * kTile >> from.shift)) / 4 + from.lane / 4;
#if QP_WEIGHTS == QP_INT4
    chunk.scales[tile] = qp_load8(static_cast<const uint2*>(from.scales) + at);
    chunk.zeros[tile] = from.zeros ? qp_load4(from.zeros + at) : 0x08080808u;
#else
    chunk.scales[tile] = qp_load16(static_cast<const uint4*>(from.scales) + at);
#endif
  }
#endif
}

// 8 values of a row of x from k on, 0 beyond its end.
QP_DEVICE void qp_load_x(float (&v)[kAlong], const qp_act* row, int k, int end, bool is_aligned) {
#pragma unroll
  for (int i = 0; i < kAlong; i++) v[i] = 0;
  if (is_aligned && k + kAlong <= end) {
#if QP_ACT == QP_FLOAT32
    const uint4 parts[2] = {qp_load16(row + k), qp_load16(row + k + 4)};
#pragma unroll
    for (int i = 0; i < kAlong; i++) v[i] = qp_bits_to_float(qp_word(parts[i / 4], i % 4));
#else
    const uint4 part = qp_load16(row + k);
#pragma unroll
    for (int i = 0; i < kAlong; i++) v[i] = qp_act_to_float(static_cast<qp_act>(qp_word(part, i / 2) >> (i % 2 * 16)));
#endif
  } else {
#pragma unroll
    for (int i = 0; i < kAlong; i++)
      if (k + i < end) v[i] = qp_act_to_float(row[k + i]);
  }
}

// A panel of x from k = `first` on, and the sums of each 8 values.
QP_DEVICE void qp_fill_panel(float* panel, float* sums, const qp_act* x, int first, int end, int m, int k, bool is_aligned) {
  const int row0 = blockIdx.y * kRows;
#pragma unroll 1
  for (int i = threadIdx.x; i < kRows * (kPanel / kAlong); i += QP_THREADS) {
    const int row = i / (kPanel / kAlong), column = i % (kPanel / kAlong) * kAlong;
    if (first + column >= end) continue;
    float v[kAlong];
    const int inside = row0 + row < m ? k : 0;
    qp_load_x(v, x + static_cast<size_t>(inside ? row0 + row : 0) * k, first + column, inside, is_aligned);
    float biased = 0, plain = 0;
#pragma unroll
    for (int j = 0; j < kAlong; j++) biased += qp_bias(j) * v[j], plain += v[j];
    float* to = panel + row * kPanel + column;
#pragma unroll
    for (int j = 0; j < kAlong; j += 4)
      qp_store16_shared(to + j, make_uint4(qp_float_to_bits(v[j]), qp_float_to_bits(v[j + 1]),
                                           qp_float_to_bits(v[j + 2]), qp_float_to_bits(v[j + 3])));
    if (QP_WEIGHTS == QP_INT4) sums[2 * i] = biased, sums[2 * i + 1] = plain;
  }
}

struct qp_sums {
  float part[kRows][kFeatures];   // Of the group so far, of codes.
  float biased[kRows], plain[kRows];
  float whole[kRows][kFeatures];
};

// The end of a group, whose last tile is `tile`: its sums become numbers.
QP_DEVICE void qp_close_group(qp_sums& sums, const qp_chunk& chunk, int tile, int shift) {
#if QP_WEIGHTS != QP_INT8
  // A choice among registers: an index that is not constant would put the chunk into memory.
  const auto& one = chunk.scales[tile], &two = chunk.scales[tile & ~1], &four = chunk.scales[0];
  const auto scales = shift == 5 ? one : shift == 6 ? two : four;
#if QP_WEIGHTS == QP_INT4
  const uint32_t zeros = shift == 5 ? chunk.zeros[tile] : shift == 6 ? chunk.zeros[tile & ~1] : chunk.zeros[0];
#endif
#pragma unroll
  for (int j = 0; j < kFeatures; j++) {
#if QP_WEIGHTS == QP_INT4
    const uint32_t pair = j < 2 ? scales.x : scales.y;
    const float scale = j % 2 ? qp_bfloat16_high(pair) : qp_bfloat16_low(pair);
    const float zero = qp_byte_to_float(zeros, j, 0);
#else
    const float scale = qp_bits_to_float(qp_word(scales, j)), zero = 0;
#endif
#pragma unroll
    for (int row = 0; row < kRows; row++) {
      const float part = sums.part[row][j] - sums.biased[row] - zero * sums.plain[row];
      sums.whole[row][j] += scale * part;
      sums.part[row][j] = 0;
    }
  }
#pragma unroll
  for (int row = 0; row < kRows; row++) sums.biased[row] = sums.plain[row] = 0;
#endif
}

// `panel` and `panel_sums` are those of this lane's first value of the chunk.
QP_DEVICE void qp_multiply_chunk(qp_sums& sums, const qp_chunk& chunk, const float* panel, const float* panel_sums,
                                 const void* table, int lane, int shift) {
#pragma unroll
  for (int tile = 0; tile < kChunkTiles; tile++) {
    float w[kFeatures][kAlong];
#pragma unroll
    for (int j = 0; j < kFeatures; j++) {
      const uint4* loads = chunk.words + tile * kTileLoads;
      qp_decode(w[j], qp_first_word(loads, j), qp_second_word(loads, j), table, lane * 4);
    }
#pragma unroll
    for (int row = 0; row < kRows; row++) {
      const float* from = panel + row * kPanel + tile * kTile;
      const uint4 low = qp_load16_shared(from), high = qp_load16_shared(from + 4);
#pragma unroll
      for (int i = 0; i < kAlong; i++) {
        const float v = qp_bits_to_float(qp_word(i < 4 ? low : high, i % 4));
#pragma unroll
        for (int j = 0; j < kFeatures; j++) {
          float& sum = kHasGroups ? sums.part[row][j] : sums.whole[row][j];
          sum += v * w[j][i];
        }
      }
      if (QP_WEIGHTS == QP_INT4) {
        const float* both = panel_sums + (row * kPanel + tile * kTile) / kAlong * 2;
        sums.biased[row] += both[0], sums.plain[row] += both[1];
      }
    }
    if (kHasGroups && ((tile + 1) * kTile & ((1 << shift) - 1)) == 0) qp_close_group(sums, chunk, tile, shift);
  }
}

// The sums of all warps, for thread `row · 32 + feature`; `memory` is free from here on.
QP_DEVICE float qp_reduce_warps(const qp_sums& sums, float* memory, int warp, int lane) {
  qp_sync();
#pragma unroll
  for (int row = 0; row < kRows; row++)
#pragma unroll
    for (int j = 0; j < kFeatures; j++) {
      float v = sums.whole[row][j];
      v += qp_shuffle_xor(v, 1);
      v += qp_shuffle_xor(v, 2);
      if (lane % 4 == 0) memory[(warp * kRows + row) * kStrip + j * 8 + lane / 4] = v;
    }
  qp_sync();
  float sum = 0;
  if (threadIdx.x < kRows * kStrip)
#pragma unroll
    for (int i = 0; i < kWarps; i++) sum += memory[i * kRows * kStrip + threadIdx.x];
  return sum;
}

// The sums of all parts of K, in the block that arrives last; false in the others.
QP_DEVICE bool qp_reduce_parts(float& sum, float* scratch, uint32_t* counters, int split) {
  if (split == 1) return true;
  const int tile = blockIdx.y * gridDim.x + blockIdx.x;
  float* parts = scratch + static_cast<size_t>(tile) * split * (kRows * kStrip) + threadIdx.x;
  const bool is_mine = threadIdx.x < kRows * kStrip;
  if (is_mine) parts[blockIdx.z * (kRows * kStrip)] = sum;
  if (!qp_is_last_block(counters + tile, split)) return false;
  if (threadIdx.x == 0) counters[tile] = 0;
  sum = 0;
  if (is_mine)
    for (int i = 0; i < split; i++) sum += qp_load_fresh(parts + i * (kRows * kStrip));
  return true;
}

QP_DEVICE void qp_gemv(const qp_act* x, const uint4* packed, const void* scales, const uint32_t* zeros,
                       const qp_act* bias, qp_act* y, float* scratch, uint32_t* counters, int m, int n, int k,
                       int group, int split) {
  QP_SHARED_DYNAMIC(memory);
  float* panel = reinterpret_cast<float*>(memory);
  float* panel_sums = panel + kRows * kPanel;
  unsigned char* table = memory + kTableAt;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const qp_source from = {packed, scales, zeros, static_cast<int>(blockIdx.x), qp_tiles(k), qp_group_shift(group), lane};
  const bool is_aligned = (reinterpret_cast<size_t>(x) | k * sizeof(qp_act)) % 16 == 0;
  if (QP_WEIGHTS == QP_NF4) qp_fill_table(table, threadIdx.x, QP_THREADS);

  const int chunks = from.tiles / kChunkTiles, share = (chunks + split - 1) / split;
  const int first = min(chunks, static_cast<int>(blockIdx.z) * share), last = min(chunks, first + share);
  qp_chunk chunk, next;
  qp_sums sums = {};
  if (first + warp < last) qp_load_chunk(next, from, first + warp);
#pragma unroll 1
  for (int pass = 0; first + pass * kWarps < last; pass++) {
    const int panel_pass = pass % kPanelPasses, index = first + pass * kWarps + warp;
    if (panel_pass == 0) {
      qp_sync();
      qp_fill_panel(panel, panel_sums, x, (first + pass * kWarps) * kChunk, last * kChunk, m, k, is_aligned);
      qp_sync();
    }
    chunk = next;
    if (index + kWarps < last) qp_load_chunk(next, from, index + kWarps);
    if (index < last) {
      const int column = (panel_pass * kWarps + warp) * kChunk + lane % 4 * kAlong;
      qp_multiply_chunk(sums, chunk, panel + column, panel_sums + column / kAlong * 2, table, lane, from.shift);
    }
  }

  float sum = qp_reduce_warps(sums, panel, warp, lane);
  if (!qp_reduce_parts(sum, scratch, counters, split)) return;
  const int row = blockIdx.y * kRows + threadIdx.x / kStrip, feature = blockIdx.x * kStrip + threadIdx.x % kStrip;
  if (threadIdx.x >= kRows * kStrip || row >= m || feature >= n) return;
  if (!kHasGroups) sum *= static_cast<const float*>(scales)[feature];
  if (bias) sum += qp_act_to_float(bias[feature]);
  y[static_cast<size_t>(row) * n + feature] = qp_act_from_float(sum);
}
