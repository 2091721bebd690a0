// y = x W^T with AMX: blocks of the weight are turned into bfloat16 in the second-level cache, scales
// and zero points included, and multiplied tile by tile with all rows of x.
//
// The weight is the left operand, 16 of its rows a tile, so that a register of stored codes becomes a
// row of a tile by a shift and a look-up, and each row has tables of its own, already scaled. x is
// brought into the layout of the right operand, in the order of the codes, once per call.

#include "types.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__AVX512BW__) && \
    defined(__AVX512VL__) && defined(__AVX512DQ__)

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace {

constexpr int kRows = 16;               // rows of a tile
constexpr int kDepth = 32;              // bfloat16 values in a row of a tile
constexpr int64_t kTile = kRows * kDepth;
constexpr int64_t kChunk = 128;         // codes that are decoded at once
constexpr int kSteps = kChunk / kDepth;  // tiles that they fill
constexpr int64_t kBlockBytes = 1 << 20;  // of the weight as bfloat16: half the second-level cache

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes_per_row[16] = {};
  uint8_t rows[16] = {};
};

// GCC 12 declares 8 bytes of the operand of _tile_loadconfig and may drop the stores to the rest.
void configure_tiles() {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) {
    config.bytes_per_row[tile] = kDepth * sizeof(bfloat16);
    config.rows[tile] = kRows;
  }
  asm volatile("ldtilecfg %0" ::"m"(config));
}

int64_t steps_of(const WeightOnlyCall& call) {
  return (call.k + kChunk - 1) / kChunk * kSteps;
}

// Where along K the lane of a step lies.
int64_t position(int kind, int64_t step, int lane) {
  if (kind == kInt8) return step * kDepth + lane;
  return step / kSteps * kChunk + lane * kSteps +
         code_offset(kind, static_cast<int>(step % kSteps));
}

