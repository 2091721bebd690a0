// y = x · Wᵀ + b for many rows by wgmma, the weights its first operand, expanded in registers: 9.0 alone.
//
// A block computes 128 rows of x and eight strips of 32 features, one tile after another. One thread starts copies, of a box of
// x and of the words of each strip; each of eight warps multiplies a strip. Four of them are a warpgroup, whose products
// have 64 features: those of the first half of each strip, then those of the second. A lane holds 8 weights along K of four
// features; the four lanes of a quad exchange them, so that each has what wgmma wants of all 32. Scales of groups are
// applied to the weights, which are rounded to the type of x then, as qprobe's dequantization does.

#pragma once

#include "ring.cuh"
#include "tiles.cuh"
#include "weights_pairs.cuh"

constexpr int kWarps = QP_TILE_N / kStrip;
constexpr int kSteps = QP_TILE_K / kTile;
constexpr int kXBytes = QP_TILE_M * QP_TILE_K * 2;
constexpr int kStripBytes = kSteps * kTileLoads * 512;
constexpr int kStageBytes = kXBytes + kWarps * kStripBytes;
constexpr int kHalves = 2;  // Products of 64 features in each warpgroup.
constexpr int kSums = QP_TILE_M / 2;
// Of 168 that each thread begins with.
constexpr int kRegisters = 232, kRegistersOfCopies = 40;

static_assert(QP_TILE_M == 128 && QP_TILE_K == 64, "rows of x of 128 bytes, as many as a product has columns");
static_assert(QP_THREADS == kWarps * 32 + 128 && kWarps % 4 == 0, "one warpgroup more, whose first thread copies");
static_assert(kStageBytes % 1024 == 0, "each stage begins where the swizzle does");
static_assert(QP_SHARED_BYTES == QP_STAGES * kStageBytes, "shared memory holds the stages and no more");
static_assert(QP_WEIGHTS != QP_NF4, "codes that 16 bits hold exactly");

// Copies the stages of a tile: x, and the words of each strip that is there.
QP_DEVICE void qp_copy_tile(const qp_tensor_map& x_map, const uint4* packed, const qp_ring& ring, qp_turn& turn,
                            qp_tile at, int strips, int k) {
  const int first = at.n / kStrip, own = min(kWarps, strips - first);
  for (int from = 0; from < k; from += QP_TILE_K) {
    qp_wait_until_emptied(ring, turn);
    unsigned char* stage = ring.memory + turn.stage * kStageBytes;
    uint64_t* filled = ring.filled + turn.stage;
    qp_arrive_and_expect(filled, kXBytes + own * kStripBytes);
    qp_copy_box(stage, x_map, from * 2, at.m, filled);
#pragma unroll 1
    for (int i = 0; i < own; i++)
      qp_copy_bulk(stage + kXBytes + i * kStripBytes,
                   qp_lane_weights(packed, first + i, qp_tiles(k), from / kTile, 0), kStripBytes, filled);
    qp_advance(turn);
  }
}

// What is applied to the weights of a lane's four features in a group.
struct qp_group {
  uint32_t scale[kFeatures];  // Twice, in the type of x.
  uint32_t zeros;
};

#if QP_WEIGHTS == QP_INT4
struct qp_raw_group {
  uint2 scales;
  uint32_t zeros;
};

QP_DEVICE qp_raw_group qp_fetch_group(const uint2* scales, const uint32_t* zeros, size_t at) {
  return {qp_load8(scales + at), zeros ? qp_load4(zeros + at) : 0x08080808u};
}

QP_DEVICE qp_group qp_open_group(const qp_raw_group& raw) {
  qp_group group;
#pragma unroll
  for (int j = 0; j < kFeatures; j++) {
    const uint32_t pair = j < 2 ? raw.scales.x : raw.scales.y;
#if QP_ACT == QP_BFLOAT16
    group.scale[j] = qp_prmt(pair, 0, j % 2 ? 0x3232u : 0x1010u);
#else
    const float scale = j % 2 ? qp_bfloat16_high(pair) : qp_bfloat16_low(pair);
    group.scale[j] = qp_floats_to_half2(scale, scale);
#endif
  }
  group.zeros = raw.zeros;
  return group;
}
#endif

