// y = x W^T with the bfloat16 products of AVX512: weights of 4 and 8 bits are widened in registers for
// few rows of x, and into a panel in the first-level cache, group by group, for many.
//
// W lies in strips (strips.h). A 32-bit lane belongs to one row of W and holds eight 4-bit codes, of
// which shift s brings those of k = 2s and 2s + 1 into the lowest four bits of its halves: one look-up
// of 16-bit values gives the pair that a product takes. x is used as it is: a pair of it, broadcast.
// Codes are multiplied unscaled and exactly; the sums of a group are scaled, in float32.

#include "strips.h"

#if defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__AVX512VL__)

#include <omp.h>

#include <cstdlib>

namespace {

constexpr int kCodes = 8;        // 4-bit codes in a lane
constexpr int kFew = 8;          // rows of x up to which no panel is made
constexpr int kRows = 6;         // of x in a block of sums
constexpr int kWide = 4;         // strips in a block of sums
constexpr int64_t kPanel = 128;  // of K: a panel is 16 KiB

// The weight as it is packed: see qprobe/kernels/cpp/_strips.py.
struct Weight {
  int kind;
  int64_t n, k, group, groups;
  const uint32_t* codes;         // 4 bits: [strip][K/8][16]; 8 bits: [strip][K/4][16], K padded
  const void* scales;            // [group][N], bfloat16 for int4, float32 otherwise
  const uint32_t* zero_points;   // [strip][group][2], eight codes a word, or null
  int64_t words;                 // of a row

  explicit Weight(const WeightOnlyCall& call)
      : kind(call.kind),
        n(call.n),
        k(call.k),
        group(call.group),
        groups(call.k / call.group),
        codes(static_cast<const uint32_t*>(call.codes)),
        scales(call.scales),
        zero_points(reinterpret_cast<const uint32_t*>(call.zero_points)),
        words(kind == kInt8 ? (call.k + 3) / 4 : call.k / kCodes) {}

  const uint32_t* word(int64_t strip, int64_t index) const {
    return codes + (strip * words + index) * kStrip;
  }

  __m512 scale(int64_t strip, int64_t g) const {
    const int64_t at = g * n + strip * kStrip;
    const __mmask16 mask = rows_of_strip(n, strip);
    if (kind != kInt4) return _mm512_maskz_loadu_ps(mask, static_cast<const float*>(scales) + at);
    return load_bfloat16(mask, static_cast<const bfloat16*>(scales) + at);
  }

  // Of asymmetric codes, for each row of the strip; what they are stored with, 8, is taken off.
  __m512 zero_point(int64_t strip, int64_t g) const {
    const uint32_t* pair = zero_points + (strip * groups + g) * 2;
    const __m512i word = _mm512_inserti64x4(_mm512_set1_epi32(static_cast<int>(pair[0])),
                                            _mm256_set1_epi32(static_cast<int>(pair[1])), 1);
    const __m512i shift =
        _mm512_set_epi32(28, 24, 20, 16, 12, 8, 4, 0, 28, 24, 20, 16, 12, 8, 4, 0);
    const __m512i code = _mm512_and_si512(_mm512_srlv_epi32(word, shift), _mm512_set1_epi32(15));
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(code, _mm512_set1_epi32(8)));
  }
};

// 16 values of bfloat16, twice: bit 4 of an index, which belongs to the next code, does not matter.
__m512i table_of(int kind) {
  const __m256i half =
      reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_loadu_ps(values_of(kind))));
  return _mm512_inserti64x4(_mm512_castsi256_si512(half), half, 1);
}

inline __m512i pair_of_codes(__m512i word, int step, __m512i table) {
  return _mm512_permutexvar_epi16(_mm512_srli_epi16(word, 4 * step), table);
}

// Bytes 2·step and 2·step + 1 of each lane, signed, as bfloat16, which holds them exactly.
inline __m512i pair_of_bytes(__m512i word, int step) {
  const __m512i even = _mm512_srai_epi32(_mm512_slli_epi32(word, step ? 8 : 24), 24);
  const __m512i odd = _mm512_srai_epi32(step ? word : _mm512_slli_epi32(word, 16), 24);
  const __m512i low = _mm512_castps_si512(_mm512_cvtepi32_ps(even));
  const __m512i high = _mm512_castps_si512(_mm512_cvtepi32_ps(odd));
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  return _mm512_ternarylogic_epi32(upper, high, _mm512_srli_epi32(low, 16), 0xea);
}

