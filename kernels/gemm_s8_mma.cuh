// int8 × int8 → int32 on tensor cores by mma.sync: the body of gemm_s8_mma.cu and gemm_s8_mma_turing.cu.
//
// A block computes QP_TILE_M × QP_TILE_N of y, QP_TILE_K along K at a time, from QP_STAGES buffers in shared memory:
// while one is multiplied, the others are on their way. In a buffer the 16-byte chunks of a row are permuted (`place`)
// so that ldmatrix, which reads 8 rows at once, finds them in different banks. Columns are dealt to MMAs such that a
// thread ends up with 8 neighbouring ones, which it can write at once.

#pragma once

#include "gemm_s8.cuh"

constexpr int kWarpsM = QP_THREADS / 32 / QP_WARPS_N;
constexpr int kWarpM = QP_TILE_M / kWarpsM, kWarpN = QP_TILE_N / QP_WARPS_N;
constexpr int kStepK = 32, kSteps = QP_TILE_K / kStepK;
constexpr int kChunk = 16, kChunks = QP_TILE_K / kChunk;
constexpr int kStageBytes = (QP_TILE_M + QP_TILE_N) * QP_TILE_K;
constexpr int kBlocksM = kWarpM / 16, kGroupsN = kWarpN / 32;
// Neighbouring columns of a thread.
constexpr int kColumns = 8;
constexpr int kAhead = QP_STAGES - 1;
// Operands of one step are loaded while the step before is multiplied, unless other blocks of the SM fill the time
// and need the registers.
constexpr bool kLoadsEarly = QP_BLOCKS == 1;
constexpr int kRowsAtOnce = QP_THREADS / kChunks;
constexpr int kCopiesA = QP_TILE_M / kRowsAtOnce, kCopiesB = QP_TILE_N / kRowsAtOnce;

static_assert(kWarpM % 16 == 0 && kWarpN % 32 == 0, "a warp computes multiples of 16 × 32");
static_assert(kSteps % 2 == 0, "two sets of operands take turns");
static_assert(QP_TILE_K == 64 || QP_TILE_K == 128, "rows of 64 or 128 bytes are what `place` knows");
static_assert(QP_TILE_M % kRowsAtOnce == 0 && QP_TILE_N % kRowsAtOnce == 0, "threads copy whole rows");
static_assert(kRowsAtOnce % 16 == 0, "so that the key of x stays, and that of the weights changes by an exclusive or");
static_assert(QP_SHARED_BYTES == QP_STAGES * kStageBytes, "shared memory holds the buffers and no more");
static_assert(sizeof(qp_ends) <= kStageBytes, "a buffer holds the ends when all is multiplied");

// Where a chunk of a row lies. ldmatrix reads rows r … r+7 of x, and r, r+1, r+8, r+9, r+16, … of the weights.
template <bool kIsWeight>
QP_DEVICE int place(int row, int chunk) {
  int key;
  if (QP_TILE_K == 64) key = kIsWeight ? row >> 3 & 3 : row >> 1 & 3;  // Two rows lie in one line of the banks.
  else key = kIsWeight ? (row >> 3 & 3) * 2 + (row & 1) : row & 7;
  return row * QP_TILE_K + ((chunk ^ key) * kChunk);
}

// Where this thread's i-th chunk of the weights lies, `first` being its first: the key changes with the row.
QP_DEVICE int place_weight(int first, int i) {
  const int key = (i * kRowsAtOnce >> 3 & 3) * (QP_TILE_K == 64 ? 1 : 2);
  return (first ^ key * kChunk) + i * kRowsAtOnce * QP_TILE_K;
}

// This thread's chunks of the tiles of x and of the weights, along K.
struct Source {
  const int8_t* x;
  const int8_t* packed;
  int64_t x_step, packed_step;
  int x_rows, packed_rows;  // How many of the rows from this thread's first are inside.
  int k_left;
  int shared_x, shared_packed;
};

struct Fragments {
  uint32_t a[kBlocksM][4], b[kGroupsN * 4][2];
};

#if QP_HAS_ASYNC_COPY
struct Carrier {};

QP_DEVICE void fetch(Carrier&, Source& from, unsigned char* stage) {
#pragma unroll
  for (int i = 0; i < kCopiesA; i++)
    qp_copy_async16(stage + from.shared_x + i * kRowsAtOnce * QP_TILE_K, from.x + i * from.x_step,
                    i * kRowsAtOnce < from.x_rows && from.k_left > 0 ? kChunk : 0);
#pragma unroll
  for (int i = 0; i < kCopiesB; i++)
    qp_copy_async16(stage + place_weight(from.shared_packed, i), from.packed + i * from.packed_step,
                    i * kRowsAtOnce < from.packed_rows && from.k_left > 0 ? kChunk : 0);
}