// A matrix of 16 x 16 32-bit elements, in place.
void transpose(__m512i row[16]) {
  __m512i half[16];
  for (int i = 0; i < 16; i += 2) {
    half[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
    half[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    row[i] = _mm512_unpacklo_epi64(half[i], half[i + 2]);
    row[i + 1] = _mm512_unpackhi_epi64(half[i], half[i + 2]);
    row[i + 2] = _mm512_unpacklo_epi64(half[i + 1], half[i + 3]);
    row[i + 3] = _mm512_unpackhi_epi64(half[i + 1], half[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    half[i] = _mm512_shuffle_i32x4(row[i], row[i + 4], 0x88);
    half[i + 4] = _mm512_shuffle_i32x4(row[i], row[i + 4], 0xdd);
    half[i + 8] = _mm512_shuffle_i32x4(row[i + 8], row[i + 12], 0x88);
    half[i + 12] = _mm512_shuffle_i32x4(row[i + 8], row[i + 12], 0xdd);
  }
  for (int i = 0; i < 8; ++i) {
    row[i] = _mm512_shuffle_i32x4(half[i], half[i + 8], 0x88);
    row[i + 8] = _mm512_shuffle_i32x4(half[i], half[i + 8], 0xdd);
  }
}

// Rows m0 … m0 + 15 of x as right operands: for each step, pairs of lanes down, rows of x across.
void pack_rows(const WeightOnlyCall& call, int64_t m0, uint32_t* to) {
  const auto* x = static_cast<const bfloat16*>(call.x);
  const int64_t steps = steps_of(call), count = std::min<int64_t>(kRows, call.m - m0);
  for (int64_t step = 0; step < steps; ++step) {
    __m512i row[kRows];
    for (int m = 0; m < kRows; ++m) {
      alignas(64) bfloat16 lanes[kDepth] = {};
      if (m < count)
        for (int lane = 0; lane < kDepth; ++lane) {
          const int64_t at = position(call.kind, step, lane);
          if (at < call.k) lanes[lane] = x[(m0 + m) * call.k + at];
        }
      row[m] = _mm512_load_si512(lanes);
    }
    transpose(row);
    for (int pair = 0; pair < kRows; ++pair)
      _mm512_store_si512(to + step * kTile / 2 + pair * kRows, row[pair]);
  }
}

// The sixteen values of the codes of a group, scaled.
__m256i table_of(const WeightOnlyCall& call, __m512 values, int64_t row, int64_t index) {
  if (index >= call.k / call.group) return _mm256_setzero_si256();
  const __m512 centred = _mm512_sub_ps(values, _mm512_set1_ps(zero_point_at(call, row, index)));
  const __m512 scaled = _mm512_mul_ps(centred, _mm512_set1_ps(scale_at(call, row, index)));
  return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(scaled));
}

__m512i join(__m256i low, __m256i high) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

// Turns rows of stored codes into rows of tiles, one chunk at a time. `stride` is the distance of the
// tiles of consecutive steps.
class Decoder {
 public:
  explicit Decoder(const WeightOnlyCall& call)
      : call_(call),
        values_(_mm512_loadu_ps(values_of(call.kind))),
        groups_(static_cast<int>(call.kind == kInt8 ? 1 : kChunk / call.group)) {
    alignas(64) uint16_t which[kDepth];  // the table of each lane, as high bits of the index
    for (int lane = 0; lane < kDepth; ++lane)
      which[lane] = static_cast<uint16_t>(lane * groups_ / kDepth * 16);
    which_ = _mm512_load_si512(which);
  }

  void decode(int64_t row, int64_t chunk, bfloat16* to, int64_t stride) const {
    if (row >= call_.n) {
      for (int step = 0; step < kSteps; ++step)
        _mm512_store_si512(to + step * stride, _mm512_setzero_si512());
    } else if (call_.kind == kInt8) {
      decode_bytes(row, chunk, to, stride);
    } else {
      decode_codes(row, chunk, to, stride);
    }
  }

 private:
  void decode_codes(int64_t row, int64_t chunk, bfloat16* to, int64_t stride) const {
    const int64_t bytes = call_.k / 2, left = bytes - chunk * 64;
    const auto* codes = static_cast<const uint8_t*>(call_.codes) + row * bytes + chunk * 64;
    _mm_prefetch(reinterpret_cast<const char*>(codes + kAhead), _MM_HINT_T0);
    const __mmask64 mask = left >= 64 ? ~0ull : (1ull << left) - 1;
    const __m512i word = _mm512_maskz_loadu_epi8(mask, codes);
    const __m256i first = table_of(call_, values_, row, chunk * groups_);
    if (groups_ == 1) {
      const __m512i table = join(first, first);
      for (int step = 0; step < kSteps; ++step)
        _mm512_store_si512(to + step * stride,
                           _mm512_permutexvar_epi16(_mm512_srli_epi16(word, 4 * step), table));
      return;
    }
    const __m512i table = join(first, table_of(call_, values_, row, chunk * groups_ + 1));
    const __m512i other = groups_ == 2
                              ? table
                              : join(table_of(call_, values_, row, chunk * groups_ + 2),
                                     table_of(call_, values_, row, chunk * groups_ + 3));
    for (int step = 0; step < kSteps; ++step) {
      const __m512i code =
          _mm512_and_si512(_mm512_srli_epi16(word, 4 * step), _mm512_set1_epi16(15));
      _mm512_store_si512(to + step * stride,
                         _mm512_permutex2var_epi16(table, _mm512_or_si512(code, which_), other));
    }
  }

  // 8-bit codes, which bfloat16 holds exactly; their scale is applied to the sums.
  void decode_bytes(int64_t row, int64_t chunk, bfloat16* to, int64_t stride) const {
    const auto* codes = static_cast<const int8_t*>(call_.codes) + row * call_.k + chunk * kChunk;
    _mm_prefetch(reinterpret_cast<const char*>(codes + kAhead), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(codes + kAhead + 64), _MM_HINT_T0);
    for (int step = 0; step < kSteps; ++step) {
      const int64_t left = call_.k - chunk * kChunk - step * kDepth;
      const __mmask32 mask = left >= kDepth ? ~0u : left > 0 ? (1u << left) - 1 : 0;
      const __m256i bytes = _mm256_maskz_loadu_epi8(mask, codes + step * kDepth);
      const __m512 low = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(bytes)));
      const __m512 high =
          _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(bytes, 1)));
      _mm512_store_si512(to + step * stride,
                         reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
    }
  }

  static constexpr int64_t kAhead = 512;  // bytes
  const WeightOnlyCall& call_;
  const __m512 values_;
  const int groups_;
  __m512i which_;
};