// Among the four lanes of a quad, of 8 weights along K each: lane t receives the t-th pair of each, as wgmma wants them, in
// place of its own four.
#if QP_WEIGHTS == QP_INT4
// Pairs are nibbles 16 bits apart.
QP_DEVICE void qp_exchange(uint32_t& word, uint32_t&) {
  const bool is_odd = threadIdx.x & 1;
  const uint32_t keep = is_odd ? 0xf0f0f0f0u : 0x0f0f0f0fu, other = qp_shuffle_xor(word, 1);
  word = qp_lop3<0xca>(keep, word, is_odd ? other >> 4 : other << 4);
  word = qp_prmt(word, qp_shuffle_xor(word, 2), threadIdx.x & 2 ? 0x3715u : 0x6240u);
}
#else
// Pairs are bytes 16 bits apart, two of them in a word.
QP_DEVICE void qp_exchange(uint32_t& first, uint32_t& second) {
  const uint32_t selector = threadIdx.x & 1 ? 0x3715u : 0x6240u;
  first = qp_prmt(first, qp_shuffle_xor(first, 1), selector);
  second = qp_prmt(second, qp_shuffle_xor(second, 1), selector);
  const bool is_upper = threadIdx.x & 2;
  const uint32_t other = qp_shuffle_xor(is_upper ? first : second, 2);
  first = is_upper ? other : first;
  second = is_upper ? second : other;
}
#endif

// The first operands of both products of half a strip with one tile: [16 of K][register].
typedef uint32_t qp_operands[2][4];

QP_DEVICE void qp_expand_half(qp_operands& to, const uint4 (&loads)[kTileLoads], int half,
                              [[maybe_unused]] const qp_group& group) {
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const int j = half * 2 + i;
    uint32_t pairs[4], first = qp_first_word(loads, j), second = qp_second_word(loads, j);
    qp_exchange(first, second);
#if QP_WEIGHTS == QP_INT4
    qp_expand(pairs, first, qp_prepare_zero(group.zeros, j));
#pragma unroll
    for (int c = 0; c < 4; c++) pairs[c] = qp_act2_mul(pairs[c], group.scale[j]);
#else
    qp_expand(pairs, first, second);
#endif
#pragma unroll
    for (int c = 0; c < 4; c++) to[c / 2][c % 2 * 2 + i] = pairs[c];
  }
}

QP_DEVICE void qp_multiply_half(float (&sums)[kSums], const qp_operands& a, const unsigned char* x) {
  qp_wgmma_fence();
#pragma unroll
  for (int i = 0; i < 2; i++) qp_wgmma_act_64x128x16(sums, a[i], qp_wgmma_descriptor(x + i * 32));
  qp_wgmma_commit();
}

// The sums of a strip and 128 rows over K. While half a strip is multiplied, the other half is expanded.
QP_DEVICE void qp_add_up(float (&sums)[kHalves][kSums], const void* scales, const uint32_t* zeros,
                         const qp_ring& ring, qp_turn& turn, int strip, int k) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
#pragma unroll
  for (int half = 0; half < kHalves; half++)
#pragma unroll
    for (int i = 0; i < kSums; i++) sums[half][i] = 0;
  qp_group group = {};
#if QP_WEIGHTS == QP_INT4
  const int groups = qp_tiles(k) / kGroupTiles;
  const uint2* from = static_cast<const uint2*>(scales);
  const size_t first = qp_group_at(strip, groups, 0) / kFeatures + lane / 4;
  qp_raw_group next = qp_fetch_group(from, zeros, first);
#endif
  qp_operands a[kHalves];
  uint64_t* before = ring.emptied;
  for (int at = 0; at < k; at += QP_TILE_K) {
    qp_wait_until_filled(ring, turn);
    const unsigned char* stage = ring.memory + turn.stage * kStageBytes;
    const unsigned char* words = stage + kXBytes + warp * kStripBytes;
#pragma unroll
    for (int tile = 0; tile < kSteps; tile++) {
#if QP_WEIGHTS == QP_INT4
      if ((at / kTile + tile) % kGroupTiles == 0) {
        group = qp_open_group(next);
        const int following = min((at / kTile + tile) / kGroupTiles + 1, groups - 1);
        next = qp_fetch_group(from, zeros, first + following * (kStrip / kFeatures));
      }
#endif
      uint4 loads[kTileLoads];
#pragma unroll
      for (int i = 0; i < kTileLoads; i++)
        loads[i] = qp_load16_shared(words + (tile * kTileLoads + i) * 512 + lane * 16);
#pragma unroll
      for (int half = 0; half < kHalves; half++) {
        qp_expand_half(a[half], loads, half, group);
        qp_multiply_half(sums[half], a[half], stage + tile * kTile * 2);
        // While this product goes on, the one before it is through with its operands, and with its stage.
        qp_wgmma_wait<1>();
        if (tile == 0 && half == 0 && at > 0 && lane == 0) qp_arrive(before);
      }
    }
    before = ring.emptied + turn.stage;
    qp_advance(turn);
  }
