// What a stage of gemm_weights.cuh holds in shared memory, and how it gets there.

#pragma once

#include "weights_pairs.cuh"

#ifndef QP_ASYMMETRIC
#define QP_ASYMMETRIC 0  // Whether groups have zero points.
#endif

constexpr int kStrips = QP_TILE_N / kStrip;
constexpr int kRowParts = QP_TILE_M > 64 ? 2 : 1;  // Of the tile: each for other warps, which share the weights.
constexpr int kSlices = QP_THREADS / 32 / (kStrips * kRowParts);  // Of a stage along K: each for other warps.
constexpr int kRows = QP_TILE_M / kRowParts;                      // Of a warp.
constexpr int kColumns = (kRows + 7) / 8;                         // MMAs along M.
constexpr int kPairs = kFeatures / 2;  // MMAs along N: features j and j + 1 of a lane, 8 apart.
constexpr int kStage = QP_TILE_K;
constexpr int kStages = QP_STAGES;
constexpr int kSlice = kStage / kSlices;
constexpr int kSliceTiles = kSlice / kTile;
static_assert(QP_TILE_N % kStrip == 0 && kStrips * kRowParts * kSlices * 32 == QP_THREADS, "as many warps for each strip");
static_assert(kSlices * kSliceTiles * kTile == kStage, "slices are of whole tiles");
static_assert(!kHasGroups || kSlice % kGroup == 0 || kGroup % kSlice == 0, "a slice is of whole groups, or within one");

// A row of x in a stage. Eight lanes read 16 bytes each of 64 bytes of two rows at once, whose banks must differ: of odd
// rows the two halves of 128 bytes are exchanged.
constexpr int kRowBytes = kStage * 2;
constexpr int kXBytes = QP_TILE_M * kRowBytes;
constexpr int kFlip = kRowBytes % 128 == 0 ? 64 : 0;

// Zero points are taken off the codes, pair by pair, or off the sums of a group, with sums of x that MMAs by ones give:
// whichever are fewer instructions for each tile.
constexpr int kClosed = kGroupTiles < kSliceTiles ? kGroupTiles : kSliceTiles;  // Tiles whose sums are closed together.
constexpr int kOffCodes = (QP_ACT == QP_FLOAT16 ? 8 : 16) + QP_ASYMMETRIC * 8 / kClosed;
constexpr int kOffSums = kColumns * (2 + 8 / kClosed);
constexpr bool kTakesZerosOffSums = QP_WEIGHTS == QP_INT4 && kOffSums < kOffCodes;

// On a multiprocessor: what bounds the registers. With less to hold, the compiler looks ahead until it spills.
constexpr int kBlocks = QP_TILE_M <= 16 ? 2 : 1;

// After x, the scales of a stage: for each strip its groups, each as 32 values; then the zero points, as bytes; then the
// words.
constexpr int kGroupStages = kHasGroups && kGroup > kStage ? kGroup / kStage : 1;  // That have the same scales.
constexpr int kStageGroups = kHasGroups ? kStage * kGroupStages / kGroup : 0;
constexpr int kScaleBytes = QP_WEIGHTS == QP_NF4 ? 4 : 2;
constexpr int kTileBytes = kTileLoads * 32 * 16;
constexpr int kStripScaleBytes = kStageGroups * kStrip * kScaleBytes;
constexpr int kStripZeroBytes = QP_ASYMMETRIC ? kStageGroups * kStrip : 0;
constexpr int kStripWordBytes = kStage / kTile * kTileBytes;
constexpr int kZerosAt = kXBytes + kStrips * kStripScaleBytes;
constexpr int kWordsAt = kZerosAt + kStrips * kStripZeroBytes;
constexpr int kStageBytes = kWordsAt + kStrips * kStripWordBytes;

constexpr int kTableAt = kStages * kStageBytes;
constexpr int kSums = kColumns * kPairs * 4;  // Of each lane.
// A bias for each feature of the tile, and a scale where they have one each.
constexpr int kEndsAt = kTableAt + kPairTableBytes, kEndsBytes = QP_TILE_N * (kHasGroups ? 4 : 8);
static_assert(QP_SHARED_BYTES == kEndsAt + kEndsBytes, "shared_bytes in the manifest");
static_assert((kSlices - 1) * kStrips * kSums * 32 * 4 <= kEndsAt, "the sums of the slices fit where the stages were");
static_assert(kStages >= 2, "a stage is copied while another is used");

