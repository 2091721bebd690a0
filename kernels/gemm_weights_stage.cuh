// gemm_weights.cuh with stages that all threads copy.

#pragma once

#include "gemm_weights.cuh"

// ---- Copies ----
//
// Where a thread copies from is kept from stage to stage and moved on, an addition each. Stages beyond the last are copied
// as well, as zeros, so that nothing branches.

// Of the bytes of a strip: vectors of 16 that are kStripThreads apart.
struct qp_stream {
  const unsigned char* from;  // The first, in the stage that is copied next.
  int left;                   // Bytes of the strip from there on; none where there is no such strip.
  unsigned char* to;          // In the first slot.
};

// Of x: 8 elements of rows that are kRowsAtOnce apart.
struct qp_rows {
  const qp_act* from;
  int left, rows;  // Of K and of M, from there on.
  unsigned char* to;
};

struct qp_writer {
  qp_rows x;
  qp_stream scales, zeros, words;
};

constexpr int kStripThreads = QP_THREADS / kStrips;
constexpr int kRowVectors = kStage / kAlong;
constexpr int kRowsAtOnce = QP_THREADS / kRowVectors;
static_assert(kRowsAtOnce * kRowVectors == QP_THREADS, "a thread copies the same columns of all its rows");
static_assert(kFlip == 0 || kRowsAtOnce % 2 == 0, "a thread copies rows that are all even, or all odd");

// Where in a stage the byte of a row of x is, counted along K.
QP_DEVICE int qp_x_at(int row, int byte) { return row * kRowBytes + (byte ^ row % 2 * kFlip); }

// Of the stages from `first` to `last`, to slot 0. A stage has kStripBytes of each strip, the same for kRepeats stages.
template <int kStripBytes, int kRepeats = 1>
QP_DEVICE qp_stream qp_open_stream(unsigned char* to, const unsigned char* from, const qp_problem& of, int first, int last) {
  const int own = threadIdx.x / kStripThreads, strip = qp_first_strip() + own;
  const int whole = of.tiles * (kStripBytes * kTile / (kStage * kRepeats));
  const int end = min(whole, (last + kRepeats - 1) / kRepeats * kStripBytes);
  const int offset = threadIdx.x % kStripThreads * 16, begin = first / kRepeats * kStripBytes + offset;
  return {from + static_cast<size_t>(strip) * whole + begin, strip < of.strips ? end - begin : 0,
          to + own * kStripBytes + offset};
}

QP_DEVICE qp_writer qp_open(unsigned char* memory, const qp_problem& of, int first, int last) {
  const int own = threadIdx.x / kRowVectors, row = qp_first_row() + own;
  const int along = threadIdx.x % kRowVectors * kAlong, column = first * kStage + along;
  const int left = row < of.m ? min(of.k, last * kStage) - column : 0;
  return {{of.x + static_cast<size_t>(row) * of.k + column, left, of.m - row, memory + qp_x_at(own, along * 2)},
          qp_open_stream<kStripScaleBytes, kGroupStages>(memory + kXBytes, of.scales, of, first, last),
          qp_open_stream<kStripZeroBytes, kGroupStages>(memory + kZerosAt, of.zeros, of, first, last),
          qp_open_stream<kStripWordBytes>(memory + kWordsAt, of.words, of, first, last)};
}

// Zeros beyond the weight.
template <int kStripBytes>
QP_DEVICE void qp_copy_stream(const qp_stream& stream, int slot_at) {
  constexpr int kVectors = kStripBytes / 16;
#pragma unroll
  for (int i = 0; i < kVectors; i += kStripThreads) {
    if (kVectors % kStripThreads != 0 && i + threadIdx.x % kStripThreads >= kVectors) continue;
    qp_copy_async16(stream.to + slot_at + i * 16, stream.from + i * 16, stream.left > i * 16 ? 16 : 0);
  }
}

// Zeros beyond x.
QP_DEVICE void qp_copy_x(const qp_rows& x, int k, int slot_at) {
#pragma unroll
  for (int i = 0; i < QP_TILE_M; i += kRowsAtOnce) {
    if (QP_TILE_M % kRowsAtOnce != 0 && i + threadIdx.x / kRowVectors >= QP_TILE_M) continue;
    qp_copy_async16(x.to + slot_at + i * kRowBytes, x.from + static_cast<size_t>(i) * k,
                    x.left > 0 && (i == 0 || x.rows > i) ? 16 : 0);
  }
}