inline __m512 add_product(__m512 sum, __m512i w, const bfloat16* x) {
  int32_t pair;
  std::memcpy(&pair, x, sizeof pair);
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(w),
                          reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair)));
}

// x, with rows padded where a pair or a word of codes would reach beyond their end.
struct Rows {
  const bfloat16* data;
  int64_t stride;
  const float* sums;  // of x over each group, [row][group], where there are zero points

  const bfloat16* at(int64_t m, int64_t k) const { return data + m * stride + k; }
};

void write(const WeightOnlyCall& call, int64_t m, int64_t strip, __m512 value) {
  const int64_t n0 = strip * kStrip;
  const __mmask16 mask = rows_of_strip(call.n, strip);
  if (call.bias)
    value = _mm512_add_ps(value,
                          load_bfloat16(mask, static_cast<const bfloat16*>(call.bias) + n0));
  _mm256_mask_storeu_epi16(static_cast<bfloat16*>(call.y) + m * call.n + n0, mask,
                           reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(value)));
}

// Scales the sums of a group, of M rows of x and V strips, and adds them to the totals.
template <int M, int V, typename Total>
void add_group(const Weight& w, const Rows& x, int64_t strip, int64_t g, int64_t m0,
               __m512 (&part)[M][V], Total total) {
  for (int v = 0; v < V; ++v) {
    const __m512 scale = w.scale(strip + v, g);
    if (w.zero_points) {
      const __m512 point = w.zero_point(strip + v, g);
      for (int m = 0; m < M; ++m)
        part[m][v] = _mm512_fnmadd_ps(
            point, _mm512_set1_ps(x.sums[(m0 + m) * w.groups + g]), part[m][v]);
    }
    for (int m = 0; m < M; ++m) total(m, v) = _mm512_fmadd_ps(part[m][v], scale, total(m, v));
  }
}

constexpr int64_t kAhead = 16;  // registers of codes

// M rows of x against V strips: each register of codes is widened and multiplied at once.
template <int M, int V, bool kBytes>
void multiply_few(const WeightOnlyCall& call, const Weight& w, const Rows& x, int64_t m0,
                  int64_t strip) {
  constexpr int kPerWord = kBytes ? 4 : kCodes;
  const __m512i table = table_of(kBytes ? kInt4 : w.kind);
  __m512 total[M][V];
  for (int m = 0; m < M; ++m)
    for (int v = 0; v < V; ++v) total[m][v] = _mm512_setzero_ps();
  for (int64_t g = 0; g < w.groups; ++g) {
    __m512 part[M][V];
    for (int m = 0; m < M; ++m)
      for (int v = 0; v < V; ++v) part[m][v] = _mm512_setzero_ps();
    const int64_t begin = g * w.group / kPerWord;
    const int64_t end = kBytes ? w.words : begin + w.group / kPerWord;
    for (int64_t i = begin; i < end; ++i) {
      __m512i word[V];
      for (int v = 0; v < V; ++v) {
        const uint32_t* at = w.word(strip + v, i);
        _mm_prefetch(reinterpret_cast<const char*>(at + kAhead * kStrip), _MM_HINT_T0);
        word[v] = _mm512_loadu_si512(at);
      }
#pragma GCC unroll 4
      for (int step = 0; step < kPerWord / 2; ++step) {
        __m512i pair[V];
        for (int v = 0; v < V; ++v)
          pair[v] = kBytes ? pair_of_bytes(word[v], step) : pair_of_codes(word[v], step, table);
        for (int m = 0; m < M; ++m)
          for (int v = 0; v < V; ++v)
            part[m][v] =
                add_product(part[m][v], pair[v], x.at(m0 + m, i * kPerWord + 2 * step));
      }
    }
    add_group(w, x, strip, g, m0, part, [&](int m, int v) -> __m512& { return total[m][v]; });
  }
  for (int m = 0; m < M; ++m)
    for (int v = 0; v < V; ++v) write(call, m0 + m, strip + v, total[m][v]);
}

// All strips against M rows of x, V strips at a time.
template <int M, int V, bool kBytes>
void sweep_few(const WeightOnlyCall& call, const Weight& w, const Rows& x, int64_t m0) {
  const int64_t strips = strips_of(w.n), whole = strips / V;
#pragma omp parallel for schedule(static) if (w.n * w.k > kSerialElements)
  for (int64_t block = 0; block < whole + strips % V; ++block)
    if (block < whole)
      multiply_few<M, V, kBytes>(call, w, x, m0, block * V);
    else
      multiply_few<M, 1, kBytes>(call, w, x, m0, whole * V + block - whole);
}

