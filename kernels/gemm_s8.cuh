// What the int8 products share: from sums of integers to y = sum · x_scale[row] · scales[column] + bias[column].
//
// Their x (M, K) and packed (N, K) are rows of int8 codes, K a multiple of 16 (padded with zeros, which add nothing).

#pragma once

#include "parts.cuh"
#include "tiles.cuh"

// Eight or four results, written at once; fewer bytes than 16 only of four in 16 bits.
QP_DEVICE void qp_store_neighbours(float* to, const float (&v)[8]) {
#pragma unroll
  for (int i = 0; i < 8; i += 4)
    qp_store16(to + i, make_uint4(qp_float_to_bits(v[i]), qp_float_to_bits(v[i + 1]), qp_float_to_bits(v[i + 2]),
                                  qp_float_to_bits(v[i + 3])));
}

QP_DEVICE void qp_store_neighbours(float* to, const float (&v)[4]) {
  qp_store16(to, make_uint4(qp_float_to_bits(v[0]), qp_float_to_bits(v[1]), qp_float_to_bits(v[2]),
                            qp_float_to_bits(v[3])));
}

#if QP_ACT != QP_FLOAT32
QP_DEVICE void qp_store_neighbours(qp_act* to, const float (&v)[8]) {
  qp_store16(to, make_uint4(qp_act2_from_floats(v[0], v[1]), qp_act2_from_floats(v[2], v[3]),
                            qp_act2_from_floats(v[4], v[5]), qp_act2_from_floats(v[6], v[7])));
}

QP_DEVICE void qp_store_neighbours(qp_act* to, const float (&v)[4]) {
  qp_store8(to, make_uint2(qp_act2_from_floats(v[0], v[1]), qp_act2_from_floats(v[2], v[3])));
}
#endif

QP_DEVICE void qp_read_four(float* v, const float* from) {
  const uint4 four = qp_load16_shared(from);
  v[0] = qp_bits_to_float(four.x), v[1] = qp_bits_to_float(four.y);
  v[2] = qp_bits_to_float(four.z), v[3] = qp_bits_to_float(four.w);
}

// What makes numbers of a tile's sums: the scale and the bias of its columns, and the scale of its rows.
struct qp_ends {
  float scale[QP_TILE_N], bias[QP_TILE_N], x_scale[QP_TILE_M];
};

// Of one column and one row: what a thread brings of them.
struct qp_end {
  float scale, x_scale;
  qp_act bias;
};

// Asked for long before it is wanted, and not touched until then: at the end each row would be waited for. 0 where there is
// none; `bias` may be null. By the first kThreads threads of a block.
template <int kThreads>
QP_DEVICE qp_end qp_ask_for_end(const float* x_scale, const float* scales, const qp_act* bias, qp_tile tile, int m, int n) {
  static_assert(kThreads >= QP_TILE_N && kThreads >= QP_TILE_M, "a thread for each column, and for each row");
  const int i = threadIdx.x, column = tile.n + i, row = tile.m + i;
  const bool is_column = i < QP_TILE_N && column < n, is_row = i < QP_TILE_M && row < m;
  return {is_column ? scales[column] : 0.0f, is_row ? x_scale[row] : 0.0f, is_column && bias ? bias[column] : qp_act{}};
}

QP_DEVICE void qp_put_end(qp_ends& ends, const qp_end& own) {
  const int i = threadIdx.x;
  if (i < QP_TILE_N) ends.scale[i] = own.scale, ends.bias[i] = qp_act_to_float(own.bias);
  if (i < QP_TILE_M) ends.x_scale[i] = own.x_scale;
}

// Scale and bias of neighbouring columns.
template <int kCount>
struct qp_columns {
  float scale[kCount], bias[kCount];
  int count;
};

// Where a row of y is, from a column of its tile on.
QP_DEVICE int64_t qp_find_row(qp_tile tile, int row, int within, int n) {
  return static_cast<int64_t>(tile.m + row) * n + tile.n + within;
}

// Two rows of a tile, 8 apart, of which a thread of wgmma has the sums: whether they are there, where in y, and their scales.
struct qp_rows {
  bool is_inside[2];
  int64_t at[2];
  float x_scale[2];
};

// Found once: beside each store, all of it would be found anew.
QP_DEVICE qp_rows qp_find_rows(const qp_ends& ends, qp_tile tile, int row, int within, int m, int n) {
  return {{tile.m + row < m, tile.m + row + 8 < m},
          {qp_opaque(qp_find_row(tile, row, within, n)), qp_opaque(qp_find_row(tile, row + 8, within, n))},
          {ends.x_scale[row], ends.x_scale[row + 8]}};
}

// Those from `within` on, a multiple of 4. Columns from n on are left out.
template <int kCount>
QP_DEVICE qp_columns<kCount> qp_read_columns(const qp_ends& ends, int within, qp_tile tile, int n) {
  qp_columns<kCount> columns;
  columns.count = min(n - tile.n - within, kCount);
#pragma unroll
  for (int i = 0; i < kCount; i += 4) {
    qp_read_four(columns.scale + i, ends.scale + within + i);
    qp_read_four(columns.bias + i, ends.bias + within + i);
  }
  return columns;
}

// Writes the results of a row from the first of those columns on; all at once where n is a multiple of kCount, so that they
// are all there and every row of y is aligned to them.
template <bool kIsAligned, int kCount>
QP_DEVICE void qp_store_row(const qp_columns<kCount>& columns, qp_act* to, float x_scale, const int (&sums)[kCount]) {
  float results[kCount];
#pragma unroll
  for (int i = 0; i < kCount; i++)
    results[i] = static_cast<float>(sums[i]) * (x_scale * columns.scale[i]) + columns.bias[i];
  if constexpr (kIsAligned) {
    qp_store_neighbours(to, results);
  } else {
#pragma unroll
    for (int i = 0; i < kCount; i++)
      if (i < columns.count) to[i] = qp_act_from_float(results[i]);
  }
}

// The sums of all parts of K, where there is a block for each tile and part.
template <int kRows, int kQuads>
QP_DEVICE bool qp_add_parts(int (&sums)[kRows][kQuads][4], uint4* scratch, uint32_t* counters, int split) {
  return qp_add_parts<kRows * kQuads, QP_THREADS>(scratch, counters, blockIdx.y * gridDim.x + blockIdx.x, split,
                                                  blockIdx.z, true, [&](int v) { return sums[v / kQuads][v % kQuads]; });
}

// The part of K of this block: its tiles along K, of which there may be none.
struct qp_part {
  int first_k, tiles;
};

QP_DEVICE qp_part qp_choose_part(int k, int split) {
  const qp_share share = qp_find_share(k, split, blockIdx.z);
  return {share.first * QP_TILE_K, share.last - share.first};
}

// The tile of this block, where there is a block for each.
QP_DEVICE qp_tile qp_choose_tile() {
  return qp_find_tile(blockIdx.y * gridDim.x + blockIdx.x, gridDim.x, gridDim.y);
}
