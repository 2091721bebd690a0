// y = x · Wᵀ + b for many rows by wgmma, the weights its first operand, expanded in registers: 9.0 alone.
//
// A block computes 64 or 128 rows of x and eight strips of 32 features, or 256 rows and four strips, one tile after another.
// One thread of each of four warps starts copies: of the words of some strips, and one of them of a box of x. One thread alone
// would take longer to start all of them than the products take. Each of eight warps multiplies a strip, or half of one. Four of
// them are a warpgroup, whose products have 64 features: those of the first or the second half of each of its strips.
//
// The packing gives a lane 8 weights along K of four features, wgmma wants of it a pair of each 8 along K: each lane reads the
// words of its whole quad, and takes from each the pair that is its own. Scales of groups are applied to the weights, which are
// rounded to the type of x then, as qprobe's dequantization does.
//
// A warpgroup keeps the products of one tile of 32 along K going while it expands the next into registers of its own. Where
// tiles of y are fewer than multiprocessors, K is split among blocks; the last of a tile adds up what all have written.

#pragma once

#include "parts.cuh"
#include "ring.cuh"
#include "tiles.cuh"
#include "weights_pairs.cuh"

constexpr int kWarps = 8, kStrips = QP_TILE_N / kStrip;
constexpr int kHalves = kStrips == kWarps ? 2 : 1;            // Of a strip, that each warp multiplies.
constexpr int kCopiers = 4, kOwnStrips = kStrips / kCopiers;  // Warps that copy, and the strips of each.
constexpr int kQuad = 4;
constexpr int kSteps = QP_TILE_K / kTile;
constexpr int kXBytes = QP_TILE_M * QP_TILE_K * 2;
constexpr int kStripBytes = kSteps * kTileLoads * 512;
constexpr int kStageBytes = kXBytes + kStrips * kStripBytes;
constexpr int kOwn = kFeatures / 2 * kHalves;  // Features of each lane.
constexpr int kOwnWords = kOwn * kTileLoads;   // For them in a tile, of each lane of its quad.
constexpr int kSums = QP_TILE_M / 2;
// Of 168 that each thread begins with.
constexpr int kRegisters = 232, kRegistersOfCopies = 40;

static_assert(QP_TILE_K == 64, "rows of x of 128 bytes");
static_assert(kStrips * 2 == kWarps * kHalves, "every half of a strip has a warp");
static_assert(QP_TILE_M * kHalves <= 256, "the sums of a thread are 128 at most");
static_assert(QP_THREADS == (kWarps + kCopiers) * 32, "one warpgroup more, which copies");
static_assert(kStageBytes % 1024 == 0, "each stage begins where the swizzle does");
static_assert(kSteps == 2, "the operands of two tiles, and the words of a third");
static_assert(QP_SHARED_BYTES == QP_STAGES * kStageBytes, "shared memory holds the stages and no more");
static_assert(QP_WEIGHTS != QP_NF4, "codes that 16 bits hold exactly");

// Copies the stages of a tile: the words of this warp's strips, as far as they are there, and x. By one thread.
QP_DEVICE void qp_copy_tile(const qp_tensor_map& x_map, const uint4* packed, const qp_ring& ring, qp_turn& turn,
                            qp_tile at, qp_share share, int strips, int k) {
  const int copier = (threadIdx.x >> 5) - kWarps, first = at.n / kStrip + copier * kOwnStrips;
  const int own = max(0, min(kOwnStrips, strips - first)), bytes = own * kStripBytes + (copier == 0 ? kXBytes : 0);
  const int to_next_strip = qp_tiles(k) * (kTileLoads * 32);
  const uint4* from = qp_lane_weights(packed, first, qp_tiles(k), share.first * kSteps, 0);
  for (int index = share.first; index < share.last; index++) {
    qp_wait_until_emptied(ring, turn);
    unsigned char* stage = ring.memory + turn.stage * kStageBytes;
    uint64_t* filled = ring.filled + turn.stage;
    qp_arrive_and_expect(filled, bytes);
    if (copier == 0) qp_copy_box(stage, x_map, index * QP_TILE_K * 2, at.m, filled);
#pragma unroll
    for (int i = 0; i < kOwnStrips; i++)
      if (i < own)
        qp_copy_bulk(stage + kXBytes + (copier * kOwnStrips + i) * kStripBytes, from + i * to_next_strip, kStripBytes, filled);
    from += kSteps * kTileLoads * 32;
    qp_advance(turn);
  }
}

