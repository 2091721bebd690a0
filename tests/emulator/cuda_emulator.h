// What a kernel sees of the emulator: the keywords and built-ins of CUDA C++, and the primitives of kernels/prims.cuh.
//
// A kernel is compiled as C++17 with -DQP_EMULATE and -DQP_EMULATED_ARCH=800 (for 8.0). Each CUDA thread is a fiber of
// one thread of the processor; it runs until it waits, in a barrier or in an operation of its whole warp. What the
// engine (engine.cpp, collectives.cpp) does is meant to find bugs, not to be fast: shared memory starts as garbage,
// asynchronous results land as late as they may, and the order of fibers is one of several bad ones.

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#define __CUDA_ARCH__ QP_EMULATED_ARCH
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define __align__(bytes) alignas(bytes)

// Under the sanitizers, a vector that is read where it must not lie is reported; else qp_load16 and the like do that.
#ifdef __SANITIZE_ADDRESS__
#define QP_VECTOR(bytes) alignas(bytes)
#else
#define QP_VECTOR(bytes)
#endif

struct QP_VECTOR(8) uint2 { uint32_t x, y; };
struct QP_VECTOR(16) uint4 { uint32_t x, y, z, w; };
struct QP_VECTOR(8) int2 { int32_t x, y; };
struct QP_VECTOR(16) int4 { int32_t x, y, z, w; };
struct QP_VECTOR(8) float2 { float x, y; };
struct QP_VECTOR(16) float4 { float x, y, z, w; };

inline uint2 make_uint2(uint32_t x, uint32_t y) { return {x, y}; }
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

template <class T>
inline T min(T a, T b) { return b < a ? b : a; }
template <class T>
inline T max(T a, T b) { return a < b ? b : a; }

namespace qp_emulator {

struct Extents { unsigned x, y, z; };

// Where the running fiber stands; the engine sets it at each switch.
extern Extents thread_index, block_index, block_extents, grid_extents;
extern unsigned lane_index;

[[noreturn]] void fail(const char* words);
void check_aligned(const void* address, int bytes, const char* what);
void check_swizzled(const char* what);  // Whether shared memory begins where swizzles do.
// What wgmma must not read before a fence, if it is in shared memory.
void note_store(const void* address, size_t bytes);

// Memory of the running block, the same for all its threads, full of garbage at first.
void* shared_object(const void* identity, size_t bytes);
unsigned char* shared_dynamic(bool is_swizzled = false);

void sync_block();
void sync_first(unsigned threads);
void sync_cluster();
void wait_for_kernel_before();
void pause();

// Operations of a whole warp. `out` is the caller's own part of the result.
void sync_warp();
bool elect();
uint32_t shuffle(uint32_t v, unsigned source, const char* name);
uint32_t transpose_matrix(uint32_t pair);
void load_matrix(uint32_t* out, const void* row, int count, bool is_transposed);
void mma_s8_8x8x16(int* d, const uint32_t* a, const uint32_t* b);
void mma_s8_16x8x32(int* d, const uint32_t* a, const uint32_t* b);
void mma_s4_8x8x32(int* d, const uint32_t* a, const uint32_t* b);
void mma_s4_16x8x64(int* d, const uint32_t* a, const uint32_t* b);
void mma_f16_16x8x8(float* d, const uint32_t* a, const uint32_t* b);
void mma_f16_16x8x16(float* d, const uint32_t* a, const uint32_t* b);
void mma_bf16_16x8x16(float* d, const uint32_t* a, const uint32_t* b);
void mma_e4m3_16x8x32(float* d, const uint32_t* a, const uint32_t* b);

// Asynchronous copies of the running thread; before 8.0 they are not late.
void copy_async(void* shared, const void* global, int size, int bytes, bool is_late);
void copy_commit();
void copy_wait(int pending);

// Boxes, and the barriers that tell of them; `bytes` are announced on arrival.
void make_barrier(void* barrier, int arrivals);
void fence_barriers();
void arrive(void* barrier, int bytes);
void arrive_at(void* barrier, unsigned rank);
void wait_barrier(void* barrier, unsigned parity, bool is_of_cluster);
void copy_box(void* shared, const void* map, int byte, int row, void* barrier);
void copy_box_to_all(void* shared, const void* map, int byte, int row, void* barrier);
void copy_bulk(void* shared, const void* global, int bytes, void* barrier);
void copy_bulk_to_all(void* shared, const void* global, int bytes, void* barrier);

// Products of a warpgroup.
uint64_t wgmma_descriptor(const void* shared);
void wgmma_fence();
// What is multiplied; sums are int32 or float32.
enum class Numbers { s8, f16, bf16, e4m3 };
// `registers`: a thread's part of the first operand, if that is not in shared memory; read at any time before the wait.
void wgmma_issue(void* d, Numbers numbers, int columns, uint64_t a, uint64_t b, const uint32_t* registers = nullptr);
void wgmma_commit();
void wgmma_wait(int pending);
void fence_async_proxy();

float half_to_float(uint16_t bits);
float e4m3_to_float(uint8_t bits);
uint16_t float_to_half(float v);
uint16_t float_to_bfloat16(float v);

template <class To, class From>
inline To reinterpret(From v) {
  static_assert(sizeof(To) == sizeof(From), "the sizes differ");
  To to;
  std::memcpy(&to, &v, sizeof to);
  return to;
}

template <class T>
inline T load(const void* address) {
  check_aligned(address, sizeof(T), "load");
  T v;
  std::memcpy(&v, address, sizeof v);
  return v;
}

template <class T>
inline void store(void* address, T v) {
  check_aligned(address, sizeof(T), "store");
  note_store(address, sizeof(T));
  std::memcpy(address, &v, sizeof v);
}

// Calls a kernel with arguments that it finds by their addresses, as cuLaunchKernel does.
template <class... Parameters, size_t... kIndices>
inline void call(void (*kernel)(Parameters...), void** arguments, std::index_sequence<kIndices...>) {
  kernel(*static_cast<std::remove_reference_t<Parameters>*>(arguments[kIndices])...);
}

template <class... Parameters>
inline void call(void (*kernel)(Parameters...), void** arguments) {
  call(kernel, arguments, std::index_sequence_for<Parameters...>{});
}

}  // namespace qp_emulator

#define threadIdx qp_emulator::thread_index
#define blockIdx qp_emulator::block_index
#define blockDim qp_emulator::block_extents
#define gridDim qp_emulator::grid_extents

// What tests/emulator/build.py puts after the source of a kernel.
#define QP_EMULATOR_EXPORT(kernel) \
  extern "C" void qp_emulator_call(void** arguments) { qp_emulator::call(&kernel, arguments); }

#define QP_PARAMETER const
#define QP_DEVICE static inline
#define QP_KERNEL extern "C" void
// The address of the inner variable tells this declaration from every other one.
#define QP_SHARED(type, name, extents)                                               \
  using qp_type_of_##name = type extents;                                            \
  static const char qp_identity_of_##name = 0;                                       \
  qp_type_of_##name& name = *static_cast<qp_type_of_##name*>(                        \
      qp_emulator::shared_object(&qp_identity_of_##name, sizeof(qp_type_of_##name)))
#define QP_SHARED_DYNAMIC(name) unsigned char* const name = qp_emulator::shared_dynamic()
#define QP_SHARED_SWIZZLED(name) unsigned char* const name = qp_emulator::shared_dynamic(true)
#define QP_CONSTANT_TABLE static const
#define QP_HAS_ASYNC_COPY (__CUDA_ARCH__ >= 800)

#include "emulated_primitives.h"
