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
constexpr int kChunkGroups = kHasGroups ? kChunk / kGroup : 0;
// On a multiprocessor: what bounds the registers. For 10.0 and later the compiler takes a few more, and would spill.
constexpr bool kIsTight = __CUDA_ARCH__ >= 1000 && (QP_WEIGHTS == QP_NF4 || (QP_WEIGHTS == QP_INT4 && kGroup < 128));
constexpr int kBlocks = QP_THREADS > 256 ? 1 : kRows == 1 ? (kIsTight ? 2 : 3) : kRows <= 4 ? 2 : 1;
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

// What a lane has loaded of a chunk. Each part is loaded for the next chunk as soon as it is used up.
struct qp_chunk {
  uint4 words[kLoads];
#if QP_WEIGHTS == QP_INT4
  uint2 scales[kChunkGroups];  // Four bfloat16.
  uint32_t zeros[kChunkGroups];
#elif QP_WEIGHTS == QP_NF4
  uint4 scales[kChunkGroups];  // Four float.
#endif
};

// Where the next chunk lies for this lane.
struct qp_source {
  const uint4* words;
#if QP_WEIGHTS == QP_INT4
  const uint2* scales;
#else
  const uint4* scales;
#endif
  const uint32_t* zeros;
};

QP_DEVICE qp_source qp_find_chunk(const uint4* packed, const void* scales, const uint32_t* zeros, int strip, int tiles,
                                  int index, int lane) {
  qp_source from = {qp_lane_weights(packed, strip, tiles, index * kChunkTiles, lane), nullptr, nullptr};
  if (kHasGroups) {
    const size_t at = qp_group_at(strip, tiles * kTile / kGroup, index * kChunkGroups) / kFeatures + lane / 4;
    from.scales = static_cast<decltype(from.scales)>(scales) + at;
    if (zeros) from.zeros = zeros + at;
  }
  return from;
}

QP_DEVICE void qp_advance(qp_source& from) {
  from.words += kWarps * kLoads * 32;
  if (kHasGroups) from.scales += kWarps * kChunkGroups * (kStrip / kFeatures);
  if (from.zeros) from.zeros += kWarps * kChunkGroups * (kStrip / kFeatures);
}

QP_DEVICE void qp_load_tile(qp_chunk& chunk, const qp_source& from, int tile) {
#pragma unroll
  for (int i = tile * kTileLoads; i < (tile + 1) * kTileLoads; i++) chunk.words[i] = qp_load16_once(from.words + i * 32);
}

