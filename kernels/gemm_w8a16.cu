// y = x · Wᵀ + b on tensor cores for 8-bit integer weights with a scale for each output feature.
//: entry = "gemm_w8a16"
//: role = "gemm"
//: schemes = ["W8A16", "W8A8"]
//: packing = "mma_w8"
//: activations = ["float16", "bfloat16"]
//: requires = ["hmma_1688"]
//: architectures = ["7.5", "8.0", "8.6", "9.0", "10.0", "12.0"]
//: max_rows = 128
//: min_rows = 2
//: overlaps = true
//: tile = { m = 16, n = 128, k = 128 }
//: grid = ["m", "n", "split"]
//: threads = 256
//: arguments = ["x", "packed", "scales", "bias", "y", "scratch", "counters", "m", "n", "k", "split"]
//: sass = { needs = ["HMMA.16816", "LDGSTS.128", "LDS.128"], at_least = 4, max_registers = 128 }
//: [variants]
//: m1 = { defines = { QP_WEIGHTS = 2, QP_STAGES = 4 }, schemes = ["W8A16", "W8A8"], tile = { m = 1, n = 32, k = 512 }, shared_bytes = 69888, architectures = ["8.0", "8.6", "9.0", "10.0", "12.0"] }
//: m4 = { defines = { QP_WEIGHTS = 2, QP_STAGES = 4 }, schemes = ["W8A16", "W8A8"], tile = { m = 4, n = 64, k = 256 }, shared_bytes = 74240, architectures = ["8.0", "8.6", "9.0", "10.0", "12.0"] }
//: m4_narrow = { defines = { QP_WEIGHTS = 2, QP_STAGES = 4 }, schemes = ["W8A16", "W8A8"], tile = { m = 4, n = 32, k = 512 }, shared_bytes = 82176, architectures = ["8.0", "8.6", "9.0", "10.0", "12.0"] }
//: m8 = { defines = { QP_WEIGHTS = 2, QP_STAGES = 4 }, schemes = ["W8A16", "W8A8"], tile = { m = 8, n = 64, k = 256 }, shared_bytes = 82432, architectures = ["8.0", "8.6", "9.0", "10.0", "12.0"] }
//: m8_narrow = { defines = { QP_WEIGHTS = 2, QP_STAGES = 4 }, schemes = ["W8A16", "W8A8"], tile = { m = 8, n = 32, k = 512 }, shared_bytes = 98560, architectures = ["8.0", "8.6", "9.0", "10.0", "12.0"] }
//: m16 = { defines = { QP_WEIGHTS = 2, QP_STAGES = 4 }, schemes = ["W8A16", "W8A8"], tile = { m = 16, n = 64, k = 256 }, shared_bytes = 98816, architectures = ["8.0", "8.6", "9.0", "10.0", "12.0"] }
//: m32 = { defines = { QP_WEIGHTS = 2, QP_STAGES = 4 }, schemes = ["W8A16", "W8A8"], tile = { m = 32, n = 128, k = 128 }, shared_bytes = 99328, architectures = ["8.0", "9.0"], sass = { needs = ["HMMA.16816", "LDGSTS.128", "LDS.128"], at_least = 2, max_registers = 255 } }
//: m64 = { defines = { QP_WEIGHTS = 2, QP_STAGES = 3 }, schemes = ["W8A16", "W8A8"], tile = { m = 64, n = 128, k = 128 }, shared_bytes = 99328, architectures = ["8.0", "9.0"], sass = { needs = ["HMMA.16816", "LDGSTS.128", "LDS.128"], at_least = 2, max_registers = 255 } }
//: m128 = { defines = { QP_WEIGHTS = 2, QP_STAGES = 4 }, schemes = ["W8A16", "W8A8"], tile = { m = 128, n = 128, k = 64 }, shared_bytes = 99328, architectures = ["8.0", "8.6", "9.0", "10.0", "12.0"], sass = { needs = ["HMMA.16816", "LDGSTS.128"], at_least = 12, max_registers = 255 } }
//: m1_turing = { defines = { QP_WEIGHTS = 2, QP_STAGES = 3 }, schemes = ["W8A16", "W8A8"], tile = { m = 1, n = 32, k = 256 }, shared_bytes = 26368, architectures = ["7.5"], activations = ["float16"], sass = { needs = ["HMMA.1688", "LDS.128"], at_least = 2, max_registers = 128 } }
//: m8_turing = { defines = { QP_WEIGHTS = 2, QP_STAGES = 2 }, schemes = ["W8A16", "W8A8"], tile = { m = 8, n = 64, k = 128 }, shared_bytes = 20992, architectures = ["7.5"], activations = ["float16"], sass = { needs = ["HMMA.1688", "LDS.128"], at_least = 2, max_registers = 128 } }
//: m16_turing = { defines = { QP_WEIGHTS = 2, QP_STAGES = 3 }, schemes = ["W8A16", "W8A8"], tile = { m = 16, n = 128, k = 64 }, shared_bytes = 31744, architectures = ["7.5"], activations = ["float16"], sass = { needs = ["HMMA.1688", "LDS.128"], at_least = 2, max_registers = 128 } }
//: m32_turing = { defines = { QP_WEIGHTS = 2, QP_STAGES = 2 }, schemes = ["W8A16", "W8A8"], tile = { m = 32, n = 128, k = 128 }, shared_bytes = 50176, architectures = ["7.5"], activations = ["float16"], sass = { needs = ["HMMA.1688", "LDS.128"], at_least = 2, max_registers = 255 } }
//: m64_turing = { defines = { QP_WEIGHTS = 2, QP_STAGES = 3 }, schemes = ["W8A16", "W8A8"], tile = { m = 64, n = 128, k = 64 }, shared_bytes = 50176, architectures = ["7.5"], activations = ["float16"], sass = { needs = ["HMMA.1688", "LDS.128"], at_least = 2, max_registers = 255 } }
//: m128_turing = { defines = { QP_WEIGHTS = 2, QP_STAGES = 2 }, schemes = ["W8A16", "W8A8"], tile = { m = 128, n = 128, k = 64 }, shared_bytes = 50176, architectures = ["7.5"], activations = ["float16"], sass = { needs = ["HMMA.1688", "LDS.128"], at_least = 2, max_registers = 255 } }

#include "gemm_weights_stage.cuh"

QP_KERNEL __launch_bounds__(QP_THREADS, kBlocks) gemm_w8a16(
    const qp_act* __restrict__ x, const uint4* __restrict__ packed, const void* __restrict__ scales,
    const qp_act* __restrict__ bias, qp_act* __restrict__ y, float* scratch, uint32_t* counters, int m, int n, int k,
    int split) {
  qp_gemm(x, packed, scales, nullptr, bias, y, scratch, counters, m, n, k, split);
}
