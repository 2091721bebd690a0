// What the 32 threads of a warp do together: all must come to the same operation, and the last one computes it.

#include <cstdio>

#include "engine.h"

namespace qp_emulator {

namespace {

using Compute = void (*)(Warp&);

Warp& own_warp() { return block->warps[fiber->thread / kWarp]; }
Lane& own_lane() { return own_warp().lanes[lane_index]; }

void meet(const char* operation, Compute compute) {
  Warp& warp = own_warp();
  if (warp.arrived == 0) {
    warp.operation = operation;
  } else if (warp.operation != operation && std::strcmp(warp.operation, operation)) {
    char words[160];
    std::snprintf(words, sizeof words, "its warp is divided: it came to %s, other lanes to %s", operation,
                  warp.operation);
    fail(words);
  }
  if (++warp.arrived < warp.size) return wait(Waits::kForWarp);
  warp.arrived = 0;
  join_late(block->fibers, fiber->thread - lane_index, warp.size);
  compute(warp);
  wake(Waits::kForWarp, fiber->thread - lane_index, warp.size);
}

// Whether the whole warp is there, as matrices need it.
void meet_full(const char* operation, Compute compute) {
  if (own_warp().size != kWarp) fail("an operation on matrices in a warp of fewer than 32 threads");
  meet(operation, compute);
}

// One fragment: which element (row, k) is the i-th of a register, for operands and for results. As the PTX ISA
// defines them for mma.m8n8k* and mma.m16n8k*: g = lane / 4 is the row, t = lane % 4 chooses columns.
template <int kBits>
uint32_t element(uint32_t bits, int i) {
  return bits >> (i * kBits) & ((1u << kBits) - 1);
}

// d (kRows × 8) += a (kRows × kDepth) · b (8 × kDepth)ᵀ of elements of kBits, decoded by kDecode. Sums in Sum.
template <int kRows, int kDepth, int kBits, class Number, class Sum, Number (*kDecode)(uint32_t)>
void multiply(Warp& warp) {
  constexpr int kPerRegister = 32 / kBits, kParts = kDepth / (4 * kPerRegister), kHalves = kRows / 8;
  Number a[kRows][kDepth], b[8][kDepth];
  for (unsigned l = 0; l < kWarp; l++) {
    const unsigned g = l / 4, t = l % 4;
    const uint32_t* in = warp.lanes[l].in;
    for (int part = 0; part < kParts; part++) {
      for (int i = 0; i < kPerRegister; i++) {
        const int k = part * 4 * kPerRegister + t * kPerRegister + i;
        for (int half = 0; half < kHalves; half++)
          a[g + 8 * half][k] = kDecode(element<kBits>(in[part * kHalves + half], i));
        b[g][k] = kDecode(element<kBits>(in[4 + part], i));
      }
    }
  }
  for (int row = 0; row < kRows; row++) {
    for (int column = 0; column < 8; column++) {
      Sum sum = 0;
      for (int k = 0; k < kDepth; k++) sum += static_cast<Sum>(a[row][k]) * static_cast<Sum>(b[column][k]);
      Lane& lane = warp.lanes[row % 8 * 4 + column / 2];
      const float rounded = static_cast<float>(sum);
      if (std::is_same_v<Number, int>) lane.out[row / 8 * 2 + column % 2] = static_cast<uint32_t>(sum);
      else std::memcpy(&lane.out[row / 8 * 2 + column % 2], &rounded, sizeof rounded);
    }
  }
}

template <class Result, int kA, int kB, int kD>
void add_product(const char* operation, Compute compute, Result* d, const uint32_t* a, const uint32_t* b) {
  Lane& lane = own_lane();
  std::memcpy(lane.in, a, kA * sizeof *a);
  std::memcpy(lane.in + 4, b, kB * sizeof *b);
  meet_full(operation, compute);
  for (int i = 0; i < kD; i++) {
    if (std::is_same_v<Result, int>) d[i] = static_cast<int>(static_cast<uint32_t>(d[i]) + lane.out[i]);
    else d[i] += reinterpret<float>(lane.out[i]);
  }
}

int from_s8(uint32_t bits) { return static_cast<int8_t>(bits); }
int from_s4(uint32_t bits) { return static_cast<int>(bits ^ 8) - 8; }
float from_half(uint32_t bits) { return half_to_float(bits); }
float from_bfloat16(uint32_t bits) { return reinterpret<float>(bits << 16); }

float from_e4m3(uint32_t bits) { return e4m3_to_float(bits); }

// Shared memory has 32 banks of 4 bytes: of the 8 rows of a matrix, those that start in the same banks at different
// addresses are read one after the other.
void count_conflicts(const Warp& warp) {
  for (int matrix = 0; matrix < 4; matrix++) {
    unsigned rows_at[8] = {};
    for (int row = 0; row < 8; row++) {
      const auto address = reinterpret_cast<uintptr_t>(warp.lanes[matrix * 8 + row].address);
      bool is_new = address != 0;
      for (int other = 0; other < row; other++)
        is_new &= address != reinterpret_cast<uintptr_t>(warp.lanes[matrix * 8 + other].address);
      if (is_new && rows_at[address / 16 % 8]++) bank_conflicts++;
    }
  }
}

template <bool kTransposed>
void give_matrices(Warp& warp) {
  count_conflicts(warp);
  for (unsigned l = 0; l < kWarp; l++) {
    for (int matrix = 0; matrix < 4; matrix++) {
      uint16_t pair[2] = {0, 0};
      for (unsigned i = 0; i < 2; i++) {
        unsigned row = l / 4, column = l % 4 * 2 + i;
        if (kTransposed) std::swap(row, column);
        const void* start = warp.lanes[matrix * 8 + row].address;
        if (start) std::memcpy(&pair[i], static_cast<const unsigned char*>(start) + 2 * column, 2);
      }
      warp.lanes[l].out[matrix] = pair[0] | static_cast<uint32_t>(pair[1]) << 16;
    }
  }
}

}  // namespace

void sync_warp() {
  meet("qp_sync_warp", [](Warp&) {});
}

// The last lane: nothing says that it is the first, which kernels might take for granted.
bool elect() {
  meet("qp_elect", [](Warp&) {});
  return lane_index + 1 == own_warp().size;
}

uint32_t shuffle(uint32_t v, unsigned source, const char* name) {
  Lane& lane = own_lane();
  lane.in[0] = v;
  lane.in[1] = source;
  meet(name, [](Warp& warp) {
    for (unsigned l = 0; l < warp.size; l++) {
      const uint32_t from = warp.lanes[l].in[1];
      warp.lanes[l].out[0] = warp.lanes[from < warp.size ? from : l].in[0];
    }
  });
  return lane.out[0];
}

uint32_t transpose_matrix(uint32_t pair) {
  Lane& lane = own_lane();
  lane.in[0] = pair;
  meet_full("qp_transpose_matrix", [](Warp& warp) {
    for (unsigned l = 0; l < kWarp; l++) {
      uint32_t v = 0;
      for (unsigned i = 0; i < 2; i++) {
        const unsigned row = l % 4 * 2 + i, column = l / 4;
        v |= (warp.lanes[row * 4 + column / 2].in[0] >> (column % 2 * 16) & 0xffff) << (16 * i);
      }
      warp.lanes[l].out[0] = v;
    }
  });
  return lane.out[0];
}

void load_matrix(uint32_t* out, const void* row, int count, bool is_transposed) {
  static const char* const kNames[2][5] = {{"", "qp_ldmatrix_x1", "qp_ldmatrix_x2", "", "qp_ldmatrix_x4"},
                                           {"", "", "qp_ldmatrix_x2_trans", "", "qp_ldmatrix_x4_trans"}};
  const bool gives_row = lane_index < static_cast<unsigned>(8 * count);
  if (gives_row) {
    check_aligned(row, 16, "row of ldmatrix");
    if (!is_shared(row, 16)) fail("ldmatrix of what is not shared memory");
  }
  Lane& lane = own_lane();
  lane.address = gives_row ? row : nullptr;
  meet_full(kNames[is_transposed][count], is_transposed ? give_matrices<true> : give_matrices<false>);
  std::memcpy(out, lane.out, count * sizeof *out);
}

void mma_s8_8x8x16(int* d, const uint32_t* a, const uint32_t* b) {
  add_product<int, 1, 1, 2>("qp_mma_s8_8x8x16", multiply<8, 16, 8, int, int, from_s8>, d, a, b);
}

void mma_s8_16x8x32(int* d, const uint32_t* a, const uint32_t* b) {
  add_product<int, 4, 2, 4>("qp_mma_s8_16x8x32", multiply<16, 32, 8, int, int, from_s8>, d, a, b);
}

void mma_s4_8x8x32(int* d, const uint32_t* a, const uint32_t* b) {
  add_product<int, 1, 1, 2>("qp_mma_s4_8x8x32", multiply<8, 32, 4, int, int, from_s4>, d, a, b);
}

void mma_s4_16x8x64(int* d, const uint32_t* a, const uint32_t* b) {
  add_product<int, 4, 2, 4>("qp_mma_s4_16x8x64", multiply<16, 64, 4, int, int, from_s4>, d, a, b);
}

void mma_f16_16x8x8(float* d, const uint32_t* a, const uint32_t* b) {
  add_product<float, 2, 1, 4>("qp_mma_f16_16x8x8", multiply<16, 8, 16, float, double, from_half>, d, a, b);
}

void mma_f16_16x8x16(float* d, const uint32_t* a, const uint32_t* b) {
  add_product<float, 4, 2, 4>("qp_mma_f16_16x8x16", multiply<16, 16, 16, float, double, from_half>, d, a, b);
}

void mma_bf16_16x8x16(float* d, const uint32_t* a, const uint32_t* b) {
  add_product<float, 4, 2, 4>("qp_mma_bf16_16x8x16", multiply<16, 16, 16, float, double, from_bfloat16>, d, a, b);
}

void mma_e4m3_16x8x32(float* d, const uint32_t* a, const uint32_t* b) {
  add_product<float, 4, 2, 4>("qp_mma_e4m3_16x8x32", multiply<16, 32, 8, float, double, from_e4m3>, d, a, b);
}

}  // namespace qp_emulator
