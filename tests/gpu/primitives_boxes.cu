// As primitives.cu, of the copy engine: x is a matrix of m rows of k bytes, of which two boxes come one after the other to
// the same place, and are told to y as they lie there. Both reach beyond the matrix. Or as many bytes one behind another.
//: entry = "primitives_boxes"
//: role = "copy"
//: requires = ["cp_async_bulk"]
//: architectures = ["9.0", "10.0"]
//: tile = { m = 40, k = 128 }
//: grid = ["m"]
//: threads = 32
//: shared_bytes = 5120
//: arguments = ["x_map", "x", "y", "m", "k"]
//: sass = { needs = ["UTMALDG.2D"], at_least = 1, max_registers = 255 }
//:
//: [variants]
//: boxes = { defines = { QP_BULK = 0 } }
//: bulk = { defines = { QP_BULK = 1 }, sass = { needs = ["UBLKCP"], at_least = 1, max_registers = 255 } }

#include "prims.cuh"

constexpr int kBytes = QP_TILE_M * QP_TILE_K, kWords = kBytes / 4;

QP_DEVICE void tell(uint32_t* y, const unsigned char* box) {
  for (int i = threadIdx.x * 4; i < kWords; i += QP_THREADS * 4) qp_store16(y + i, qp_load16_shared(box + i * 4));
}

QP_DEVICE void copy(unsigned char* shared, const qp_tensor_map& map, const unsigned char* x, int byte, int row,
                    uint64_t* filled) {
  if (QP_BULK) {
    qp_copy_bulk(shared, x + byte, 48, filled);
    qp_copy_bulk(shared + 48, x + row * 16 + 16, kBytes - 48, filled);
  } else {
    qp_copy_box(shared, map, byte, row, filled);
  }
}

QP_KERNEL __launch_bounds__(QP_THREADS)
primitives_boxes(QP_PARAMETER qp_tensor_map x_map, const unsigned char* __restrict__ x, uint32_t* __restrict__ y, int m,
                 int k) {
  QP_SHARED_SWIZZLED(shared);
  QP_SHARED(uint64_t, filled, [1]);
  QP_SHARED(uint64_t, emptied, [1]);
  if (threadIdx.x == 0) {
    qp_make_barrier(filled, 1);
    qp_make_barrier(emptied, QP_THREADS);
    qp_fence_barriers();
  }
  qp_sync();
  if (threadIdx.x == 0) {
    qp_arrive_and_expect(filled, kBytes);
    copy(shared, x_map, x, 128, 8, filled);
  }
  qp_wait(filled, 0);
  tell(y, shared);
  qp_arrive(emptied);
  if (threadIdx.x == 0) {
    qp_wait(emptied, 0);
    qp_arrive_and_expect(filled, kBytes);
    copy(shared, x_map, x, 16, 0, filled);
  }
  qp_wait(filled, 1);
  tell(y + kWords, shared);
}