struct qp_problem {
  const qp_act* x;
  const unsigned char* scales;
  const unsigned char* zeros;
  const unsigned char* words;
  int m, n, k, tiles, strips;
  bool is_aligned;
};

// Where in the block a lane works.
struct qp_place {
  int strip, slice, upper, lane;  // `upper` is the part of the rows.
};

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
  int slot_at;
};

constexpr int kStripThreads = QP_THREADS / kStrips;
constexpr int kRowVectors = kStage / kAlong;
constexpr int kRowsAtOnce = QP_THREADS / kRowVectors;
static_assert(kRowsAtOnce * kRowVectors == QP_THREADS, "a thread copies the same columns of all its rows");
static_assert(kFlip == 0 || kRowsAtOnce % 2 == 0, "a thread copies rows that are all even, or all odd");

// The bytes that lead from a slot of the ring to the next.
QP_DEVICE int qp_step(int slot) { return slot + 1 == kStages ? (1 - kStages) * kStageBytes : kStageBytes; }

// Where in a stage the byte of a row of x is, counted along K.
QP_DEVICE int qp_x_at(int row, int byte) { return row * kRowBytes + (byte ^ row % 2 * kFlip); }

// Of the stages from `first` to `last`, to slot 0. A stage has kStripBytes of each strip, the same for kRepeats stages.
template <int kStripBytes, int kRepeats = 1>
QP_DEVICE qp_stream qp_open_stream(unsigned char* to, const unsigned char* from, const qp_problem& of, int first, int last) {
  const int own = threadIdx.x / kStripThreads, strip = blockIdx.y * kStrips + own;
  const int whole = of.tiles * (kStripBytes * kTile / (kStage * kRepeats));
  const int end = min(whole, (last + kRepeats - 1) / kRepeats * kStripBytes);
  const int offset = threadIdx.x % kStripThreads * 16, begin = first / kRepeats * kStripBytes + offset;
  return {from + static_cast<size_t>(strip) * whole + begin, strip < of.strips ? end - begin : 0,
          to + own * kStripBytes + offset};
}

QP_DEVICE qp_writer qp_open(unsigned char* memory, const qp_problem& of, int first, int last) {
  const int own = threadIdx.x / kRowVectors, row = blockIdx.x * QP_TILE_M + own;
  const int along = threadIdx.x % kRowVectors * kAlong, column = first * kStage + along;
  const int left = row < of.m ? min(of.k, last * kStage) - column : 0;
  return {{of.x + static_cast<size_t>(row) * of.k + column, left, of.m - row, memory + qp_x_at(own, along * 2)},
          qp_open_stream<kStripScaleBytes, kGroupStages>(memory + kXBytes, of.scales, of, first, last),
          qp_open_stream<kStripZeroBytes, kGroupStages>(memory + kZerosAt, of.zeros, of, first, last),
          qp_open_stream<kStripWordBytes>(memory + kWordsAt, of.words, of, first, last),
          0};
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
    const int row = blockIdx.x * QP_TILE_M + i / kStage, column = stage * kStage + i % kStage;
    *reinterpret_cast<qp_act*>(to + qp_x_at(i / kStage, i % kStage * 2)) =
        row < of.m && column < of.k ? of.x[static_cast<size_t>(row) * of.k + column] : static_cast<qp_act>(0);
  }
}

// Copies a stage to a slot, a group of copies to wait for, and moves on to the next.
QP_DEVICE void qp_copy_stage(unsigned char* memory, qp_writer& next, const qp_problem& of, int stage, int slot) {
  of.is_aligned ? qp_copy_x(next.x, of.k, next.slot_at) : qp_copy_unaligned_x(memory + next.slot_at, of, stage);
  if constexpr (kHasGroups) qp_copy_stream<kStripScaleBytes>(next.scales, next.slot_at);
  if constexpr (QP_ASYMMETRIC) qp_copy_stream<kStripZeroBytes>(next.zeros, next.slot_at);
  qp_copy_stream<kStripWordBytes>(next.words, next.slot_at);
  qp_copy_commit();
  const auto move = [](qp_stream& stream, int bytes) { stream.from += bytes, stream.left -= bytes; };
  const bool is_new = (stage + 1) % kGroupStages == 0;
  move(next.words, kStripWordBytes);
  move(next.scales, is_new ? kStripScaleBytes : 0);
  move(next.zeros, is_new ? kStripZeroBytes : 0);
  next.x.from += kStage, next.x.left -= kStage;
  next.slot_at += qp_step(slot);
}
