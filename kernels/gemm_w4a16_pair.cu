// As gemm_w4a16_bulk, for up to 16 rows, which two blocks share.
//: entry = "gemm_w4a16_pair"
//: role = "gemm"
//: schemes = ["W4A16", "W4A16_G64", "W4A16_G32", "W4A16_ASYM", "NF4"]
//: packing = "mma_w4"
//: activations = ["float16", "bfloat16"]
//: row_bytes = 16
//: requires = ["hmma_16816", "bulk_multicast"]
//: architectures = ["9.0a"]
//: max_rows = 16
//: min_rows = 9
//: overlaps = true
//: tile = { m = 16, n = 64, k = 512 }
//: grid = ["n", "m", "split"]
//: cluster = 2
//: threads = 320
//: arguments = ["x", "packed", "scales", "zeros", "bias", "y", "scratch", "counters", "m", "n", "k", "split"]
//: sass = { needs = ["HMMA.16816", "UBLKCP.S.G.MULTICAST", "LDS.128"], at_least = 1, max_registers = 96 }
//: [variants]
//: g128_m16 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128, QP_STAGES = 3 }, schemes = ["W4A16"], tile = { m = 16, n = 64, k = 512 }, shared_bytes = 103168 }
//: g128_m16_full = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128, QP_STAGES = 3 }, schemes = ["W4A16"], tile = { m = 16, n = 64, k = 1024 }, threads = 576, shared_bytes = 203008 }
//: g128z_m16 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128, QP_ASYMMETRIC = 1, QP_STAGES = 3 }, schemes = ["W4A16_ASYM"], tile = { m = 16, n = 64, k = 512 }, shared_bytes = 103936 }
//: g128z_m16_full = { defines = { QP_WEIGHTS = 0, QP_GROUP = 128, QP_ASYMMETRIC = 1, QP_STAGES = 3 }, schemes = ["W4A16_ASYM"], tile = { m = 16, n = 64, k = 1024 }, threads = 576, shared_bytes = 204544 }
//: g64_m16 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 64, QP_STAGES = 3 }, schemes = ["W4A16_G64"], tile = { m = 16, n = 64, k = 512 }, shared_bytes = 104704 }
//: g64_m16_full = { defines = { QP_WEIGHTS = 0, QP_GROUP = 64, QP_STAGES = 3 }, schemes = ["W4A16_G64"], tile = { m = 16, n = 64, k = 1024 }, threads = 576, shared_bytes = 206080 }
//: g32_m16 = { defines = { QP_WEIGHTS = 0, QP_GROUP = 32, QP_STAGES = 3 }, schemes = ["W4A16_G32"], tile = { m = 16, n = 64, k = 512 }, shared_bytes = 107776 }
//: g32_m16_full = { defines = { QP_WEIGHTS = 0, QP_GROUP = 32, QP_STAGES = 3 }, schemes = ["W4A16_G32"], tile = { m = 16, n = 64, k = 1024 }, threads = 576, shared_bytes = 212224 }
//: nf4_m16 = { defines = { QP_WEIGHTS = 1, QP_STAGES = 4 }, schemes = ["NF4"], tile = { m = 16, n = 64, k = 256 }, shared_bytes = 106752 }
//: nf4_m16_full = { defines = { QP_WEIGHTS = 1, QP_STAGES = 5 }, schemes = ["NF4"], tile = { m = 16, n = 64, k = 512 }, threads = 576, shared_bytes = 212224 }

#define QP_COPIERS 2
#include "gemm_weights_bulk.cuh"

QP_KERNEL __cluster_dims__(QP_CLUSTER, 1, 1) __launch_bounds__(QP_THREADS, kBlocks) gemm_w4a16_pair(
    const qp_act* __restrict__ x, const uint4* __restrict__ packed, const void* __restrict__ scales,
    const uint32_t* __restrict__ zeros, const qp_act* __restrict__ bias, qp_act* __restrict__ y, float* scratch,
    uint32_t* counters, int m, int n, int k, int split) {
  qp_gemm(x, packed, scales, zeros, bias, y, scratch, counters, m, n, k, split);
}
