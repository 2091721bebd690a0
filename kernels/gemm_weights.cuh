// y = x · Wᵀ + b on tensor cores, for few to 128 rows: the weight is streamed once, in the order in which it is multiplied.
//
// A block computes QP_TILE_M rows of four strips. Four of its warps take a strip each, over one half of each stage of
// QP_TILE_K along K, four over the other; the halves are added at the end. A lane's 16 bytes of weights are the operands
// of two MMAs for each of four features; they go from memory to registers, ahead by one stage. x and the scales come
// through a ring of stages in shared memory, copied asynchronously. Codes are integers, exact in 16 bits; scales are
// applied to the float32 sums of a group.

#pragma once

#include "weights.cuh"

constexpr int kStrips = 4, kHalves = 2;
constexpr int kSubtiles = QP_TILE_M / 16;  // MMAs along M.
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
static_assert(QP_TILE_M * kStage / kAlong % QP_THREADS == 0, "every thread copies as much of x");
constexpr int kBlocks = QP_TILE_M <= 32 ? 2 : 1;  // On a multiprocessor: what bounds the registers.

// Scales of a stage: for each strip its groups, each as 32 values; then the zero points, as bytes.
constexpr int kStageGroups = kHasGroups ? kStage / kGroup : 0;
constexpr int kScaleBytes = QP_WEIGHTS == QP_NF4 ? 4 : 2;
constexpr int kStripScaleBytes = kStageGroups * kStrip * kScaleBytes;
constexpr int kStripZeroBytes = QP_ASYMMETRIC ? kStageGroups * kStrip : 0;
constexpr int kStageBytes = kXBytes + kStrips * (kStripScaleBytes + kStripZeroBytes);

// Both 16-bit numbers of two neighbours along K, for each byte of NormalFloat, in each lane's own bank.
constexpr int kPairsBytes = QP_WEIGHTS == QP_NF4 ? 256 * 32 * 4 : 0;
constexpr int kSums = kSubtiles * kFeatures * 4;  // Of each lane.
static_assert(QP_SHARED_BYTES == kStages * kStageBytes + kPairsBytes, "shared_bytes in the manifest");
static_assert(kStrips * kSums * 32 * 4 <= kStages * kStageBytes, "the sums of a half fit where x was");
static_assert(kStages >= 2, "a stage is copied while another is used");

struct qp_problem {
  const qp_act* x;
  const uint4* packed;
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
    const int strip = blockIdx.x * kStrips + i / kVectors;
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
    const int row = blockIdx.y * QP_TILE_M + i / kVectors, column = stage * kStage + i % kVectors * kAlong;
    unsigned char* at = to + i / kVectors * kRowBytes + i % kVectors * 16;
    const qp_act* from = of.x + static_cast<size_t>(row) * of.k + column;
    const int there = row < of.m ? of.k - column : 0;
    if (of.is_aligned) {
      qp_copy_async16(at, there > 0 ? from : of.x, there > 0 ? 16 : 0);
    } else {
#pragma unroll
      for (int j = 0; j < kAlong; j++) reinterpret_cast<qp_act*>(at)[j] = j < there ? from[j] : static_cast<qp_act>(0);
    }
  }
}

QP_DEVICE void qp_copy_stage(unsigned char* to, const qp_problem& of, int stage) {
  qp_copy_x(to, of, stage);
  if (kHasGroups) qp_copy_values<kStripScaleBytes>(to + kXBytes, of.scales, of, stage);
  if (QP_ASYMMETRIC) qp_copy_values<kStripZeroBytes>(to + kXBytes + kStrips * kStripScaleBytes, of.zeros, of, stage);
}

// ---- Weights as operands ----

// Pairs of neighbours along K of a feature, as 16-bit numbers: the operand of the first MMA, and of the second.
#if QP_WEIGHTS == QP_INT4
// The zero point as a number that is subtracted: from a pair as masked, and from one whose codes stand 4 bits higher.
struct qp_zero { uint32_t low, high; };

