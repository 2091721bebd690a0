// As primitives_boxes.cu, of two blocks that are a cluster: each copies a box to both, or as many bytes one behind another, as
// soon as both have arrived at its barrier, and tells what lies in its own memory then.
//: entry = "primitives_pair"
//: role = "copy"
//: requires = ["cp_async_bulk", "bulk_multicast"]
//: architectures = ["9.0a", "10.0a"]
//: tile = { m = 40, k = 128 }
//: grid = ["tile"]
//: cluster = 2
//: threads = 32
//: shared_bytes = 10240
//: arguments = ["x_map", "x", "y", "m", "k"]
//: sass = { needs = ["UTMALDG.2D.MULTICAST"], at_least = 1, max_registers = 255 }
//:
//: [variants]
//: pair = { defines = { QP_BULK = 0 } }
//: bulk_pair = { defines = { QP_BULK = 1 }, sass = { needs = ["UBLKCP.S.G.MULTICAST"], at_least = 1, max_registers = 255 } }

#include "prims.cuh"

constexpr int kBytes = QP_TILE_M * QP_TILE_K, kWords = kBytes / 4;

QP_KERNEL __cluster_dims__(QP_CLUSTER, 1, 1) __launch_bounds__(QP_THREADS)
primitives_pair(QP_PARAMETER qp_tensor_map x_map, const unsigned char* __restrict__ x, uint32_t* __restrict__ y, int, int) {
  QP_SHARED_SWIZZLED(shared);
  QP_SHARED(uint64_t, filled, [1]);
  QP_SHARED(uint64_t, ready, [1]);
  const int rank = blockIdx.x % QP_CLUSTER;
  if (threadIdx.x == 0) {
    qp_make_barrier(filled, 1);
    qp_make_barrier(ready, QP_CLUSTER * QP_THREADS);
    qp_fence_barriers();
  }
  qp_sync_cluster();
  for (int i = 0; i < QP_CLUSTER; i++) qp_arrive_at(ready, i);
  if (threadIdx.x == 0) {
    qp_wait<true>(ready, 0);
    qp_arrive_and_expect(filled, QP_CLUSTER * kBytes);
    if (QP_BULK) qp_copy_bulk_to_both(shared + rank * kBytes, x + (rank ? 16 : 128), kBytes, filled);
    else qp_copy_box_to_both(shared + rank * kBytes, x_map, rank ? 16 : 128, rank ? 0 : 8, filled);
  }
  qp_sync_warp();
  qp_wait(filled, 0);
  uint32_t* to = y + rank * QP_CLUSTER * kWords;
  for (int i = threadIdx.x * 4; i < QP_CLUSTER * kWords; i += QP_THREADS * 4)
    qp_store16(to + i, qp_load16_shared(shared + i * 4));
  qp_sync_warp();
  qp_sync_cluster();
}