template <bool kBytes>
void few(const WeightOnlyCall& call, const Weight& w, const Rows& x) {
  switch (call.m) {
    case 1: return sweep_few<1, 4, kBytes>(call, w, x, 0);
    case 2: return sweep_few<2, 4, kBytes>(call, w, x, 0);
    case 3: return sweep_few<3, 2, kBytes>(call, w, x, 0);
    case 4: return sweep_few<4, 2, kBytes>(call, w, x, 0);
    case 5: return sweep_few<5, 2, kBytes>(call, w, x, 0);
    case 6: return sweep_few<6, 2, kBytes>(call, w, x, 0);
    case 7: return sweep_few<7, 1, kBytes>(call, w, x, 0);
    default: return sweep_few<8, 1, kBytes>(call, w, x, 0);
  }
}

// `depth` pairs of K of V strips as bfloat16: [pair][strip][16 rows][2].
template <int V>
void fill_panel(const Weight& w, int64_t strip, int64_t k0, int64_t depth, __m512i* panel) {
  if (w.kind == kInt8) {
    for (int64_t i = 0; i < (depth + 1) / 2; ++i)
      for (int v = 0; v < V; ++v) {
        const __m512i word = _mm512_loadu_si512(w.word(strip + v, k0 / 4 + i));
        _mm512_store_si512(panel + (2 * i) * V + v, pair_of_bytes(word, 0));
        _mm512_store_si512(panel + (2 * i + 1) * V + v, pair_of_bytes(word, 1));
      }
    return;
  }
  const __m512i table = table_of(w.kind);
  for (int64_t i = 0; i < depth / 4; ++i)
    for (int v = 0; v < V; ++v) {
      const __m512i word = _mm512_loadu_si512(w.word(strip + v, k0 / kCodes + i));
#pragma GCC unroll 4
      for (int step = 0; step < 4; ++step)
        _mm512_store_si512(panel + (4 * i + step) * V + v, pair_of_codes(word, step, table));
    }
}

// M rows of x against a panel; sums go onto `totals`, [row][strip][16].
template <int M, int V>
void multiply_panel(const Weight& w, const Rows& x, const __m512i* panel, int64_t depth, int64_t m,
                    int64_t k0, int64_t strip, int64_t g, __m512* totals) {
  __m512 part[M][V];
  for (int r = 0; r < M; ++r)
    for (int v = 0; v < V; ++v) part[r][v] = _mm512_setzero_ps();
  const bfloat16* row[M];
  for (int r = 0; r < M; ++r) row[r] = x.at(m + r, k0);
  for (int64_t pair = 0; pair < depth; ++pair) {
    __m512i values[V];
    for (int v = 0; v < V; ++v) values[v] = _mm512_load_si512(panel + pair * V + v);
#pragma GCC unroll 8
    for (int r = 0; r < M; ++r)
      for (int v = 0; v < V; ++v)
        part[r][v] = add_product(part[r][v], values[v], row[r] + 2 * pair);
  }
  add_group(w, x, strip, g, m, part, [&](int r, int v) -> __m512& { return totals[r * V + v]; });
}

template <int V>
void multiply_rows(int64_t rows, const Weight& w, const Rows& x, const __m512i* panel,
                   int64_t depth, int64_t m, int64_t k0, int64_t strip, int64_t g,
                   __m512* totals) {
  switch (rows) {
    case 1: return multiply_panel<1, V>(w, x, panel, depth, m, k0, strip, g, totals);
    case 2: return multiply_panel<2, V>(w, x, panel, depth, m, k0, strip, g, totals);
    case 3: return multiply_panel<3, V>(w, x, panel, depth, m, k0, strip, g, totals);
    case 4: return multiply_panel<4, V>(w, x, panel, depth, m, k0, strip, g, totals);
    case 5: return multiply_panel<5, V>(w, x, panel, depth, m, k0, strip, g, totals);
    default: return multiply_panel<6, V>(w, x, panel, depth, m, k0, strip, g, totals);
  }
}

