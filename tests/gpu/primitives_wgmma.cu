// As primitives.cu, of the products of warpgroups, which only 9.0 has.
//: entry = "primitives_wgmma"
//: role = "copy"
//: requires = ["wgmma"]
//: architectures = ["9.0a"]
//: tile = { m = 1 }
//: grid = ["m"]
//: threads = 128
//: arguments = ["x", "y", "n", "k"]
//: sass = { max_registers = 255 }
//:
//: [variants]
//: wgmma_s8_64x128x32 = { defines = { QP_COLUMNS = 128, QP_NUMBERS = 0 }, shared_bytes = 24576 }
//: wgmma_s8_64x256x32 = { defines = { QP_COLUMNS = 256, QP_NUMBERS = 0 }, shared_bytes = 40960 }
//: wgmma_f16_64x256x16 = { defines = { QP_COLUMNS = 256, QP_NUMBERS = 1 }, shared_bytes = 40960 }
//: wgmma_bf16_64x256x16 = { defines = { QP_COLUMNS = 256, QP_NUMBERS = 2 }, shared_bytes = 40960 }
//: wgmma_f16_64x128x16 = { defines = { QP_COLUMNS = 128, QP_NUMBERS = 1, QP_OF_REGISTERS = 1 }, shared_bytes = 24576 }
//: wgmma_bf16_64x128x16 = { defines = { QP_COLUMNS = 128, QP_NUMBERS = 2, QP_OF_REGISTERS = 1 }, shared_bytes = 24576 }
//: wgmma_f16_64x256x16_of_registers = { defines = { QP_COLUMNS = 256, QP_NUMBERS = 1, QP_OF_REGISTERS = 1 }, shared_bytes = 40960 }
//: wgmma_bf16_64x256x16_of_registers = { defines = { QP_COLUMNS = 256, QP_NUMBERS = 2, QP_OF_REGISTERS = 1 }, shared_bytes = 40960 }
//: wgmma_f16_64x64x16 = { defines = { QP_COLUMNS = 64, QP_NUMBERS = 1, QP_OF_REGISTERS = 1 }, shared_bytes = 16384 }
//: wgmma_bf16_64x64x16 = { defines = { QP_COLUMNS = 64, QP_NUMBERS = 2, QP_OF_REGISTERS = 1 }, shared_bytes = 16384 }
//: wgmma_e4m3_64x256x32 = { defines = { QP_COLUMNS = 256, QP_NUMBERS = 3 }, shared_bytes = 40960 }

#include "prims.cuh"

#if QP_NUMBERS == 0
typedef int number;
#else
typedef float number;
#endif

QP_KERNEL __launch_bounds__(QP_THREADS)
primitives_wgmma(const uint32_t* __restrict__ x, uint32_t* __restrict__ y, int n, int k) {
  uint32_t* out = y + threadIdx.x * k;
  // x holds rows of 32 bytes, first the 64 of a, then those of b; they are put where the second 32 of 128 bytes belong.
  QP_SHARED_SWIZZLED(shared);
  for (int i = threadIdx.x; i < (64 + QP_COLUMNS) * 8; i += QP_THREADS) {
    const int row = i / 8, chunk = (2 + i % 8 / 4) ^ (row & 7);
    qp_store4(shared + row * 128 + chunk * 16 + i % 4 * 4, x[i]);
  }
  qp_fence_async_proxy();
  qp_sync();
  number d[QP_COLUMNS / 2];
#pragma unroll
  for (int i = 0; i < QP_COLUMNS / 2; i++) d[i] = static_cast<number>(i);
  qp_wgmma_fence();
  const uint64_t a = qp_wgmma_descriptor(shared + 32);
  const uint64_t b = qp_wgmma_along(qp_wgmma_descriptor(qp_opaque(shared) + 64 * 128), 32);
#ifdef QP_OF_REGISTERS
  // Of a in registers: rows of 8 words, whose first and second half are 8 elements along k.
  const uint32_t* row = x + (threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4) * 8 + threadIdx.x % 4;
  const uint32_t own[4] = {row[0], row[8 * 8], row[4], row[8 * 8 + 4]};
#endif
#if QP_COLUMNS == 64 && QP_NUMBERS == 1
  qp_wgmma_f16_64x64x16(d, own, b);
#elif QP_COLUMNS == 64 && QP_NUMBERS == 2
  qp_wgmma_bf16_64x64x16(d, own, b);
#elif QP_COLUMNS == 128 && QP_NUMBERS == 1
  qp_wgmma_f16_64x128x16(d, own, b);
#elif QP_COLUMNS == 128 && QP_NUMBERS == 2
  qp_wgmma_bf16_64x128x16(d, own, b);
#elif QP_NUMBERS == 1 && defined(QP_OF_REGISTERS)
  qp_wgmma_f16_64x256x16(d, own, b);
#elif QP_NUMBERS == 2 && defined(QP_OF_REGISTERS)
  qp_wgmma_bf16_64x256x16(d, own, b);
#elif QP_NUMBERS == 1
  qp_wgmma_f16_64x256x16(d, a, b);
#elif QP_NUMBERS == 2
  qp_wgmma_bf16_64x256x16(d, a, b);
#elif QP_NUMBERS == 3
  qp_wgmma_e4m3_64x256x32(d, a, b);
#elif QP_COLUMNS == 128
  qp_wgmma_s8_64x128x32(d, a, b);
#else
  qp_wgmma_s8_64x256x32(d, a, b);
#endif
  qp_wgmma_commit();
  qp_wgmma_finish(d);
#pragma unroll
  for (int i = 0; i < QP_COLUMNS / 2; i++) {
#if QP_NUMBERS == 0
    out[i] = static_cast<uint32_t>(d[i]);
#else
    out[i] = qp_float_to_bits(d[i]);
#endif
  }
}
