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