// The same of rows that do not start at multiples of 16 bytes.
QP_DEVICE void qp_copy_unaligned_x(unsigned char* to, const qp_problem& of, int stage) {
#pragma unroll 1
  for (int i = threadIdx.x; i < QP_TILE_M * kStage; i += QP_THREADS) {
    const int row = qp_first_row() + i / kStage, column = stage * kStage + i % kStage;
    *reinterpret_cast<qp_act*>(to + qp_x_at(i / kStage, i % kStage * 2)) =
        row < of.m && column < of.k ? qp_load2_fresh(of.x + static_cast<size_t>(row) * of.k + column)
                                    : static_cast<qp_act>(0);
  }
}

// Copies the weights of a stage to the slot that is there, and moves on to the next.
QP_DEVICE void qp_copy_weights(qp_writer& next, int stage, int slot_at) {
  if constexpr (kHasGroups) qp_copy_stream<kStripScaleBytes>(next.scales, slot_at);
  if constexpr (QP_ASYMMETRIC) qp_copy_stream<kStripZeroBytes>(next.zeros, slot_at);
  qp_copy_stream<kStripWordBytes>(next.words, slot_at);
  const auto move = [](qp_stream& stream, int bytes) { stream.from += bytes, stream.left -= bytes; };
  const bool is_new = (stage + 1) % kGroupStages == 0;
  move(next.words, kStripWordBytes);
  move(next.scales, is_new ? kStripScaleBytes : 0);
  move(next.zeros, is_new ? kStripZeroBytes : 0);
}

// The same of x.
QP_DEVICE void qp_copy_rows(unsigned char* memory, qp_writer& next, const qp_problem& of, int stage, int slot_at) {
  of.is_aligned ? qp_copy_x(next.x, of.k, slot_at) : qp_copy_unaligned_x(memory + slot_at, of, stage);
  next.x.from += kStage, next.x.left -= kStage;
}

// Whether the next kernel may begin before all copies of this one are asked for, which its own would hold up: where blocks are
// more than multiprocessors, which hold two of them, it finds room only when they end; and where the ring holds all, nothing is
// left to ask for.
QP_DEVICE bool qp_lets_next_begin_at_once(qp_share share) {
  const int blocks = gridDim.x * gridDim.y * gridDim.z;
  return share.last - share.first < kStages || blocks > qp_count_multiprocessors();
}

QP_DEVICE void qp_gemm(const qp_act* x, const uint4* packed, const void* scales, const void* zeros, const qp_act* bias,
                       qp_act* y, float* scratch, uint32_t* counters, int m, int n, int k, int split) {
  QP_SHARED_DYNAMIC(memory);
  const qp_place at = qp_find_place();
  const qp_problem of = qp_describe(x, packed, scales, zeros, m, n, k);
  const qp_share share = qp_find_share(of.tiles * kTile, split, blockIdx.z);

  qp_writer next = qp_open(memory, of, share.first, share.last);
#pragma unroll
  for (int i = 0; i < kStages - 1; i++) qp_copy_weights(next, share.first + i, i * kStageBytes);
#if QP_WEIGHTS == QP_NF4
  qp_fill_pairs<QP_THREADS>(memory + kTableAt);
#endif
  qp_wait_for_kernel_before();
  if (qp_lets_next_begin_at_once(share)) qp_let_next_kernel_begin();
#pragma unroll
  for (int i = 0; i < kStages - 1; i++) {
    qp_copy_rows(memory, next, of, share.first + i, i * kStageBytes);
    qp_copy_commit();  // The first time with all weights so far.
  }
  const qp_ends ends = qp_bring_ends(memory, of, bias);
  qp_totals totals = {};
  qp_reader from = qp_read_first(at);
  const unsigned char* table = qp_find_table(memory);
  int slot = 0, free_at = (kStages - 1) * kStageBytes;
#pragma unroll 1
  for (int stage = share.first; stage < share.last; stage++) {
    qp_copy_wait<kStages - 2>();
    qp_sync();
    qp_copy_rows(memory, next, of, stage + kStages - 1, free_at);
    qp_copy_weights(next, stage + kStages - 1, free_at);
    qp_copy_commit();
    if (stage + kStages >= share.last) qp_let_next_kernel_begin();
    free_at += qp_step(slot == 0 ? kStages - 1 : slot - 1);
    qp_multiply_stage(totals, memory, from, table);
    qp_read_next(from, qp_step(slot));
    slot = slot + 1 == kStages ? 0 : slot + 1;
  }
  qp_copy_wait<0>();
  qp_finish(totals, memory, ends, of, y, scratch, counters, split, at);
}
