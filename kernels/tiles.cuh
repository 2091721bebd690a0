// The order in which tiles of y are computed.

#pragma once

#include "prims.cuh"

// The first row and column of a tile.
struct qp_tile {
  int m, n;
};

// Where the tile of that number is. Those that are computed at the same time share rows and columns as far as they can, so
// that L2 serves most of what is read: they go down kBand tiles of M before they go on to the next along N.
QP_DEVICE qp_tile qp_find_tile(int id, int tiles_n, int tiles_m) {
  constexpr int kBand = 8;
  const int tiles_a_band = kBand * tiles_n;
  const int band = id / tiles_a_band, first = band * kBand, left = tiles_m - first;
  const int height = left < kBand ? left : kBand, within = id - band * tiles_a_band;
  return {(first + within % height) * QP_TILE_M, within / height * QP_TILE_N};
}
