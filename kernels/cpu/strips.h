// Strips of 16 rows of W, interleaved so that a 512-bit register has one element of each row: what the
// kernels for AVX512 multiply without any shuffle across rows.

#pragma once

#include "types.h"

#include <algorithm>

constexpr int kStrip = 16;

inline int64_t strips_of(int64_t n) { return (n + kStrip - 1) / kStrip; }

// How many rows of x a task of a product takes: all, or so many that every thread has some tasks.
inline int64_t rows_per_task(int64_t m, int64_t blocks, int threads, int multiple) {
  const int64_t wanted = std::max<int64_t>(1, (3 * threads + blocks - 1) / blocks);
  const int64_t rows = (m + wanted - 1) / wanted;
  return std::max<int64_t>(8 * multiple, (rows + multiple - 1) / multiple * multiple);
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