// The strip of a warp, and the half of it where it has one alone.
struct qp_part {
  int strip, half;
};

// What is applied to the weights of a lane's features in a group, twice each in the type of x.
struct qp_group {
  uint32_t scale[kOwn], zero[kOwn];
};

#if QP_WEIGHTS == QP_INT4
// The groups of a lane along K, one after another; each is fetched while the one before is used, and not touched until then:
// the warp would wait for it.
struct qp_groups {
  const uint2* scales;
  const uint32_t* zeros;
  size_t first;
  int last, half;
  uint2 next_scales;
  uint32_t next_zeros;
};

QP_DEVICE void qp_fetch_group(qp_groups& of, int index) {
  const size_t at = of.first + min(index, of.last) * (kStrip / kFeatures);
  if (of.zeros) of.next_zeros = qp_load4(of.zeros + at);
  if constexpr (kHalves == 2) of.next_scales = qp_load8(of.scales + at);
  else of.next_scales.x = qp_load4(reinterpret_cast<const uint32_t*>(of.scales + at) + of.half);
}

// The first of those tiles is asked for.
QP_DEVICE qp_groups qp_make_groups(const void* scales, const uint32_t* zeros, qp_part part, int tile, int n, int k) {
  const int count = qp_tiles(k) / kGroupTiles, strip = min(part.strip, (n - 1) / kStrip);
  const size_t first = qp_group_at(strip, count, 0) / kFeatures + (threadIdx.x & 31) / 4;
  qp_groups groups = {static_cast<const uint2*>(scales), zeros, first, count - 1, part.half, {}, kZeros};
  qp_fetch_group(groups, tile / kGroupTiles);
  return groups;
}

// Goes on to the group that was fetched, which a tile belongs to.
QP_DEVICE void qp_open_group(qp_group& group, qp_groups& of, int tile) {
  const uint32_t zeros = of.next_zeros >> (of.half * 16);
#pragma unroll
  for (int j = 0; j < kOwn; j++) {
    const uint32_t pair = j < 2 ? of.next_scales.x : of.next_scales.y;
#if QP_ACT == QP_BFLOAT16
    group.scale[j] = qp_prmt(pair, 0, j % 2 ? 0x3232u : 0x1010u);
#else
    const float scale = j % 2 ? qp_bfloat16_high(pair) : qp_bfloat16_low(pair);
    group.scale[j] = qp_floats_to_half2(scale, scale);
#endif
    group.zero[j] = qp_prepare_zero(zeros, j).low;
  }
  qp_fetch_group(of, tile / kGroupTiles + 1);
}
#else
struct qp_groups {};
QP_DEVICE qp_groups qp_make_groups(const void*, const uint32_t*, qp_part, int, int, int) { return {}; }
QP_DEVICE void qp_open_group(qp_group&, qp_groups&, int) {}
#endif

// The words of a quad in a tile, of this lane's features: of its four lanes in turn.
typedef uint32_t qp_quad_words[kQuad][kOwnWords];

// `words` is at the first of them.
QP_DEVICE void qp_read_quad(qp_quad_words& to, const unsigned char* words) {
#pragma unroll
  for (int lane = 0; lane < kQuad; lane++) {
    if constexpr (kOwnWords == 2) {
      const uint2 two = qp_load8_shared(words + lane * 16);
      to[lane][0] = two.x, to[lane][1] = two.y;
    } else {
#pragma unroll
      for (int i = 0; i < kOwnWords; i++) to[lane][i] = qp_word(qp_load16_shared(words + lane * 16 + i / 4 * 512), i % 4);
    }
  }
}