// A tile of sums, rows of W down and rows of x across, into y.
void write_tile(const WeightOnlyCall& call, const float* sums, int64_t m0, int64_t n0) {
  const int64_t rows = std::min<int64_t>(kRows, call.m - m0);
  const int64_t columns = std::min<int64_t>(kRows, call.n - n0);
  if (rows <= 0 || columns <= 0) return;
  const __mmask16 mask = static_cast<__mmask16>((1u << columns) - 1);
  __m512i row[kRows];
  for (int i = 0; i < kRows; ++i) row[i] = _mm512_load_si512(sums + i * kRows);
  transpose(row);
  __m512 scale = _mm512_set1_ps(1), bias = _mm512_setzero_ps();
  if (call.kind == kInt8)
    scale = _mm512_maskz_loadu_ps(mask, static_cast<const float*>(call.scales) + n0);
  if (call.bias)
    bias = _mm512_castsi512_ps(_mm512_slli_epi32(
        _mm512_cvtepu16_epi32(
            _mm256_maskz_loadu_epi16(mask, static_cast<const bfloat16*>(call.bias) + n0)),
        16));
  auto* y = static_cast<bfloat16*>(call.y);
  for (int m = 0; m < rows; ++m) {
    const __m512 value = _mm512_fmadd_ps(_mm512_castsi512_ps(row[m]), scale, bias);
    _mm256_mask_storeu_epi16(y + (m0 + m) * call.n + n0, mask,
                             reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(value)));
  }
}

// The sums of two tiles of W's rows and up to two of x's, in the tiles 0 to 3.
class Sums {
 public:
  explicit Sums(bool both) : both_(both) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }

  void add(const bfloat16* w0, const bfloat16* w1, const uint32_t* x0, const uint32_t* x1) const {
    constexpr int kStride = kDepth * sizeof(bfloat16);
    _tile_loadd(6, x0, kStride);
    _tile_loadd(4, w0, kStride);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(5, w1, kStride);
    _tile_dpbf16ps(1, 5, 6);
    if (!both_) return;
    _tile_loadd(7, x1, kStride);
    _tile_dpbf16ps(2, 4, 7);
    _tile_dpbf16ps(3, 5, 7);
  }

  void write(const WeightOnlyCall& call, int64_t m0, int64_t n0) const {
    alignas(64) float sums[4][kRows * kRows];
    constexpr int kStride = kRows * sizeof(float);
    _tile_stored(0, sums[0], kStride);
    _tile_stored(1, sums[1], kStride);
    write_tile(call, sums[0], m0, n0);
    write_tile(call, sums[1], m0, n0 + kRows);
    if (!both_) return;
    _tile_stored(2, sums[2], kStride);
    _tile_stored(3, sums[3], kStride);
    write_tile(call, sums[2], m0 + kRows, n0);
    write_tile(call, sums[3], m0 + kRows, n0 + kRows);
  }

 private:
  const bool both_;
};

// Few rows of x: what is decoded is multiplied at once and never leaves the first-level cache.
void multiply_few(const WeightOnlyCall& call, const Decoder& decoder, const uint32_t* x,
                  int64_t x_tiles, int64_t n0) {
  const int64_t chunks = steps_of(call) / kSteps, tile_row = steps_of(call) * kTile;
  alignas(64) bfloat16 w[2][kSteps * kTile];
  const Sums sums(x_tiles > 1);
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    for (int r = 0; r < 2 * kRows; ++r)
      decoder.decode(n0 + r, chunk, w[r / kRows] + r % kRows * kDepth, kTile);
    for (int step = 0; step < kSteps; ++step) {
      const uint32_t* at = x + (chunk * kSteps + step) * kTile / 2;
      sums.add(w[0] + step * kTile, w[1] + step * kTile, at, at + tile_row / 2);
    }
  }
  sums.write(call, 0, n0);
}

