// y = x W^T for few rows of x: the weight is read once, as it is stored, and looked up in registers.
//
// 4-bit codes: a 32-bit lane holds eight codes, and the sixteen values that they stand for fill one
// 512-bit register, so that a shift and a permutation turn a code of each lane into its value. The
// activations are brought into the order of the lanes once per call. Sums are kept per lane and scaled
// at the end of each 128 codes: a lane never spans two groups.

#include "types.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)

#include <immintrin.h>

namespace {

constexpr int64_t kChunk = 128;  // codes in a register
constexpr int kLanes = 16;
constexpr int kSteps = 8;  // codes in a lane

int64_t chunks_of(int64_t k) { return (k + kChunk - 1) / kChunk; }

// x in the order in which codes come out of the lanes: [chunk][step][lane], zeros behind K; and the sum
// over the steps of each lane, [chunk][lane], which a zero point is multiplied with.
void arrange(const WeightOnlyCall& call, float* ordered, float* sums) {
  const int64_t chunks = chunks_of(call.k);
#pragma omp parallel for schedule(static) collapse(2) if (call.m * call.k > kSerialElements)
  for (int64_t row = 0; row < call.m; ++row)
    for (int64_t c = 0; c < chunks; ++c) {
      float* to = ordered + (row * chunks + c) * kChunk;
      for (int step = 0; step < kSteps; ++step)
        for (int lane = 0; lane < kLanes; ++lane) {
          const int inside = (step & 4) | code_offset(call.kind, step & 3);
          const int64_t at = c * kChunk + lane * kSteps + inside;
          to[step * kLanes + lane] = at < call.k ? element(call.x, call.type, row * call.k + at) : 0;
        }
      float* sum = sums + (row * chunks + c) * kLanes;
      for (int lane = 0; lane < kLanes; ++lane) {
        float total = 0;
        for (int step = 0; step < kSteps; ++step) total += to[step * kLanes + lane];
        sum[lane] = total;
      }
    }
}

// For each 32-bit lane the scale of its group. A chunk has one group, two or four.
__m512 scales_of(const WeightOnlyCall& call, int64_t row, int64_t chunk) {
  const int64_t count = call.k / call.group;
  if (call.group >= kChunk) return _mm512_set1_ps(scale_at(call, row, chunk));
  const int64_t here = kChunk / call.group, first = chunk * here;
  const int64_t left = count - first < here ? count - first : here;
  const __mmask8 mask = static_cast<__mmask8>((1u << left) - 1);
  const int64_t at = row * count + first;
  const __m128 few =
      call.kind == kInt4
          ? _mm_castsi128_ps(_mm_slli_epi32(
                _mm_cvtepu16_epi32(_mm_maskz_loadu_epi16(
                    mask, static_cast<const bfloat16*>(call.scales) + at)),
                16))
          : _mm_maskz_loadu_ps(mask, static_cast<const float*>(call.scales) + at);
  const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i index = _mm512_srli_epi32(lane, here == 2 ? 3 : 2);
  return _mm512_permutexvar_ps(index, _mm512_castps128_ps512(few));
}

void write(const WeightOnlyCall& call, int64_t m, int64_t n, float value) {
  if (call.bias) value += element(call.bias, call.type, n);
  if (call.type == kBfloat16)
    static_cast<bfloat16*>(call.y)[m * call.n + n] = to_bfloat16(value);
  else
    static_cast<float*>(call.y)[m * call.n + n] = value;
}

template <int R, int M>
void rows_of_codes(const WeightOnlyCall& call, const float* ordered, const float* sums, int64_t m0,
                   int64_t n0) {
  const int64_t chunks = chunks_of(call.k), words = call.k / kSteps;
  const auto* codes = static_cast<const uint32_t*>(call.codes);
  const __m512 values = _mm512_loadu_ps(values_of(call.kind));
  __m512 total[R][M];
  for (int r = 0; r < R; ++r)
    for (int m = 0; m < M; ++m) total[r][m] = _mm512_setzero_ps();
  for (int64_t c = 0; c < chunks; ++c) {
    const int64_t left = words - c * kLanes;
    const __mmask16 mask = left >= kLanes ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
    __m512i word[R];
    __m512 part[R][M];
    for (int r = 0; r < R; ++r) {
      word[r] = _mm512_maskz_loadu_epi32(mask, codes + (n0 + r) * words + c * kLanes);
      for (int m = 0; m < M; ++m) part[r][m] = _mm512_setzero_ps();
      if (call.zero_points) {
        const __m512 point = _mm512_set1_ps(zero_point_at(call, n0 + r, c));
        for (int m = 0; m < M; ++m)
          part[r][m] = _mm512_fnmadd_ps(
              point, _mm512_loadu_ps(sums + ((m0 + m) * chunks + c) * kLanes), part[r][m]);
      }
    }
#pragma GCC unroll 8
    for (int step = 0; step < kSteps; ++step) {
      __m512 x[M];
      for (int m = 0; m < M; ++m)
        x[m] = _mm512_loadu_ps(ordered + ((m0 + m) * chunks + c) * kChunk + step * kLanes);
      for (int r = 0; r < R; ++r) {
        const __m512 w = _mm512_permutexvar_ps(_mm512_srli_epi32(word[r], 4 * step), values);
        for (int m = 0; m < M; ++m) part[r][m] = _mm512_fmadd_ps(w, x[m], part[r][m]);
      }
    }
    for (int r = 0; r < R; ++r) {
      const __m512 scale = scales_of(call, n0 + r, c);
      for (int m = 0; m < M; ++m) total[r][m] = _mm512_fmadd_ps(part[r][m], scale, total[r][m]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int m = 0; m < M; ++m) write(call, m0 + m, n0 + r, _mm512_reduce_add_ps(total[r][m]));
}

template <int R, int M>
void rows_of_bytes(const WeightOnlyCall& call, const float* x, int64_t m0, int64_t n0) {
  const auto* codes = static_cast<const int8_t*>(call.codes);
  const int64_t padded = chunks_of(call.k) * kChunk;
  __m512 total[R][M];
  for (int r = 0; r < R; ++r)
    for (int m = 0; m < M; ++m) total[r][m] = _mm512_setzero_ps();
  for (int64_t at = 0; at < call.k; at += kLanes) {
    const int64_t left = call.k - at;
    const __mmask16 mask = left >= kLanes ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
    for (int r = 0; r < R; ++r) {
      const __m128i bytes = _mm_maskz_loadu_epi8(mask, codes + (n0 + r) * call.k + at);
      const __m512 w = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
      for (int m = 0; m < M; ++m)
        total[r][m] =
            _mm512_fmadd_ps(w, _mm512_loadu_ps(x + (m0 + m) * padded + at), total[r][m]);
    }
  }
  const auto* scales = static_cast<const float*>(call.scales);
  for (int r = 0; r < R; ++r)
    for (int m = 0; m < M; ++m)
      write(call, m0 + m, n0 + r, _mm512_reduce_add_ps(total[r][m]) * scales[n0 + r]);
}

// x as float32, each row padded with zeros.
void widen(const WeightOnlyCall& call, float* x) {
  const int64_t padded = chunks_of(call.k) * kChunk;
#pragma omp parallel for schedule(static) if (call.m * call.k > kSerialElements)
  for (int64_t row = 0; row < call.m; ++row) {
    for (int64_t i = 0; i < call.k; ++i)
      x[row * padded + i] = element(call.x, call.type, row * call.k + i);
    for (int64_t i = call.k; i < padded; ++i) x[row * padded + i] = 0;
  }
}

template <int R, int M>
void rows(const WeightOnlyCall& call, const float* x, const float* sums, int64_t m0, int64_t n0) {
  if (call.kind == kInt8)
    rows_of_bytes<R, M>(call, x, m0, n0);
  else
    rows_of_codes<R, M>(call, x, sums, m0, n0);
}

// All of W's rows against M rows of x.
template <int R, int M>
void sweep(const WeightOnlyCall& call, const float* x, const float* sums, int64_t m0) {
  const int64_t whole = call.n / R;
#pragma omp parallel for schedule(static) if (call.n * call.k > kSerialElements)
  for (int64_t block = 0; block < whole; ++block) rows<R, M>(call, x, sums, m0, block * R);
  for (int64_t n = whole * R; n < call.n; ++n) rows<1, M>(call, x, sums, m0, n);
}

}  // namespace

extern "C" int64_t qprobe_gemv_scratch_bytes(const WeightOnlyCall* call) {
  return call->m * chunks_of(call->k) * (kChunk + kLanes) * static_cast<int64_t>(sizeof(float));
}

extern "C" int qprobe_gemv(const WeightOnlyCall* given) {
  const WeightOnlyCall& call = *given;
  auto* x = static_cast<float*>(call.scratch);
  float* sums = x + call.m * chunks_of(call.k) * kChunk;
  if (call.kind == kInt8)
    widen(call, x);
  else
    arrange(call, x, sums);
  int64_t m = 0;
  for (; m + 4 <= call.m; m += 4) sweep<2, 4>(call, x, sums, m);
  for (; m + 2 <= call.m; m += 2) sweep<4, 2>(call, x, sums, m);
  for (; m < call.m; ++m) sweep<4, 1>(call, x, sums, m);
  return 0;
}

#endif
