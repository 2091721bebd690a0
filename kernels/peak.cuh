// What the probes of peak rates share. Each repeats one instruction on registers, `iterations` times on kChains
// independent accumulators of every thread, and writes the sum of its accumulators to y, one for each thread.
//
// In their manifests the tile says what a block computes in one iteration: 2·m·n·k operations, and `split` counts blocks.
// The operands change along k alone, in the same way for every row and column: each accumulator grows by the same number at
// each iteration, whatever lane it is in, and so the answer is known. They are not all alike, which would cost less power
// than real operands and flatter the card.

#pragma once

#include "prims.cuh"

constexpr int kChains = 8;

// Neighbours along k, as 4-bit or 8-bit integers: the i-th word of any row of x, or of w.
QP_DEVICE uint32_t qp_peak_word(int i, bool is_weight) {
  uint32_t bits = (i + 1) * (is_weight ? 0x9e3779b9u : 0x85ebca6bu);
  bits ^= bits >> 15;
  return bits * 0xc2b2ae35u;
}

// Two neighbours along k, of 16 bits, the i-th word of eight: 1 … 5 of x, and ±1 of w; over 16 along k their products sum up
// to 1.
#ifdef QP_ACT
QP_DEVICE uint32_t qp_peak_pair(int i, bool is_weight) {
  const float sign = i % 2 ? -1.0f : 1.0f;
  const float low = is_weight ? sign : i / 2 + 1.0f, high = is_weight ? -sign : i == 7 ? i / 2 + 2.0f : i / 2 + 1.0f;
  return qp_act2_from_floats(low, high);
}
#endif

// Four as e4m3, the i-th word of eight: 1, 1.5, 2 and 3 of x, up or down, and ±1 of w; over 32 along k their products sum up to
// −3. 0x38 is 1, 0x3c 1.5, 0x40 2, 0x44 3, and 0xb8 −1.
QP_DEVICE uint32_t qp_peak_e4m3(int i, bool is_weight) {
  if (is_weight) return i % 2 && i < 7 ? 0xb838b838u : 0x38b838b8u;
  return i % 4 < 2 ? 0x44403c38u : 0x383c4044u;
}