QP_DEVICE qp_zero qp_prepare_zero(uint32_t zeros, int j) {
  const uint32_t both = qp_prmt(zeros, 0, 0x4040u | j << 8 | j);
#if QP_ACT == QP_FLOAT16
  return {both | 0x64006400u, both << 4 | 0xd400d400u};  // 1024 + zero, −(64 + zero)
#else
  return {both | 0xc300c300u, 0};  // −(128 + zero)
#endif
}

QP_DEVICE void qp_expand(uint32_t (&pairs)[4], uint32_t word, const qp_zero& zero) {
#if QP_ACT == QP_FLOAT16
  // 1024 + code, and 1024 + 16 · code, are a mask and an exponent away.
  const uint32_t later = word >> 8;
  pairs[0] = qp_half2_sub(qp_lop3<0xea>(word, 0x000f000fu, 0x64006400u), zero.low);
  pairs[1] = qp_half2_fma(qp_lop3<0xea>(word, 0x00f000f0u, 0x64006400u), 0x2c002c00u, zero.high);
  pairs[2] = qp_half2_sub(qp_lop3<0xea>(later, 0x000f000fu, 0x64006400u), zero.low);
  pairs[3] = qp_half2_fma(qp_lop3<0xea>(later, 0x00f000f0u, 0x64006400u), 0x2c002c00u, zero.high);
#else
#pragma unroll
  for (int i = 0; i < 4; i++)  // 128 + code
    pairs[i] = qp_bfloat162_add(qp_lop3<0xea>(word >> (4 * i), 0x000f000fu, 0x43004300u), zero.low);
#endif
}
#elif QP_WEIGHTS == QP_NF4
QP_DEVICE void qp_fill_pairs(unsigned char* pairs) {
  for (int i = threadIdx.x; i < 256 * 32; i += QP_THREADS)
    reinterpret_cast<uint32_t*>(pairs)[i] =
        qp_act2_from_floats(kNormalFloat[i / 32 >> 4], kNormalFloat[i / 32 & 15]);
}

QP_DEVICE void qp_expand(uint32_t (&pairs)[4], uint32_t word, const unsigned char* table, uint32_t lane_offset) {
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const uint32_t at = i == 0 ? word << 7 : word >> (8 * i - 7);
    pairs[i] = *reinterpret_cast<const uint32_t*>(table + qp_lop3<0xea>(at, 255u << 7, lane_offset));
  }
}
#else
QP_DEVICE void qp_expand(uint32_t (&pairs)[4], uint32_t first, uint32_t second) {
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const uint32_t word = i < 2 ? first : second;
#if QP_ACT == QP_FLOAT16
    // 1024 + code + 128
    pairs[i] = qp_half2_sub(qp_prmt(word, 0x64646464u, i % 2 ? 0x4341u : 0x4240u), 0x64806480u);
#else
    // 7 bits of the byte make 128 + bits; its highest tells whether 128 or 256 is too much.
    const uint32_t at = word >> (i % 2 * 8);
    const uint32_t excess = qp_lop3<0x6a>(at, 0x00800080u, 0x43804380u);
    pairs[i] = qp_bfloat162_sub(qp_lop3<0xea>(at, 0x007f007fu, 0x43004300u), excess);
#endif
  }
}
#endif

struct qp_totals {
  float part[kSubtiles][kFeatures][4];  // Of the group so far.
  float whole[kSubtiles][kFeatures][4];
};

// Adds one tile: 8 · kSubtiles MMAs. `x` is at this lane's first value.
template <class Expand>
QP_DEVICE void qp_multiply_tile(float (&sums)[kSubtiles][kFeatures][4], const unsigned char* x, Expand expand) {
  uint4 upper[kSubtiles], lower[kSubtiles];  // Rows l/4 and l/4 + 8.
#pragma unroll
  for (int i = 0; i < kSubtiles; i++) {
    upper[i] = qp_load16_shared(x + i * 16 * kRowBytes);
    lower[i] = qp_load16_shared(x + (i * 16 + 8) * kRowBytes);
  }
#pragma unroll
  for (int j = 0; j < kFeatures; j++) {
    uint32_t pairs[4];
    expand(pairs, j);
    const uint32_t first[2] = {pairs[0], pairs[1]}, second[2] = {pairs[2], pairs[3]};
#pragma unroll
    for (int i = 0; i < kSubtiles; i++) {
      const uint32_t a[4] = {upper[i].x, lower[i].x, upper[i].y, lower[i].y};
      const uint32_t b[4] = {upper[i].z, lower[i].z, upper[i].w, lower[i].w};
      qp_mma_act_16x8x16(sums[i][j], a, first);
      qp_mma_act_16x8x16(sums[i][j], b, second);
    }
  }
}

