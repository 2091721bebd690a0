// What the int8 products share: from sums of integers to y = sum · x_scale[row] · scales[column] + bias[column].
//
// Their x (M, K) and packed (N, K) are rows of int8 codes, K a multiple of 16 (padded with zeros, which add nothing).

#pragma once

#include "prims.cuh"

constexpr int kColumns = 8;

// Scale and bias of eight neighbouring columns.
struct qp_columns {
  float scale[kColumns], bias[kColumns];
  int first, count;
};

// `bias` may be null. Columns from n on are left out.
QP_DEVICE qp_columns qp_load_columns(const float* scales, const qp_act* bias, int first, int n) {
  qp_columns columns;
  columns.first = first;
  columns.count = n - first < kColumns ? n - first : kColumns;
#pragma unroll
  for (int i = 0; i < kColumns; i++) {
    const bool is_there = i < columns.count;
    columns.scale[i] = is_there ? scales[first + i] : 0.0f;
    columns.bias[i] = is_there && bias ? qp_act_to_float(bias[first + i]) : 0.0f;
  }
  return columns;
}

// Writes the results of a row at those columns; 16 bytes at a time where rows of y are aligned to them.
QP_DEVICE void qp_store_row(const qp_columns& columns, qp_act* y, int64_t row, int n, float x_scale,
                            const int (&sums)[kColumns]) {
  float results[kColumns];
#pragma unroll
  for (int i = 0; i < kColumns; i++)
    results[i] = static_cast<float>(sums[i]) * (x_scale * columns.scale[i]) + columns.bias[i];
  qp_act* to = y + row * n + columns.first;
  if (columns.count == kColumns && n % kColumns == 0) {
#if QP_ACT == QP_FLOAT32
#pragma unroll
    for (int i = 0; i < kColumns; i += 4)
      qp_store16(to + i, make_uint4(qp_float_to_bits(results[i]), qp_float_to_bits(results[i + 1]),
                                    qp_float_to_bits(results[i + 2]), qp_float_to_bits(results[i + 3])));
#else
    qp_store16(to, make_uint4(qp_act2_from_floats(results[0], results[1]), qp_act2_from_floats(results[2], results[3]),
                              qp_act2_from_floats(results[4], results[5]), qp_act2_from_floats(results[6], results[7])));
#endif
  } else {
#pragma unroll
    for (int i = 0; i < kColumns; i++)
      if (i < columns.count) to[i] = qp_act_from_float(results[i]);
  }
}

// Which tile of y this block computes. Blocks that run at the same time share rows and columns as far as they can,
// so that L2 serves most of what they read: they go down kBand tiles of M before they go on to the next along N.
struct qp_place {
  int m, n;
};

QP_DEVICE qp_place qp_choose_tile() {
  constexpr int kBand = 8;
  const int id = blockIdx.y * gridDim.x + blockIdx.x, tiles_a_band = kBand * gridDim.x;
  const int band = id / tiles_a_band, first = band * kBand, left = gridDim.y - first;
  const int height = left < kBand ? left : kBand, within = id - band * tiles_a_band;
  return {(first + within % height) * QP_TILE_M, within / height * QP_TILE_N};
}
