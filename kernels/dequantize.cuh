// The weight (N, K), in the type of activations: what large products multiply, and what every card can.
//
// The warps of a block take tiles of a strip in turn. The arithmetic is that of the definition: float32, rounded once.

#pragma once

#include "weights.cuh"

constexpr int kWarps = QP_THREADS / 32;
constexpr int kAhead = 4;  // Tiles whose loads are under way at once.
constexpr int kBlocks = 4;  // On a multiprocessor: what bounds the registers.
static_assert(QP_TILE_N == kStrip, "a block writes one strip");
static_assert(QP_TILE_K == kWarps * kAhead * kTile, "what a block takes at a time");
static_assert(QP_SHARED_BYTES == (QP_WEIGHTS == QP_NF4 ? kTableBytes : 0), "shared_bytes in the manifest");

// The 8 weights of feature j as the definition has them, before the scale.
QP_DEVICE void qp_exact(float (&w)[kAlong], const uint4* loads, int j, float zero, const void* table, int lane) {
  const uint32_t first = qp_first_word(loads, j), second = qp_second_word(loads, j);
#pragma unroll
  for (int i = 0; i < kAlong; i++) {
#if QP_WEIGHTS == QP_INT4
    const uint32_t code = qp_lop3<0xea>(first >> qp_nibble_bit(i), 15u, kExponent);
    w[i] = qp_bits_to_float(code) - (8388608.0f + zero);
#elif QP_WEIGHTS == QP_NF4
    w[i] = qp_table_value(table, lane * 4, first, 4 * (i ^ 1));
#else
    w[i] = qp_byte_to_float(i < 4 ? first : second, qp_byte_of(i % 4), 128);
#endif
  }
}

// `count` of 8 weights; all of them, to an address that is a multiple of 16, where rows are aligned.
template <bool kIsAligned>
QP_DEVICE void qp_store_weights(qp_act* to, const float (&w)[kAlong], int count) {
  if (!kIsAligned) {
#pragma unroll
    for (int i = 0; i < kAlong; i++)
      if (i < count) to[i] = qp_act_from_float(w[i]);
    return;
  }
#if QP_ACT == QP_FLOAT32
#pragma unroll
  for (int i = 0; i < kAlong; i += 4)
    qp_store16(to + i, make_uint4(qp_float_to_bits(w[i]), qp_float_to_bits(w[i + 1]), qp_float_to_bits(w[i + 2]),
                                  qp_float_to_bits(w[i + 3])));
#else
  qp_store16(to, make_uint4(qp_act2_from_floats(w[0], w[1]), qp_act2_from_floats(w[2], w[3]),
                            qp_act2_from_floats(w[4], w[5]), qp_act2_from_floats(w[6], w[7])));
#endif
}

template <bool kIsAligned>
QP_DEVICE void qp_dequantize_strip(const uint4* packed, const void* scales, const uint32_t* zeros, const void* table,
                                   qp_act* y, int n, int k, int split) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, strip = blockIdx.x, tiles = qp_tiles(k);
#pragma unroll 1
  for (int tile0 = (blockIdx.y * kWarps + warp) * kAhead; tile0 * kTile < k; tile0 += split * kWarps * kAhead) {
    uint4 loads[kAhead * kTileLoads];
    const uint4* from = qp_lane_weights(packed, strip, tiles, tile0, lane);
#pragma unroll
    for (int i = 0; i < kAhead * kTileLoads; i++) loads[i] = qp_load16_once(from + i * 32);
    float scale[kFeatures], zero[kFeatures];
#pragma unroll
    for (int tile = 0; tile < kAhead; tile++) {
      const int column = (tile0 + tile) * kTile + lane % 4 * kAlong;
      if (!kHasGroups && tile == 0) qp_load_scales(scale, zero, scales, zeros, strip * kStrip + lane / 4);
      if (kHasGroups && tile % kGroupTiles == 0) {
        const int group = (tile0 + tile) / kGroupTiles;
        qp_load_scales(scale, zero, scales, zeros,
                      qp_group_at(strip, tiles / kGroupTiles, group) / kFeatures + lane / 4);
      }
      qp_act* to = y + static_cast<size_t>(strip * kStrip + lane / 4) * k + column;
#pragma unroll
      for (int j = 0; j < kFeatures; j++) {
        float w[kAlong];
        qp_exact(w, loads + tile * kTileLoads, j, zero[j], table, lane);
#pragma unroll
        for (int i = 0; i < kAlong; i++) w[i] *= scale[j];
        if (strip * kStrip + j * 8 + lane / 4 < n && column < k)
          qp_store_weights<kIsAligned>(to + static_cast<size_t>(j * 8) * k, w, k - column);
      }
    }
  }
}

QP_DEVICE void qp_dequantize(const uint4* packed, const void* scales, const uint32_t* zeros, qp_act* y, int n, int k,
                             int split) {
  QP_SHARED_DYNAMIC(table);
  if (QP_WEIGHTS == QP_NF4) {
    qp_fill_table(table, threadIdx.x, QP_THREADS);
    qp_sync();
  }
  if ((reinterpret_cast<size_t>(y) | k * sizeof(qp_act)) % 16 == 0 && k % kAlong == 0)
    qp_dequantize_strip<true>(packed, scales, zeros, table, y, n, k, split);
  else
    qp_dequantize_strip<false>(packed, scales, zeros, table, y, n, k, split);
}
