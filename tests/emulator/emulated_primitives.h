// The primitives of kernels/prims.cuh, in its order, by what the engine offers. Included by cuda_emulator.h alone.

#pragma once


QP_DEVICE uint4 qp_load16(const void* address) { return qp_emulator::load<uint4>(address); }
QP_DEVICE uint2 qp_load8(const void* address) { return qp_emulator::load<uint2>(address); }
QP_DEVICE uint32_t qp_load4(const void* address) { return qp_emulator::load<uint32_t>(address); }
QP_DEVICE uint4 qp_load16_once(const void* address) { return qp_emulator::load<uint4>(address); }
QP_DEVICE float qp_load_fresh(const float* address) { return qp_emulator::load<float>(address); }
QP_DEVICE uint16_t qp_load2_fresh(const uint16_t* address) { return qp_emulator::load<uint16_t>(address); }
QP_DEVICE uint4 qp_load16_fresh(const void* address) { return qp_emulator::load<uint4>(address); }
QP_DEVICE void qp_store16(void* address, uint4 v) { qp_emulator::store(address, v); }
QP_DEVICE void qp_store8(void* address, uint2 v) { qp_emulator::store(address, v); }
QP_DEVICE void qp_store4(void* address, uint32_t v) { qp_emulator::store(address, v); }
QP_DEVICE void qp_store16_once(void* address, uint4 v) { qp_emulator::store(address, v); }
QP_DEVICE uint4 qp_load16_shared(const void* address) { return qp_emulator::load<uint4>(address); }
QP_DEVICE uint2 qp_load8_shared(const void* address) { return qp_emulator::load<uint2>(address); }
QP_DEVICE void qp_store16_shared(void* address, uint4 v) { qp_emulator::store(address, v); }
template <class T>
QP_DEVICE T* qp_opaque(T* shared) { return shared; }
QP_DEVICE int64_t qp_opaque(int64_t number) { return number; }

QP_DEVICE void qp_sync() { qp_emulator::sync_block(); }
template <int kThreads>
QP_DEVICE void qp_sync_first() { qp_emulator::sync_first(kThreads); }
QP_DEVICE void qp_sync_warp() { qp_emulator::sync_warp(); }
QP_DEVICE void qp_fence_device() { qp_emulator::pause(); }
QP_DEVICE void qp_wait_for_kernel_before() { qp_emulator::wait_for_kernel_before(); }
QP_DEVICE void qp_let_next_kernel_begin() {}
QP_DEVICE int qp_count_multiprocessors() { return 3; }
QP_DEVICE void __syncthreads() { qp_emulator::sync_block(); }
QP_DEVICE void __syncwarp() { qp_emulator::sync_warp(); }

QP_DEVICE uint32_t qp_atomic_increment(uint32_t* address, uint32_t last) {
  qp_emulator::pause();
  const uint32_t before = qp_emulator::load<uint32_t>(address);
  qp_emulator::store(address, before >= last ? 0 : before + 1);
  return before;
}

QP_DEVICE uint32_t qp_atomic_add(uint32_t* address, uint32_t v) {
  qp_emulator::pause();
  const uint32_t before = qp_emulator::load<uint32_t>(address);
  qp_emulator::store(address, before + v);
  return before;
}

template <class T>
QP_DEVICE T qp_shuffle_xor(T v, int mask) {
  const uint32_t bits = qp_emulator::reinterpret<uint32_t>(v);
  return qp_emulator::reinterpret<T>(qp_emulator::shuffle(bits, qp_emulator::lane_index ^ mask, "shuffle_xor"));
}

QP_DEVICE float qp_shuffle_down(float v, int lanes) {
  const unsigned lane = qp_emulator::lane_index, source = lane + lanes;
  const uint32_t bits = qp_emulator::reinterpret<uint32_t>(v);
  return qp_emulator::reinterpret<float>(qp_emulator::shuffle(bits, source < 32 ? source : lane, "shuffle_down"));
}

template <class T>
QP_DEVICE T qp_shuffle(T v, int lane) {
  return qp_emulator::reinterpret<T>(
      qp_emulator::shuffle(qp_emulator::reinterpret<uint32_t>(v), lane & 31, "shuffle"));
}

