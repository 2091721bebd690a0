// y = x · Wᵀ of int8 codes by wgmma, fed by the copy engine: 9.0 alone.
//
// One warp does nothing but start copies: for each buffer one of x and one of the weights, as soon as all have read what
// was there. The others multiply, 64 rows a warpgroup. A block takes one tile after another, so that buffers are filled
// for the next while results of this one are written.
//: entry = "gemm_s8_wgmma_tma"
//: role = "gemm"
//: schemes = ["W8A8"]
//: packing = "rows_s8"
//: input = "int8"
//: activations = ["float16", "bfloat16", "float32"]
//: requires = ["wgmma", "cp_async_bulk"]
//: architectures = ["9.0a"]
//: tile = { m = 128, n = 256, k = 128 }
//: grid = ["tile"]
//: threads = 288
//: arguments = ["x_map", "packed_map", "x_scale", "scales", "bias", "y", "m", "n", "k"]
//: sass = { needs = ["IGMMA.64x256x32"], at_least = 4, max_registers = 224 }
//:
//: [variants.m128n256]
//: shared_bytes = 196608
//: defines = { QP_STAGES = 4 }
//:
//: [variants.m128n128] # two blocks an SM; for products with too few tiles of the larger size
//: tile = { m = 128, n = 128, k = 128 }
//: blocks = 2
//: shared_bytes = 98304
//: defines = { QP_STAGES = 3 }
//: sass = { needs = ["IGMMA.64x128x32"], at_least = 4, max_registers = 112 }

#include "gemm_s8.cuh"
#include "ring.cuh"

constexpr int kGroups = QP_TILE_M / 64, kWarps = kGroups * 4;
constexpr int kStageBytes = (QP_TILE_M + QP_TILE_N) * QP_TILE_K;
constexpr int kSums = QP_TILE_N / 2;
constexpr int kColumns = 4;

static_assert(QP_THREADS == (kWarps + 1) * 32, "a warpgroup computes 64 rows, and one warp more copies");
static_assert(QP_TILE_K == 128, "rows of 128 bytes are what the descriptor says");
static_assert(QP_SHARED_BYTES == QP_STAGES * kStageBytes, "shared memory holds the buffers and no more");

// Copies a tile of x and one of the weights to each buffer, `steps` times.
QP_DEVICE void copy_rows(const qp_tensor_map& x_map, const qp_tensor_map& packed_map, const qp_ring& ring, qp_turn& turn,
                         qp_tile tile, int steps) {
  for (int step = 0; step < steps; step++) {
    qp_wait_until_emptied(ring, turn);
    unsigned char* stage = ring.memory + turn.stage * kStageBytes;
    uint64_t* filled = ring.filled + turn.stage;
    qp_arrive_and_expect(filled, kStageBytes);
    qp_copy_box(stage, x_map, step * QP_TILE_K, tile.m, filled);
    qp_copy_box(stage + QP_TILE_M * QP_TILE_K, packed_map, step * QP_TILE_K, tile.n, filled);
    qp_advance(turn);
  }
}

QP_DEVICE void multiply(int (&sums)[kSums], const unsigned char* x, const unsigned char* w) {
#pragma unroll
  for (int at = 0; at < QP_TILE_K; at += 32) {
    const uint64_t a = qp_wgmma_descriptor(x + at), b = qp_wgmma_descriptor(w + at);
#if QP_TILE_N == 256
    qp_wgmma_s8_64x256x32(sums, a, b);
#else
    qp_wgmma_s8_64x128x32(sums, a, b);
#endif
  }
}

// The sums of a tile over `steps` buffers, each of which the warp lets go of.
QP_DEVICE void add_up(int (&sums)[kSums], const qp_ring& ring, qp_turn& turn, int steps) {
  const int lane = threadIdx.x & 31, group = threadIdx.x / 128;
#pragma unroll
  for (int i = 0; i < kSums; i++) sums[i] = 0;
  uint64_t* before = ring.emptied;
  for (int step = 0; step < steps; step++) {
    qp_wait_until_filled(ring, turn);
    const unsigned char* stage = ring.memory + turn.stage * kStageBytes;
    qp_wgmma_fence();
    multiply(sums, stage + group * 64 * QP_TILE_K, stage + QP_TILE_M * QP_TILE_K);
    qp_wgmma_commit();
    // While this product goes on, the one before it is through with its buffer.
    qp_wgmma_wait<1>();
    if (step > 0 && lane == 0) qp_arrive(before);
    before = ring.emptied + turn.stage;
    qp_advance(turn);
  }
  qp_wgmma_finish(sums);
  if (lane == 0) qp_arrive(before);
}

// Writes the thread's part of a tile of y. Of 16 columns two neighbouring lanes hold two of each 8, and exchange them for
// four of one: what a quad writes at once is then whole sectors of memory.
QP_DEVICE void finish(const int (&sums)[kSums], const float* x_scale, const float* scales, const qp_act* bias, qp_act* y,
                      qp_tile tile, int m, int n) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const bool is_odd = lane & 1;
  const int row = tile.m + warp * 16 + (lane >> 2), from_column = tile.n + (lane & 1) * 8 + (lane & 2) * 2;
  const bool is_inside[2] = {row < m, row + 8 < m};
  const float scale[2] = {is_inside[0] ? x_scale[row] : 0.0f, is_inside[1] ? x_scale[row + 8] : 0.0f};
#pragma unroll
  for (int part = 0; part < QP_TILE_N / 16; part++) {
    const int column = from_column + part * 16;
    const qp_columns<kColumns> columns = qp_load_columns<kColumns>(scales, bias, column, n);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      int neighbours[kColumns];
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const int low = sums[part * 8 + half * 2 + i], high = sums[part * 8 + 4 + half * 2 + i];
        const int other = qp_shuffle_xor(is_odd ? low : high, 1);
        neighbours[i] = is_odd ? other : low;
        neighbours[2 + i] = is_odd ? high : other;
      }
      if (is_inside[half] && column < n) qp_store_row(columns, y, row + half * 8, n, scale[half], neighbours);
    }
  }
}

QP_KERNEL __launch_bounds__(QP_THREADS, QP_BLOCKS)
gemm_s8_wgmma_tma(QP_PARAMETER qp_tensor_map x_map, QP_PARAMETER qp_tensor_map packed_map,
                  const float* __restrict__ x_scale, const float* __restrict__ scales, const qp_act* __restrict__ bias,
                  qp_act* __restrict__ y, int m, int n, int k) {
  QP_SHARED_DYNAMIC(shared);
  const qp_ring ring = qp_make_ring(shared, kWarps);
  const int tiles_n = (n + QP_TILE_N - 1) / QP_TILE_N, tiles_m = (m + QP_TILE_M - 1) / QP_TILE_M;
  const int steps = (k + QP_TILE_K - 1) / QP_TILE_K;
  const bool copies = threadIdx.x >= kWarps * 32;
  if (threadIdx.x > kWarps * 32) return;  // One thread starts the copies of all.
  qp_turn turn = {0, 0};
  int sums[kSums];
  for (int id = blockIdx.x; id < tiles_n * tiles_m; id += gridDim.x) {
    const qp_tile tile = qp_find_tile(id, tiles_n, tiles_m);
    if (copies) {
      copy_rows(x_map, packed_map, ring, turn, tile, steps);
    } else {
      add_up(sums, ring, turn, steps);
      finish(sums, x_scale, scales, bias, y, tile, m, n);
    }
  }
}
