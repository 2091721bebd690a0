// The small floating types, in software: the processor need not know them.

#include "cuda_emulator.h"

namespace qp_emulator {

float half_to_float(uint16_t bits) {
  const uint32_t sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (exponent == 31) return reinterpret<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent) return reinterpret<float>(sign | (exponent + 112) << 23 | fraction << 13);
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
  return sign ? -magnitude : magnitude;
}

uint16_t float_to_half(float v) {
  const uint32_t bits = reinterpret<uint32_t>(v), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return 0x7fff;
  if (magnitude >= 0x477ff000u) return sign | 0x7c00;  // From 65520 on, the nearest is infinity.
  // Below 2^-14, adding 0.5 lets the addition of floats round to a multiple of 2^-24.
  if (magnitude < 0x38800000u) return sign | (reinterpret<uint32_t>(reinterpret<float>(magnitude) + 0.5f) - 0x3f000000u);
  return sign | ((magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1)) >> 13);
}

uint16_t float_to_bfloat16(float v) {
  const uint32_t bits = reinterpret<uint32_t>(v);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
}

float e4m3_to_float(uint8_t bits) {
  const uint32_t exponent = bits >> 3 & 15, fraction = bits & 7;
  if (exponent == 15 && fraction == 7) return NAN;
  const float magnitude = exponent ? std::ldexp(1.0f + fraction / 8.0f, exponent - 7) : std::ldexp(fraction / 8.0f, -6);
  return bits & 128 ? -magnitude : magnitude;
}

}  // namespace qp_emulator
