// y = x W^T from 8-bit codes with VNNI: unsigned activations (zero point 128) by signed weights.
//
// W lies in strips (strips.h): a 32-bit lane holds four codes along K of one row of W, which is what an
// instruction multiplies with four codes of x, broadcast. What the zero point adds to each sum is known
// when the weight is packed.

#include "strips.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__)

#include <omp.h>

#include <cstdlib>

struct Int8Call {
  int32_t type;  // of the bias and of y
  int64_t m, n, k;
  const int8_t* codes;      // [strip][K/4][16][4], K padded with zeros
  const float* scales;      // (N,)
  const int32_t* offsets;   // (N,): −128 · Σ codes of a row of W
  const uint8_t* x;         // (M, K)
  const float* x_scales;    // (M,)
  const void* bias;         // (N,) or null
  void* y;                  // (M, N)
  void* scratch;
};

namespace {

constexpr int kPerWord = 4;
constexpr int kRows = 6;            // of x in a block of sums
constexpr int kWide = 4;            // strips in a block of sums
constexpr int64_t kDepth = 1024;    // words of K: a block of W of 256 KiB stays in the second-level cache
constexpr int64_t kAhead = 16;      // registers of codes

int64_t words_of(const Int8Call& call) { return (call.k + kPerWord - 1) / kPerWord; }

inline __m512i four_codes(const uint8_t* x) {
  int32_t four;
  std::memcpy(&four, x, sizeof four);
  return _mm512_set1_epi32(four);
}

// GCC 12 copies the sums to and fro around the intrinsic.
inline void add_product(__m512i& sum, __m512i x, __m512i w) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w));
}

void write(const Int8Call& call, int64_t m, int64_t strip, __m512i sum) {
  const int64_t n0 = strip * kStrip, at = m * call.n + n0;
  const __mmask16 mask = rows_of_strip(call.n, strip);
  const __m512i offset = _mm512_maskz_loadu_epi32(mask, call.offsets + n0);
  const __m512 exact = _mm512_cvtepi32_ps(_mm512_add_epi32(sum, offset));
  const __m512 scale = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, call.scales + n0),
                                     _mm512_set1_ps(call.x_scales[m]));
  __m512 bias = _mm512_setzero_ps();
  if (call.type == kBfloat16) {
    if (call.bias) bias = load_bfloat16(mask, static_cast<const bfloat16*>(call.bias) + n0);
    store_bfloat16(mask, static_cast<bfloat16*>(call.y) + at, _mm512_fmadd_ps(exact, scale, bias));
  } else {
    if (call.bias) bias = _mm512_maskz_loadu_ps(mask, static_cast<const float*>(call.bias) + n0);
    _mm512_mask_storeu_ps(static_cast<float*>(call.y) + at, mask,
                          _mm512_fmadd_ps(exact, scale, bias));
  }
}

// M rows of x against V strips, over the words of K from `begin` to `end`; the sums lie in `partial`,
// [row][strip][16], between blocks of K.
template <int M, int V>
void multiply(const Int8Call& call, const uint8_t* x, int64_t stride, int64_t m0, int64_t strip,
              int64_t begin, int64_t end, __m512i* partial) {
  const int64_t words = words_of(call);
  __m512i sum[M][V];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v)
      sum[m][v] = begin ? _mm512_load_si512(partial + m * V + v) : _mm512_setzero_si512();
  const int8_t* strips[V];
  for (int v = 0; v < V; ++v) strips[v] = call.codes + (strip + v) * words * kStrip * kPerWord;
  const uint8_t* row[M];
  for (int m = 0; m < M; ++m) row[m] = x + (m0 + m) * stride;
  for (int64_t i = begin; i < end; ++i) {
    __m512i w[V];
    for (int v = 0; v < V; ++v) {
      const int8_t* at = strips[v] + i * kStrip * kPerWord;
      if (M <= 2) _mm_prefetch(reinterpret_cast<const char*>(at + kAhead * 64), _MM_HINT_T0);
      w[v] = _mm512_loadu_si512(at);
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      const __m512i codes = four_codes(row[m] + i * kPerWord);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) add_product(sum[m][v], codes, w[v]);
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) _mm512_store_si512(partial + m * V + v, sum[m][v]);
  if (end < words) return;
  for (int m = 0; m < M; ++m)
    for (int v = 0; v < V; ++v)
      write(call, m0 + m, strip + v, _mm512_load_si512(partial + m * V + v));
}

