// Parts of K that blocks add up apart from one another.

#pragma once

#include "prims.cuh"

// Of the stages along K those that a block adds up: all, or a part.
struct qp_share {
  int first, last;
};

QP_DEVICE qp_share qp_find_share(int k, int split, int part) {
  const int stages = (k + QP_TILE_K - 1) / QP_TILE_K, each = (stages + split - 1) / split;
  return {min(stages, part * each), min(stages, (part + 1) * each)};
}

QP_DEVICE uint32_t qp_sum_to_bits(int sum) { return static_cast<uint32_t>(sum); }
QP_DEVICE uint32_t qp_sum_to_bits(float sum) { return qp_float_to_bits(sum); }
QP_DEVICE void qp_add_bits(int& sum, uint32_t bits) { sum += static_cast<int>(bits); }
QP_DEVICE void qp_add_bits(float& sum, uint32_t bits) { sum += qp_bits_to_float(bits); }

// The sums of all parts of a tile, in the block that arrives last; false in the others. They are added in the order of the
// parts, whichever block is last. `at(v)` is where the v-th four sums of a thread are; of threads that are not inside nothing
// is stored, and what they have then is nobody's. `scratch` holds 16 bytes of each of kThreads threads at a time for each
// four, part and tile. All threads of the block, or its first kThreads, call it.
template <int kVectors, int kThreads, class At>
QP_DEVICE bool qp_add_parts(void* scratch, uint32_t* counters, int tile, int split, int part, bool is_inside, At at) {
  if (split == 1) return true;
  uint4* parts = static_cast<uint4*>(scratch) + static_cast<int64_t>(tile) * split * (kVectors * kThreads) + threadIdx.x;
  uint4* mine = parts + static_cast<int64_t>(part) * (kVectors * kThreads);
  if (is_inside)
#pragma unroll
    for (int v = 0; v < kVectors; v++)
      qp_store16(mine + v * kThreads, make_uint4(qp_sum_to_bits(at(v)[0]), qp_sum_to_bits(at(v)[1]),
                                                 qp_sum_to_bits(at(v)[2]), qp_sum_to_bits(at(v)[3])));
  if (!qp_is_last_block<(kThreads < QP_THREADS ? kThreads : 0)>(counters + tile, split)) return false;
#pragma unroll
  for (int v = 0; v < kVectors; v++) at(v)[0] = at(v)[1] = at(v)[2] = at(v)[3] = 0;
#pragma unroll 1
  for (int index = 0; index < split && is_inside; index++)
#pragma unroll
    for (int v = 0; v < kVectors; v++) {
      const uint4 four = qp_load16_fresh(parts + static_cast<int64_t>(index) * (kVectors * kThreads) + v * kThreads);
      qp_add_bits(at(v)[0], four.x), qp_add_bits(at(v)[1], four.y);
      qp_add_bits(at(v)[2], four.z), qp_add_bits(at(v)[3], four.w);
    }
  return true;
}
