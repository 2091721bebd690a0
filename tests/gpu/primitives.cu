// One primitive of prims.cuh a build: every thread reads its operands from x and writes its results to y, so that a card
// and the emulator can be asked the same. `n` words of x belong to each thread, and `k` words of y.
//: entry = "primitives"
//: role = "copy"
//: architectures = ["6.1", "7.0", "7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"]
//: tile = { m = 1 }
//: grid = ["m"]
//: threads = 32
//: shared_bytes = 512
//: arguments = ["x", "y", "n", "k"]
//: sass = { max_registers = 255 }
//:
//: [variants]
//: arithmetic = { defines = { QP_PRIMITIVE = 1 } }
//: conversions = { defines = { QP_PRIMITIVE = 2 } }
//: shuffles = { defines = { QP_PRIMITIVE = 3 } }
//: copies = { defines = { QP_PRIMITIVE = 4 } }
//: memory = { defines = { QP_PRIMITIVE = 7 } }
//: counting = { defines = { QP_PRIMITIVE = 8 } }
//: halves = { defines = { QP_PRIMITIVE = 9 } }
//: bfloat162 = { defines = { QP_PRIMITIVE = 5 }, architectures = ["8.0", "8.6", "8.9", "9.0", "10.0", "12.0"] }
//: ldmatrix = { defines = { QP_PRIMITIVE = 6 }, architectures = ["7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"] }
//: transposes = { defines = { QP_PRIMITIVE = 18 }, architectures = ["7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"] }
//: mma_s8_8x8x16 = { defines = { QP_PRIMITIVE = 10 }, architectures = ["7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"] }
//: mma_s8_16x8x32 = { defines = { QP_PRIMITIVE = 11 }, architectures = ["7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"] }
//: mma_s4_8x8x32 = { defines = { QP_PRIMITIVE = 12 }, architectures = ["7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"] }
//: mma_s4_16x8x64 = { defines = { QP_PRIMITIVE = 13 }, architectures = ["7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"] }
//: mma_f16_16x8x8 = { defines = { QP_PRIMITIVE = 14 }, architectures = ["7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"] }
//: mma_f16_16x8x16 = { defines = { QP_PRIMITIVE = 15 }, architectures = ["7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"] }
//: mma_bf16_16x8x16 = { defines = { QP_PRIMITIVE = 16 }, architectures = ["8.0", "8.6", "8.9", "9.0", "10.0", "12.0"] }
//: mma_e4m3_16x8x32 = { defines = { QP_PRIMITIVE = 17 }, architectures = ["8.9", "9.0", "10.0", "12.0"] }

#include "prims.cuh"

#if QP_PRIMITIVE == 14 || QP_PRIMITIVE == 15 || QP_PRIMITIVE == 16 || QP_PRIMITIVE == 17
typedef float number;
QP_DEVICE float as_number(uint32_t bits) { return qp_bits_to_float(bits); }
QP_DEVICE uint32_t as_bits(float v) { return qp_float_to_bits(v); }
#else
typedef int number;
QP_DEVICE int as_number(uint32_t bits) { return static_cast<int>(bits); }
QP_DEVICE uint32_t as_bits(int v) { return static_cast<uint32_t>(v); }
#endif

// The product of 4 registers of a, 2 of b and 4 of d.
#define QP_PRODUCT(mma)                                                               \
  const uint32_t a[4] = {in[0], in[1], in[2], in[3]}, b[2] = {in[4], in[5]};          \
  number d[4] = {as_number(in[6]), as_number(in[7]), as_number(in[8]), as_number(in[9])}; \
  mma(d, a, b);                                                                       \
  for (int i = 0; i < 4; i++) out[i] = as_bits(d[i]);

// Of 1 register of a and of b, and 2 of d.
#define QP_SMALL_PRODUCT(mma)                                \
  int d[2] = {as_number(in[2]), as_number(in[3])};           \
  mma(d, in[0], in[1]);                                      \
  for (int i = 0; i < 2; i++) out[i] = as_bits(d[i]);