// A block of W's rows is decoded once and multiplied with all rows of x.
void multiply_many(const WeightOnlyCall& call, const Decoder& decoder, const uint32_t* x,
                   int64_t x_tiles, int64_t n0, int64_t pairs, bfloat16* w) {
  const int64_t steps = steps_of(call), tile_row = steps * kTile;
  for (int64_t r = 0; r < pairs * 2 * kRows; ++r)
    for (int64_t chunk = 0; chunk * kSteps < steps; ++chunk)
      decoder.decode(n0 + r, chunk,
                     w + r / kRows * tile_row + chunk * kSteps * kTile + r % kRows * kDepth, kTile);
  for (int64_t m = 0; m < x_tiles; m += 2)
    for (int64_t pair = 0; pair < pairs; ++pair) {
      const bfloat16* w0 = w + 2 * pair * tile_row;
      const uint32_t* x0 = x + m * tile_row / 2;
      const Sums sums(m + 1 < x_tiles);
      for (int64_t step = 0; step < steps; ++step)
        sums.add(w0 + step * kTile, w0 + tile_row + step * kTile, x0 + step * kTile / 2,
                 x0 + (tile_row + step * kTile) / 2);
      sums.write(call, m * kRows, n0 + pair * 2 * kRows);
    }
}

struct Buffer {
  void* data = nullptr;
  size_t bytes = 0;
  ~Buffer() { std::free(data); }
  void* reserve(size_t wanted) {
    if (wanted > bytes) {
      std::free(data);
      data = std::aligned_alloc(64, (wanted + 63) / 64 * 64);
      bytes = data ? wanted : 0;
    }
    return data;
  }
};

}  // namespace

// Asks the kernel of the system for the tiles' state; 0 if it gives it.
extern "C" int qprobe_amx_request() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return static_cast<int>(syscall(SYS_arch_prctl, kRequestPermission, kTileData));
}

extern "C" int64_t qprobe_gemm_amx_scratch_bytes(const WeightOnlyCall* call) {
  return (call->m + kRows - 1) / kRows * steps_of(*call) * kTile *
             static_cast<int64_t>(sizeof(bfloat16)) + 64;
}

extern "C" int qprobe_gemm_amx(const WeightOnlyCall* given) {
  const WeightOnlyCall& call = *given;
  const int64_t steps = steps_of(call), tile_row = steps * kTile;
  const int64_t x_tiles = (call.m + kRows - 1) / kRows;
  const int64_t fitting = kBlockBytes / (2 * tile_row * int64_t(sizeof(bfloat16)));
  // Pairs of tiles of W's rows in a block: what fits, and no fewer blocks than keep threads busy.
  const int64_t pairs = (call.n + 2 * kRows - 1) / (2 * kRows);
  const int64_t block = std::max<int64_t>(1, std::min<int64_t>(fitting, (pairs + 15) / 16));
  auto* x = reinterpret_cast<uint32_t*>((reinterpret_cast<uintptr_t>(call.scratch) + 63) & ~63ull);
  const bool few = x_tiles <= 2;
  int failed = 0;
#pragma omp parallel reduction(| : failed)
  {
    static thread_local Buffer buffer;
    auto* w = few ? nullptr
                  : static_cast<bfloat16*>(buffer.reserve(static_cast<size_t>(block * 2 * tile_row) *
                                                          sizeof(bfloat16)));
    failed = !few && !w;
    const Decoder decoder(call);
    configure_tiles();
#pragma omp for schedule(static)
    for (int64_t tile = 0; tile < x_tiles; ++tile)
      pack_rows(call, tile * kRows, x + tile * tile_row / 2);
    if (few) {
#pragma omp for schedule(static)
      for (int64_t pair = 0; pair < pairs; ++pair)
        multiply_few(call, decoder, x, x_tiles, pair * 2 * kRows);
    } else {
#pragma omp for schedule(dynamic)
      for (int64_t first = 0; first < pairs; first += block)
        if (w)
          multiply_many(call, decoder, x, x_tiles, first * 2 * kRows,
                        std::min(block, pairs - first), w);
    }
    _tile_release();
  }
  return failed;
}

#endif
