// What gemm_weights.cuh holds in shared memory, and how its threads share the work.

#pragma once

#include "weights_pairs.cuh"

#ifndef QP_ASYMMETRIC
#define QP_ASYMMETRIC 0  // Whether groups have zero points.
#endif
#ifndef QP_COPIERS
#define QP_COPIERS 0  // Warps that do nothing but start copies; none where all threads copy.
#endif

constexpr int kWarps = QP_THREADS / 32 - QP_COPIERS;  // That multiply.
constexpr int kStrips = QP_TILE_N / kStrip;
constexpr int kRowParts = QP_TILE_M > 64 ? 2 : 1;      // Of the tile: each for other warps, which share the weights.
constexpr int kSlices = kWarps / (kStrips * kRowParts);  // Of a stage along K: each for other warps.
constexpr int kRows = QP_TILE_M / kRowParts;             // Of a warp.
constexpr int kColumns = (kRows + 7) / 8;                // MMAs along M.
constexpr int kPairs = kFeatures / 2;  // MMAs along N: features j and j + 1 of a lane, 8 apart.
constexpr int kStage = QP_TILE_K;
constexpr int kStages = QP_STAGES;
constexpr int kSlice = kStage / kSlices;
constexpr int kSliceTiles = kSlice / kTile;
static_assert(QP_TILE_N % kStrip == 0 && kStrips * kRowParts * kSlices == kWarps, "as many warps for each strip");
static_assert(kSlices * kSliceTiles * kTile == kStage, "slices are of whole tiles");
static_assert(!kHasGroups || kSlice % kGroup == 0 || kGroup % kSlice == 0, "a slice is of whole groups, or within one");

// A row of x in a stage. Eight lanes read 16 bytes each of 64 bytes of two rows at once, whose banks must differ: of odd
// rows the two halves of 128 bytes are exchanged, or where the copy engine brings whole rows, they are 64 bytes apart. A single
// row is not: what lies behind it would be 64 bytes off lines of 128, and be copied more slowly.
constexpr int kRowBytes = kStage * 2 + (QP_COPIERS > 0 && QP_TILE_M > 1 ? 64 : 0);
constexpr int kXBytes = QP_TILE_M * kRowBytes;
constexpr int kFlip = kRowBytes % 128 == 0 ? 64 : 0;

// Zero points are taken off the codes, pair by pair, or off the sums of a group, with sums of x that MMAs by ones give:
// whichever are fewer instructions for each tile. Beside warps that copy there are no registers for the sums of 16 rows.
constexpr int kClosed = kGroupTiles < kSliceTiles ? kGroupTiles : kSliceTiles;  // Tiles whose sums are closed together.
constexpr int kOffCodes = QP_ACT == QP_FLOAT16 ? 8 : 16;
constexpr int kOffSums = kColumns * (2 + 8 / kClosed);
constexpr bool kTakesZerosOffSums = QP_WEIGHTS == QP_INT4 && kOffSums < kOffCodes && (QP_COPIERS == 0 || kColumns == 1);

// On a multiprocessor: what bounds the registers. With less to hold, the compiler looks ahead until it spills.
constexpr int kBlocks = QP_TILE_M <= 16 && kWarps <= 8 ? 2 : 1;

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

// The block's tile. Neighbours in the grid have the same strips; those of a cluster the same rows.
QP_DEVICE int qp_first_row() { return (QP_CLUSTER > 1 ? blockIdx.y : blockIdx.x) * QP_TILE_M; }
QP_DEVICE int qp_first_strip() { return (QP_CLUSTER > 1 ? blockIdx.x : blockIdx.y) * kStrips; }
QP_DEVICE int qp_number_of_tile() {
  return QP_CLUSTER > 1 ? blockIdx.x * gridDim.y + blockIdx.y : blockIdx.y * gridDim.x + blockIdx.x;
}

QP_DEVICE qp_place qp_find_place() {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, pass = warp / kStrips;
  return {warp % kStrips, kSlices > 1 ? pass : 0, kRowParts > 1 ? pass : 0, lane};
}

QP_DEVICE qp_problem qp_describe(const qp_act* x, const uint4* packed, const void* scales, const void* zeros, int m, int n,
                                 int k) {
  return {x, static_cast<const unsigned char*>(scales), static_cast<const unsigned char*>(zeros),
          reinterpret_cast<const unsigned char*>(packed), m, n, k, qp_tiles(k), (n + kStrip - 1) / kStrip,
          (reinterpret_cast<size_t>(x) | k * sizeof(qp_act)) % 16 == 0};
}

// The bytes that lead from a slot of the ring to the next.
QP_DEVICE int qp_step(int slot) { return slot + 1 == kStages ? (1 - kStages) * kStageBytes : kStageBytes; }

// NormalFloat's table at this lane's bank. The address is kept: else every look-up would add the table's to its own.
QP_DEVICE const unsigned char* qp_find_table(const unsigned char* memory) {
  return QP_WEIGHTS == QP_NF4 ? qp_opaque(memory + kTableAt + threadIdx.x % 32 * 4) : nullptr;
}

// Of the warps that multiply.
QP_DEVICE void qp_sync_warps() {
  if constexpr (QP_COPIERS > 0) qp_sync_first<kWarps * 32>();
  else qp_sync();
}
