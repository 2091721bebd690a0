// y = x · Wᵀ + b for many rows by wgmma, the weights its first operand, expanded in registers: 9.0 alone.
//
// A block computes 64 or 128 rows of x and eight strips of 32 features, one tile after another. One thread starts copies, of a box of
// x and of the words of each strip; each of eight warps multiplies a strip. Four of them are a warpgroup, whose products
// have 64 features: those of the first half of each strip, then those of the second. A lane holds 8 weights along K of four
// features; the four lanes of a quad exchange them, so that each has what wgmma wants of all 32. Scales of groups are
// applied to the weights, which are rounded to the type of x then, as qprobe's dequantization does.
//
// A warpgroup keeps the products of one tile of 32 along K going while it expands the next into registers of its own: that
// takes it as long as its products, some 256 clocks, beside which those of the other warpgroup take as long again. Where
// tiles of y are fewer than multiprocessors, K is split among blocks; the last of a tile adds up what all have written.

#pragma once

#include "parts.cuh"
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

static_assert((QP_TILE_M == 64 || QP_TILE_M == 128) && QP_TILE_K == 64, "rows of x of 128 bytes, the columns of a product");
static_assert(QP_THREADS == kWarps * 32 + 128 && kWarps % 4 == 0, "one warpgroup more, whose first thread copies");
static_assert(kStageBytes % 1024 == 0, "each stage begins where the swizzle does");
static_assert(QP_SHARED_BYTES == QP_STAGES * kStageBytes, "shared memory holds the stages and no more");
static_assert(QP_WEIGHTS != QP_NF4, "codes that 16 bits hold exactly");

// Copies the stages of a tile: x, and the words of each strip that is there.
QP_DEVICE void qp_copy_tile(const qp_tensor_map& x_map, const uint4* packed, const qp_ring& ring, qp_turn& turn,
                            qp_tile at, qp_share share, int strips, int k) {
  const int first = at.n / kStrip, own = min(kWarps, strips - first);
  for (int index = share.first; index < share.last; index++) {
    qp_wait_until_emptied(ring, turn);
    unsigned char* stage = ring.memory + turn.stage * kStageBytes;
    uint64_t* filled = ring.filled + turn.stage;
    qp_arrive_and_expect(filled, kXBytes + own * kStripBytes);
    qp_copy_box(stage, x_map, index * QP_TILE_K * 2, at.m, filled);
#pragma unroll 1
    for (int i = 0; i < own; i++)
      qp_copy_bulk(stage + kXBytes + i * kStripBytes,
                   qp_lane_weights(packed, first + i, qp_tiles(k), index * kSteps, 0), kStripBytes, filled);
    qp_advance(turn);
  }
}

// What is applied to the weights of a lane's four features in a group.
struct qp_group {
  uint32_t scale[kFeatures];  // Twice, in the type of x.
  uint32_t zeros;
};

#if QP_WEIGHTS == QP_INT4
// The groups of a lane along K, one after another; each is fetched while the one before is used.
struct qp_groups {
  const uint2* scales;
  const uint32_t* zeros;
  size_t first;
  int last;
  uint2 next_scales;
  uint32_t next_zeros;
};

QP_DEVICE void qp_fetch_group(qp_groups& of, int index) {
  const size_t at = of.first + min(index, of.last) * (kStrip / kFeatures);
  of.next_scales = qp_load8(of.scales + at);
  of.next_zeros = of.zeros ? qp_load4(of.zeros + at) : 0x08080808u;
}

QP_DEVICE qp_groups qp_make_groups(const void* scales, const uint32_t* zeros, int strip, int tile, int k) {
  const int count = qp_tiles(k) / kGroupTiles;
  const size_t first = qp_group_at(strip, count, 0) / kFeatures + (threadIdx.x & 31) / 4;
  qp_groups groups = {static_cast<const uint2*>(scales), zeros, first, count - 1};
  qp_fetch_group(groups, tile / kGroupTiles);
  return groups;
}

