// The copy engine and its barriers: boxes land when somebody waits for them and all that the phase needs is there; in some
// schedules as soon as it is. Until then the memory that they go to is garbage.

#include "engine.h"

namespace qp_emulator {

namespace {

constexpr uint64_t kMark = 0x50414d52534e4554;
constexpr unsigned kChunk = 16, kRowBytes = 128;

// As tests/emulator/maps.py encodes it.
struct Map {
  uint64_t mark, address, rows, row_bytes;
  uint32_t box_rows, box_bytes;
};

Barrier& find(const void* address) {
  const auto found = block->barriers.find(address);
  if (found == block->barriers.end()) fail("a barrier that nobody has made");
  return found->second;
}

void land(const Box& box) {
  const auto* rows = reinterpret_cast<const unsigned char*>(box.address);
  for (uint64_t i = 0; i < box.box_rows; i++) {
    for (uint64_t byte = 0; byte < kRowBytes; byte++) {
      const uint64_t row = box.row + i, column = box.byte + byte;
      const bool is_inside = row < box.rows && column < box.row_bytes;
      uint64_t to = box.offset + i * kRowBytes + byte;
      to ^= (to / kRowBytes % 8) * kChunk;
      block->dynamic.start[to] = is_inside ? rows[row * box.row_bytes + column] : 0;
    }
  }
}

// Ends the phase if all is there that it needs.
void settle(const void* address, Barrier& barrier, bool somebody_waits) {
  if (barrier.pending || barrier.announced != barrier.under_way) return;
  if (barrier.under_way && !somebody_waits && !schedule->boxes_land_early) return;
  // What was asked for behind the wait for the kernel before lands in anybody's time.
  if (!show_late(true)) fail(kTooEarly);
  for (const Box& box : barrier.boxes) land(box);
  for (const Bulk& bulk : barrier.bulks)
    std::memcpy(bulk.shared, bulk.as_they_were.empty() ? bulk.global : bulk.as_they_were.data(), bulk.bytes);
  show_late(!is_before_late());
  barrier.boxes.clear();
  barrier.bulks.clear();
  barrier.announced = barrier.under_way = 0;
  barrier.pending = barrier.arrivals;
  barrier.parity ^= 1;
  barrier.waiting = 0;
  for (Fiber& each : block->fibers)
    if (each.waits == Waits::kForBarrier && each.awaited == address) each.waits = Waits::kForNothing;
}

// What is done while it lives is done in another block of the cluster.
class Visit {
 public:
  explicit Visit(Block* other) : own_(block) {
    if (!other->alive) fail("it reaches into the shared memory of a block that has ended");
    block = other;
  }
  ~Visit() { block = own_; }