// V strips against the rows of x from `begin` to `end`.
template <int V>
void multiply_many(const WeightOnlyCall& call, const Weight& w, const Rows& x, int64_t begin,
                   int64_t end, int64_t strip, __m512* totals) {
  alignas(64) __m512i panel[kPanel / 2 * V];
  for (int64_t i = 0; i < (end - begin) * V; ++i) totals[i] = _mm512_setzero_ps();
  for (int64_t k0 = 0; k0 < w.k; k0 += std::min(w.group, kPanel)) {
    const int64_t depth = (std::min({w.group, kPanel, w.k - k0}) + 1) / 2;
    fill_panel<V>(w, strip, k0, depth, panel);
    for (int64_t m = begin; m < end; m += kRows)
      multiply_rows<V>(std::min<int64_t>(kRows, end - m), w, x, panel, depth, m, k0, strip,
                       k0 / w.group, totals + (m - begin) * V);
  }
  for (int64_t m = begin; m < end; ++m)
    for (int v = 0; v < V; ++v) write(call, m, strip + v, totals[(m - begin) * V + v]);
}

// Returns whether there was no memory for it.
int many(const WeightOnlyCall& call, const Weight& w, const Rows& x) {
  const int64_t strips = strips_of(w.n), blocks = (strips + kWide - 1) / kWide;
  const int64_t size = sizeof(bfloat16);
  const Division division(call.m, blocks, kRows, w.n * w.k * size, (w.k + w.n) * size);
  int failed = 0;
#pragma omp parallel reduction(| : failed)
  {
    auto* totals = static_cast<__m512*>(
        std::aligned_alloc(64, static_cast<size_t>(division.rows) * kWide * sizeof(__m512)));
    failed = !totals;
    for_each_task(division, call.m, [&](int64_t block, int64_t begin, int64_t end) {
      if (!totals) return;
      const int64_t strip = block * kWide;
      if (strip + kWide <= strips)
        multiply_many<kWide>(call, w, x, begin, end, strip, totals);
      else
        for (int64_t s = strip; s < strips; ++s)
          multiply_many<1>(call, w, x, begin, end, s, totals);
    });
    std::free(totals);
  }
  return failed;
}

bool pads(const WeightOnlyCall& call) { return call.kind == kInt8 && call.k % 4; }

int64_t stride_of(const WeightOnlyCall& call) {
  return pads(call) ? (call.k + 3) / 4 * 4 : call.k;
}

void copy_padded(const WeightOnlyCall& call, bfloat16* to) {
  const int64_t stride = stride_of(call);
  for (int64_t m = 0; m < call.m; ++m) {
    std::memcpy(to + m * stride, static_cast<const bfloat16*>(call.x) + m * call.k,
                static_cast<size_t>(call.k) * sizeof(bfloat16));
    for (int64_t k = call.k; k < stride; ++k) to[m * stride + k] = {0};
  }
}

void sum_groups(const WeightOnlyCall& call, float* sums) {
  const int64_t groups = call.k / call.group;
#pragma omp parallel for schedule(static) if (call.m * call.k > kSerialElements)
  for (int64_t m = 0; m < call.m; ++m)
    for (int64_t g = 0; g < groups; ++g) {
      float sum = 0;
      for (int64_t k = g * call.group; k < (g + 1) * call.group; ++k)
        sum += element(call.x, kBfloat16, m * call.k + k);
      sums[m * groups + g] = sum;
    }
}

}  // namespace

extern "C" int64_t qprobe_gemm_bf16_scratch_bytes(const WeightOnlyCall* call) {
  if (pads(*call)) return call->m * stride_of(*call) * static_cast<int64_t>(sizeof(bfloat16));
  if (!call->zero_points) return 0;
  return call->m * (call->k / call->group) * static_cast<int64_t>(sizeof(float));
}

extern "C" int qprobe_gemm_bf16(const WeightOnlyCall* given) {
  const WeightOnlyCall& call = *given;
  const Weight w(call);
  Rows x = {static_cast<const bfloat16*>(call.x), stride_of(call), nullptr};
  if (pads(call)) {
    copy_padded(call, static_cast<bfloat16*>(call.scratch));
    x.data = static_cast<const bfloat16*>(call.scratch);
  }
  if (call.zero_points) {
    sum_groups(call, static_cast<float*>(call.scratch));
    x.sums = static_cast<const float*>(call.scratch);
  }
  if (call.m > kFew) return many(call, w, x);
  if (call.kind == kInt8)
    few<true>(call, w, x);
  else
    few<false>(call, w, x);
  return 0;
}

#endif
