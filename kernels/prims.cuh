// Everything that a kernel cannot say in plain C++: all inline PTX, and all that differs between a GPU and the
// emulator of tests/emulator, which offers the same names and is taken instead under QP_EMULATE.
//
// No CUDA header is included, so that NVRTC needs none: float16 and bfloat16 are bit patterns here, one in a uint16_t
// or two in a uint32_t, the lower half first. A primitive that an architecture lacks is not declared for it.
// `-DQP_ACT=…`, one of the three numbers below, says what `qp_act` is, the type of activations.

#pragma once

#define QP_FLOAT32 0
#define QP_BFLOAT16 1
#define QP_FLOAT16 2

#ifdef QP_EMULATE
#include "cuda_emulator.h"
#else

#ifdef __CUDACC_RTC__
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#else
#include <cstdint>
#endif

#define QP_DEVICE static __device__ __forceinline__
#define QP_KERNEL extern "C" __global__ void
// QP_SHARED(float, tile, [32][33]); declares static shared memory, which the emulator poisons.
#define QP_SHARED(type, name, extents) __shared__ __align__(16) type name extents
#define QP_SHARED_DYNAMIC(name) extern __shared__ __align__(128) unsigned char name[]
// For boxes and operands of wgmma, whose swizzle begins at multiples of 1024: as many bytes of static shared memory before it are lost.
#define QP_SHARED_SWIZZLED(name) extern __shared__ __align__(1024) unsigned char name[]
#define QP_CONSTANT_TABLE static __device__ const

// ---- Loads and stores of 16, 8 and 4 bytes, which must be aligned ----

// Through the read-only cache: for memory that no thread writes during the launch.
QP_DEVICE uint4 qp_load16(const void* address) {
  uint4 v;
  asm("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(address));
  return v;
}

QP_DEVICE uint2 qp_load8(const void* address) {
  uint2 v;
  asm("ld.global.nc.v2.u32 {%0, %1}, [%2];" : "=r"(v.x), "=r"(v.y) : "l"(address));
  return v;
}

QP_DEVICE uint32_t qp_load4(const void* address) {
  uint32_t v;
  asm("ld.global.nc.u32 %0, [%1];" : "=r"(v) : "l"(address));
  return v;
}

// As qp_load16, of bytes that are read once: they do not displace what L1 holds.
QP_DEVICE uint4 qp_load16_once(const void* address) {
  uint4 v;
#if __CUDA_ARCH__ >= 800
  asm("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(address));
#elif __CUDA_ARCH__ >= 700
  asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(address));
#else
  v = qp_load16(address);
#endif
  return v;
}

// From L2, past L1: for what another block has written.
QP_DEVICE float qp_load_fresh(const float* address) {
  float v;
  asm volatile("ld.global.cg.f32 %0, [%1];" : "=f"(v) : "l"(address) : "memory");
  return v;
}

// Of 16 bits.
QP_DEVICE uint16_t qp_load2_fresh(const uint16_t* address) {
  uint16_t v;
  asm volatile("ld.global.cg.u16 %0, [%1];" : "=h"(v) : "l"(address) : "memory");
  return v;
}

QP_DEVICE uint4 qp_load16_fresh(const void* address) {
  uint4 v;
  asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(address) : "memory");
  return v;
}

QP_DEVICE void qp_store16(void* address, uint4 v) { *reinterpret_cast<uint4*>(address) = v; }
QP_DEVICE void qp_store8(void* address, uint2 v) { *reinterpret_cast<uint2*>(address) = v; }
QP_DEVICE void qp_store4(void* address, uint32_t v) { *reinterpret_cast<uint32_t*>(address) = v; }