// Where the quad's words are in a stage.
QP_DEVICE int qp_quad_at(qp_part part, int strip_in_tile, int lane) {
  const int half = kHalves == 2 ? 0 : part.half * (kTileLoads == 2 ? 512 : 8);
  return kXBytes + strip_in_tile * kStripBytes + half + lane / kQuad * (kQuad * 16);
}

// This lane's pair of the 8 weights of a feature. `choice` says which: see qp_choose_pair.
#if QP_WEIGHTS == QP_INT4
// Pairs are nibbles 16 bits apart.
QP_DEVICE uint32_t qp_choose_pair(int lane) { return lane % kQuad * 4; }

QP_DEVICE uint32_t qp_expand_pair(uint32_t word, uint32_t, uint32_t choice, uint32_t zero, uint32_t scale) {
#if QP_ACT == QP_FLOAT16
  const uint32_t whole = qp_half2_sub(qp_lop3<0xea>(word >> choice, 0x000f000fu, 0x64006400u), zero);  // 1024 + code
#else
  const uint32_t whole = qp_bfloat162_add(qp_lop3<0xea>(word >> choice, 0x000f000fu, 0x43004300u), zero);  // 128 + code
#endif
  return qp_act2_mul(whole, scale);
}
#else
// Pairs are bytes 16 bits apart, two of them in a word.
QP_DEVICE uint32_t qp_choose_pair(int lane) {
  const uint32_t low = lane % kQuad + lane % kQuad / 2 * 2;
  return low | low << 4 | (low + 2) << 8 | (low + 2) << 12;
}

QP_DEVICE uint32_t qp_expand_pair(uint32_t first, uint32_t second, uint32_t choice, uint32_t, uint32_t) {
  return qp_expand_bytes(qp_prmt(first, second, choice));
}
#endif

// The first operands of both products of half a strip with one tile: [16 of K][register].
typedef uint32_t qp_operands[2][4];
typedef qp_operands qp_tile_operands[kHalves];

// Of a product of 16 along K, two lanes of the quad have the weights: those of the first 8 and of the others.
QP_DEVICE void qp_expand_tile(qp_tile_operands& to, const qp_quad_words& words, uint32_t choice, const qp_group& group) {
#pragma unroll
  for (int j = 0; j < kOwn; j++)
#pragma unroll
    for (int lane = 0; lane < kQuad; lane++) {
      const int first = j * kTileLoads, second = first + kTileLoads - 1;
      to[j / 2][lane / 2][lane % 2 * 2 + j % 2] =
          qp_expand_pair(words[lane][first], words[lane][second], choice, group.zero[j], group.scale[j]);
    }
}

QP_DEVICE void qp_start_products(float (&sums)[kHalves][kSums], const qp_tile_operands& a, uint64_t x) {
  qp_wgmma_fence();
#pragma unroll
  for (int half = 0; half < kHalves; half++)
#pragma unroll
    for (int i = 0; i < 2; i++) qp_wgmma_act(sums[half], a[half][i], qp_wgmma_along(x, i * 32));
  qp_wgmma_commit();
}

// What a warp multiplies of a tile: a part of a strip, over some stages. `strip` may be behind the last: what the stage holds
// is multiplied then, and not written.
struct qp_task {
  qp_tile tile;
  qp_part part;
  qp_share share;
};

// What a warp has at hand while it goes through the stages.
struct qp_state {
  qp_tile_operands a[kSteps];
  qp_quad_words words;
  qp_group group;
  uint32_t choice;
  int own;     // Where in a stage its words are.
  int stage;   // That is multiplied; the turn is at the next one.
  int before;  // The one before it; negative for the first.
};