// The end of a group: its sums become numbers. `scales` is at the group's 32 values.
QP_DEVICE void qp_close_group(qp_totals& totals, const unsigned char* scales, int lane) {
  float scale[2][kFeatures];  // Of columns 2·(l%4) and the next, of each eight.
#pragma unroll
  for (int i = 0; i < 2; i++) {
    if (kScaleBytes == 4) {
      const uint4 four = qp_load16_shared(scales + (lane % 4 * 2 + i) * 16);
#pragma unroll
      for (int j = 0; j < kFeatures; j++) scale[i][j] = qp_bits_to_float(qp_word(four, j));
    } else {
      const uint4 both = qp_load16_shared(scales + lane % 4 * 16);
#pragma unroll
      for (int j = 0; j < kFeatures; j++) {
        const uint32_t pair = qp_word(both, i * 2 + j / 2);
        scale[i][j] = j % 2 ? qp_bfloat16_high(pair) : qp_bfloat16_low(pair);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kSubtiles; i++)
#pragma unroll
    for (int j = 0; j < kFeatures; j++)
#pragma unroll
      for (int c = 0; c < 4; c++) {
        totals.whole[i][j][c] += scale[c % 2][j] * totals.part[i][j][c];
        totals.part[i][j][c] = 0;
      }
}

// A warp's half of a stage.
QP_DEVICE void qp_multiply_stage(qp_totals& totals, const uint4 (&words)[kLoads], const unsigned char* stage,
                                 const unsigned char* pairs, int strip, int half, int lane) {
  const unsigned char* x = stage + lane / 4 * kRowBytes + (half * kChunk + lane % 4 * kAlong) * 2;
#pragma unroll
  for (int tile = 0; tile < kChunkTiles; tile++) {
    const uint4* loads = words + tile * kTileLoads;
#if QP_WEIGHTS == QP_INT8
    qp_multiply_tile(totals.whole, x + tile * kTile * 2, [&](uint32_t (&to)[4], int j) {
      qp_expand(to, qp_first_word(loads, j), qp_second_word(loads, j));
    });
#else
    const int group = (half * kChunk + tile * kTile) / kGroup;
#if QP_WEIGHTS == QP_NF4
    qp_multiply_tile(totals.part, x + tile * kTile * 2, [&](uint32_t (&to)[4], int j) {
      qp_expand(to, qp_first_word(loads, j), pairs, lane * 4);
    });
#else
    uint32_t zeros = 0x08080808u;
#if QP_ASYMMETRIC
    const unsigned char* points = stage + kXBytes + kStrips * kStripScaleBytes + strip * kStripZeroBytes;
    zeros = *reinterpret_cast<const uint32_t*>(points + group * kStrip + lane / 4 * kFeatures);
#endif
    qp_multiply_tile(totals.part, x + tile * kTile * 2, [&](uint32_t (&to)[4], int j) {
      qp_expand(to, qp_first_word(loads, j), qp_prepare_zero(zeros, j));
    });
#endif
    if ((tile + 1) % kGroupTiles == 0 || tile + 1 == kChunkTiles)
      qp_close_group(totals, stage + kXBytes + strip * kStripScaleBytes + group * kStrip * kScaleBytes, lane);
#endif
  }
}

QP_DEVICE void qp_load_words(uint4 (&words)[kLoads], const qp_problem& of, int stage, int strip, int half, int lane) {
  const int tile = (stage * kHalves + half) * kChunkTiles;
  if (strip >= of.strips || tile >= of.tiles) return;
  const uint4* from = qp_lane_weights(of.packed, strip, of.tiles, tile, lane);
#pragma unroll
  for (int i = 0; i < kLoads; i++) words[i] = qp_load16_once(from + i * 32);
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
  if (threadIdx.x == 0) counters[tile] = 0;
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
  const bool is_paired = of.n % 2 == 0 && reinterpret_cast<size_t>(y) % 4 == 0;
#pragma unroll
  for (int j = 0; j < kFeatures; j++) {
    const int feature = strip * kStrip + j * 8 + lane % 4 * 2;
    float scale[2] = {1, 1}, add[2] = {0, 0};
#pragma unroll
    for (int c = 0; c < 2; c++) {
      if (feature + c >= of.n) continue;
      if (!kHasGroups) scale[c] = reinterpret_cast<const float*>(of.scales)[feature + c];
      if (bias) add[c] = qp_act_to_float(bias[feature + c]);
    }
#pragma unroll
    for (int i = 0; i < 2 * kSubtiles; i++) {
      const int row = blockIdx.y * QP_TILE_M + i * 8 + lane / 4;
      const float* pair = sums + (i / 2 * kFeatures + j) * 4 + i % 2 * 2;
      const float first = pair[0] * scale[0] + add[0], second = pair[1] * scale[1] + add[1];
      qp_act* to = y + static_cast<size_t>(row) * of.n + feature;
      if (row >= of.m || feature >= of.n) continue;
      if (is_paired) {
        qp_store4(to, qp_act2_from_floats(first, second));
      } else {
        to[0] = qp_act_from_float(first);
        if (feature + 1 < of.n) to[1] = qp_act_from_float(second);
      }
    }
  }
}

QP_DEVICE void qp_gemm(const qp_act* x, const uint4* packed, const void* scales, const void* zeros, const qp_act* bias,
                       qp_act* y, float* scratch, uint32_t* counters, int m, int n, int k, int split) {
  QP_SHARED_DYNAMIC(memory);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, half = warp / kStrips;
  const int strip = blockIdx.x * kStrips + warp % kStrips;
  const qp_problem of = {x, packed, static_cast<const unsigned char*>(scales), static_cast<const unsigned char*>(zeros),
                         m, n, k, qp_tiles(k), (n + kStrip - 1) / kStrip,
                         (reinterpret_cast<size_t>(x) | k * sizeof(qp_act)) % 16 == 0};
  unsigned char* pairs = memory + kStages * kStageBytes;

  const int stages = (of.tiles * kTile + kStage - 1) / kStage, share = (stages + split - 1) / split;
  const int first = min(stages, static_cast<int>(blockIdx.z) * share), last = min(stages, first + share);
  uint4 words[kLoads], next[kLoads];
#pragma unroll
  for (int i = 0; i < kLoads; i++) next[i] = make_uint4(0, 0, 0, 0);
  if (first < last) qp_load_words(next, of, first, strip, half, lane);
#pragma unroll
  for (int i = 0; i < kStages - 1; i++) {
    if (first + i < last) qp_copy_stage(memory + i * kStageBytes, of, first + i);
    qp_copy_commit();
  }
#if QP_WEIGHTS == QP_NF4
  qp_fill_pairs(pairs);
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
#pragma unroll
    for (int i = 0; i < kLoads; i++) words[i] = next[i];
    if (stage + 1 < last) qp_load_words(next, of, stage + 1, strip, half, lane);
    qp_multiply_stage(totals, words, memory + slot * kStageBytes, pairs, warp % kStrips, half, lane);
    slot = slot + 1 == kStages ? 0 : slot + 1;
  }
  qp_copy_wait<0>();

  float sums[kSums];
#pragma unroll
  for (int i = 0; i < kSums; i++) sums[i] = totals.whole[i / 4 / kFeatures][i / 4 % kFeatures][i % 4];
  qp_add_halves(sums, memory, warp % kStrips, half, lane);
  if (!qp_add_parts(sums, scratch, counters, split, warp % kStrips, half, lane)) return;
  if (half == 0) qp_write(sums, of, bias, y, strip, lane);
}