// Of bytes that nobody reads soon.
QP_DEVICE void qp_store16_once(void* address, uint4 v) {
  asm volatile("st.global.cs.v4.u32 [%0], {%1, %2, %3, %4};"
               :: "l"(address), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}

// The same of shared memory.
QP_DEVICE uint4 qp_load16_shared(const void* address) { return *reinterpret_cast<const uint4*>(address); }
QP_DEVICE uint2 qp_load8_shared(const void* address) { return *reinterpret_cast<const uint2*>(address); }
QP_DEVICE void qp_store16_shared(void* address, uint4 v) { *reinterpret_cast<uint4*>(address) = v; }

// ---- Synchronization ----

QP_DEVICE void qp_sync() { __syncthreads(); }

// Of the first threads of the block alone, a multiple of 32.
template <int kThreads>
QP_DEVICE void qp_sync_first() { asm volatile("bar.sync 1, %0;" :: "n"(kThreads) : "memory"); }

QP_DEVICE void qp_sync_warp() { __syncwarp(); }
QP_DEVICE void qp_fence_device() { __threadfence(); }

// Adds 1, or goes back to 0 from `last`; gives what was there before.
QP_DEVICE uint32_t qp_atomic_increment(uint32_t* address, uint32_t last) {
  uint32_t before;
  asm volatile("atom.global.inc.u32 %0, [%1], %2;" : "=r"(before) : "l"(address), "r"(last) : "memory");
  return before;
}

QP_DEVICE uint32_t qp_atomic_add(uint32_t* address, uint32_t v) {
  uint32_t before;
  asm volatile("atom.global.add.u32 %0, [%1], %2;" : "=r"(before) : "l"(address), "r"(v) : "memory");
  return before;
}

// ---- Shuffles among the 32 lanes of a full warp ----

QP_DEVICE float qp_shuffle_xor(float v, int mask) { return __shfl_xor_sync(0xffffffffu, v, mask); }
QP_DEVICE int qp_shuffle_xor(int v, int mask) { return __shfl_xor_sync(0xffffffffu, v, mask); }
QP_DEVICE uint32_t qp_shuffle_xor(uint32_t v, int mask) { return __shfl_xor_sync(0xffffffffu, v, mask); }
QP_DEVICE float qp_shuffle_down(float v, int lanes) { return __shfl_down_sync(0xffffffffu, v, lanes); }
QP_DEVICE float qp_shuffle(float v, int lane) { return __shfl_sync(0xffffffffu, v, lane); }
QP_DEVICE int qp_shuffle(int v, int lane) { return __shfl_sync(0xffffffffu, v, lane); }
QP_DEVICE uint32_t qp_shuffle(uint32_t v, int lane) { return __shfl_sync(0xffffffffu, v, lane); }

// ---- Conversions, to nearest even ----

QP_DEVICE float qp_half_to_float(uint16_t bits) {
  float v;
  asm("cvt.f32.f16 %0, %1;" : "=f"(v) : "h"(bits));
  return v;
}

QP_DEVICE uint16_t qp_float_to_half(float v) {
  uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(v));
  return bits;
}

QP_DEVICE float qp_bits_to_float(uint32_t bits) { return __uint_as_float(bits); }
QP_DEVICE uint32_t qp_float_to_bits(float v) { return __float_as_uint(v); }

QP_DEVICE uint16_t qp_float_to_bfloat16(float v) {
#if __CUDA_ARCH__ >= 800
  uint16_t bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(v));
  return bits;
#else
  const uint32_t bits = qp_float_to_bits(v);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
#endif
}

// Two at once: the first goes to the lower half.
QP_DEVICE uint32_t qp_floats_to_half2(float low, float high) {
#if __CUDA_ARCH__ >= 800
  uint32_t bits;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
#else
  return qp_float_to_half(low) | static_cast<uint32_t>(qp_float_to_half(high)) << 16;
#endif
}

QP_DEVICE uint32_t qp_floats_to_bfloat162(float low, float high) {
#if __CUDA_ARCH__ >= 800
  uint32_t bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
#else
  return qp_float_to_bfloat16(low) | static_cast<uint32_t>(qp_float_to_bfloat16(high)) << 16;
#endif
}

// To the nearest even integer; what int32 cannot hold is clamped, NaN is 0.
QP_DEVICE int qp_round_to_int(float v) { return __float2int_rn(v); }

// ---- Bits ----

// Any function of three bits, as its truth table: 0xf0, 0xcc and 0xaa are a, b and c.
template <int kTable>
QP_DEVICE uint32_t qp_lop3(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t v;
  asm("lop3.b32 %0, %1, %2, %3, %4;" : "=r"(v) : "r"(a), "r"(b), "r"(c), "n"(kTable));
  return v;
}

// Four bytes of the eight of b:a, each chosen by a nibble of `selector`, whose highest bit asks for the byte's sign only.
QP_DEVICE uint32_t qp_prmt(uint32_t a, uint32_t b, uint32_t selector) {
  uint32_t v;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(v) : "r"(a), "r"(b), "r"(selector));
  return v;
}

// c + the sum of four products of signed bytes.
QP_DEVICE int qp_dp4a(uint32_t a, uint32_t b, int c) {
#if __CUDA_ARCH__ >= 610
  int v;
  asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(v) : "r"(a), "r"(b), "r"(c));
  return v;
#else
#pragma unroll
  for (int i = 0; i < 32; i += 8) c += static_cast<int8_t>(a >> i) * static_cast<int8_t>(b >> i);
  return c;
#endif
}

// ---- Arithmetic on pairs of 16-bit numbers ----

QP_DEVICE uint32_t qp_half2_fma(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t v;
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(v) : "r"(a), "r"(b), "r"(c));
  return v;
}

