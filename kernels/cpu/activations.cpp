// Per-token quantization of activations in one pass over each row while it is in the cache.

#include <cmath>
#include <cstdint>
#include <cstring>

#include "types.h"

namespace {

constexpr float kLargest = 127.0f;
constexpr float kTiny = 1.17549435e-38f * kLargest;

// The largest magnitude of a row. Compared as integers: NaN is above infinity, and stays.
template <typename T>
float peak_of(const T* x, int64_t k) {
  uint32_t peak = 0;
#pragma omp simd reduction(max : peak)
  for (int64_t i = 0; i < k; ++i) {
    const uint32_t bits = bits_of(x[i]) & 0x7fffffffu;
    peak = bits > peak ? bits : peak;
  }
  float value;
  std::memcpy(&value, &peak, sizeof value);
  return value < kTiny ? kTiny : value;
}

template <typename T>
void quantize_row(const T* x, int64_t k, int zero_point, uint8_t* codes, float* scale) {
  const float peak = peak_of(x, k);
  const float inverse = kLargest / peak;
  *scale = peak / kLargest;
#pragma omp simd
  for (int64_t i = 0; i < k; ++i) {
    const int code = static_cast<int>(std::nearbyint(to_float(x[i]) * inverse));
    codes[i] = static_cast<uint8_t>(code + zero_point);
  }
}

template <typename T>
void quantize_rows(const T* x, int64_t m, int64_t k, int zero_point, uint8_t* codes, float* scales) {
#pragma omp parallel for schedule(static) if (m > 1 && m * k > kSerialElements)
  for (int64_t row = 0; row < m; ++row)
    quantize_row(x + row * k, k, zero_point, codes + row * k, scales + row);
}

}  // namespace

// x (M, K) float32 or bfloat16, contiguous -> codes (M, K), int8 or uint8 by the zero point, and
// scales (M,) float32.
extern "C" void qprobe_quantize_tokens(const void* x, int type, int64_t m, int64_t k, int zero_point,
                                       uint8_t* codes, float* scales) {
  if (type == kBfloat16)
    quantize_rows(static_cast<const bfloat16*>(x), m, k, zero_point, codes, scales);
  else
    quantize_rows(static_cast<const float*>(x), m, k, zero_point, codes, scales);
}
