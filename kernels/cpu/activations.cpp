// Per-token quantization of activations in one pass over each row while it is in the cache.

#include <cmath>
#include <cstdint>
#include <cstring>

#include "types.h"

namespace {

struct float16 {
  uint16_t bits;
};

constexpr int kFloat16 = 2;  // beside those of ActivationType

enum Form : int { kSigned = 0, kUnsigned = 1, kFloat8 = 2 };

inline float from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Exponents are moved from a bias of 15 to one of 127. Numbers without a leading one get it, and it is
// subtracted again: nothing here is too small for a processor that flushes such numbers to zero.
inline uint32_t bits_of(float16 x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16;
  const uint32_t moved = static_cast<uint32_t>(x.bits & 0x7fffu) << 13;
  const uint32_t normal = moved + (112u << 23);
  const uint32_t infinite = moved + (224u << 23);  // or NaN
  const uint32_t small = ::bits_of(from_bits(moved + (113u << 23)) - from_bits(113u << 23));
  const uint32_t finite = moved < (1u << 23) ? small : normal;
  return sign | (moved >= (31u << 23) ? infinite : finite);
}

inline float to_float(float16 x) { return from_bits(bits_of(x)); }

using ::bits_of;
using ::to_float;

// Whole numbers of either sign, or shifted by 128 to have none.
struct ToInteger {
  static constexpr float kLargest = 127.0f;
  int zero_point;

  uint8_t operator()(float x) const {
    return static_cast<uint8_t>(static_cast<int>(std::nearbyint(x)) + zero_point);
  }
};

// 4 bits of exponent, 3 of mantissa, no infinity: to nearest, ties to even. What is larger than the
// largest becomes the largest, NaN stays NaN.
struct ToFloat8 {
  static constexpr float kLargest = 448.0f;

  uint8_t operator()(float x) const {
    const uint32_t bits = ::bits_of(x), sign = (bits >> 24) & 0x80u, given = bits & 0x7fffffffu;
    const uint32_t largest = 0x43e00000u;  // 448
    const uint32_t size = given > largest ? largest : given;
    const uint32_t normal = ((size + 0x7ffffu + ((size >> 20) & 1u)) >> 20) - (120u << 3);
    // Below 2^-6 the step is 2^-9, which is that of floats from 2^14.
    const uint32_t small = ::bits_of(from_bits(size) + 16384.0f) - 0x46800000u;
    const uint32_t code = size < (121u << 23) ? small : normal;
    return static_cast<uint8_t>(sign | (given > 0x7f800000u ? 0x7fu : code));
  }
};

// The largest magnitude of a row, at least `least`. Compared as integers: NaN is above infinity, and
// stays.
template <typename T>
float peak_of(const T* x, int64_t k, float least) {
  uint32_t peak = 0;
#pragma omp simd reduction(max : peak)
  for (int64_t i = 0; i < k; ++i) {
    const uint32_t bits = bits_of(x[i]) & 0x7fffffffu;
    peak = bits > peak ? bits : peak;
  }
  const float value = from_bits(peak);
  return value < least ? least : value;
}

template <typename T, typename Encode>
void quantize_row(const T* x, int64_t k, Encode encode, uint8_t* codes, float* scale) {
  constexpr float kLargest = Encode::kLargest;
  const float peak = peak_of(x, k, 1.17549435e-38f * kLargest);
  const float inverse = kLargest / peak;
  *scale = peak / kLargest;
#pragma omp simd
  for (int64_t i = 0; i < k; ++i) codes[i] = encode(to_float(x[i]) * inverse);
}

template <typename T, typename Encode>
void quantize_rows(const T* x, int64_t m, int64_t k, Encode encode, uint8_t* codes, float* scales) {
#pragma omp parallel for schedule(static) if (m > 1 && m * k > kSerialElements)
  for (int64_t row = 0; row < m; ++row)
    quantize_row(x + row * k, k, encode, codes + row * k, scales + row);
}

template <typename T>
void quantize(const void* x, int64_t m, int64_t k, int form, uint8_t* codes, float* scales) {
  const T* rows = static_cast<const T*>(x);
  if (form == kFloat8)
    quantize_rows(rows, m, k, ToFloat8{}, codes, scales);
  else
    quantize_rows(rows, m, k, ToInteger{form == kUnsigned ? 128 : 0}, codes, scales);
}

}  // namespace

// x (M, K) float32, bfloat16 or float16, contiguous -> codes (M, K), int8, uint8 or float8_e4m3fn by
// the form, and scales (M,) float32.
extern "C" void qprobe_quantize_tokens(const void* x, int type, int64_t m, int64_t k, int form,
                                       uint8_t* codes, float* scales) {
  if (type == kBfloat16)
    quantize<bfloat16>(x, m, k, form, codes, scales);
  else if (type == kFloat16)
    quantize<float16>(x, m, k, form, codes, scales);
  else
    quantize<float>(x, m, k, form, codes, scales);
}