QP_DEVICE void qp_read_tile(qp_state& state, const qp_ring& ring, int stage, int tile) {
  qp_read_quad(state.words, ring.memory + stage * kStageBytes + state.own + tile * kTileLoads * 512);
}

// Multiplies a stage. While a tile of it is multiplied the next one is expanded, whose words were read long before.
template <bool kIsLast>
QP_DEVICE void qp_multiply_stage(float (&sums)[kHalves][kSums], qp_state& state, qp_groups& groups, const qp_ring& ring,
                                 qp_turn& turn, int index) {
  const uint64_t x = qp_wgmma_descriptor(ring.memory + state.stage * kStageBytes);
#pragma unroll
  for (int tile = 0; tile < kSteps; tile++) {
    qp_start_products(sums, state.a[tile], qp_wgmma_along(x, tile * kTile * 2));
    // While these go on, those before are through with their operands, and with their stage.
    qp_wgmma_wait<1>();
    if (tile == 0 && state.before >= 0) qp_let_go(ring.emptied + state.before);
    if (kIsLast && tile + 1 == kSteps) break;
    const int next = index * kSteps + tile + 1;
    if (kHasGroups && next % kGroupTiles == 0) qp_open_group(state.group, groups, next);
    qp_expand_tile(state.a[(tile + 1) % kSteps], state.words, state.choice, state.group);
    if constexpr (!kIsLast) {
      if (tile == 0) qp_wait_until_filled(ring, turn);
      qp_read_tile(state, ring, turn.stage, tile);
    }
  }
  state.before = state.stage;
  state.stage = turn.stage;
}

// The sums of a task. `groups` begin with its first.
QP_DEVICE void qp_add_up(float (&sums)[kHalves][kSums], qp_groups& groups, const qp_ring& ring, qp_turn& turn,
                         const qp_task& task) {
  const qp_share share = task.share;
#pragma unroll
  for (int half = 0; half < kHalves; half++)
#pragma unroll
    for (int i = 0; i < kSums; i++) sums[half][i] = 0;
  if (share.first == share.last) return;

  const int lane = threadIdx.x & 31;
  qp_state state;
  state.choice = qp_choose_pair(lane);
  state.own = qp_quad_at(task.part, (threadIdx.x >> 5) % kStrips, lane);
  state.stage = turn.stage;
  state.before = -1;
  qp_open_group(state.group, groups, share.first * kSteps);
  qp_wait_until_filled(ring, turn);
  qp_read_tile(state, ring, turn.stage, 0);
  qp_expand_tile(state.a[0], state.words, state.choice, state.group);
  qp_read_tile(state, ring, turn.stage, 1);
#pragma unroll 1
  for (int index = share.first; index + 1 < share.last; index++) {
    qp_advance(turn);
    qp_multiply_stage<false>(sums, state, groups, ring, turn, index);
  }
  qp_advance(turn);
  qp_multiply_stage<true>(sums, state, groups, ring, turn, share.last - 1);
#pragma unroll
  for (int half = 0; half < kHalves; half++) qp_wgmma_finish(sums[half]);
  qp_let_go(ring.emptied + state.before);
}

// What makes results of a lane's sums, of each of its features.
struct qp_ends {
  float scale[kOwn];
  qp_act bias[kOwn];
};

// Asked for before the products, and not touched until they are there: the warp would wait for it.
QP_DEVICE qp_ends qp_ask_for_ends([[maybe_unused]] const void* scales, const qp_act* bias, qp_part part, int n) {
  qp_ends ends;
#pragma unroll
  for (int j = 0; j < kOwn; j++) {
    const int feature = part.strip * kStrip + part.half * 16 + j * 8 + (threadIdx.x & 31) / 4;
    ends.scale[j] = !kHasGroups && feature < n ? static_cast<const float*>(scales)[feature] : 1.0f;
    ends.bias[j] = bias && feature < n ? bias[feature] : qp_act{};
  }
  return ends;
}