// Goes on to the group that was fetched, which a tile belongs to.
QP_DEVICE void qp_open_group(qp_group& group, qp_groups& of, int tile) {
#pragma unroll
  for (int j = 0; j < kFeatures; j++) {
    const uint32_t pair = j < 2 ? of.next_scales.x : of.next_scales.y;
#if QP_ACT == QP_BFLOAT16
    group.scale[j] = qp_prmt(pair, 0, j % 2 ? 0x3232u : 0x1010u);
#else
    const float scale = j % 2 ? qp_bfloat16_high(pair) : qp_bfloat16_low(pair);
    group.scale[j] = qp_floats_to_half2(scale, scale);
#endif
  }
  group.zeros = of.next_zeros;
  qp_fetch_group(of, tile / kGroupTiles + 1);
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

typedef qp_operands qp_tile_operands[kHalves];

// A warp's words of a tile, as operands.
QP_DEVICE void qp_expand_tile(qp_tile_operands& to, const unsigned char* words, const qp_group& group) {
  uint4 loads[kTileLoads];
#pragma unroll
  for (int i = 0; i < kTileLoads; i++) loads[i] = qp_load16_shared(words + i * 512);
#pragma unroll
  for (int half = 0; half < kHalves; half++) qp_expand_half(to[half], loads, half, group);
}

QP_DEVICE void qp_start_products(float (&sums)[kHalves][kSums], const qp_tile_operands& a, const unsigned char* x) {
  qp_wgmma_fence();
#pragma unroll
  for (int half = 0; half < kHalves; half++)
#pragma unroll
    for (int i = 0; i < 2; i++) qp_wgmma_act(sums[half], a[half][i], qp_wgmma_descriptor(x + i * 32));
  qp_wgmma_commit();
}

// The sums of a strip and the rows of x over some stages. While a tile is multiplied, the next one is expanded.
QP_DEVICE void qp_add_up(float (&sums)[kHalves][kSums], [[maybe_unused]] const void* scales,
                         [[maybe_unused]] const uint32_t* zeros, const qp_ring& ring, qp_turn& turn, qp_share share,
                         [[maybe_unused]] int strip, [[maybe_unused]] int k) {
  const int lane = threadIdx.x & 31, own = kXBytes + (threadIdx.x >> 5) * kStripBytes + lane * 16;
#pragma unroll
  for (int half = 0; half < kHalves; half++)
#pragma unroll
    for (int i = 0; i < kSums; i++) sums[half][i] = 0;
  if (share.first == share.last) return;

  qp_tile_operands a[kSteps];
  qp_group group = {};
#if QP_WEIGHTS == QP_INT4
  qp_groups groups = qp_make_groups(scales, zeros, strip, share.first * kSteps, k);
  qp_open_group(group, groups, share.first * kSteps);
#endif
  qp_wait_until_filled(ring, turn);
  qp_expand_tile(a[0], ring.memory + turn.stage * kStageBytes + own, group);
  uint64_t* before = ring.emptied;
#pragma unroll 1
  for (int index = share.first; index < share.last; index++) {
    const unsigned char* stage = ring.memory + turn.stage * kStageBytes;
    uint64_t* emptied = ring.emptied + turn.stage;
    qp_advance(turn);
#pragma unroll
    for (int tile = 0; tile < kSteps; tile++) {
      qp_start_products(sums, a[tile], stage + tile * kTile * 2);
      // While they go on, those before are through with their operands, and with their stage.
      qp_wgmma_wait<1>();
      if (tile == 0 && index > share.first) qp_let_go(before);
      const bool is_next_stage = tile + 1 == kSteps;
      if (is_next_stage && index + 1 == share.last) break;
#if QP_WEIGHTS == QP_INT4
      const int next = index * kSteps + tile + 1;
      if (next % kGroupTiles == 0) qp_open_group(group, groups, next);
#endif
      if (is_next_stage) qp_wait_until_filled(ring, turn);
      const unsigned char* from = is_next_stage ? ring.memory + turn.stage * kStageBytes : stage;
      qp_expand_tile(a[(tile + 1) % kSteps], from + own + (tile + 1) % kSteps * kTileLoads * 512, group);
    }
    before = emptied;
  }
#pragma unroll
  for (int half = 0; half < kHalves; half++) qp_wgmma_finish(sums[half]);
  qp_let_go(before);
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
                             const qp_act* bias, qp_act* y, float* scratch, uint32_t* counters, int m, int n, int k,
                             int split) {
  QP_SHARED_DYNAMIC(shared);
  const qp_ring ring = qp_make_ring(shared, kWarps);
  const int strips = qp_round_up(n, kStrip) / kStrip, warp = threadIdx.x >> 5;
  const int tiles_n = (strips + kWarps - 1) / kWarps, tiles_m = (m + QP_TILE_M - 1) / QP_TILE_M;
  const int count = tiles_n * tiles_m * split;
  qp_turn turn = {0, 0};
  if (warp >= kWarps) {
    qp_give_registers<kRegistersOfCopies>();
    if (threadIdx.x > kWarps * 32) return;  // One thread starts the copies of all.
    for (int id = blockIdx.x; id < count; id += gridDim.x)
      qp_copy_tile(x_map, packed, ring, turn, qp_find_tile(id / split, tiles_n, tiles_m),
                   qp_find_share(k, split, id % split), strips, k);
  } else {
    qp_take_registers<kRegisters>();
    float sums[kHalves][kSums];
    for (int id = blockIdx.x; id < count; id += gridDim.x) {
      const qp_tile at = qp_find_tile(id / split, tiles_n, tiles_m);
      const int strip = at.n / kStrip + warp;
      // A strip that is not there is multiplied with what the stage holds, and not written.
      qp_add_up(sums, scales, zeros, ring, turn, qp_find_share(k, split, id % split), min(strip, strips - 1), k);
      if (!qp_add_parts<kHalves * kSums / 4, kWarps * 32>(scratch, counters, id / split, split, id % split, true, [&](int v) {
            return sums[v / (kSums / 4)] + v % (kSums / 4) * 4;
          }))
        continue;
      if (strip < strips) qp_write(sums, scales, bias, y, at.m, strip, m, n);
    }
  }
}
