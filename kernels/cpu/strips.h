// Strips of 16 rows of W, interleaved so that a 512-bit register has one element of each row: what the
// kernels for AVX512 multiply without any shuffle across rows.

#pragma once

#include "types.h"

#include <omp.h>

#include <algorithm>

constexpr int kStrip = 16;
constexpr int64_t kOwnCache = 1 << 20;  // what the second cache of a processor holds

inline int64_t strips_of(int64_t n) { return (n + kStrip - 1) / kStrip; }

// How a product is divided among threads: a task is a block of W's rows against some rows of x.
struct Division {
  int64_t blocks, rows;
  bool own_rows;  // every thread has rows of its own, as torch and the quantizer divide them

  // `multiple`: so many rows of x are multiplied together. `moved`: bytes of a row of x and of y.
  Division(int64_t m, int64_t blocks, int64_t multiple, int64_t weight_bytes, int64_t moved)
      : blocks(blocks) {
    const int64_t threads = omp_get_max_threads();
    // What one thread has written another reads slowly: 8 times as slowly where they are on different
    // dies. With rows of its own, every thread reads all weights instead, from its own cache if they fit.
    const bool is_cheaper = weight_bytes <= kOwnCache || m * moved >= threads * weight_bytes;
    own_rows = m >= threads * multiple && is_cheaper;
    if (own_rows) {
      rows = (m + threads - 1) / threads;
    } else {  // all rows, or so many that every thread has some tasks
      const int64_t wanted = std::max<int64_t>(1, (3 * threads + blocks - 1) / blocks);
      rows = std::max(8 * multiple, ((m + wanted - 1) / wanted + multiple - 1) / multiple * multiple);
    }
  }
};

// Within a parallel region: run(block, first row, last row) for each task.
template <typename Run>
void for_each_task(const Division& division, int64_t m, Run run) {
  const int64_t rows = division.rows, blocks = division.blocks, parts = (m + rows - 1) / rows;
  if (division.own_rows) {
#pragma omp for schedule(static)
    for (int64_t task = 0; task < blocks * parts; ++task) {
      const int64_t begin = task / blocks * rows;
      run(task % blocks, begin, std::min(m, begin + rows));
    }
  } else {
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < blocks * parts; ++task) {
      const int64_t begin = task % parts * rows;
      run(task / parts, begin, std::min(m, begin + rows));
    }
  }
}

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)

#include <immintrin.h>

// Which of a strip's rows there are.
inline __mmask16 rows_of_strip(int64_t n, int64_t strip) {
  const int64_t left = n - strip * kStrip;
  return left >= kStrip ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
}

inline __m512 load_bfloat16(__mmask16 mask, const bfloat16* from) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

// Rounded to nearest, ties to even; NaN stays NaN.
inline void store_bfloat16(__mmask16 mask, bfloat16* to, __m512 value) {
  const __m512i bits = _mm512_castps_si512(value);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
  const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
  const __m512i kept = _mm512_mask_mov_epi32(rounded, nan, quiet);
  _mm256_mask_storeu_epi16(to, mask, _mm512_cvtepi32_epi16(_mm512_srli_epi32(kept, 16)));
}

#endif