QP_DEVICE float qp_half_to_float(uint16_t bits) { return qp_emulator::half_to_float(bits); }
QP_DEVICE uint16_t qp_float_to_half(float v) { return qp_emulator::float_to_half(v); }
QP_DEVICE float qp_bits_to_float(uint32_t bits) { return qp_emulator::reinterpret<float>(bits); }
QP_DEVICE uint32_t qp_float_to_bits(float v) { return qp_emulator::reinterpret<uint32_t>(v); }
QP_DEVICE uint16_t qp_float_to_bfloat16(float v) { return qp_emulator::float_to_bfloat16(v); }
QP_DEVICE uint32_t qp_floats_to_half2(float low, float high) {
  return qp_float_to_half(low) | static_cast<uint32_t>(qp_float_to_half(high)) << 16;
}
QP_DEVICE uint32_t qp_floats_to_bfloat162(float low, float high) {
  return qp_float_to_bfloat16(low) | static_cast<uint32_t>(qp_float_to_bfloat16(high)) << 16;
}
QP_DEVICE int qp_round_to_int(float v) {
  if (v != v) return 0;
  if (v >= 2147483648.0f) return INT32_MAX;
  return v <= -2147483648.0f ? INT32_MIN : static_cast<int>(std::nearbyint(v));
}

template <int kTable>
QP_DEVICE uint32_t qp_lop3(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t v = 0;
  for (int i = 0; i < 8; i++)
    if (kTable >> i & 1) v |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
  return v;
}

QP_DEVICE uint32_t qp_prmt(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t bytes = static_cast<uint64_t>(b) << 32 | a;
  uint32_t v = 0;
  for (int i = 0; i < 4; i++) {
    const uint32_t nibble = selector >> (4 * i) & 15, byte = bytes >> (8 * (nibble & 7)) & 255;
    v |= (nibble & 8 ? (byte & 128 ? 255u : 0u) : byte) << (8 * i);
  }
  return v;
}

QP_DEVICE int qp_dp4a(uint32_t a, uint32_t b, int c) {
  uint32_t sum = static_cast<uint32_t>(c);
  for (int i = 0; i < 32; i += 8) sum += static_cast<int8_t>(a >> i) * static_cast<int8_t>(b >> i);
  return static_cast<int>(sum);
}

namespace qp_emulator {
// Computes in double, which holds products and most sums exactly, and rounds once.
template <float (*kToFloat)(uint16_t), uint16_t (*kFromFloat)(float)>
inline uint32_t pairwise(uint32_t a, uint32_t b, uint32_t c, double (*f)(double, double, double)) {
  uint32_t v = 0;
  for (int i = 0; i < 32; i += 16) {
    const double exact = f(kToFloat(a >> i), kToFloat(b >> i), kToFloat(c >> i));
    // Rounding to odd on the way to float keeps the second rounding, to 16 bits, right.
    float near = static_cast<float>(exact);
    if (near != exact && near == near && near != 0 && !(reinterpret<uint32_t>(near) & 1)) {
      const bool is_beyond = (near > exact) == (near > 0);
      near = reinterpret<float>(reinterpret<uint32_t>(near) + (is_beyond ? -1 : 1));
    }
    v |= static_cast<uint32_t>(kFromFloat(near)) << i;
  }
  return v;
}
inline float bfloat16_to_float(uint16_t bits) { return reinterpret<float>(static_cast<uint32_t>(bits) << 16); }
inline double multiply_add(double a, double b, double c) { return a * b + c; }
inline double add(double a, double b, double) { return a + b; }
inline double subtract(double a, double b, double) { return a - b; }
inline double multiply(double a, double b, double) { return a * b; }
constexpr auto half2 = pairwise<half_to_float, float_to_half>;
constexpr auto bfloat162 = pairwise<bfloat16_to_float, float_to_bfloat16>;
}  // namespace qp_emulator