QP_DEVICE uint32_t qp_half2_add(uint32_t a, uint32_t b) {
  uint32_t v;
  asm("add.f16x2 %0, %1, %2;" : "=r"(v) : "r"(a), "r"(b));
  return v;
}

QP_DEVICE uint32_t qp_half2_sub(uint32_t a, uint32_t b) {
  uint32_t v;
  asm("sub.f16x2 %0, %1, %2;" : "=r"(v) : "r"(a), "r"(b));
  return v;
}

QP_DEVICE uint32_t qp_half2_mul(uint32_t a, uint32_t b) {
  uint32_t v;
  asm("mul.f16x2 %0, %1, %2;" : "=r"(v) : "r"(a), "r"(b));
  return v;
}

#if __CUDA_ARCH__ >= 800
QP_DEVICE uint32_t qp_bfloat162_fma(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t v;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(v) : "r"(a), "r"(b), "r"(c));
  return v;
}

// add, sub and mul of bfloat16 pairs exist since 9.0 only; each is exactly a fused multiply-add.
QP_DEVICE uint32_t qp_bfloat162_add(uint32_t a, uint32_t b) { return qp_bfloat162_fma(a, 0x3f803f80u, b); }
QP_DEVICE uint32_t qp_bfloat162_sub(uint32_t a, uint32_t b) { return qp_bfloat162_fma(b, 0xbf80bf80u, a); }
QP_DEVICE uint32_t qp_bfloat162_mul(uint32_t a, uint32_t b) { return qp_bfloat162_fma(a, b, 0x80008000u); }
#endif

// ---- Copies from global to shared memory that do not pass through registers ----
//
// They land when the copying thread has waited for their group. Before 8.0 there are none: the same names copy at
// once, and commit and wait do nothing.

QP_DEVICE uint32_t qp_shared_address(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// The same pointer, of which the compiler no longer knows how it came about: else it finds the address of shared memory anew
// wherever one is wanted, from a special register that takes long to read.
template <class T>
QP_DEVICE T* qp_opaque(T* shared) {
  size_t address = __cvta_generic_to_shared(shared);
  asm volatile("" : "+l"(address));
  return static_cast<T*>(__cvta_shared_to_generic(address));
}

// The same number, kept where it is: else the compiler finds it anew wherever it is wanted.
QP_DEVICE int64_t qp_opaque(int64_t number) {
  asm volatile("" : "+l"(number));
  return number;
}

#if __CUDA_ARCH__ >= 800
#define QP_HAS_ASYNC_COPY 1

// 16 bytes, of which the last 16 − `bytes` are zeros that are not read.
QP_DEVICE void qp_copy_async16(void* shared, const void* global, int bytes = 16) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;"
               :: "r"(qp_shared_address(shared)), "l"(global), "r"(bytes) : "memory");
}

// 4 bytes, of which the last 4 − `bytes` are zeros that are not read.
QP_DEVICE void qp_copy_async4(void* shared, const void* global, int bytes = 4) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
               :: "r"(qp_shared_address(shared)), "l"(global), "r"(bytes) : "memory");
}

QP_DEVICE void qp_copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most kPending of this thread's groups have not landed.
template <int kPending>
QP_DEVICE void qp_copy_wait() {
  asm volatile("cp.async.wait_group %0;" :: "n"(kPending) : "memory");
}
#else
#define QP_HAS_ASYNC_COPY 0
QP_DEVICE void qp_copy_async16(void* shared, const void* global, int bytes = 16) {
  if (bytes == 16) {
    qp_store16_shared(shared, qp_load16(global));
  } else {
    for (int i = 0; i < 16; i++)
      static_cast<uint8_t*>(shared)[i] = i < bytes ? static_cast<const uint8_t*>(global)[i] : 0;
  }
}
QP_DEVICE void qp_copy_async4(void* shared, const void* global, int bytes = 4) {
  for (int i = 0; i < 4; i++)
    static_cast<uint8_t*>(shared)[i] = i < bytes ? static_cast<const uint8_t*>(global)[i] : 0;
}
QP_DEVICE void qp_copy_commit() {}
template <int kPending>
QP_DEVICE void qp_copy_wait() {}
#endif

// ---- Boxes of a matrix from global to shared memory by the copy engine, and the barriers that tell of them ----
//
// A barrier, 8 bytes of shared memory, goes through phases. One ends when so many arrivals as it was made for, and all
// bytes that were announced in it, are there; then the next begins. Phases are told by their parity, the first is 0.

#if __CUDA_ARCH__ >= 900
#define QP_PARAMETER const __grid_constant__

// What the host has encoded of a matrix of bytes, its rows a multiple of 16 long, and of the boxes that are copied.
struct __align__(128) qp_tensor_map {
  unsigned char opaque[128];
};

