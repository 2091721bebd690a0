// y = x · Wᵀ + b on tensor cores for up to 8 rows and 4-bit weights, which the copy engine brings: integers in groups, with
// zero points or none, and NormalFloat.
//: entry = "gemm_w4a16_bulk"
//: role = "gemm"
//: schemes = ["W4A16", "W4A16_G64", "W4A16_G32", "W4A16_ASYM", "NF4"]
//: packing = "mma_w4"
//: activations = ["float16", "bfloat16"]
//: row_bytes = 16
//: requires = ["hmma_16816", "cp_async_bulk"]
//: architectures = ["9.0", "10.0", "12.0"]
//: max_rows = 8
//: overlaps = true
//: tile = { m = 1, n = 32, k = 1024 }
//: grid = ["m", "n", "split"]
//: threads = 320
//: arguments = ["x", "packed", "scales", "zeros", "bias", "y", "scratch", "counters", "m", "n", "k", "split"]
//: sass = { needs = ["HMMA.16816", "UBLKCP", "LDS.128"], at_least = 1, max_registers = 96 }
//: [variants]
//: g128_m1 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128, QP_STAGES = 4 }, schemes = ["W4A16"], tile = { m = 1, n = 32, k = 1024 }, shared_bytes = 75904, architectures = ["9.0", "10.0"] }
//: g128_m1_wide = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128, QP_STAGES = 4 }, schemes = ["W4A16"], tile = { m = 1, n = 64, k = 512 }, shared_bytes = 71936, architectures = ["9.0", "10.0"] }
//: g128_m8 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128, QP_STAGES = 4 }, schemes = ["W4A16"], tile = { m = 8, n = 64, k = 512 }, shared_bytes = 102656, architectures = ["9.0", "10.0"] }
//: g128_m8_full = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128, QP_STAGES = 4 }, schemes = ["W4A16"], tile = { m = 8, n = 64, k = 1024 }, threads = 576, shared_bytes = 203008, architectures = ["9.0", "10.0"] }
//: g128_m8_narrow = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128, QP_STAGES = 3 }, schemes = ["W4A16"], tile = { m = 8, n = 32, k = 1024 }, shared_bytes = 101504, architectures = ["9.0", "10.0"] }
//: g128_m8_few = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128, QP_STAGES = 3 }, schemes = ["W4A16"], tile = { m = 8, n = 64, k = 512 }, shared_bytes = 77056, architectures = ["12.0"] }
//: g128z_m1 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128, QP_ASYMMETRIC = 1, QP_STAGES = 4 }, schemes = ["W4A16_ASYM"], tile = { m = 1, n = 32, k = 1024 }, shared_bytes = 76928, architectures = ["9.0"] }
//: g128z_m1_wide = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128, QP_ASYMMETRIC = 1, QP_STAGES = 4 }, schemes = ["W4A16_ASYM"], tile = { m = 1, n = 64, k = 512 }, shared_bytes = 72960, architectures = ["9.0"] }
//: g128z_m8 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128, QP_ASYMMETRIC = 1, QP_STAGES = 4 }, schemes = ["W4A16_ASYM"], tile = { m = 8, n = 64, k = 512 }, shared_bytes = 103680, architectures = ["9.0"] }
//: g128z_m8_full = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128, QP_ASYMMETRIC = 1, QP_STAGES = 4 }, schemes = ["W4A16_ASYM"], tile = { m = 8, n = 64, k = 1024 }, threads = 576, shared_bytes = 205056, architectures = ["9.0"] }
//: g128z_m8_narrow = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128, QP_ASYMMETRIC = 1, QP_STAGES = 3 }, schemes = ["W4A16_ASYM"], tile = { m = 8, n = 32, k = 1024 }, shared_bytes = 102272, architectures = ["9.0"] }
//: g128z_m8_few = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128, QP_ASYMMETRIC = 1, QP_STAGES = 3 }, schemes = ["W4A16_ASYM"], tile = { m = 8, n = 64, k = 512 }, shared_bytes = 77824, architectures = ["12.0"] }
//: g64_m1 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 64, QP_STAGES = 4 }, schemes = ["W4A16_G64"], tile = { m = 1, n = 32, k = 1024 }, shared_bytes = 77952, architectures = ["9.0"] }
//: g64_m1_wide = { defines = { QP_WEIGHTS = 0, QP_GROUP = 64, QP_STAGES = 4 }, schemes = ["W4A16_G64"], tile = { m = 1, n = 64, k = 512 }, shared_bytes = 73984, architectures = ["9.0"] }
//: g64_m8 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 64, QP_STAGES = 4 }, schemes = ["W4A16_G64"], tile = { m = 8, n = 64, k = 512 }, shared_bytes = 104704, architectures = ["9.0"] }
//: g64_m8_full = { defines = { QP_WEIGHTS = 0, QP_GROUP = 64, QP_STAGES = 4 }, schemes = ["W4A16_G64"], tile = { m = 8, n = 64, k = 1024 }, threads = 576, shared_bytes = 207104, architectures = ["9.0"] }
//: g64_m8_narrow = { defines = { QP_WEIGHTS = 0, QP_GROUP = 64, QP_STAGES = 3 }, schemes = ["W4A16_G64"], tile = { m = 8, n = 32, k = 1024 }, shared_bytes = 103040, architectures = ["9.0"] }
//: g64_m8_few = { defines = { QP_WEIGHTS = 0, QP_GROUP = 64, QP_STAGES = 3 }, schemes = ["W4A16_G64"], tile = { m = 8, n = 64, k = 512 }, shared_bytes = 78592, architectures = ["12.0"] }
//: g32_m1 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 32, QP_STAGES = 4 }, schemes = ["W4A16_G32"], tile = { m = 1, n = 32, k = 1024 }, shared_bytes = 82048, architectures = ["9.0"] }
//: g32_m1_wide = { defines = { QP_WEIGHTS = 0, QP_GROUP = 32, QP_STAGES = 4 }, schemes = ["W4A16_G32"], tile = { m = 1, n = 64, k = 512 }, shared_bytes = 78080, architectures = ["9.0"] }
//: g32_m8 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 32, QP_STAGES = 4 }, schemes = ["W4A16_G32"], tile = { m = 8, n = 64, k = 512 }, shared_bytes = 108800, architectures = ["9.0"] }
//: g32_m8_full = { defines = { QP_WEIGHTS = 0, QP_GROUP = 32, QP_STAGES = 4 }, schemes = ["W4A16_G32"], tile = { m = 8, n = 64, k = 1024 }, threads = 576, shared_bytes = 215296, architectures = ["9.0"] }
//: g32_m8_narrow = { defines = { QP_WEIGHTS = 0, QP_GROUP = 32, QP_STAGES = 3 }, schemes = ["W4A16_G32"], tile = { m = 8, n = 32, k = 1024 }, shared_bytes = 106112, architectures = ["9.0"] }
//: g32_m8_few = { defines = { QP_WEIGHTS = 0, QP_GROUP = 32, QP_STAGES = 3 }, schemes = ["W4A16_G32"], tile = { m = 8, n = 64, k = 512 }, shared_bytes = 81664, architectures = ["12.0"] }
//: nf4_m1 = { defines = { QP_WEIGHTS = 1, QP_STAGES = 3 }, schemes = ["NF4"], tile = { m = 1, n = 32, k = 1024 }, shared_bytes = 94336, architectures = ["9.0"] }
//: nf4_m1_wide = { defines = { QP_WEIGHTS = 1, QP_STAGES = 3 }, schemes = ["NF4"], tile = { m = 1, n = 64, k = 512 }, shared_bytes = 91392, architectures = ["9.0"] }
//: nf4_m8 = { defines = { QP_WEIGHTS = 1, QP_STAGES = 3 }, schemes = ["NF4"], tile = { m = 8, n = 64, k = 512 }, shared_bytes = 114432, architectures = ["9.0"] }
//: nf4_m8_full = { defines = { QP_WEIGHTS = 1, QP_STAGES = 3 }, schemes = ["NF4"], tile = { m = 8, n = 64, k = 1024 }, threads = 576, shared_bytes = 194304, architectures = ["9.0"] }
//: nf4_m8_narrow = { defines = { QP_WEIGHTS = 1, QP_STAGES = 4 }, schemes = ["NF4"], tile = { m = 8, n = 32, k = 512 }, shared_bytes = 104576, architectures = ["9.0"] }
//: nf4_m8_few = { defines = { QP_WEIGHTS = 1, QP_STAGES = 2 }, schemes = ["NF4"], tile = { m = 8, n = 64, k = 512 }, shared_bytes = 87296, architectures = ["12.0"] }

#define QP_COPIERS 2
#include "gemm_weights_bulk.cuh"

QP_KERNEL __launch_bounds__(QP_THREADS, kBlocks) gemm_w4a16_bulk(
    const qp_act* __restrict__ x, const uint4* __restrict__ packed, const void* __restrict__ scales,
    const uint32_t* __restrict__ zeros, const qp_act* __restrict__ bias, qp_act* __restrict__ y, float* scratch,
    uint32_t* counters, int m, int n, int k, int split) {
  qp_gemm(x, packed, scales, zeros, bias, y, scratch, counters, m, n, k, split);
}