#define QP_EMULATED_PAIRS(type)                                                               \
  QP_DEVICE uint32_t qp_##type##_fma(uint32_t a, uint32_t b, uint32_t c) {                    \
    return qp_emulator::type(a, b, c, qp_emulator::multiply_add);                             \
  }                                                                                           \
  QP_DEVICE uint32_t qp_##type##_add(uint32_t a, uint32_t b) {                                \
    return qp_emulator::type(a, b, 0, qp_emulator::add);                                      \
  }                                                                                           \
  QP_DEVICE uint32_t qp_##type##_sub(uint32_t a, uint32_t b) {                                \
    return qp_emulator::type(a, b, 0, qp_emulator::subtract);                                 \
  }                                                                                           \
  QP_DEVICE uint32_t qp_##type##_mul(uint32_t a, uint32_t b) {                                \
    return qp_emulator::type(a, b, 0, qp_emulator::multiply);                                 \
  }
QP_EMULATED_PAIRS(half2)
#if __CUDA_ARCH__ >= 800
QP_EMULATED_PAIRS(bfloat162)
#endif

QP_DEVICE void qp_copy_async16(void* shared, const void* global, int bytes = 16) {
  qp_emulator::copy_async(shared, global, 16, bytes, QP_HAS_ASYNC_COPY);
}
QP_DEVICE void qp_copy_async4(void* shared, const void* global, int bytes = 4) {
  qp_emulator::copy_async(shared, global, 4, bytes, QP_HAS_ASYNC_COPY);
}
QP_DEVICE void qp_copy_commit() { qp_emulator::copy_commit(); }
template <int kPending>
QP_DEVICE void qp_copy_wait() { qp_emulator::copy_wait(kPending); }

#if __CUDA_ARCH__ >= 750
QP_DEVICE uint32_t qp_transpose_matrix(uint32_t pair) { return qp_emulator::transpose_matrix(pair); }
QP_DEVICE void qp_ldmatrix_x1(uint32_t (&r)[1], const void* row) { qp_emulator::load_matrix(r, row, 1, false); }
QP_DEVICE void qp_ldmatrix_x2(uint32_t (&r)[2], const void* row) { qp_emulator::load_matrix(r, row, 2, false); }
QP_DEVICE void qp_ldmatrix_x4(uint32_t (&r)[4], const void* row) { qp_emulator::load_matrix(r, row, 4, false); }
QP_DEVICE void qp_ldmatrix_x2_trans(uint32_t (&r)[2], const void* row) { qp_emulator::load_matrix(r, row, 2, true); }
QP_DEVICE void qp_ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) { qp_emulator::load_matrix(r, row, 4, true); }

#define QP_EMULATED_MMA(number, shape)                                                                \
  QP_DEVICE void qp_mma_##shape(number (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {     \
    qp_emulator::mma_##shape(d, a, b);                                                                \
  }
QP_DEVICE void qp_mma_s8_8x8x16(int (&d)[2], uint32_t a, uint32_t b) { qp_emulator::mma_s8_8x8x16(d, &a, &b); }
QP_DEVICE void qp_mma_s4_8x8x32(int (&d)[2], uint32_t a, uint32_t b) { qp_emulator::mma_s4_8x8x32(d, &a, &b); }
QP_DEVICE void qp_mma_f16_16x8x8(float (&d)[4], const uint32_t (&a)[2], uint32_t b) {
  qp_emulator::mma_f16_16x8x8(d, a, &b);
}
QP_EMULATED_MMA(int, s8_16x8x32)
QP_EMULATED_MMA(int, s4_16x8x64)
QP_EMULATED_MMA(float, f16_16x8x16)
#endif
#if __CUDA_ARCH__ >= 800
QP_EMULATED_MMA(float, bf16_16x8x16)
#endif
#if __CUDA_ARCH__ >= 890
QP_EMULATED_MMA(float, e4m3_16x8x32)
#endif