// By one thread; the others may use it after qp_fence_barriers of that thread and qp_sync.
QP_DEVICE void qp_make_barrier(uint64_t* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" :: "r"(qp_shared_address(barrier)), "r"(arrivals) : "memory");
}

// Makes new barriers visible to the copy engine.
QP_DEVICE void qp_fence_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

QP_DEVICE void qp_arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" :: "r"(qp_shared_address(barrier)) : "memory");
}

// Arrives, and announces bytes that the phase shall wait for.
QP_DEVICE void qp_arrive_and_expect(uint64_t* barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
               :: "r"(qp_shared_address(barrier)), "r"(bytes) : "memory");
}

#define QP_IS_OVER(scope)                                                                  \
  asm volatile(                                                                            \
      "{\n"                                                                                \
      ".reg .pred p;\n"                                                                    \
      "mbarrier.try_wait.parity.acquire." scope ".shared::cta.b64 p, [%1], %2;\n"          \
      "selp.u32 %0, 1, 0, p;\n"                                                            \
      "}"                                                                                  \
      : "=r"(is_over) : "r"(qp_shared_address(barrier)), "r"(parity) : "memory")

// Behind it, what was done before those arrivals that are of threads of this block, or of its cluster, is visible.
template <bool kOfCluster = false>
QP_DEVICE bool qp_is_over(uint64_t* barrier, uint32_t parity) {
  uint32_t is_over;
  if constexpr (kOfCluster) QP_IS_OVER("cluster");
  else QP_IS_OVER("cta");
  return is_over;
}

// Waits for the end of the current phase if it has this parity; else the phase before it had, and is over. What does
// not come in ten seconds never will: the launch fails then, which is better than a card that hangs.
template <bool kOfCluster = false>
QP_DEVICE void qp_wait(uint64_t* barrier, uint32_t parity) {
  if (qp_is_over<kOfCluster>(barrier, parity)) return;
  uint64_t start, now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(start));
  while (!qp_is_over<kOfCluster>(barrier, parity)) {
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    if (now - start > 10000000000ull) asm volatile("trap;");
  }
}

// Whether the lane is the one of its warp that is chosen, by all of them together. The compiler knows then that one thread
// goes on, and gives the copy engine what it wants from registers of the warp; of the first lane it does not know it, and
// makes a loop over lanes of each copy, some 95 clocks.
QP_DEVICE bool qp_elect() {
  uint32_t is_elected;
  asm volatile(
      "{\n"
      ".reg .pred p;\n"
      "elect.sync _|p, 0xffffffff;\n"
      "selp.u32 %0, 1, 0, p;\n"
      "}"
      : "=r"(is_elected) :: "memory");
  return is_elected;
}

// Starts to copy bytes that lie one behind another: from and to multiples of 16, as many as a multiple of 16. By one thread.
QP_DEVICE void qp_copy_bulk(void* shared, const void* global, int bytes, uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
      :: "r"(qp_shared_address(shared)), "l"(global), "r"(bytes), "r"(qp_shared_address(barrier)) : "memory");
}

// Starts to copy the box whose first byte is `byte` of row `row`; what is beyond the matrix is zeros, and counts. The
// 16-byte chunks of its rows of 128 bytes are swizzled as qp_wgmma_descriptor says. By one thread.
QP_DEVICE void qp_copy_box(void* shared, const qp_tensor_map& map, int byte, int row, uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];"
      :: "r"(qp_shared_address(shared)), "l"(&map), "r"(byte), "r"(row), "r"(qp_shared_address(barrier)) : "memory");
}

// ---- Clusters: two blocks on neighbouring multiprocessors, each of which reaches the shared memory of the other ----

// Of all threads of both. Behind it, what one thread made before qp_fence_barriers is there for all; of other memory it says
// nothing, for it would have each thread wait for all that it has written.
QP_DEVICE void qp_sync_cluster() {
  asm volatile("barrier.cluster.arrive.relaxed.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

// Arrives at the barrier that the block of that rank, blockIdx.x % 2, has where this one has its own: what was read is read.
// What was written need not be visible there. Said with `.release.cluster`, it would wait for all that the block has written.
QP_DEVICE void qp_arrive_at(uint64_t* barrier, uint32_t rank) {
  asm volatile(
      "{\n"
      ".reg .b32 there;\n"
      "mapa.shared::cluster.u32 there, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [there];\n"
      "}"
      :: "r"(qp_shared_address(barrier)), "r"(rank) : "memory");
}

// As qp_copy_box, to the same place in both blocks, of which each is told by its own barrier.
QP_DEVICE void qp_copy_box_to_both(void* shared, const qp_tensor_map& map, int byte, int row, uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
      "[%0], [%1, {%2, %3}], [%4], %5;"
      :: "r"(qp_shared_address(shared)), "l"(&map), "r"(byte), "r"(row), "r"(qp_shared_address(barrier)),
         "h"(static_cast<uint16_t>(3)) : "memory");
}

// As qp_copy_bulk, the same way.
QP_DEVICE void qp_copy_bulk_to_both(void* shared, const void* global, int bytes, uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1], %2, [%3], %4;"
      :: "r"(qp_shared_address(shared)), "l"(global), "r"(bytes), "r"(qp_shared_address(barrier)),
         "h"(static_cast<uint16_t>(3)) : "memory");
}
#endif