QP_DEVICE void arrive(const Carrier&, const Source&, unsigned char*) { qp_copy_wait<QP_STAGES - 2>(); }
#else
static_assert(QP_STAGES == 2, "what is fetched through registers goes to the one other buffer");

// Without asynchronous copies, the next tile waits in registers while this one is multiplied.
struct Carrier {
  uint4 x[kCopiesA], packed[kCopiesB];
};

QP_DEVICE void fetch(Carrier& held, Source& from, unsigned char*) {
#pragma unroll
  for (int i = 0; i < kCopiesA; i++)
    held.x[i] = i * kRowsAtOnce < from.x_rows && from.k_left > 0 ? qp_load16(from.x + i * from.x_step)
                                                                 : make_uint4(0, 0, 0, 0);
#pragma unroll
  for (int i = 0; i < kCopiesB; i++)
    held.packed[i] = i * kRowsAtOnce < from.packed_rows && from.k_left > 0
                         ? qp_load16(from.packed + i * from.packed_step) : make_uint4(0, 0, 0, 0);
}

QP_DEVICE void arrive(const Carrier& held, const Source& from, unsigned char* stage) {
#pragma unroll
  for (int i = 0; i < kCopiesA; i++) qp_store16_shared(stage + from.shared_x + i * kRowsAtOnce * QP_TILE_K, held.x[i]);
#pragma unroll
  for (int i = 0; i < kCopiesB; i++)
    qp_store16_shared(stage + place_weight(from.shared_packed, i), held.packed[i]);
}
#endif

QP_DEVICE void advance(Source& from) {
  from.x += QP_TILE_K;
  from.packed += QP_TILE_K;
  from.k_left -= QP_TILE_K;
}

QP_DEVICE void load_fragments(Fragments& to, const unsigned char* stage, int step, int warp_m, int warp_n, int lane) {
#pragma unroll
  for (int i = 0; i < kBlocksM; i++) {
    const int row = warp_m * kWarpM + i * 16 + (lane & 15);
    qp_ldmatrix_x4(to.a[i], stage + place<false>(row, step * 2 + (lane >> 4)));
  }
#pragma unroll
  for (int pair = 0; pair < kGroupsN * 2; pair++) {
    // Lanes give the rows of two MMAs. Column c of MMA j of a group is its column 8·(c/2) + 2·j + c%2.
    const int c = lane & 7, j = pair % 2 * 2 + (lane >> 4);
    const int row = warp_n * kWarpN + pair / 2 * 32 + (c >> 1) * 8 + j * 2 + (c & 1);
    uint32_t r[4];
    qp_ldmatrix_x4(r, stage + QP_TILE_M * QP_TILE_K + place<true>(row, step * 2 + (lane >> 3 & 1)));
    to.b[pair * 2][0] = r[0], to.b[pair * 2][1] = r[1];
    to.b[pair * 2 + 1][0] = r[2], to.b[pair * 2 + 1][1] = r[3];
  }
}

QP_DEVICE void multiply(int (&sums)[kBlocksM][kGroupsN * 4][4], const Fragments& from) {
#pragma unroll
  for (int i = 0; i < kBlocksM; i++) {
#pragma unroll
    for (int j = 0; j < kGroupsN * 4; j++) qp_mma_s8_16x8x32(sums[i][j], from.a[i], from.b[j]);
  }
}

// Writes the warp's part of y, row by row: each is 8 below the one before.
template <bool kIsAligned>
QP_DEVICE void finish(const int (&sums)[kBlocksM][kGroupsN * 4][4], const qp_ends& ends, qp_act* y, qp_tile tile, int warp_m,
                      int warp_n, int m, int n, int lane) {
  const int first = warp_m * kWarpM + (lane >> 2), within = warp_n * kWarpN + (lane & 3) * kColumns;
  qp_columns<kColumns> columns[kGroupsN];
#pragma unroll
  for (int group = 0; group < kGroupsN; group++)
    columns[group] = qp_read_columns<kColumns>(ends, within + group * 32, tile, n);
  int64_t at = qp_find_row(tile, first, within, n);
#pragma unroll
  for (int half = 0; half < kBlocksM * 2; half++) {
    const int row = first + half * 8;
    if (tile.m + row >= m) return;
    const float x_scale = ends.x_scale[row];
#pragma unroll
    for (int group = 0; group < kGroupsN; group++) {
      int neighbours[kColumns];
#pragma unroll
      for (int i = 0; i < kColumns; i++) neighbours[i] = sums[half / 2][group * 4 + i / 2][half % 2 * 2 + i % 2];
      if (columns[group].count > 0) qp_store_row<kIsAligned>(columns[group], y + at + group * 32, x_scale, neighbours);
    }
    at = qp_opaque(at + 8 * n);
  }
}