#pragma unroll
  for (int half = 0; half < kHalves; half++) qp_wgmma_finish(sums[half]);
  if (lane == 0) qp_arrive(before);
}

// Writes the strip's part of y. A lane holds two neighbouring rows of four features; matrices of 8 × 8 are transposed, and
// quads exchange what they have, for 8 neighbouring features of one row.
QP_DEVICE void qp_write(const float (&sums)[kHalves][kSums], [[maybe_unused]] const void* scales, const qp_act* bias,
                        qp_act* y, int first_row, int strip, int m, int n) {
  const int lane = threadIdx.x & 31, column = strip * kStrip + lane % 4 * 8;
  float scale[kFeatures], offset[kFeatures];
#pragma unroll
  for (int j = 0; j < kFeatures; j++) {
    const int feature = strip * kStrip + j * 8 + lane / 4;
    scale[j] = !kHasGroups && feature < n ? static_cast<const float*>(scales)[feature] : 1.0f;
    offset[j] = bias && feature < n ? qp_act_to_float(bias[feature]) : 0.0f;
  }
#pragma unroll
  for (int i = 0; i < QP_TILE_M / 8; i++) {
    uint32_t pairs[kFeatures];
#pragma unroll
    for (int j = 0; j < kFeatures; j++) {
      const float low = sums[j / 2][i * 4 + j % 2 * 2], high = sums[j / 2][i * 4 + j % 2 * 2 + 1];
      pairs[j] = qp_transpose_matrix(qp_act2_from_floats(low * scale[j] + offset[j], high * scale[j] + offset[j]));
    }
    qp_transpose_quad(pairs);
    const int row = first_row + i * 8 + lane / 4;
    if (row >= m || column >= n) continue;
    qp_act* to = y + static_cast<int64_t>(row) * n + column;
    if (n % 8 == 0) {
      qp_store16(to, make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]));
    } else {
#pragma unroll
      for (int c = 0; c < 8; c++)
        if (column + c < n) to[c] = static_cast<qp_act>(pairs[c / 2] >> (c % 2 * 16));
    }
  }
}

QP_DEVICE void qp_gemm_wgmma(const qp_tensor_map& x_map, const uint4* packed, const void* scales, const uint32_t* zeros,
                             const qp_act* bias, qp_act* y, int m, int n, int k) {
  QP_SHARED_DYNAMIC(shared);
  const qp_ring ring = qp_make_ring(shared, kWarps);
  const int strips = qp_round_up(n, kStrip) / kStrip, warp = threadIdx.x >> 5;
  const int tiles_n = (strips + kWarps - 1) / kWarps, tiles_m = (m + QP_TILE_M - 1) / QP_TILE_M;
  qp_turn turn = {0, 0};
  if (warp >= kWarps) {
    qp_give_registers<kRegistersOfCopies>();
    if (threadIdx.x > kWarps * 32) return;  // One thread starts the copies of all.
    for (int id = blockIdx.x; id < tiles_n * tiles_m; id += gridDim.x)
      qp_copy_tile(x_map, packed, ring, turn, qp_find_tile(id, tiles_n, tiles_m), strips, k);
  } else {
    qp_take_registers<kRegisters>();
    float sums[kHalves][kSums];
    for (int id = blockIdx.x; id < tiles_n * tiles_m; id += gridDim.x) {
      const qp_tile at = qp_find_tile(id, tiles_n, tiles_m);
      const int strip = at.n / kStrip + warp;
      // A strip that is not there is multiplied with what the stage holds, and not written.
      qp_add_up(sums, scales, zeros, ring, turn, min(strip, strips - 1), k);
      if (strip < strips) qp_write(sums, scales, bias, y, at.m, strip, m, n);
    }
  }
}