// ---- Programmatic dependent launch: the next kernel of a stream begins before this one has ended ----
//
// Only where its launch asks for it, and from 9.0 on; else both are nothing. What was in memory before the kernel before this
// one began may be read at once. What that one may have written, and all that it may read, waits.

// Behind it, the kernel before has ended, and what it wrote is there. At least one thread of each block says so.
QP_DEVICE void qp_wait_for_kernel_before() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// When all blocks have said so, or have ended, those of the next kernel take what room there is. By one thread or more.
QP_DEVICE void qp_let_next_kernel_begin() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// As many as the card has, or a few more.
QP_DEVICE int qp_count_multiprocessors() {
  int count;
  asm("mov.u32 %0, %%nsmid;" : "=r"(count));
  return count;
}

// ---- 8×8 matrices of 16-bit elements from shared memory, one row of 16 bytes by each lane's address ----
//
// Lane l receives of matrix i the elements (l/4, 2·(l%4)) and the next one in r[i]; lanes 8·i … 8·i+7 give the rows
// of matrix i. `_trans` transposes each matrix.

#if __CUDA_ARCH__ >= 750
QP_DEVICE void qp_ldmatrix_x1(uint32_t (&r)[1], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];"
               : "=r"(r[0]) : "r"(qp_shared_address(row)) : "memory");
}

QP_DEVICE void qp_ldmatrix_x2(uint32_t (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1]) : "r"(qp_shared_address(row)) : "memory");
}

QP_DEVICE void qp_ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(qp_shared_address(row)) : "memory");
}

QP_DEVICE void qp_ldmatrix_x2_trans(uint32_t (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1]) : "r"(qp_shared_address(row)) : "memory");
}

// Transposes a matrix that the warp holds: lane l gives the elements (l/4, 2·(l%4)) and the next, and receives those of the
// transposed one.
QP_DEVICE uint32_t qp_transpose_matrix(uint32_t pair) {
  uint32_t v;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(v) : "r"(pair));
  return v;
}

QP_DEVICE void qp_ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(qp_shared_address(row)) : "memory");
}
#endif

// ---- Tensor cores: d += a · bᵀ by one warp ----
//
// With g = lane/4 and t = lane%4, `a` holds rows g and g+8 and `b` row g (a column of the product); a register holds
// consecutive elements along k from t·(elements a register): a[0] row g, a[1] row g+8, a[2] and a[3] the same from the
// middle of k; b[0], b[1] likewise. d[0], d[1] are row g, columns 2t and 2t+1; d[2], d[3] row g+8.

#define QP_MMA_4_4_2(instruction, constraint)                                                                  \
  asm volatile(instruction " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                  \
               : "+" constraint(d[0]), "+" constraint(d[1]), "+" constraint(d[2]), "+" constraint(d[3])        \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))

#if __CUDA_ARCH__ >= 750
// d[0], d[1]: row g; a and b: row g, 4 signed bytes from k = 4t.
QP_DEVICE void qp_mma_s8_8x8x16(int (&d)[2], uint32_t a, uint32_t b) {
  asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
               : "+r"(d[0]), "+r"(d[1]) : "r"(a), "r"(b));
}

QP_DEVICE void qp_mma_s8_16x8x32(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  QP_MMA_4_4_2("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32", "r");
#else
  int low[2] = {d[0], d[1]}, high[2] = {d[2], d[3]};
  qp_mma_s8_8x8x16(low, a[0], b[0]);
  qp_mma_s8_8x8x16(high, a[1], b[0]);
  qp_mma_s8_8x8x16(low, a[2], b[1]);
  qp_mma_s8_8x8x16(high, a[3], b[1]);
  d[0] = low[0], d[1] = low[1], d[2] = high[0], d[3] = high[1];
#endif
}

// 4-bit integers, 8 a register.
QP_DEVICE void qp_mma_s4_8x8x32(int (&d)[2], uint32_t a, uint32_t b) {
  asm volatile("mma.sync.aligned.m8n8k32.row.col.s32.s4.s4.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
               : "+r"(d[0]), "+r"(d[1]) : "r"(a), "r"(b));
}