 private:
  Block* own_;
};

// Calls `copy` in each block of the cluster, with the places there.
template <class Copy>
void copy_to_all(void* shared, void* address, Copy copy) {
  for (Block* each : block->cluster) {
    void* const there = find_in(*each, address);
    if (!there) fail("a barrier that the other block does not have yet");
    void* const to = find_in(*each, shared);
    const Visit visit(each);
    copy(to, there);
  }
}

}  // namespace

void make_barrier(void* address, int arrivals) {
  check_aligned(address, 8, "barrier");
  if (!is_shared(address, 8)) fail("a barrier that is not in shared memory");
  if (arrivals < 1) fail("a barrier that nobody arrives at");
  if (block->barriers.count(address)) fail("a barrier that is made twice");
  Barrier made{};
  made.arrivals = made.pending = arrivals;
  made.maker = fiber->thread;
  block->barriers[address] = made;
}

void fence_barriers() {
  for (auto& [address, barrier] : block->barriers)
    if (barrier.maker == fiber->thread) barrier.is_fenced = true;
}

void arrive(void* address, int bytes) {
  Barrier& barrier = find(address);
  if (bytes && !barrier.is_fenced) fail("the copy engine may not see a barrier without qp_fence_barriers");
  if (!barrier.pending) settle(address, barrier, true);
  if (!barrier.pending) fail("more threads arrive at a barrier than it was made for");
  barrier.pending--;
  barrier.has_waited |= fiber->has_waited;
  barrier.announced += bytes;
  settle(address, barrier, barrier.waiting);
}

void arrive_at(void* address, unsigned rank) {
  if (rank >= block->cluster.size()) fail("a cluster has no block of that rank");
  Block* const other = block->cluster[rank];
  void* const there = find_in(*other, address);
  if (!there) fail("a barrier that the other block does not have yet");
  const bool is_afar = other != block;
  const Visit visit(other);
  find(there).is_reached_from_afar |= is_afar;
  arrive(there, 0);
}

void wait_barrier(void* address, unsigned parity, bool is_of_cluster) {
  Barrier& barrier = find(address);
  if (barrier.is_reached_from_afar && !is_of_cluster)
    fail("a wait for threads of another block that does not see what they did before");
  while (barrier.parity == parity) {
    settle(address, barrier, true);
    if (barrier.parity != parity) break;
    barrier.waiting++;
    fiber->awaited = address;
    wait(Waits::kForBarrier);
  }
  join_late(barrier.has_waited);
}

void copy_box(void* shared, const void* map, int byte, int row, void* address) {
  Barrier& barrier = find(address);
  if (!barrier.is_fenced) fail("the copy engine may not see a barrier without qp_fence_barriers");
  Map read;
  std::memcpy(&read, map, sizeof read);
  if (read.mark != kMark) fail("a box of what is no tensor map");
  if (read.box_bytes != kRowBytes) fail("a box whose rows do not have the 128 bytes that are swizzled");
  if (byte < 0 || row < 0) fail("a box that begins before its matrix");
  check_aligned(shared, 128, "box");
  const int bytes = read.box_rows * kRowBytes;
  const auto* to = static_cast<unsigned char*>(shared);
  if (to < block->dynamic.start || to + bytes > block->dynamic.start + block->dynamic.bytes)
    fail("a box that goes beyond dynamic shared memory");
  check_swizzled("a box");
  if (is_before_late()) fail("a box before qp_wait_for_kernel_before, of which the emulator does not know what it may read");
  std::memset(shared, kGarbage, bytes);
  barrier.boxes.push_back({read.address, read.rows, read.row_bytes, uint64_t(byte), uint64_t(row), read.box_rows,
                           uint64_t(to - block->dynamic.start)});
  barrier.under_way += bytes;
  settle(address, barrier, barrier.waiting);
}

void copy_box_to_all(void* shared, const void* map, int byte, int row, void* address) {
  copy_to_all(shared, address, [&](void* to, void* there) { copy_box(to, map, byte, row, there); });
}

void copy_bulk(void* shared, const void* global, int bytes, void* address) {
  Barrier& barrier = find(address);
  if (!barrier.is_fenced) fail("the copy engine may not see a barrier without qp_fence_barriers");
  check_aligned(shared, 16, "bulk copy");
  check_aligned(global, 16, "bulk copy");
  if (bytes < 16 || bytes % 16) fail("a bulk copy of what is no multiple of 16 bytes");
  if (!is_shared(shared, bytes)) fail("a bulk copy to where there is no shared memory");
  std::memset(shared, kGarbage, bytes);
  barrier.bulks.push_back({static_cast<unsigned char*>(shared), global, bytes, {}});
  const auto* from = static_cast<const unsigned char*>(global);
  if (is_before_late()) barrier.bulks.back().as_they_were.assign(from, from + bytes);
  barrier.under_way += bytes;
  settle(address, barrier, barrier.waiting);
}

void copy_bulk_to_all(void* shared, const void* global, int bytes, void* address) {
  copy_to_all(shared, address, [&](void* to, void* there) { copy_bulk(to, global, bytes, there); });
}

void end_boxes() {
  for (const auto& [address, barrier] : block->barriers)
    if (barrier.under_way) fail("its block ends before what it copied has landed");
}

}  // namespace qp_emulator