template <int V>
void multiply_rows(int64_t rows, const Int8Call& call, const uint8_t* x, int64_t stride, int64_t m,
                   int64_t strip, int64_t begin, int64_t end, __m512i* partial) {
  switch (rows) {
    case 1: return multiply<1, V>(call, x, stride, m, strip, begin, end, partial);
    case 2: return multiply<2, V>(call, x, stride, m, strip, begin, end, partial);
    case 3: return multiply<3, V>(call, x, stride, m, strip, begin, end, partial);
    case 4: return multiply<4, V>(call, x, stride, m, strip, begin, end, partial);
    case 5: return multiply<5, V>(call, x, stride, m, strip, begin, end, partial);
    default: return multiply<6, V>(call, x, stride, m, strip, begin, end, partial);
  }
}

// V strips against the rows of x from m0 to m1.
template <int V>
void multiply_block(const Int8Call& call, const uint8_t* x, int64_t stride, int64_t m0, int64_t m1,
                    int64_t strip, __m512i* partial) {
  const int64_t words = words_of(call);
  for (int64_t begin = 0; begin < words; begin += kDepth)
    for (int64_t m = m0; m < m1; m += kRows)
      multiply_rows<V>(std::min<int64_t>(kRows, m1 - m), call, x, stride, m, strip, begin,
                       std::min(words, begin + kDepth),
                       words > kDepth ? partial + (m - m0) * V : partial);
}

bool pads(const Int8Call& call) { return call.k % kPerWord; }

}  // namespace

extern "C" int64_t qprobe_gemm_int8_scratch_bytes(const Int8Call* call) {
  return pads(*call) ? call->m * words_of(*call) * kPerWord : 0;
}

extern "C" int qprobe_gemm_int8(const Int8Call* given) {
  const Int8Call& call = *given;
  const int64_t words = words_of(call), stride = words * kPerWord;
  const uint8_t* x = call.x;
  if (pads(call)) {
    auto* copy = static_cast<uint8_t*>(call.scratch);
    for (int64_t m = 0; m < call.m; ++m)
      std::memcpy(copy + m * stride, call.x + m * call.k, static_cast<size_t>(call.k));
    x = copy;
  }
  const int64_t strips = strips_of(call.n), blocks = (strips + kWide - 1) / kWide;
  const Division division(call.m, blocks, kRows, call.n * call.k,
                          call.k + call.n * static_cast<int64_t>(sizeof(float)));
  int failed = 0;
#pragma omp parallel reduction(| : failed) if (call.m * call.n * call.k > kSerialElements)
  {
    const bool keeps = words > kDepth;  // the sums of all rows, else of one block at a time
    auto* partial = static_cast<__m512i*>(std::aligned_alloc(
        64, static_cast<size_t>(keeps ? division.rows : kRows) * kWide * sizeof(__m512i)));
    failed = !partial;
    for_each_task(division, call.m, [&](int64_t block, int64_t begin, int64_t end) {
      if (!partial) return;
      const int64_t strip = block * kWide;
      if (strip + kWide <= strips)
        multiply_block<kWide>(call, x, stride, begin, end, strip, partial);
      else
        for (int64_t s = strip; s < strips; ++s)
          multiply_block<1>(call, x, stride, begin, end, s, partial);
    });
    std::free(partial);
  }
  return failed;
}

#endif
