// y = x · Wᵀ + b on tensor cores for 4-bit weights: integers in groups, with zero points or none, and NormalFloat.
//: entry = "gemm_w4a16"
//: role = "gemm"
//: schemes = ["W4A16", "W4A16_G64", "W4A16_G32", "W4A16_ASYM", "NF4"]
//: packing = "mma_w4"
//: activations = ["float16", "bfloat16"]
//: requires = ["hmma_1688"]
//: architectures = ["7.5", "8.0", "8.6", "9.0", "10.0", "12.0"]
//: max_rows = 128
//: tile = { m = 16, n = 128, k = 128 }
//: grid = ["m", "n", "split"]
//: threads = 256
//: arguments = ["x", "packed", "scales", "zeros", "bias", "y", "scratch", "counters", "m", "n", "k", "split"]
//: sass = { needs = ["HMMA.16816", "LDG.128", "LDGSTS.128"], at_least = 2, max_registers = 128 }
//: [variants]
//: g128_m8 = { defines = { QP_WEIGHTS = 0, QP_STAGES = 4, QP_GROUP = 128 }, schemes = ["W4A16"], tile = { m = 8, n = 128, k = 256 }, shared_bytes = 20480, architectures = ["8.0", "9.0"] }
//: g128z_m8 = { defines = { QP_WEIGHTS = 0, QP_STAGES = 4, QP_GROUP = 128, QP_ASYMMETRIC = 1 }, schemes = ["W4A16_ASYM"], tile = { m = 8, n = 128, k = 256 }, shared_bytes = 21504, architectures = ["8.0", "9.0"] }
//: g64_m8 = { defines = { QP_WEIGHTS = 0, QP_STAGES = 4, QP_GROUP = 64 }, schemes = ["W4A16_G64"], tile = { m = 8, n = 128, k = 256 }, shared_bytes = 22528, architectures = ["8.0", "9.0"] }
//: g32_m8 = { defines = { QP_WEIGHTS = 0, QP_STAGES = 4, QP_GROUP = 32 }, schemes = ["W4A16_G32"], tile = { m = 8, n = 128, k = 256 }, shared_bytes = 26624, architectures = ["8.0", "9.0"] }
//: nf4_m8 = { defines = { QP_WEIGHTS = 1, QP_STAGES = 4 }, schemes = ["NF4"], tile = { m = 8, n = 128, k = 256 }, shared_bytes = 59392, architectures = ["8.0", "9.0"] }
//: g128_m16 = { defines = { QP_WEIGHTS = 0, QP_STAGES = 3, QP_GROUP = 128 }, schemes = ["W4A16"], tile = { m = 16, n = 128, k = 256 }, shared_bytes = 29184, architectures = ["8.0", "8.6", "9.0", "10.0", "12.0"] }
//: g128z_m16 = { defines = { QP_WEIGHTS = 0, QP_STAGES = 3, QP_GROUP = 128, QP_ASYMMETRIC = 1 }, schemes = ["W4A16_ASYM"], tile = { m = 16, n = 128, k = 256 }, shared_bytes = 29952, architectures = ["8.0", "9.0"] }
//: g64_m16 = { defines = { QP_WEIGHTS = 0, QP_STAGES = 3, QP_GROUP = 64 }, schemes = ["W4A16_G64"], tile = { m = 16, n = 128, k = 256 }, shared_bytes = 30720, architectures = ["8.0", "9.0"] }
//: g32_m16 = { defines = { QP_WEIGHTS = 0, QP_STAGES = 3, QP_GROUP = 32 }, schemes = ["W4A16_G32"], tile = { m = 16, n = 128, k = 256 }, shared_bytes = 33792, architectures = ["8.0", "9.0"] }
//: nf4_m16 = { defines = { QP_WEIGHTS = 1, QP_STAGES = 3 }, schemes = ["NF4"], tile = { m = 16, n = 128, k = 256 }, shared_bytes = 66560, architectures = ["8.0", "9.0"] }
//: g128_m32 = { defines = { QP_WEIGHTS = 0, QP_STAGES = 3, QP_GROUP = 128 }, schemes = ["W4A16"], tile = { m = 32, n = 128, k = 256 }, shared_bytes = 56832, architectures = ["8.0", "9.0"], sass = { needs = ["HMMA.16816", "LDG.128", "LDGSTS.128"], at_least = 2, max_registers = 255 } }
//: g128z_m32 = { defines = { QP_WEIGHTS = 0, QP_STAGES = 3, QP_GROUP = 128, QP_ASYMMETRIC = 1 }, schemes = ["W4A16_ASYM"], tile = { m = 32, n = 128, k = 256 }, shared_bytes = 57600, architectures = ["8.0", "9.0"], sass = { needs = ["HMMA.16816", "LDG.128", "LDGSTS.128"], at_least = 2, max_registers = 255 } }
//: g64_m32 = { defines = { QP_WEIGHTS = 0, QP_STAGES = 3, QP_GROUP = 64 }, schemes = ["W4A16_G64"], tile = { m = 32, n = 128, k = 256 }, shared_bytes = 58368, architectures = ["8.0", "9.0"], sass = { needs = ["HMMA.16816", "LDG.128", "LDGSTS.128"], at_least = 2, max_registers = 255 } }
//: g32_m32 = { defines = { QP_WEIGHTS = 0, QP_STAGES = 3, QP_GROUP = 32 }, schemes = ["W4A16_G32"], tile = { m = 32, n = 128, k = 256 }, shared_bytes = 61440, architectures = ["8.0", "9.0"], sass = { needs = ["HMMA.16816", "LDG.128", "LDGSTS.128"], at_least = 2, max_registers = 255 } }
//: nf4_m32 = { defines = { QP_WEIGHTS = 1, QP_STAGES = 3 }, schemes = ["NF4"], tile = { m = 32, n = 128, k = 256 }, shared_bytes = 94208, architectures = ["8.0", "9.0"], sass = { needs = ["HMMA.16816", "LDG.128", "LDGSTS.128"], at_least = 2, max_registers = 255 } }
//: g128_m64 = { defines = { QP_WEIGHTS = 0, QP_STAGES = 3, QP_GROUP = 128 }, schemes = ["W4A16"], tile = { m = 64, n = 128, k = 128 }, shared_bytes = 62208, architectures = ["8.0", "9.0"], sass = { needs = ["HMMA.16816", "LDG.128", "LDGSTS.128"], at_least = 2, max_registers = 255 } }
//: g128z_m64 = { defines = { QP_WEIGHTS = 0, QP_STAGES = 3, QP_GROUP = 128, QP_ASYMMETRIC = 1 }, schemes = ["W4A16_ASYM"], tile = { m = 64, n = 128, k = 128 }, shared_bytes = 62592, architectures = ["8.0", "9.0"], sass = { needs = ["HMMA.16816", "LDG.128", "LDGSTS.128"], at_least = 2, max_registers = 255 } }
//: g64_m64 = { defines = { QP_WEIGHTS = 0, QP_STAGES = 3, QP_GROUP = 64 }, schemes = ["W4A16_G64"], tile = { m = 64, n = 128, k = 128 }, shared_bytes = 62976, architectures = ["8.0", "9.0"], sass = { needs = ["HMMA.16816", "LDG.128", "LDGSTS.128"], at_least = 2, max_registers = 255 } }
//: g32_m64 = { defines = { QP_WEIGHTS = 0, QP_STAGES = 3, QP_GROUP = 32 }, schemes = ["W4A16_G32"], tile = { m = 64, n = 128, k = 128 }, shared_bytes = 64512, architectures = ["8.0", "9.0"], sass = { needs = ["HMMA.16816", "LDG.128", "LDGSTS.128"], at_least = 2, max_registers = 255 } }
//: nf4_m64 = { defines = { QP_WEIGHTS = 1, QP_STAGES = 3 }, schemes = ["NF4"], tile = { m = 64, n = 128, k = 128 }, shared_bytes = 97280, architectures = ["8.0", "9.0"], sass = { needs = ["HMMA.16816", "LDG.128", "LDGSTS.128"], at_least = 2, max_registers = 255 } }
//: g128_m8_turing = { defines = { QP_WEIGHTS = 0, QP_STAGES = 2, QP_GROUP = 128 }, schemes = ["W4A16"], tile = { m = 8, n = 128, k = 256 }, shared_bytes = 10240, architectures = ["7.5"], activations = ["float16"], sass = { needs = ["HMMA.1688", "LDG.128"], at_least = 4, max_registers = 128 } }
//: g128z_m8_turing = { defines = { QP_WEIGHTS = 0, QP_STAGES = 2, QP_GROUP = 128, QP_ASYMMETRIC = 1 }, schemes = ["W4A16_ASYM"], tile = { m = 8, n = 128, k = 256 }, shared_bytes = 10752, architectures = ["7.5"], activations = ["float16"], sass = { needs = ["HMMA.1688", "LDG.128"], at_least = 4, max_registers = 128 } }
//: g64_m8_turing = { defines = { QP_WEIGHTS = 0, QP_STAGES = 2, QP_GROUP = 64 }, schemes = ["W4A16_G64"], tile = { m = 8, n = 128, k = 256 }, shared_bytes = 11264, architectures = ["7.5"], activations = ["float16"], sass = { needs = ["HMMA.1688", "LDG.128"], at_least = 4, max_registers = 128 } }
//: g32_m8_turing = { defines = { QP_WEIGHTS = 0, QP_STAGES = 2, QP_GROUP = 32 }, schemes = ["W4A16_G32"], tile = { m = 8, n = 128, k = 256 }, shared_bytes = 13312, architectures = ["7.5"], activations = ["float16"], sass = { needs = ["HMMA.1688", "LDG.128"], at_least = 4, max_registers = 128 } }
//: nf4_m8_turing = { defines = { QP_WEIGHTS = 1, QP_STAGES = 2 }, schemes = ["NF4"], tile = { m = 8, n = 128, k = 256 }, shared_bytes = 46080, architectures = ["7.5"], activations = ["float16"], sass = { needs = ["HMMA.1688", "LDG.128"], at_least = 4, max_registers = 128 } }
//: g128_m16_turing = { defines = { QP_WEIGHTS = 0, QP_STAGES = 2, QP_GROUP = 128 }, schemes = ["W4A16"], tile = { m = 16, n = 128, k = 256 }, shared_bytes = 19456, architectures = ["7.5"], activations = ["float16"], sass = { needs = ["HMMA.1688", "LDG.128"], at_least = 4, max_registers = 128 } }
//: g128z_m16_turing = { defines = { QP_WEIGHTS = 0, QP_STAGES = 2, QP_GROUP = 128, QP_ASYMMETRIC = 1 }, schemes = ["W4A16_ASYM"], tile = { m = 16, n = 128, k = 256 }, shared_bytes = 19968, architectures = ["7.5"], activations = ["float16"], sass = { needs = ["HMMA.1688", "LDG.128"], at_least = 4, max_registers = 128 } }
//: g64_m16_turing = { defines = { QP_WEIGHTS = 0, QP_STAGES = 2, QP_GROUP = 64 }, schemes = ["W4A16_G64"], tile = { m = 16, n = 128, k = 256 }, shared_bytes = 20480, architectures = ["7.5"], activations = ["float16"], sass = { needs = ["HMMA.1688", "LDG.128"], at_least = 4, max_registers = 128 } }
//: g32_m16_turing = { defines = { QP_WEIGHTS = 0, QP_STAGES = 2, QP_GROUP = 32 }, schemes = ["W4A16_G32"], tile = { m = 16, n = 128, k = 256 }, shared_bytes = 22528, architectures = ["7.5"], activations = ["float16"], sass = { needs = ["HMMA.1688", "LDG.128"], at_least = 4, max_registers = 128 } }
//: nf4_m16_turing = { defines = { QP_WEIGHTS = 1, QP_STAGES = 2 }, schemes = ["NF4"], tile = { m = 16, n = 128, k = 256 }, shared_bytes = 55296, architectures = ["7.5"], activations = ["float16"], sass = { needs = ["HMMA.1688", "LDG.128"], at_least = 4, max_registers = 128 } }
//: g128_m32_turing = { defines = { QP_WEIGHTS = 0, QP_STAGES = 2, QP_GROUP = 128 }, schemes = ["W4A16"], tile = { m = 32, n = 128, k = 128 }, shared_bytes = 20992, architectures = ["7.5"], activations = ["float16"], sass = { needs = ["HMMA.1688", "LDG.128"], at_least = 4, max_registers = 255 } }
//: g128z_m32_turing = { defines = { QP_WEIGHTS = 0, QP_STAGES = 2, QP_GROUP = 128, QP_ASYMMETRIC = 1 }, schemes = ["W4A16_ASYM"], tile = { m = 32, n = 128, k = 128 }, shared_bytes = 21248, architectures = ["7.5"], activations = ["float16"], sass = { needs = ["HMMA.1688", "LDG.128"], at_least = 4, max_registers = 255 } }
//: g64_m32_turing = { defines = { QP_WEIGHTS = 0, QP_STAGES = 2, QP_GROUP = 64 }, schemes = ["W4A16_G64"], tile = { m = 32, n = 128, k = 128 }, shared_bytes = 21504, architectures = ["7.5"], activations = ["float16"], sass = { needs = ["HMMA.1688", "LDG.128"], at_least = 4, max_registers = 255 } }
//: g32_m32_turing = { defines = { QP_WEIGHTS = 0, QP_STAGES = 2, QP_GROUP = 32 }, schemes = ["W4A16_G32"], tile = { m = 32, n = 128, k = 128 }, shared_bytes = 22528, architectures = ["7.5"], activations = ["float16"], sass = { needs = ["HMMA.1688", "LDG.128"], at_least = 4, max_registers = 255 } }
//: nf4_m32_turing = { defines = { QP_WEIGHTS = 1, QP_STAGES = 2 }, schemes = ["NF4"], tile = { m = 32, n = 128, k = 128 }, shared_bytes = 55296, architectures = ["7.5"], activations = ["float16"], sass = { needs = ["HMMA.1688", "LDG.128"], at_least = 4, max_registers = 255 } }

#include "gemm_weights.cuh"

QP_KERNEL __launch_bounds__(QP_THREADS, kBlocks) gemm_w4a16(
    const qp_act* __restrict__ x, const uint4* __restrict__ packed, const void* __restrict__ scales,
    const uint32_t* __restrict__ zeros, const qp_act* __restrict__ bias, qp_act* __restrict__ y, float* scratch,
    uint32_t* counters, int m, int n, int k, int split) {
  qp_gemm(x, packed, scales, zeros, bias, y, scratch, counters, m, n, k, split);
}
