// What the CPU kernels share: activation types, and how weights are stored.

#pragma once

#include <cstdint>
#include <cstring>

struct bfloat16 {
  uint16_t bits;
};

enum ActivationType : int { kFloat32 = 0, kBfloat16 = 1 };

// How a weight (N, K) is stored. Scales are bfloat16 (N, K/G) for int4, float32 (N, K/G) for
// NormalFloat and float32 (N, 1) for int8.
enum WeightKind : int { kInt4 = 0, kNormalFloat4 = 1, kInt8 = 2 };

// Work below which starting the other threads costs more than it saves.
constexpr int64_t kSerialElements = 1 << 15;

inline uint32_t bits_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

inline uint32_t bits_of(bfloat16 x) { return static_cast<uint32_t>(x.bits) << 16; }

inline float to_float(float x) { return x; }

inline float to_float(bfloat16 x) {
  const uint32_t bits = bits_of(x);
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// What a call works on; it returns 0, or 1 where it got no memory. Offsets count elements; `bias` may be null and has the type of x and y.
struct WeightOnlyCall {
  int32_t kind, type;
  int64_t m, n, k, group;
  const void* codes;
  const void* scales;
  const int32_t* zero_points;  // (N/8, K/G) words of 4-bit codes along N, or null
  const void* x;               // (M, K)
  const void* bias;            // (N,)
  void* y;                     // (M, N)
  void* scratch;
};

// The 16 values that 4-bit codes stand for, in the order of the codes as stored.
inline const float* values_of(int kind) {
  static const float integers[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
  static const float quantiles[16] = {
      -1.0f,        -0.6961928f,  -0.52507305f, -0.3949175f, -0.28444138f, -0.18477343f,
      -0.09105004f, 0.0f,         0.0795803f,   0.1609302f,  0.2461123f,   0.33791524f,
      0.44070983f,  0.562617f,    0.72295684f,  1.0f};
  return kind == kInt4 ? integers : quantiles;
}

// Position within a 16-bit lane's four codes -> offset of its weight along K. Integer codes lie with
// the first in the lowest bits, NormalFloat with the first of a byte in its high half.
inline int code_offset(int kind, int position) {
  return kind == kInt4 ? position : position ^ 1;
}

inline float scale_at(const WeightOnlyCall& call, int64_t row, int64_t index) {
  const int64_t at = row * (call.k / call.group) + index;
  return call.kind == kInt4 ? to_float(static_cast<const bfloat16*>(call.scales)[at])
                            : static_cast<const float*>(call.scales)[at];
}

inline float zero_point_at(const WeightOnlyCall& call, int64_t row, int64_t index) {
  if (!call.zero_points) return 0.0f;
  const int64_t at = (row / 8) * (call.k / call.group) + index;
  return static_cast<float>(((call.zero_points[at] >> (4 * (row % 8))) & 15) - 8);
}

inline float element(const void* data, int type, int64_t at) {
  return type == kBfloat16 ? to_float(static_cast<const bfloat16*>(data)[at])
                           : static_cast<const float*>(data)[at];
}

inline bfloat16 to_bfloat16(float x) {  // to nearest, ties to even; NaN stays NaN
  const uint32_t bits = bits_of(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((bits >> 16) | 0x40)};
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16)};
}
