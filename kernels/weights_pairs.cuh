// The weights of a lane as operands of tensor cores: pairs of neighbours along K, as 16-bit numbers in one register.
//
// The numbers are codes less their zero points, which both types hold exactly, or values of NormalFloat, rounded.

#pragma once

#include "weights.cuh"

// Both 16-bit numbers of two neighbours along K, for each byte of NormalFloat, in each lane's own bank.
constexpr int kPairTableBytes = QP_WEIGHTS == QP_NF4 ? 256 * 32 * 4 : 0;

// qp_expand makes of the 8 weights of a feature the pairs of the first MMA, and of the second.
#if QP_WEIGHTS == QP_INT4
// The zero point as a number that is subtracted: from a pair as masked, and from one whose codes stand 4 bits higher.
struct qp_zero { uint32_t low, high; };

QP_DEVICE constexpr qp_zero qp_make_zero(uint32_t both) {
#if QP_ACT == QP_FLOAT16
  return {both | 0x64006400u, both << 4 | 0xd400d400u};  // 1024 + zero, −(64 + zero)
#else
  return {both | 0xc300c300u, 0};  // −(128 + zero)
#endif
}

QP_DEVICE qp_zero qp_prepare_zero(uint32_t zeros, int j) { return qp_make_zero(qp_prmt(zeros, 0, 0x4040u | j << 8 | j)); }

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

// Less their zero points, codes cost two instructions a pair and more; kOffset + code, a number as well, one and a shift.
#if QP_ACT == QP_FLOAT16
constexpr int kOffset = 64, kOffsetBit = 4;
constexpr uint32_t kOffsets = 0x54005400u, kOnes = 0x3c003c00u;
#else
constexpr int kOffset = 128, kOffsetBit = 0;
constexpr uint32_t kOffsets = 0x43004300u, kOnes = 0x3f803f80u;
#endif

QP_DEVICE void qp_expand_codes(uint32_t (&pairs)[4], uint32_t word) {
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const int bit = 4 * i - kOffsetBit;
    pairs[i] = qp_lop3<0xea>(bit < 0 ? word << -bit : word >> bit, 0x000f000fu << kOffsetBit, kOffsets);
  }
}
#elif QP_WEIGHTS == QP_NF4
// By kThreads, in whole warps: each thread makes the numbers of a byte and writes them for all lanes, neighbours to different banks.
template <int kThreads>
QP_DEVICE void qp_fill_pairs(unsigned char* table) {
  const int lane = threadIdx.x % 32;
  const float value = kNormalFloat[lane % 16];
  for (int byte = threadIdx.x; byte < 256; byte += kThreads) {
    const uint32_t pair = qp_act2_from_floats(qp_shuffle(value, byte >> 4), qp_shuffle(value, byte & 15));
#pragma unroll
    for (int i = 0; i < 8; i++)
      qp_store16_shared(table + byte * 128 + (i + lane) % 8 * 16, make_uint4(pair, pair, pair, pair));
  }
}

// `table` is at this lane's bank.
QP_DEVICE void qp_expand(uint32_t (&pairs)[4], uint32_t word, const unsigned char* table) {
#pragma unroll
  for (int i = 0; i < 4; i++)
    pairs[i] = *reinterpret_cast<const uint32_t*>(table + qp_prmt(word, 0, 0x4440u | i) * 128);
}
#else
// The numbers of a pair of signed bytes, in the lower half of each 16 bits; what is in the upper is of no account.
QP_DEVICE uint32_t qp_expand_bytes(uint32_t pair) {
#if QP_ACT == QP_FLOAT16
  return qp_half2_sub(qp_lop3<0xea>(pair, 0x00ff00ffu, 0x64006400u), 0x64806480u);  // 1024 + code + 128
#else
  // 7 bits of the byte make 128 + bits; its highest tells whether 128 or 256 is too much.
  const uint32_t excess = qp_lop3<0x6a>(pair, 0x00800080u, 0x43804380u);
  return qp_bfloat162_sub(qp_lop3<0xea>(pair, 0x007f007fu, 0x43004300u), excess);
#endif
}

QP_DEVICE void qp_expand(uint32_t (&pairs)[4], uint32_t first, uint32_t second) {
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const uint32_t word = i < 2 ? first : second;
#if QP_ACT == QP_FLOAT16
    // 1024 + code + 128
    pairs[i] = qp_half2_sub(qp_prmt(word, 0x64646464u, i % 2 ? 0x4341u : 0x4240u), 0x64806480u);
#else
    pairs[i] = qp_expand_bytes(word >> (i % 2 * 8));
#endif
  }
}
#endif
