// What a stage of gemm_weights.cuh holds in shared memory, and how it gets there.

#pragma once

#include "weights_pairs.cuh"

#ifndef QP_ASYMMETRIC
#define QP_ASYMMETRIC 0  // Whether groups have zero points.
#endif

constexpr int kStrips = 4;
constexpr int kRowParts = QP_TILE_M > 64 ? 2 : 1;  // Of the tile: each for other warps, which share the weights.
constexpr int kHalves = 2 / kRowParts;              // Of a stage: each for other warps.
constexpr int kRows = QP_TILE_M / kRowParts;        // Of a warp.
constexpr int kColumns = kRows / 8;                 // MMAs along M.
constexpr int kPairs = kFeatures / 2;               // MMAs along N: features j and j + 1 of a lane, 8 apart.
constexpr int kStage = QP_TILE_K;
constexpr int kStages = QP_STAGES;
constexpr int kChunk = kStage / kHalves;  // Of K, by each warp in each stage.
constexpr int kChunkTiles = kChunk / kTile;
constexpr int kLoads = kChunkTiles * kTileLoads;
static_assert(QP_TILE_N == kStrips * kStrip && QP_THREADS == kStrips * 2 * 32, "two warps a strip");
static_assert(kChunk % kTile == 0 && (kPadding % kChunk == 0), "a chunk is whole, or not there");

// A row of x in a stage. Eight lanes read 16 bytes each of 64 bytes of two rows at once, whose banks must differ: 64 bytes
// beyond a multiple of 128 keep them apart. Where 128 rows leave no room for that, of odd rows the two halves of 128 bytes
// are exchanged.
constexpr int kRowBytes = kStage * 2 + (kRowParts == 1 ? 64 : 0);
constexpr int kXBytes = QP_TILE_M * kRowBytes;
constexpr int kFlip = kRowBytes % 128 == 0 ? 64 : 0;

// On a multiprocessor: what bounds the registers. With less to hold, the compiler looks ahead until it spills.
constexpr int kBlocks = QP_TILE_M <= 8 && QP_WEIGHTS == QP_NF4 ? 3 : QP_TILE_M <= 16 ? 2 : 1;

// After x, the scales of a stage: for each strip its groups, each as 32 values; then the zero points, as bytes; then the
// words, where warps share them.
constexpr int kGroupStages = kHasGroups && kGroup > kStage ? kGroup / kStage : 1;  // That have the same scales.
constexpr int kStageGroups = kHasGroups ? kStage * kGroupStages / kGroup : 0;
constexpr int kScaleBytes = QP_WEIGHTS == QP_NF4 ? 4 : 2;
constexpr int kStripScaleBytes = kStageGroups * kStrip * kScaleBytes;
constexpr int kStripZeroBytes = QP_ASYMMETRIC ? kStageGroups * kStrip : 0;
constexpr int kStripWordBytes = kRowParts > 1 ? kStage / kTile * kTileLoads * 32 * 16 : 0;
constexpr int kZerosAt = kXBytes + kStrips * kStripScaleBytes;
constexpr int kWordsAt = kZerosAt + kStrips * kStripZeroBytes;
constexpr int kStageBytes = kWordsAt + kStrips * kStripWordBytes;

constexpr int kTableAt = kStages * kStageBytes;
constexpr int kSums = kColumns * kPairs * 4;  // Of each lane.
static_assert(QP_SHARED_BYTES == kTableAt + kPairTableBytes, "shared_bytes in the manifest");
static_assert(kHalves == 1 || kStrips * kSums * 32 * 4 <= QP_SHARED_BYTES, "the sums of a half fit where x was");
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
  int strip, half, upper, lane;  // `half` is of the stages, `upper` the part of the rows.
};

// For each of the four strips the bytes of a stage, a multiple of 16, which are those of kRepeats stages; zeros beyond the
// weight.
template <int kStripBytes, int kRepeats = 1>
QP_DEVICE void qp_copy_values(unsigned char* to, const unsigned char* from, const qp_problem& of, int stage) {
  constexpr int kVectors = kStripBytes / 16;
  const size_t whole = static_cast<size_t>(of.tiles) * kTile * kStripBytes / (kStage * kRepeats);
#pragma unroll
  for (int part = 0; part < kStrips * kVectors; part += QP_THREADS) {
    const int i = part + threadIdx.x;
    if (i >= kStrips * kVectors) continue;
    const int strip = blockIdx.y * kStrips + i / kVectors;
    const size_t at = static_cast<size_t>(stage / kRepeats) * kStripBytes + i % kVectors * 16;
    const bool is_there = strip < of.strips && at < whole;
    qp_copy_async16(to + i * 16, from + (is_there ? strip * whole + at : 0), is_there ? 16 : 0);
  }
}

// Where in a stage the byte of a row of x is, counted along K.
QP_DEVICE int qp_x_at(int row, int byte) { return row * kRowBytes + (byte ^ row % 2 * kFlip); }

QP_DEVICE void qp_copy_x(unsigned char* to, const qp_problem& of, int stage) {
  constexpr int kVectors = kStage / kAlong;
#pragma unroll
  for (int part = 0; part < QP_TILE_M * kVectors; part += QP_THREADS) {
    const int i = part + threadIdx.x;
    if (QP_TILE_M * kVectors % QP_THREADS != 0 && i >= QP_TILE_M * kVectors) continue;
    const int row = blockIdx.x * QP_TILE_M + i / kVectors, column = stage * kStage + i % kVectors * kAlong;
    const bool is_there = row < of.m && column < of.k;
    qp_copy_async16(to + qp_x_at(i / kVectors, i % kVectors * 16),
                    of.x + (is_there ? static_cast<size_t>(row) * of.k + column : 0), is_there ? 16 : 0);
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

QP_DEVICE void qp_copy_stage(unsigned char* to, const qp_problem& of, int stage) {
  of.is_aligned ? qp_copy_x(to, of, stage) : qp_copy_unaligned_x(to, of, stage);
  if constexpr (kHasGroups) qp_copy_values<kStripScaleBytes, kGroupStages>(to + kXBytes, of.scales, of, stage);
  if constexpr (QP_ASYMMETRIC) qp_copy_values<kStripZeroBytes, kGroupStages>(to + kZerosAt, of.zeros, of, stage);
  if constexpr (kRowParts > 1) qp_copy_values<kStripWordBytes>(to + kWordsAt, of.words, of, stage);
}