QP_DEVICE void qp_mma_s4_16x8x64(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  QP_MMA_4_4_2("mma.sync.aligned.m16n8k64.row.col.s32.s4.s4.s32", "r");
#else
  int low[2] = {d[0], d[1]}, high[2] = {d[2], d[3]};
  qp_mma_s4_8x8x32(low, a[0], b[0]);
  qp_mma_s4_8x8x32(high, a[1], b[0]);
  qp_mma_s4_8x8x32(low, a[2], b[1]);
  qp_mma_s4_8x8x32(high, a[3], b[1]);
  d[0] = low[0], d[1] = low[1], d[2] = high[0], d[3] = high[1];
#endif
}

// a[0]: row g, a[1]: row g+8, each 2 elements from k = 2t; b: row g.
QP_DEVICE void qp_mma_f16_16x8x8(float (&d)[4], const uint32_t (&a)[2], uint32_t b) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(b));
}

QP_DEVICE void qp_mma_f16_16x8x16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  QP_MMA_4_4_2("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", "f");
#else
  const uint32_t first[2] = {a[0], a[1]}, second[2] = {a[2], a[3]};
  qp_mma_f16_16x8x8(d, first, b[0]);
  qp_mma_f16_16x8x8(d, second, b[1]);
#endif
}
#endif

#if __CUDA_ARCH__ >= 800
QP_DEVICE void qp_mma_bf16_16x8x16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  QP_MMA_4_4_2("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", "f");
}
#endif

#if __CUDA_ARCH__ >= 890
QP_DEVICE void qp_mma_e4m3_16x8x32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  QP_MMA_4_4_2("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32", "f");
}
#endif

// ---- wgmma: d += a · bᵀ by 128 threads, both operands in shared memory, 9.0a only ----
//
// Thread (warp w of the group, lane) holds d[4·j + i]: row 16·w + lane/4 + 8·(i/2), column 8·j + 2·(lane%4) + i%2.
// d holds the result only after qp_wgmma_finish, and must not be touched from the fence until then.

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
// A tile of rows of 128 bytes whose 16-byte chunks are swizzled by the row (chunk ^ row%8): groups of 8 rows lie
// 1024 bytes apart, and the tile starts at a multiple of 1024. Adding bytes along k to the pointer moves along k.
QP_DEVICE uint64_t qp_wgmma_descriptor(const void* shared) {
  const uint64_t start = (qp_shared_address(shared) & 0x3ffffu) >> 4;
  return start | (1ull << 16) | (static_cast<uint64_t>(1024 >> 4) << 32) | (1ull << 62);
}

// So many bytes further along k.
QP_DEVICE uint64_t qp_wgmma_along(uint64_t descriptor, int bytes) {
  return (descriptor & 0xffffffff00000000ull) | (static_cast<uint32_t>(descriptor) + bytes / 16);
}

QP_DEVICE void qp_wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
QP_DEVICE void qp_wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

template <int kPending>
QP_DEVICE void qp_wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" :: "n"(kPending) : "memory");
}

// Waits for all products, and keeps what is made of the accumulators behind the wait: the compiler takes them for the
// result of the last product, and would use them as soon as that was issued.
#define QP_WGMMA_FINISH(number, constraint)                                                \
  template <int kCount>                                                                    \
  QP_DEVICE void qp_wgmma_finish(number (&d)[kCount]) {                                    \
    qp_wgmma_wait<0>();                                                                    \
    _Pragma("unroll") for (int i = 0; i < kCount; i++) asm volatile("" : "+" constraint(d[i]) :: "memory"); \
  }
QP_WGMMA_FINISH(int, "r")
QP_WGMMA_FINISH(float, "f")

// All 128 threads of a warpgroup give registers back, or wait for more, to have so many each: a multiple of 8.
template <int kCount>
QP_DEVICE void qp_give_registers() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" :: "n"(kCount)); }
template <int kCount>
QP_DEVICE void qp_take_registers() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" :: "n"(kCount)); }

// Makes this thread's writes to shared memory visible to wgmma.
QP_DEVICE void qp_fence_async_proxy() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// Names of the accumulators in the text of an instruction.
#define QP_NAMES_32                                                       \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define QP_NAMES_64 QP_NAMES_32                                                              \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "       \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define QP_NAMES_128 QP_NAMES_64                                                                \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "          \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "            \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"

#define QP_D4(c, i) "+" c(d[i]), "+" c(d[i + 1]), "+" c(d[i + 2]), "+" c(d[i + 3])
#define QP_D16(c, i) QP_D4(c, i), QP_D4(c, i + 4), QP_D4(c, i + 8), QP_D4(c, i + 12)
#define QP_D32(c, i) QP_D16(c, i), QP_D16(c, i + 16)
#define QP_D64(c, i) QP_D32(c, i), QP_D32(c, i + 32)