QP_KERNEL __launch_bounds__(QP_THREADS)
primitives(const uint32_t* __restrict__ x, uint32_t* __restrict__ y, int n, int k) {
  const uint32_t* in = x + threadIdx.x * n;
  uint32_t* out = y + threadIdx.x * k;
  const int lane = threadIdx.x % 32;
#if QP_PRIMITIVE == 1
  out[0] = qp_dp4a(in[0], in[1], in[2]);
  out[1] = qp_prmt(in[0], in[1], in[2]);
  out[2] = qp_lop3<0xea>(in[0], in[1], in[2]);
  out[3] = qp_lop3<0x6c>(in[0], in[1], in[2]);
  out[4] = qp_half2_fma(in[3], in[4], in[5]);
  out[5] = qp_half2_add(in[3], in[4]);
  out[6] = qp_half2_sub(in[3], in[4]);
  out[7] = qp_half2_mul(in[3], in[4]);
#elif QP_PRIMITIVE == 2
  const float low = qp_bits_to_float(in[0]), high = qp_bits_to_float(in[1]);
  out[0] = qp_float_to_half(low);
  out[1] = qp_float_to_bfloat16(low);
  out[2] = qp_floats_to_half2(low, high);
  out[3] = qp_floats_to_bfloat162(low, high);
  out[4] = qp_round_to_int(high);
  out[5] = qp_float_to_bits(qp_half_to_float(static_cast<uint16_t>(in[2])));
  out[6] = qp_float_to_bits(qp_bfloat16_to_float(static_cast<uint16_t>(in[2])));
#elif QP_PRIMITIVE == 3
  out[0] = qp_shuffle_xor(in[0], 5);
  out[1] = qp_shuffle(in[0], static_cast<int>(in[1] % 32));
  out[2] = qp_float_to_bits(qp_shuffle_down(qp_bits_to_float(in[0]), 3));
  out[3] = qp_float_to_bits(qp_warp_sum(static_cast<float>(in[1] % 1024)));
  out[4] = qp_float_to_bits(qp_warp_max(static_cast<float>(in[1] % 1024)));
#elif QP_PRIMITIVE == 4
  // 16 bytes, of which lane % 17 are copied, and 4, of which lane % 5 are.
  QP_SHARED_DYNAMIC(shared);
  QP_SHARED(uint32_t, words, [32]);
  qp_copy_async16(shared + lane * 16, in, lane % 17);
  qp_copy_async4(words + lane, in + 4, lane % 5);
  qp_copy_commit();
  qp_copy_wait<0>();
  qp_sync_warp();
  const uint4 vector = qp_load16_shared(shared + (lane ^ 1) * 16);
  out[0] = vector.x, out[1] = vector.y, out[2] = vector.z, out[3] = vector.w;
  out[4] = words[lane ^ 1];
#elif QP_PRIMITIVE == 5
  out[0] = qp_bfloat162_fma(in[0], in[1], in[2]);
  out[1] = qp_bfloat162_add(in[0], in[1]);
  out[2] = qp_bfloat162_sub(in[0], in[1]);
  out[3] = qp_bfloat162_mul(in[0], in[1]);
#elif QP_PRIMITIVE == 6
  QP_SHARED_DYNAMIC(shared);
  qp_store16_shared(shared + lane * 16, make_uint4(in[0], in[1], in[2], in[3]));
  qp_sync_warp();
  const unsigned char* row = shared + (lane ^ 2) * 16;
  uint32_t one[1], two[2], four[4], two_transposed[2], four_transposed[4];
  qp_ldmatrix_x1(one, row);
  qp_ldmatrix_x2(two, row);
  qp_ldmatrix_x4(four, row);
  qp_ldmatrix_x2_trans(two_transposed, row);
  qp_ldmatrix_x4_trans(four_transposed, row);
  out[0] = one[0];
  for (int i = 0; i < 2; i++) out[1 + i] = two[i], out[7 + i] = two_transposed[i];
  for (int i = 0; i < 4; i++) out[3 + i] = four[i], out[9 + i] = four_transposed[i];
#elif QP_PRIMITIVE == 7
  // Every width, read and written somewhere else: 20 words, each of x three times at least.
  QP_SHARED_DYNAMIC(shared);
  qp_store16(out, qp_load16(in + 4));
  qp_store16_once(out + 4, qp_load16_once(in));
  qp_store8(out + 8, qp_load8(in + 2));
  qp_store4(out + 10, qp_load4(in + 7));
  qp_store4(out + 11, qp_float_to_bits(qp_larger(static_cast<float>(in[5] % 1024), static_cast<float>(in[6] % 1024))));
  qp_store16_shared(shared + lane * 16, qp_load16(in));
  qp_sync_warp();
  const uint2 pair = qp_load8_shared(shared + (lane ^ 3) * 16 + 8);
  out[12] = pair.x, out[13] = pair.y;
  qp_store8(out + 14, make_uint2(in[1], in[6]));
  // What this thread has just written, past L1.
  qp_fence_device();
  qp_store4(out + 14, qp_float_to_bits(qp_load_fresh(reinterpret_cast<const float*>(out) + 15)));
  qp_store16(out + 16, qp_load16_fresh(out));
#elif QP_PRIMITIVE == 9
  // 16 bits each, of the lane's words and of its neighbour's.
  const uint16_t* own = reinterpret_cast<const uint16_t*>(in);
  const uint16_t* other = reinterpret_cast<const uint16_t*>(x + (threadIdx.x ^ 1) * n);
  for (int i = 0; i < 4; i++) qp_store4(out + i, qp_load2_fresh(own + 3 * i) | static_cast<uint32_t>(qp_load2_fresh(other + i)) << 16);
#elif QP_PRIMITIVE == 8
  // Lanes take turns at three counters among the words of the first, each of which starts at 0 and ends as something else.
  if (lane == 0) y[5] = y[6] = y[7] = 0;
  qp_fence_device();
  qp_sync();
  for (int turn = 0; turn < 32; turn++) {
    if (lane == (turn * 11 + 5) % 32) {
      out[0] = qp_atomic_add(y + 5, in[0] % 256);
      out[1] = qp_atomic_increment(y + 6, 4);
    }
    qp_sync();
  }
  // The only block comes as if it were three, twice; after the first three the counter is back at 0.
  out[2] = 0;
  for (int i = 0; i < 8; i++) out[2] |= static_cast<uint32_t>(qp_is_last_block(y + 7, 3)) << i;
  qp_sync();
  out[3] = qp_float_to_bits(qp_load_fresh(reinterpret_cast<const float*>(y) + 7));
  out[4] = lane;
  if (lane != 0) out[5] = out[6] = out[7] = in[1];
#elif QP_PRIMITIVE == 10
  QP_SMALL_PRODUCT(qp_mma_s8_8x8x16)
#elif QP_PRIMITIVE == 11
  QP_PRODUCT(qp_mma_s8_16x8x32)
#elif QP_PRIMITIVE == 12
  QP_SMALL_PRODUCT(qp_mma_s4_8x8x32)
#elif QP_PRIMITIVE == 13
  QP_PRODUCT(qp_mma_s4_16x8x64)
#elif QP_PRIMITIVE == 14
  const uint32_t a[2] = {in[0], in[1]};
  float d[4] = {as_number(in[6]), as_number(in[7]), as_number(in[8]), as_number(in[9])};
  qp_mma_f16_16x8x8(d, a, in[4]);
  for (int i = 0; i < 4; i++) out[i] = as_bits(d[i]);
#elif QP_PRIMITIVE == 15
  QP_PRODUCT(qp_mma_f16_16x8x16)
#elif QP_PRIMITIVE == 16
  QP_PRODUCT(qp_mma_bf16_16x8x16)
#elif QP_PRIMITIVE == 17
  QP_PRODUCT(qp_mma_e4m3_16x8x32)
#elif QP_PRIMITIVE == 18
  uint32_t words[4] = {in[0], in[1], in[2], in[3]};
  qp_transpose_quad(words);
  for (int i = 0; i < 4; i++) out[i] = words[i];
  out[4] = qp_transpose_matrix(in[4]);
#endif
}