#if __CUDA_ARCH__ >= 900
struct qp_tensor_map { unsigned char opaque[128]; };
QP_DEVICE void qp_make_barrier(uint64_t* barrier, int arrivals) { qp_emulator::make_barrier(barrier, arrivals); }
QP_DEVICE void qp_fence_barriers() { qp_emulator::fence_barriers(); }
QP_DEVICE void qp_arrive(uint64_t* barrier) {
  qp_emulator::arrive(barrier, 0);
  qp_emulator::pause();  // Who waited may be far ahead before this thread goes on.
}
QP_DEVICE void qp_arrive_and_expect(uint64_t* barrier, int bytes) { qp_emulator::arrive(barrier, bytes); }
template <bool kOfCluster = false>
QP_DEVICE void qp_wait(uint64_t* barrier, uint32_t parity) { qp_emulator::wait_barrier(barrier, parity, kOfCluster); }
QP_DEVICE void qp_copy_bulk(void* shared, const void* global, int bytes, uint64_t* barrier) {
  qp_emulator::copy_bulk(shared, global, bytes, barrier);
}
QP_DEVICE void qp_copy_box(void* shared, const qp_tensor_map& map, int byte, int row, uint64_t* barrier) {
  qp_emulator::copy_box(shared, &map, byte, row, barrier);
}
QP_DEVICE bool qp_elect() { return qp_emulator::elect(); }
QP_DEVICE void qp_sync_cluster() { qp_emulator::sync_cluster(); }
QP_DEVICE void qp_arrive_at(uint64_t* barrier, uint32_t rank) {
  qp_emulator::arrive_at(barrier, rank);
  qp_emulator::pause();
}
QP_DEVICE void qp_copy_box_to_both(void* shared, const qp_tensor_map& map, int byte, int row, uint64_t* barrier) {
  qp_emulator::copy_box_to_all(shared, &map, byte, row, barrier);
}
QP_DEVICE void qp_copy_bulk_to_both(void* shared, const void* global, int bytes, uint64_t* barrier) {
  qp_emulator::copy_bulk_to_all(shared, global, bytes, barrier);
}
#endif

#if __CUDA_ARCH__ == 900
#define __CUDA_ARCH_FEAT_SM90_ALL 1
QP_DEVICE uint64_t qp_wgmma_descriptor(const void* shared) { return qp_emulator::wgmma_descriptor(shared); }
QP_DEVICE uint64_t qp_wgmma_along(uint64_t descriptor, int bytes) { return descriptor + bytes / 16; }
QP_DEVICE void qp_wgmma_fence() { qp_emulator::wgmma_fence(); }
QP_DEVICE void qp_wgmma_commit() { qp_emulator::wgmma_commit(); }
template <int kPending>
QP_DEVICE void qp_wgmma_wait() { qp_emulator::wgmma_wait(kPending); }
template <class Number, int kCount>
QP_DEVICE void qp_wgmma_finish(Number (&)[kCount]) { qp_emulator::wgmma_wait(0); }
QP_DEVICE void qp_fence_async_proxy() { qp_emulator::fence_async_proxy(); }

#define QP_EMULATED_WGMMA(number, kind, columns, depth)                                                      \
  QP_DEVICE void qp_wgmma_##kind##_64x##columns##x##depth(number (&d)[columns / 2], uint64_t a, uint64_t b) { \
    qp_emulator::wgmma_issue(d, qp_emulator::Numbers::kind, columns, a, b);                                   \
  }
#define QP_EMULATED_WGMMA_OF_REGISTERS(kind, columns)                                                                  \
  QP_DEVICE void qp_wgmma_##kind##_64x##columns##x16(float (&d)[columns / 2], const uint32_t (&a)[4], uint64_t b) {    \
    qp_emulator::wgmma_issue(d, qp_emulator::Numbers::kind, columns, 0, b, a);                                         \
  }
QP_EMULATED_WGMMA_OF_REGISTERS(f16, 64)
QP_EMULATED_WGMMA_OF_REGISTERS(bf16, 64)
QP_EMULATED_WGMMA_OF_REGISTERS(f16, 128)
QP_EMULATED_WGMMA_OF_REGISTERS(bf16, 128)
QP_EMULATED_WGMMA_OF_REGISTERS(f16, 256)
QP_EMULATED_WGMMA_OF_REGISTERS(bf16, 256)
template <int kCount>
QP_DEVICE void qp_give_registers() {}
template <int kCount>
QP_DEVICE void qp_take_registers() {}
QP_EMULATED_WGMMA(int, s8, 128, 32)
QP_EMULATED_WGMMA(int, s8, 256, 32)
QP_EMULATED_WGMMA(float, f16, 256, 16)
QP_EMULATED_WGMMA(float, bf16, 256, 16)
QP_EMULATED_WGMMA(float, e4m3, 256, 32)
#endif