QP_DEVICE void qp_wgmma_s8_64x128x32(int (&d)[64], uint64_t a, uint64_t b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n128k32.s32.s8.s8 {"
      QP_NAMES_64
      "}, %64, %65, 1;"
      : QP_D64("r", 0) : "l"(a), "l"(b));
}

// Of 256 columns. `modifiers`: of floating-point numbers the signs of a and b, of 16 bits that neither is transposed.
#define QP_WGMMA_256(instruction, constraint, modifiers)                                              \
  asm volatile(                                                                                       \
      "wgmma.mma_async.sync.aligned." instruction " {"                                                \
      QP_NAMES_128                                                                                    \
      "}, %128, %129, 1" modifiers ";"                                                                \
      : QP_D64(constraint, 0), QP_D64(constraint, 64) : "l"(a), "l"(b))

// The first operand in registers, which must not change until the product is waited for: of row 16·w + lane/4 the elements
// 2·(lane%4) and the next one, the same of the row 8 below, and both again 8 further along k.
#define QP_WGMMA_OF_REGISTERS(kind)                                                                            \
  QP_DEVICE void qp_wgmma_##kind##_64x64x16(float (&d)[32], const uint32_t (&a)[4], uint64_t b) {              \
    asm volatile(                                                                                              \
        "wgmma.mma_async.sync.aligned.m64n64k16.f32." #kind "." #kind " {"                                     \
        QP_NAMES_32                                                                                            \
        "}, {%32, %33, %34, %35}, %36, 1, 1, 1, 0;"                                                            \
        : QP_D32("f", 0) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                                \
  }                                                                                                            \
  QP_DEVICE void qp_wgmma_##kind##_64x128x16(float (&d)[64], const uint32_t (&a)[4], uint64_t b) {             \
    asm volatile(                                                                                              \
        "wgmma.mma_async.sync.aligned.m64n128k16.f32." #kind "." #kind " {"                                    \
        QP_NAMES_64                                                                                            \
        "}, {%64, %65, %66, %67}, %68, 1, 1, 1, 0;"                                                            \
        : QP_D64("f", 0) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                                \
  }                                                                                                            \
  QP_DEVICE void qp_wgmma_##kind##_64x256x16(float (&d)[128], const uint32_t (&a)[4], uint64_t b) {            \
    asm volatile(                                                                                              \
        "wgmma.mma_async.sync.aligned.m64n256k16.f32." #kind "." #kind " {"                                    \
        QP_NAMES_128                                                                                           \
        "}, {%128, %129, %130, %131}, %132, 1, 1, 1, 0;"                                                       \
        : QP_D64("f", 0), QP_D64("f", 64) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));               \
  }
QP_WGMMA_OF_REGISTERS(f16)
QP_WGMMA_OF_REGISTERS(bf16)

QP_DEVICE void qp_wgmma_s8_64x256x32(int (&d)[128], uint64_t a, uint64_t b) {
  QP_WGMMA_256("m64n256k32.s32.s8.s8", "r", "");
}

QP_DEVICE void qp_wgmma_f16_64x256x16(float (&d)[128], uint64_t a, uint64_t b) {
  QP_WGMMA_256("m64n256k16.f32.f16.f16", "f", ", 1, 1, 0, 0");
}

QP_DEVICE void qp_wgmma_bf16_64x256x16(float (&d)[128], uint64_t a, uint64_t b) {
  QP_WGMMA_256("m64n256k16.f32.bf16.bf16", "f", ", 1, 1, 0, 0");
}

QP_DEVICE void qp_wgmma_e4m3_64x256x32(float (&d)[128], uint64_t a, uint64_t b) {
  QP_WGMMA_256("m64n256k32.f32.e4m3.e4m3", "f", ", 1, 1");
}
#endif

#endif  // QP_EMULATE

// ---- The same on a GPU and in the emulator ----

QP_DEVICE float qp_bfloat16_to_float(uint16_t bits) { return qp_bits_to_float(static_cast<uint32_t>(bits) << 16); }

// The sum over a warp, in every lane; the order is the same in each.
QP_DEVICE float qp_warp_sum(float v) {
#pragma unroll
  for (int mask = 16; mask > 0; mask /= 2) v += qp_shuffle_xor(v, mask);
  return v;
}

// The larger of two; NaN if either is NaN.
QP_DEVICE float qp_larger(float a, float b) { return a > b || a != a ? a : b; }

QP_DEVICE float qp_warp_max(float v) {
#pragma unroll
  for (int mask = 16; mask > 0; mask /= 2) v = qp_larger(v, qp_shuffle_xor(v, mask));
  return v;
}

