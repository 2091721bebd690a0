// Weights in the order of the packings mma_w4 and mma_w8 (qprobe/kernels/cuda/packing): where a lane finds its own, and
// what numbers they stand for. -DQP_WEIGHTS=… says which.
//
// A strip is 32 output features, a tile 32 weights along K of a strip. Of a tile, lane l holds the 8 weights from
// k = 8·(l%4) of the features l/4 + 8·j, j = 0 … 3.

#pragma once

#include "prims.cuh"

#define QP_INT4 0
#define QP_NF4 1
#define QP_INT8 2

constexpr int kStrip = 32;
constexpr int kTile = 32;
constexpr int kPadding = 128;  // K is padded to a multiple of it.
constexpr int kFeatures = 4;   // Of each lane.
constexpr int kAlong = 8;      // Weights along K of each lane and feature, in a tile.

// Loads of 16 bytes by each lane that make a tile, and tiles that make a chunk: what a warp loads ahead.
constexpr int kTileLoads = QP_WEIGHTS == QP_INT8 ? 2 : 1;
constexpr bool kHasGroups = QP_WEIGHTS != QP_INT8;
#ifdef QP_GROUP
constexpr int kGroup = QP_GROUP;  // Weights along K that share a scale.
#else
constexpr int kGroup = 64;
#endif
constexpr int kGroupTiles = kGroup / kTile;
constexpr int kZero = 8;  // The zero point where groups have none of their own; and of four features.
constexpr uint32_t kZeros = 0x01010101u * kZero;

QP_DEVICE int qp_round_up(int count, int multiple) { return (count + multiple - 1) / multiple * multiple; }

QP_DEVICE int qp_tiles(int k) { return qp_round_up(k, kPadding) / kTile; }

// This lane's part of a tile and of those after it, kTileLoads · 32 vectors apart.
QP_DEVICE const uint4* qp_lane_weights(const uint4* packed, int strip, int tiles, int tile, int lane) {
  return packed + (static_cast<size_t>(strip) * tiles + tile) * (kTileLoads * 32) + lane;
}

// Of a group: the first of its 32 values, four for each l/4. `groups` is that of the padded K.
QP_DEVICE size_t qp_group_at(int strip, int groups, int group) {
  return (static_cast<size_t>(strip) * groups + group) * kStrip;
}

QP_DEVICE float qp_bfloat16_low(uint32_t pair) { return qp_bits_to_float(pair << 16); }
QP_DEVICE float qp_bfloat16_high(uint32_t pair) { return qp_bits_to_float(pair & 0xffff0000u); }

// The byte `i` of a word as a number: 2²³ + byte is exact, and so is the difference.
constexpr uint32_t kExponent = 0x4b000000u;
QP_DEVICE float qp_byte_to_float(uint32_t word, int i, float offset, uint32_t exponent = kExponent) {
  return qp_bits_to_float(qp_prmt(word, exponent, 0x7440u | i)) - (8388608.0f + offset);
}

// ---- NormalFloat ----

QP_CONSTANT_TABLE float kNormalFloat[16] = {
    -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f,
    -0.28444138169288635f, -0.18477343022823334f, -0.09105003625154495f, 0.0f,
    0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
    0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f};

// A copy of the table for each lane, in a bank of its own: no two lanes wait for each other.
constexpr int kTableBytes = 16 * 32 * 4;

QP_DEVICE void qp_fill_table(void* table, int thread, int threads) {
  for (int i = thread; i < 16 * 32; i += threads) static_cast<float*>(table)[i] = kNormalFloat[i / 32];
}

// The value of the nibble at a bit of a word.
QP_DEVICE float qp_table_value(const void* table, uint32_t lane_offset, uint32_t word, int bit) {
  const uint32_t at = bit <= 7 ? word << (7 - bit) : word >> (bit - 7);
  return *reinterpret_cast<const float*>(static_cast<const unsigned char*>(table) +
                                         qp_lop3<0xea>(at, 15u << 7, lane_offset));
}

