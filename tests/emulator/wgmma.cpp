// wgmma: products of 128 threads whose operands are read, and whose results land, at any time before the wait.

#include "engine.h"

namespace qp_emulator {

namespace {

constexpr int kRows = 64, kDepthBytes = 32;
// Descriptors hold 18 bits of an address: shared memory seems to begin here.
constexpr uint64_t kWindow = 1024;

Warpgroup& own_group() { return block->warpgroups[fiber->thread / kWarpgroup]; }

uint64_t field(uint64_t descriptor, int shift) { return (descriptor >> shift & 0x3fff) << 4; }

// The numbers of kDepthBytes, exactly.
void append(std::vector<float>& to, const unsigned char* bytes, Numbers numbers) {
  const int width = numbers == Numbers::f16 || numbers == Numbers::bf16 ? 2 : 1;
  for (int i = 0; i < 16; i += width) {
    const uint32_t bits = width == 2 ? bytes[i] | bytes[i + 1] << 8 : bytes[i];
    to.push_back(numbers == Numbers::s8    ? static_cast<int8_t>(bits)
                 : numbers == Numbers::f16 ? half_to_float(bits)
                 : numbers == Numbers::bf16 ? reinterpret<float>(bits << 16)
                                            : e4m3_to_float(bits));
  }
}

// Rows from a tile with the swizzle of 128 bytes.
std::vector<float> read_rows(uint64_t descriptor, int rows, Numbers numbers) {
  if (descriptor >> 62 != 1) fail("a wgmma descriptor with another swizzle than that of 128 bytes");
  const uint64_t start = field(descriptor, 0), stride = field(descriptor, 32);
  std::vector<float> read;
  for (int row = 0; row < rows; row++) {
    for (int k = 0; k < kDepthBytes; k += 16) {
      uint64_t address = start + row / 8 * stride + row % 8 * 128 + k;
      address ^= (address >> 7 & 7) << 4;
      if (address < kWindow || address + 16 > kWindow + block->dynamic.bytes)
        fail("a wgmma descriptor that reaches beyond dynamic shared memory");
      append(read, block->dynamic.start + address - kWindow, numbers);
    }
  }
  return read;
}

// The first operand, 16 bits each, from the registers of all threads: as the fragments of mma.m16n8k16, a warp every 16 rows.
std::vector<float> read_registers(const Product& product) {
  constexpr int kDepth = kDepthBytes / 2;
  std::vector<float> read(kRows * kDepth);
  for (unsigned thread = 0; thread < kWarpgroup; thread++) {
    const unsigned lane = thread % kWarp, row = thread / kWarp * 16 + lane / 4, k = lane % 4 * 2;
    for (int i = 0; i < 4; i++) {
      for (int half = 0; half < 2; half++) {
        const uint32_t bits = product.registers[thread][i] >> (16 * half) & 0xffff;
        read[(row + i % 2 * 8) * kDepth + k + i / 2 * 8 + half] =
            product.numbers == Numbers::f16 ? half_to_float(bits) : reinterpret<float>(bits << 16);
      }
    }
  }
  return read;
}

void compute(Product& product) {
  const std::vector<float> a =
      product.registers.empty() ? read_rows(product.a, kRows, product.numbers) : read_registers(product);
  const std::vector<float> b = read_rows(product.b, product.columns, product.numbers);
  const int depth = a.size() / kRows;
  product.values.resize(size_t(kRows) * product.columns);
  for (int row = 0; row < kRows; row++) {
    for (int column = 0; column < product.columns; column++) {
      double sum = 0;
      for (int k = 0; k < depth; k++) sum += double(a[row * depth + k]) * b[column * depth + k];
      product.values[size_t(row) * product.columns + column] = sum;
    }
  }
}

void add(const Product& product, unsigned thread, std::vector<uint32_t>& accumulators) {
  const unsigned warp = thread % kWarpgroup / kWarp, lane = thread % kWarp;
  for (int j = 0; j < product.columns / 8; j++) {
    for (int i = 0; i < 4; i++) {
      const unsigned row = 16 * warp + lane / 4 + 8 * (i / 2), column = 8 * j + lane % 4 * 2 + i % 2;
      const double value = product.values[size_t(row) * product.columns + column];
      uint32_t& sum = accumulators[4 * j + i];
      if (product.numbers == Numbers::s8) sum += static_cast<uint32_t>(static_cast<int64_t>(value));
      else sum = reinterpret<uint32_t>(static_cast<float>(reinterpret<float>(sum) + value));
    }
  }
}

// Gives a thread the results of its groups of products but the last `pending`.
void retire(Fiber& owner, Warpgroup& group, size_t pending) {
  while (owner.product_groups.size() > pending) {
    const size_t end = owner.product_groups.front();
    owner.product_groups.pop_front();
    while (!owner.products.empty() && owner.products.front().first < end) {
      const auto [number, accumulators] = owner.products.front();
      owner.products.pop_front();
      add(group.products[number - group.products_retired], owner.thread, owner.owned[accumulators]);
    }
  }
  // A later product goes on with the same accumulators: they stay wgmma's own.
  for (auto it = owner.owned.begin(); it != owner.owned.end();) {
    bool is_pending = false;
    for (const auto& [number, accumulators] : owner.products) is_pending |= accumulators == it->first;
    if (is_pending) {
      ++it;
      continue;
    }
    std::memcpy(it->first, it->second.data(), it->second.size() * sizeof(uint32_t));
    it = owner.owned.erase(it);
  }
}

}  // namespace

uint64_t wgmma_descriptor(const void* shared) {
  const auto* address = static_cast<const unsigned char*>(shared);
  const uint64_t offset = address - block->dynamic.start;
  if (offset >= block->dynamic.bytes) fail("a wgmma descriptor of what is not dynamic shared memory");
  check_swizzled("a wgmma descriptor");
  check_aligned(shared, 16, "wgmma operand");
  return ((offset + kWindow) >> 4 & 0x3fff) | 1ull << 16 | uint64_t{1024 >> 4} << 32 | 1ull << 62;
}

void wgmma_fence() { fiber->has_fenced_registers = true; }

void wgmma_issue(void* d, Numbers numbers, int columns, uint64_t a, uint64_t b, const uint32_t* registers) {
  Warpgroup& group = own_group();
  if (group.size != kWarpgroup) fail("wgmma in a warpgroup of fewer than 128 threads");
  if (!fiber->has_fenced_registers) fail("wgmma without qp_wgmma_fence since its accumulators were last in use");
  if (block->has_unfenced_writes)
    fail("wgmma reads shared memory that was written without qp_fence_async_proxy before qp_sync");
  const size_t number = fiber->products_issued++, place = number - group.products_retired;
  if (place == group.products.size()) group.products.push_back({numbers, columns, a, b, 0, {}, {}});
  Product& product = group.products[place];
  if (product.numbers != numbers || product.columns != columns || product.a != a || product.b != b)
    fail("its warpgroup is divided: threads issue wgmma of different shapes or descriptors");
  if (registers) {
    product.registers.resize(kWarpgroup);
    product.registers[fiber->thread % kWarpgroup] = registers;
  }
  const size_t bytes = columns / 2 * sizeof(uint32_t);
  if (!fiber->owned.count(d)) std::memcpy((fiber->owned[d] = std::vector<uint32_t>(columns / 2)).data(), d, bytes);
  std::memset(d, kGarbage, bytes);
  fiber->products.push_back({number, d});
  if (++product.askers == kWarpgroup && !schedule->reads_wgmma_operands_late) compute(product);
}

void wgmma_commit() { fiber->product_groups.push_back(fiber->products_issued); }

void wgmma_wait(int pending) {
  Warpgroup& group = own_group();
  const unsigned first = fiber->thread / kWarpgroup * kWarpgroup;
  fiber->has_fenced_registers = false;
  fiber->wait_leaves = pending;
  if (++group.arrived < group.size) return wait(Waits::kForWarpgroup);
  group.arrived = 0;
  // Only what must be there now is computed: the operands of the rest may still change, and should not.
  const auto& groups = fiber->product_groups;
  const size_t end = groups.size() > size_t(pending) ? groups[groups.size() - pending - 1] : 0;
  for (size_t number = group.products_retired; number < end; number++) {
    Product& product = group.products[number - group.products_retired];
    if (product.askers < kWarpgroup) fail("its warpgroup is divided: not all threads issued the same wgmma");
    if (product.values.empty()) compute(product);
  }
  size_t needed = SIZE_MAX;
  for (unsigned t = first; t < first + kWarpgroup; t++) {
    Fiber& owner = block->fibers[t];
    if (owner.wait_leaves != pending) fail("its warpgroup is divided: threads wait for different groups of wgmma");
    retire(owner, group, pending);
    needed = min(needed, owner.products.empty() ? owner.products_issued : owner.products.front().first);
  }
  while (group.products_retired < needed) {
    group.products.pop_front();
    group.products_retired++;
  }
  wake(Waits::kForWarpgroup, first, kWarpgroup);
}

void fence_async_proxy() { fiber->has_unfenced_writes = false; }

}  // namespace qp_emulator
