// y = x · Wᵀ of int8 codes by dp4a: where there are no tensor cores for them, 6.1 and 7.0 (and any other card).
//: entry = "gemm_s8_dp4a"
//: role = "gemm"
//: schemes = ["W8A8"]
//: packing = "rows_s8"
//: input = "int8"
//: activations = ["float16", "bfloat16", "float32"]
//: requires = ["dp4a"]
//: architectures = ["6.1", "7.0", "7.5", "8.0", "10.0"]
//: tile = { m = 128, n = 128, k = 32 }
//: threads = 256
//: arguments = ["x", "x_scale", "packed", "scales", "bias", "y", "scratch", "counters", "m", "n", "k", "split"]
//: sass = { needs = ["IDP.4A.S8.S8"], at_least = 64, max_registers = 128 }
//:
//: [variants.m128n128] # 8 × 8 a thread
//: blocks = 2
//: defines = { QP_THREAD_M = 8, QP_THREAD_N = 8 }
//: [variants.m128n128.sass]
//: "6.1" = { needs = ["IDP.4A.S8.S8"], at_least = 64, max_registers = 128 }
//: "7.0" = { needs = ["IDP.4A.S8.S8"], at_least = 64, max_registers = 128 }
//: "7.5" = { needs = ["IDP.4A.S8.S8"], at_least = 64, max_registers = 128 }
//: "8.0" = { needs = ["IDP.4A.S8.S8"], at_least = 64, max_registers = 128 }
//: "10.0" = { needs = ["IDP.4A.S8.S8"], at_least = 64, max_registers = 168 }
//:
//: [variants.m16n64] # few rows: weights are streamed, by many blocks, along parts of K
//: max_rows = 32
//: tile = { m = 16, n = 64, k = 32 }
//: threads = 128
//: blocks = 8
//: defines = { QP_THREAD_M = 2, QP_THREAD_N = 4 }

#include "gemm_s8.cuh"

constexpr int kChunk = 16, kChunks = QP_TILE_K / kChunk, kWords = QP_TILE_K / 4;
constexpr int kCopiesX = (QP_TILE_M * kChunks + QP_THREADS - 1) / QP_THREADS;
constexpr int kCopiesW = (QP_TILE_N * kChunks + QP_THREADS - 1) / QP_THREADS;
constexpr int kThreadsN = QP_TILE_N / QP_THREAD_N;
// A thread's rows and columns come in runs of at most four, so that a warp reads runs side by side.
constexpr int kRunM = QP_THREAD_M < 4 ? QP_THREAD_M : 4, kRunN = 4;
constexpr int kRunsM = QP_THREAD_M / kRunM, kRunsN = QP_THREAD_N / kRunN;
// Four words more than a row of words: the two chunks of a row are written to different banks.
constexpr int kPitchX = QP_TILE_M + 4, kPitchW = QP_TILE_N + 4;

static_assert(QP_TILE_M / QP_THREAD_M * kThreadsN == QP_THREADS, "threads cover the tile once");
static_assert(kRunM == 2 || kRunM == 4, "runs are read by one load");

// Words of codes along K, by word and row: a thread multiplies neighbouring rows by neighbouring columns.
template <int kPitch>
using Words = uint32_t[2][kWords][kPitch];

// The chunks of a tile that this thread carries.
template <int kCopies, int kRows>
QP_DEVICE void fetch(uint4 (&held)[kCopies], const int8_t* codes, int first_row, int rows, int k, int first_k) {
#pragma unroll
  for (int i = 0; i < kCopies; i++) {
    const int index = threadIdx.x + i * QP_THREADS, row = index / kChunks, at = first_k + index % kChunks * kChunk;
    const bool is_inside = row < kRows && first_row + row < rows && at < k;
    held[i] = is_inside ? qp_load16(codes + static_cast<int64_t>(first_row + row) * k + at) : make_uint4(0, 0, 0, 0);
  }
}

template <int kCopies, int kRows, int kPitch>
QP_DEVICE void put(uint32_t (&words)[kWords][kPitch], const uint4 (&held)[kCopies]) {
#pragma unroll
  for (int i = 0; i < kCopies; i++) {
    const int index = threadIdx.x + i * QP_THREADS, row = index / kChunks, word = index % kChunks * 4;
    if (row >= kRows) continue;
    words[word][row] = held[i].x;
    words[word + 1][row] = held[i].y;
    words[word + 2][row] = held[i].z;
    words[word + 3][row] = held[i].w;
  }
}

template <int kRun>
QP_DEVICE void read_run(uint32_t* to, const uint32_t* from) {
  if (kRun == 4) {
    const uint4 v = qp_load16_shared(from);
    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
  } else {
    const uint2 v = qp_load8_shared(from);
    to[0] = v.x, to[1] = v.y;
  }
}