// Writes the strip's part of y. A lane holds two neighbouring rows of four features; matrices of 8 × 8 are transposed, and
// quads exchange what they have, for 8 neighbouring features of one row.
QP_DEVICE void qp_write(const float (&sums)[kHalves][kSums], const qp_ends& ends, qp_act* y, int first_row, qp_part part, int m,
                        int n) {
  constexpr int kTogether = 4 / kOwn;  // Groups of 8 rows, of which a quad has 16 bytes for each lane.
  const int lane = threadIdx.x & 31, column = part.strip * kStrip + part.half * 16 + lane % kOwn * 8;
  float offset[kOwn];
#pragma unroll
  for (int j = 0; j < kOwn; j++) offset[j] = qp_act_to_float(ends.bias[j]);
#pragma unroll
  for (int i = 0; i < QP_TILE_M / 8; i += kTogether) {
    uint32_t pairs[4];
#pragma unroll
    for (int c = 0; c < 4; c++) {
      const int j = c % kOwn, at = (i + c / kOwn) * 4 + j % 2 * 2;
      const float low = sums[j / 2][at], high = sums[j / 2][at + 1];
      pairs[c] = qp_transpose_matrix(qp_act2_from_floats(low * ends.scale[j] + offset[j], high * ends.scale[j] + offset[j]));
    }
    qp_transpose_quad(pairs);
    const int row = first_row + (i + lane % 4 / kOwn) * 8 + lane / 4;
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
  QP_SHARED_SWIZZLED(shared);
  const qp_ring ring = qp_make_ring(shared, kCopiers, kWarps);
  const int warp = threadIdx.x >> 5;
  const int tiles_n = (n + QP_TILE_N - 1) / QP_TILE_N, tiles_m = (m + QP_TILE_M - 1) / QP_TILE_M;
  const int count = tiles_n * tiles_m * split;
  qp_turn turn = {0, 0};
  if (warp >= kWarps) {
    qp_give_registers<kRegistersOfCopies>();
    if (!qp_elect()) return;
    for (int id = blockIdx.x; id < count; id += gridDim.x)
      qp_copy_tile(x_map, packed, ring, turn, qp_find_tile(id / split, tiles_n, tiles_m),
                   qp_find_share(k, split, id % split), qp_round_up(n, kStrip) / kStrip, k);
  } else {
    qp_take_registers<kRegisters>();
    const qp_ring kept = qp_keep(ring);
    const auto find = [&](int id) -> qp_task {
      const qp_tile tile = qp_find_tile(id / split, tiles_n, tiles_m);
      return {tile, {tile.n / kStrip + warp % kStrips, warp / kStrips}, qp_find_share(k, split, id % split)};
    };
    const auto make_groups = [&](const qp_task& of) {
      return qp_make_groups(scales, zeros, of.part, of.share.first * kSteps, n, k);
    };
    qp_task task = find(blockIdx.x);
    qp_groups groups = make_groups(task);
    float sums[kHalves][kSums];
    for (int id = blockIdx.x; id < count; id += gridDim.x) {
      const qp_part part = task.part;
      const int first_row = task.tile.m;
      // With scales of features, too, there are no registers for it.
      qp_ends ends;
      if (kHasGroups) ends = qp_ask_for_ends(scales, bias, part, n);
      qp_add_up(sums, groups, kept, turn, task);
      // The first group of the next tile comes while results are written; behind the last tile it is asked for in vain.
      task = find(min(id + static_cast<int>(gridDim.x), count - 1));
      groups = make_groups(task);
      if (!qp_add_parts<kHalves * kSums / 4, kWarps * 32>(scratch, counters, id / split, split, id % split, true, [&](int v) {
            return sums[v / (kSums / 4)] + v % (kSums / 4) * 4;
          }))
        continue;
      if (!kHasGroups) ends = qp_ask_for_ends(scales, bias, part, n);
      if (part.strip * kStrip < n) qp_write(sums, ends, y, first_row, part, m, n);
    }
  }
}