// Among the four lanes of a quad: lane t receives the t-th word of each, in their order.
QP_DEVICE void qp_transpose_quad(uint32_t (&v)[4]) {
  const uint32_t lane = threadIdx.x;
#pragma unroll
  for (int i = 0; i < 4; i += 2) {
    const bool is_odd = lane & 1;
    const uint32_t other = qp_shuffle_xor(is_odd ? v[i] : v[i + 1], 1);
    v[i] = is_odd ? other : v[i];
    v[i + 1] = is_odd ? v[i + 1] : other;
  }
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const bool is_upper = lane & 2;
    const uint32_t other = qp_shuffle_xor(is_upper ? v[i] : v[i + 2], 2);
    v[i] = is_upper ? other : v[i];
    v[i + 2] = is_upper ? v[i + 2] : other;
  }
}

// Whether this block is the last of `blocks` to arrive at `counter`, which is 0 before the first and after the last.
// What every block wrote before is visible to the last one, read by qp_load_fresh or qp_load16_fresh. All threads of
// the block, or its first kThreads, call it and get the same answer.
template <int kThreads = 0>
QP_DEVICE bool qp_is_last_block(uint32_t* counter, uint32_t blocks) {
  QP_SHARED(uint32_t, arrived, [1]);
  const auto sync = [] {
    if constexpr (kThreads > 0) qp_sync_first<kThreads>();
    else qp_sync();
  };
  qp_fence_device();
  sync();
  if (threadIdx.x == 0 && threadIdx.y == 0 && threadIdx.z == 0) arrived[0] = qp_atomic_increment(counter, blocks - 1);
  sync();
  const bool is_last = arrived[0] == blocks - 1;
  if (is_last) qp_fence_device();
  return is_last;
}

// ---- Activations in the type that the kernel is built for ----

#ifdef QP_ACT
#if QP_ACT == QP_FLOAT32
typedef float qp_act;
QP_DEVICE float qp_act_to_float(qp_act v) { return v; }
QP_DEVICE qp_act qp_act_from_float(float v) { return v; }
#elif QP_ACT == QP_FLOAT16
typedef uint16_t qp_act;
QP_DEVICE float qp_act_to_float(qp_act v) { return qp_half_to_float(v); }
QP_DEVICE qp_act qp_act_from_float(float v) { return qp_float_to_half(v); }
QP_DEVICE uint32_t qp_act2_from_floats(float low, float high) { return qp_floats_to_half2(low, high); }
QP_DEVICE uint32_t qp_act2_mul(uint32_t a, uint32_t b) { return qp_half2_mul(a, b); }
#if __CUDA_ARCH__ >= 750
QP_DEVICE void qp_mma_act_16x8x16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  qp_mma_f16_16x8x16(d, a, b);
}
#endif
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
QP_DEVICE void qp_wgmma_act(float (&d)[128], const uint32_t (&a)[4], uint64_t b) { qp_wgmma_f16_64x256x16(d, a, b); }
QP_DEVICE void qp_wgmma_act(float (&d)[64], const uint32_t (&a)[4], uint64_t b) { qp_wgmma_f16_64x128x16(d, a, b); }
QP_DEVICE void qp_wgmma_act(float (&d)[32], const uint32_t (&a)[4], uint64_t b) { qp_wgmma_f16_64x64x16(d, a, b); }
#endif
#elif QP_ACT == QP_BFLOAT16
typedef uint16_t qp_act;
QP_DEVICE float qp_act_to_float(qp_act v) { return qp_bfloat16_to_float(v); }
QP_DEVICE qp_act qp_act_from_float(float v) { return qp_float_to_bfloat16(v); }
QP_DEVICE uint32_t qp_act2_from_floats(float low, float high) { return qp_floats_to_bfloat162(low, high); }
#if __CUDA_ARCH__ >= 800
QP_DEVICE uint32_t qp_act2_mul(uint32_t a, uint32_t b) { return qp_bfloat162_mul(a, b); }
QP_DEVICE void qp_mma_act_16x8x16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  qp_mma_bf16_16x8x16(d, a, b);
}
#endif
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
QP_DEVICE void qp_wgmma_act(float (&d)[128], const uint32_t (&a)[4], uint64_t b) { qp_wgmma_bf16_64x256x16(d, a, b); }
QP_DEVICE void qp_wgmma_act(float (&d)[64], const uint32_t (&a)[4], uint64_t b) { qp_wgmma_bf16_64x128x16(d, a, b); }
QP_DEVICE void qp_wgmma_act(float (&d)[32], const uint32_t (&a)[4], uint64_t b) { qp_wgmma_bf16_64x64x16(d, a, b); }
#endif
#else
#error "QP_ACT must be 0 (float32), 1 (bfloat16) or 2 (float16)"
#endif
#endif