QP_DEVICE void gemm_s8(const int8_t* x, const float* x_scale, const int8_t* packed, const float* scales,
                       const qp_act* bias, qp_act* y, uint4* scratch, uint32_t* counters, int m, int n, int k,
                       int split) {
  QP_SHARED_DYNAMIC(shared);
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int warp_m = warp / QP_WARPS_N, warp_n = warp % QP_WARPS_N;
  const qp_tile tile = qp_choose_tile();
  const qp_part part = qp_choose_part(k, split);

  const int row = threadIdx.x / kChunks, chunk = threadIdx.x % kChunks;
  Source from;
  from.x_step = static_cast<int64_t>(kRowsAtOnce) * k;
  from.packed_step = from.x_step;
  from.x = x + static_cast<int64_t>(tile.m + row) * k + part.first_k + chunk * kChunk;
  from.packed = packed + static_cast<int64_t>(tile.n + row) * k + part.first_k + chunk * kChunk;
  from.x_rows = m - tile.m - row;
  from.packed_rows = n - tile.n - row;
  from.k_left = k - part.first_k - chunk * kChunk;
  from.shared_x = place<false>(row, chunk);
  from.shared_packed = QP_TILE_M * QP_TILE_K + place<true>(row, chunk);

  int sums[kBlocksM][kGroupsN * 4][4];
#pragma unroll
  for (int i = 0; i < kBlocksM; i++) {
#pragma unroll
    for (int j = 0; j < kGroupsN * 4; j++) sums[i][j][0] = sums[i][j][1] = sums[i][j][2] = sums[i][j][3] = 0;
  }

  Carrier held;
#pragma unroll
  for (int s = 0; s < kAhead; s++) {
    if (s < part.tiles) fetch(held, from, shared + s * kStageBytes);
    advance(from);
    qp_copy_commit();
  }
  const qp_end own = qp_ask_for_end<QP_THREADS>(x_scale, scales, bias, tile, m, n);
  arrive(held, from, shared);
  qp_sync();

  Fragments fragments[kLoadsEarly ? 2 : 1];
  if (kLoadsEarly) load_fragments(fragments[0], shared, 0, warp_m, warp_n, lane);
  int now = 0, next = kAhead;  // The buffer that is multiplied, and the one that is filled.
  for (int t = 0; t < part.tiles; t++) {
    const int after = now + 1 == QP_STAGES ? 0 : now + 1;
    // Every warp has read what `next` held: it went through the last barrier.
    if (t + kAhead < part.tiles) fetch(held, from, shared + next * kStageBytes);
    advance(from);
    qp_copy_commit();
#pragma unroll
    for (int step = 0; step < kSteps; step++) {
      const bool is_last = step == kSteps - 1;
      if (!kLoadsEarly) load_fragments(fragments[0], shared + now * kStageBytes, step, warp_m, warp_n, lane);
      if (kLoadsEarly && !is_last)
        load_fragments(fragments[(step + 1) % 2], shared + now * kStageBytes, step + 1, warp_m, warp_n, lane);
      if (is_last) {
        arrive(held, from, shared + after * kStageBytes);
        qp_sync();
      }
      if (kLoadsEarly && is_last)
        load_fragments(fragments[0], shared + after * kStageBytes, 0, warp_m, warp_n, lane);
      multiply(sums, fragments[kLoadsEarly ? step % 2 : 0]);
    }
    next = now;
    now = after;
  }

  if (!qp_add_parts(sums, scratch, counters, split)) return;
  // In a place of their own, the ends would take that of a second block; to know which buffer nobody reads, a register that
  // is not there. Operands of the tile behind the last are read, and not used.
  qp_ends& ends = *reinterpret_cast<qp_ends*>(shared);
  qp_sync();
  qp_put_end(ends, own);
  qp_sync();
  if (n % kColumns == 0) finish<true>(sums, ends, y, tile, warp_m, warp_n, m, n, lane);
  else finish<false>(sums, ends, y, tile, warp_m, warp_n, m, n, lane);
}
