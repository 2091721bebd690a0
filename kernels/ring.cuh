// Stages of shared memory that one thread has the copy engine fill, in turn, and that others read; of two blocks, where they
// are a cluster.

#pragma once

#include "prims.cuh"

// Memory of all stages, and two barriers of each: all that was copied is there, and all have read it.
struct qp_ring {
  unsigned char* memory;
  uint64_t *filled, *emptied;
};

// The stage whose turn it is, and the parity of its barriers' phase: it changes when all have had their turn.
struct qp_turn {
  int stage;
  uint32_t parity;
};

QP_DEVICE void qp_advance(qp_turn& turn) {
  if (++turn.stage < QP_STAGES) return;
  turn.stage = 0;
  turn.parity ^= 1;
}

constexpr bool kIsCluster = QP_CLUSTER > 1;

// Makes the barriers, for so many arrivals of those who copy and of readers of each block. By all threads.
QP_DEVICE qp_ring qp_make_ring(unsigned char* memory, int copiers, int readers) {
  QP_SHARED(uint64_t, barriers, [2 * QP_STAGES]);
  uint64_t *filled = barriers, *emptied = barriers + QP_STAGES;
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < QP_STAGES; stage++) {
      qp_make_barrier(filled + stage, copiers);
      qp_make_barrier(emptied + stage, readers * QP_CLUSTER);
    }
    qp_fence_barriers();
  }
  if constexpr (kIsCluster) qp_sync_cluster();
  else qp_sync();
  return {memory, filled, emptied};
}

// The same, its addresses in registers.
QP_DEVICE qp_ring qp_keep(const qp_ring& ring) {
  uint64_t* filled = qp_opaque(ring.filled);
  return {qp_opaque(ring.memory), filled, filled + (ring.emptied - ring.filled)};
}

// Waits until a stage may be filled. Nobody reads a new one: of its barrier, the phase before the first counts as over.
QP_DEVICE void qp_wait_until_emptied(const qp_ring& ring, const qp_turn& turn) {
  qp_wait<kIsCluster>(ring.emptied + turn.stage, turn.parity ^ 1);
}

// Waits until all have read what was copied: of a cluster, the shared memory of a block that has ended is no longer there for
// the other, which copies to it and arrives at its barriers. By one who copies, after the last stage.
QP_DEVICE void qp_wait_until_read(const qp_ring& ring, qp_turn turn) {
  if constexpr (kIsCluster)
#pragma unroll 1
    for (int stage = 0; stage < QP_STAGES; stage++) {
      qp_wait_until_emptied(ring, turn);
      qp_advance(turn);
    }
}

QP_DEVICE void qp_wait_until_filled(const qp_ring& ring, const qp_turn& turn) {
  qp_wait(ring.filled + turn.stage, turn.parity);
}

// Lets go of a stage. By all lanes of a reading warp.
QP_DEVICE void qp_let_go(uint64_t* emptied) {
  const uint32_t lane = threadIdx.x & 31;
  if constexpr (kIsCluster) {
    if (lane < QP_CLUSTER) qp_arrive_at(emptied, lane);
  } else {
    if (lane == 0) qp_arrive(emptied);
  }
}
