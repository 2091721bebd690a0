// Activations to int8 codes, one scale for each row: x ≈ code · scale, as qprobe.kernels.activations computes them.
//
// x (M, K); y (M, N) codes, N = K padded to a multiple of 16 with codes of 0; y_scale (M,). A block for each row, which
// stays in registers between the search for the largest magnitude and the division, if it fits. A row of zeros gets
// codes of 0; NaN and infinity carry their rows' scales away with them, and so the product's.
//: entry = "quantize_tokens"
//: role = "quantize"
//: activations = ["float16", "bfloat16", "float32"]
//: architectures = ["6.0", "6.1", "7.0", "7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"]
//: tile = { m = 1 }
//: grid = ["m"]
//: threads = 256
//: arguments = ["x", "y", "y_scale", "m", "k", "n"]
//: sass = { needs = ["LDG.E.128", "STG.E", "F2I"], at_least = 1, max_registers = 80 }

#include "prims.cuh"

constexpr float kMaxCode = 127.0f;
// The smallest normal float32 as a scale: no row divides by less.
constexpr float kTiniest = 1.17549435e-38f;
constexpr int kVector = 16 / sizeof(qp_act);
constexpr int kHeld = 4;
constexpr int kWarps = QP_THREADS / 32;

static_assert(kWarps <= 32, "one warp looks through the largest of each");

QP_DEVICE float value(const uint4& vector, int i) {
  const uint32_t words[4] = {vector.x, vector.y, vector.z, vector.w};
#if QP_ACT == QP_FLOAT32
  return qp_bits_to_float(words[i]);
#else
  return qp_act_to_float(static_cast<uint16_t>(words[i / 2] >> (i % 2 * 16)));
#endif
}

QP_DEVICE float largest_of(const uint4& vector) {
  float largest = 0.0f;
#pragma unroll
  for (int i = 0; i < kVector; i++) largest = qp_larger(largest, fabsf(value(vector, i)));
  return largest;
}

// Codes of a vector, in four bytes each word.
QP_DEVICE void store_codes(int8_t* to, const uint4& vector, float inverse) {
  uint32_t words[kVector / 4];
#pragma unroll
  for (int word = 0; word < kVector / 4; word++) {
    words[word] = 0;
#pragma unroll
    for (int i = 0; i < 4; i++)
      words[word] |= (qp_round_to_int(value(vector, word * 4 + i) * inverse) & 255u) << (8 * i);
  }
#if QP_ACT == QP_FLOAT32
  qp_store4(to, words[0]);
#else
  qp_store8(to, make_uint2(words[0], words[1]));
#endif
}

QP_DEVICE float largest_of_block(float own) {
  QP_SHARED(float, of_warps, [kWarps]);
  own = qp_warp_max(own);
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = own;
  qp_sync();
  float largest = of_warps[0];
#pragma unroll
  for (int i = 1; i < kWarps; i++) largest = qp_larger(largest, of_warps[i]);
  return largest;
}

QP_KERNEL __launch_bounds__(QP_THREADS)
quantize_tokens(const qp_act* __restrict__ x, int8_t* __restrict__ y, float* __restrict__ y_scale, int m, int k, int n) {
  const qp_act* row = x + static_cast<int64_t>(blockIdx.x) * k;
  int8_t* codes = y + static_cast<int64_t>(blockIdx.x) * n;
  // Rows of another length do not all begin at a multiple of 16 bytes.
  const bool in_vectors = k % kVector == 0;
  const int vectors = in_vectors ? k / kVector : 0;

  uint4 held[kHeld];
  float largest = 0.0f;
#pragma unroll
  for (int i = 0; i < kHeld; i++) {
    const int at = threadIdx.x + i * QP_THREADS;
    if (at < vectors) {
      held[i] = qp_load16(row + at * kVector);
      largest = qp_larger(largest, largest_of(held[i]));
    }
  }
  for (int at = threadIdx.x + kHeld * QP_THREADS; at < vectors; at += QP_THREADS)
    largest = qp_larger(largest, largest_of(qp_load16(row + at * kVector)));
  for (int i = vectors * kVector + threadIdx.x; i < k; i += QP_THREADS)
    largest = qp_larger(largest, fabsf(qp_act_to_float(row[i])));

  largest = largest_of_block(largest);
  if (largest < kTiniest * kMaxCode) largest = kTiniest * kMaxCode;
  const float inverse = kMaxCode / largest;
  if (threadIdx.x == 0) y_scale[blockIdx.x] = largest / kMaxCode;

#pragma unroll
  for (int i = 0; i < kHeld; i++) {
    const int at = threadIdx.x + i * QP_THREADS;
    if (at < vectors) store_codes(codes + at * kVector, held[i], inverse);
  }
  for (int at = threadIdx.x + kHeld * QP_THREADS; at < vectors; at += QP_THREADS)
    store_codes(codes + at * kVector, qp_load16(row + at * kVector), inverse);
  for (int i = vectors * kVector + threadIdx.x; i < n; i += QP_THREADS)
    codes[i] = i < k ? static_cast<int8_t>(qp_round_to_int(qp_act_to_float(row[i]) * inverse)) : 0;
}