// Writes the thread's part of y.
template <bool kIsAligned>
QP_DEVICE void finish(const int (&sums)[QP_THREAD_M][kRunsN][4], const qp_ends& ends, qp_act* y, qp_tile tile, int thread_m,
                      int thread_n, int m, int n) {
#pragma unroll
  for (int run = 0; run < kRunsN; run++) {
    const int within = run * (QP_TILE_N / kRunsN) + thread_n * kRunN;
    const qp_columns<kRunN> columns = qp_read_columns<kRunN>(ends, within, tile, n);
    if (columns.count <= 0) continue;
#pragma unroll
    for (int i = 0; i < QP_THREAD_M; i++) {
      const int row = i / kRunM * (QP_TILE_M / kRunsM) + thread_m * kRunM + i % kRunM;
      if (tile.m + row >= m) continue;
      qp_store_row<kIsAligned>(columns, y + qp_find_row(tile, row, within, n), ends.x_scale[row], sums[i][run]);
    }
  }
}

// For 10.0 and later the compiler takes a few registers more than two blocks have, and would spill.
constexpr int kBlocks = QP_BLOCKS == 2 && __CUDA_ARCH__ >= 1000 ? 1 : QP_BLOCKS;

QP_KERNEL __launch_bounds__(QP_THREADS, kBlocks)
gemm_s8_dp4a(const int8_t* __restrict__ x, const float* __restrict__ x_scale, const int8_t* __restrict__ packed,
             const float* __restrict__ scales, const qp_act* __restrict__ bias, qp_act* __restrict__ y,
             uint4* __restrict__ scratch, uint32_t* __restrict__ counters, int m, int n, int k, int split) {
  QP_SHARED(uint32_t, x_words, [2][kWords][kPitchX]);
  QP_SHARED(uint32_t, w_words, [2][kWords][kPitchW]);
  QP_SHARED(qp_ends, ends, [1]);
  const qp_tile tile = qp_choose_tile();
  const qp_part part = qp_choose_part(k, split);
  const int thread_m = threadIdx.x / kThreadsN, thread_n = threadIdx.x % kThreadsN;

  int sums[QP_THREAD_M][kRunsN][4];
#pragma unroll
  for (int i = 0; i < QP_THREAD_M; i++) {
#pragma unroll
    for (int j = 0; j < kRunsN; j++) sums[i][j][0] = sums[i][j][1] = sums[i][j][2] = sums[i][j][3] = 0;
  }

  uint4 held_x[kCopiesX], held_w[kCopiesW];
  if (part.tiles > 0) {
    fetch<kCopiesX, QP_TILE_M>(held_x, x, tile.m, m, k, part.first_k);
    fetch<kCopiesW, QP_TILE_N>(held_w, packed, tile.n, n, k, part.first_k);
    put<kCopiesX, QP_TILE_M>(x_words[0], held_x);
    put<kCopiesW, QP_TILE_N>(w_words[0], held_w);
  }
  qp_put_end(ends[0], qp_ask_for_end<QP_THREADS>(x_scale, scales, bias, tile, m, n));
  qp_sync();
  for (int t = 0; t < part.tiles; t++) {
    // The next tile is on its way while this one is multiplied.
    const bool has_next = t + 1 < part.tiles;
    if (has_next) {
      fetch<kCopiesX, QP_TILE_M>(held_x, x, tile.m, m, k, part.first_k + (t + 1) * QP_TILE_K);
      fetch<kCopiesW, QP_TILE_N>(held_w, packed, tile.n, n, k, part.first_k + (t + 1) * QP_TILE_K);
    }
#pragma unroll
    for (int word = 0; word < kWords; word++) {
      uint32_t a[QP_THREAD_M], b[QP_THREAD_N];
#pragma unroll
      for (int run = 0; run < kRunsM; run++)
        read_run<kRunM>(a + run * kRunM, &x_words[t & 1][word][run * (QP_TILE_M / kRunsM) + thread_m * kRunM]);
#pragma unroll
      for (int run = 0; run < kRunsN; run++)
        read_run<kRunN>(b + run * kRunN, &w_words[t & 1][word][run * (QP_TILE_N / kRunsN) + thread_n * kRunN]);
#pragma unroll
      for (int i = 0; i < QP_THREAD_M; i++) {
#pragma unroll
        for (int j = 0; j < QP_THREAD_N; j++) sums[i][j / 4][j % 4] = qp_dp4a(a[i], b[j], sums[i][j / 4][j % 4]);
      }
    }
    if (has_next) {
      put<kCopiesX, QP_TILE_M>(x_words[(t + 1) & 1], held_x);
      put<kCopiesW, QP_TILE_N>(w_words[(t + 1) & 1], held_w);
    }
    qp_sync();
  }

  if (!qp_add_parts(sums, scratch, counters, split)) return;
  if (n % kRunN == 0) finish<true>(sums, ends[0], y, tile, thread_m, thread_n, m, n);
  else finish<false>(sums, ends[0], y, tile, thread_m, thread_n, m, n);
}