QP_DEVICE void qp_load_group(qp_chunk& chunk, const qp_source& from, int group) {
#if QP_WEIGHTS == QP_INT4
  chunk.scales[group] = qp_load8(from.scales + group * (kStrip / kFeatures));
  if (from.zeros) chunk.zeros[group] = qp_load4(from.zeros + group * (kStrip / kFeatures));
#elif QP_WEIGHTS == QP_NF4
  chunk.scales[group] = qp_load16(from.scales + group * (kStrip / kFeatures));
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

// The end of a group: its sums become numbers.
QP_DEVICE void qp_close_group(qp_sums& sums, const qp_chunk& chunk, int group) {
#if QP_WEIGHTS != QP_INT8
#pragma unroll
  for (int j = 0; j < kFeatures; j++) {
#if QP_WEIGHTS == QP_INT4
    const uint32_t pair = j < 2 ? chunk.scales[group].x : chunk.scales[group].y;
    const float scale = j % 2 ? qp_bfloat16_high(pair) : qp_bfloat16_low(pair);
    const float zero = qp_byte_to_float(chunk.zeros[group], j, 0);
#else
    const float scale = qp_bits_to_float(qp_word(chunk.scales[group], j)), zero = 0;
#endif
#pragma unroll
    for (int row = 0; row < kRows; row++) {
      float part = sums.part[row][j];
      if (QP_WEIGHTS == QP_INT4) part = part - sums.biased[row] - zero * sums.plain[row];
      sums.whole[row][j] += scale * part;
      sums.part[row][j] = 0;
    }
  }
#pragma unroll
  for (int row = 0; row < kRows; row++) sums.biased[row] = sums.plain[row] = 0;
#endif
}

// Adds a chunk, and loads the next one. `panel` and `panel_sums` are at this lane's first value of the chunk.
QP_DEVICE void qp_multiply_chunk(qp_sums& sums, qp_chunk& chunk, const qp_source& next, bool has_next,
                                 const float* panel, const float* panel_sums, const void* table, int lane,
                                 uint32_t exponent) {
#pragma unroll
  for (int tile = 0; tile < kChunkTiles; tile++) {
    float w[kFeatures][kAlong];
#pragma unroll
    for (int j = 0; j < kFeatures; j++) {
      const uint4* loads = chunk.words + tile * kTileLoads;
      qp_decode(w[j], qp_first_word(loads, j), qp_second_word(loads, j), table, lane * 4, exponent);
    }
    if (has_next) qp_load_tile(chunk, next, tile);
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
    }
    if (QP_WEIGHTS == QP_INT4)
#pragma unroll
      for (int row = 0; row < kRows; row++) {
        const float* both = panel_sums + (row * kPanel + tile * kTile) / kAlong * 2;
        sums.biased[row] += both[0], sums.plain[row] += both[1];
      }
    if (kHasGroups && (tile + 1) % kGroupTiles == 0) {
      const int group = tile / kGroupTiles;
      qp_close_group(sums, chunk, group);
      if (has_next) qp_load_group(chunk, next, group);
    }
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
  sum = 0;
  if (is_mine)
    for (int i = 0; i < split; i++) sum += qp_load_fresh(parts + i * (kRows * kStrip));
  return true;
}

QP_DEVICE void qp_gemv(const qp_act* x, const uint4* packed, const void* scales, const uint32_t* zeros,
                       const qp_act* bias, qp_act* y, float* scratch, uint32_t* counters, int m, int n, int k,
                       int split) {
  QP_SHARED_DYNAMIC(memory);
  float* panel = reinterpret_cast<float*>(memory);
  float* panel_sums = panel + kRows * kPanel;
  unsigned char* table = memory + kTableAt;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, tiles = qp_tiles(k);
  const bool is_aligned = (reinterpret_cast<size_t>(x) | k * sizeof(qp_act)) % 16 == 0;
  // n is not negative, which the compiler cannot know: else it would make the constant anew for every byte.
  const uint32_t exponent = kExponent | static_cast<uint32_t>(n) >> 31;
  if (QP_WEIGHTS == QP_NF4) qp_fill_table(table, threadIdx.x, QP_THREADS);

  const int chunks = tiles / kChunkTiles, share = (chunks + split - 1) / split;
  const int first = min(chunks, static_cast<int>(blockIdx.z) * share), last = min(chunks, first + share);
  qp_source from = qp_find_chunk(packed, scales, zeros, blockIdx.x, tiles, first + warp, lane);
  qp_chunk chunk;
#if QP_WEIGHTS == QP_INT4
#pragma unroll
  for (int group = 0; group < kChunkGroups; group++) chunk.zeros[group] = kZeros;
#endif
  if (first + warp < last) {
#pragma unroll
    for (int tile = 0; tile < kChunkTiles; tile++) qp_load_tile(chunk, from, tile);
#pragma unroll
    for (int group = 0; group < kChunkGroups; group++) qp_load_group(chunk, from, group);
  }
  // Asked for now: at the end it would be waited for.
  const int row = blockIdx.y * kRows + threadIdx.x / kStrip, feature = blockIdx.x * kStrip + threadIdx.x % kStrip;
  const bool is_mine = threadIdx.x < kRows * kStrip && row < m && feature < n;
  const float factor = !kHasGroups && is_mine ? static_cast<const float*>(scales)[feature] : 1;
  const float offset = bias && is_mine ? qp_act_to_float(bias[feature]) : 0;
  qp_sums sums = {};
#pragma unroll 1
  for (int begin = first; begin < last; begin += kPanelPasses * kWarps) {
    qp_sync();
    qp_fill_panel(panel, panel_sums, x, begin * kChunk, last * kChunk, m, k, is_aligned);
    qp_sync();
    const int end = min(last, begin + kPanelPasses * kWarps);
    int column = warp * kChunk + lane % 4 * kAlong;
#pragma unroll 1
    for (int index = begin + warp; index < end; index += kWarps, column += kWarps * kChunk) {
      qp_advance(from);
      qp_multiply_chunk(sums, chunk, from, index + kWarps < last, panel + column, panel_sums + column / kAlong * 2,
                        table, lane, exponent);
    }
  }

  float sum = qp_reduce_warps(sums, panel, warp, lane);
  if (!qp_reduce_parts(sum, scratch, counters, split)) return;
  if (is_mine) y[static_cast<size_t>(row) * n + feature] = qp_act_from_float(sum * factor + offset);
}