// ---- The numbers of a lane: 8 weights along K of a feature, as float ----

// Where the integer with offset i along K stands in its word.
QP_DEVICE constexpr int qp_nibble_bit(int i) { return i % 2 ? 16 + i / 2 * 4 : i / 2 * 4; }
QP_DEVICE constexpr int qp_byte_of(int i) { return i == 1 ? 2 : i == 2 ? 1 : i; }

// What qp_decode adds to 4-bit integers beyond their code (0 … 15). A code at the upper end of a mantissa costs a shift
// and a mask, and stands for 16 + code; one at the next place shares the shift, stands for 256 + code and costs 4 bits
// of precision, which 16-bit activations can spare.
QP_DEVICE constexpr float qp_bias(int i) {
#if QP_WEIGHTS != QP_INT4
  return 0;
#elif QP_ACT == QP_FLOAT32
  return 16;
#else
  return i == 0 || i == 1 || i == 4 || i == 5 ? 256 : 16;
#endif
}

// The 8 numbers, before scales and zero points. `table` and `lane_offset` (4 · lane) are for NormalFloat, `exponent`
// (kExponent) is for 8 bits.
QP_DEVICE void qp_decode(float (&w)[kAlong], uint32_t word, uint32_t second, const void* table, uint32_t lane_offset,
                         uint32_t exponent) {
#pragma unroll
  for (int i = 0; i < kAlong; i++) {
#if QP_WEIGHTS == QP_INT4
    const int place = qp_bias(i) == 16 ? 19 : 15, bit = qp_nibble_bit(i);
    const uint32_t at = bit > place ? word >> (bit - place) : word << (place - bit);
    w[i] = qp_bits_to_float(qp_lop3<0xea>(at, 15u << place, place == 19 ? 0x41800000u : 0x43800000u));
#elif QP_WEIGHTS == QP_NF4
    w[i] = qp_table_value(table, lane_offset, word, 4 * (i ^ 1));
#else
    w[i] = qp_byte_to_float(i < 4 ? word : second, qp_byte_of(i % 4), 128, exponent);
#endif
  }
}

// The word, or the two, of feature j in a lane's loads of a tile.
QP_DEVICE uint32_t qp_word(const uint4& v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }
QP_DEVICE uint32_t qp_first_word(const uint4* loads, int j) {
  return kTileLoads == 1 ? qp_word(loads[0], j) : qp_word(loads[j / 2], j % 2 * 2);
}
QP_DEVICE uint32_t qp_second_word(const uint4* loads, int j) {
  return kTileLoads == 1 ? 0 : qp_word(loads[j / 2], j % 2 * 2 + 1);
}

// The scale of each of a lane's four features in a group, and the zero point.
QP_DEVICE void qp_load_scales(float (&scale)[kFeatures], float (&zero)[kFeatures], const void* scales,
                              const uint32_t* zeros, size_t at) {
#if QP_WEIGHTS == QP_INT4
  const uint2 pairs = qp_load8(static_cast<const uint2*>(scales) + at);
  const uint32_t points = zeros ? qp_load4(zeros + at) : kZeros;
#elif QP_WEIGHTS == QP_NF4
  const uint4 four = qp_load16(static_cast<const uint4*>(scales) + at);
#endif
#pragma unroll
  for (int j = 0; j < kFeatures; j++) {
#if QP_WEIGHTS == QP_INT4
    const uint32_t pair = j < 2 ? pairs.x : pairs.y;
    scale[j] = j % 2 ? qp_bfloat16_high(pair) : qp_bfloat16_low(pair);
    zero[j] = qp_byte_to_float(points, j, 0);
#elif QP_WEIGHTS == QP_NF4
    scale[j] = qp_bits_to_float(qp_word(four, j)), zero[j] = 0;
#else
    scale[j] = static_cast<const float*>(scales)[at + j * 8], zero[j] = 0;
#endif
  }
}
