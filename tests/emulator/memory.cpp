// Shared memory, and the copies to it that land late.

#include <cstdio>
#include <cstdlib>

#include "engine.h"

namespace qp_emulator {

void check_aligned(const void* address, int bytes, const char* what) {
  if (reinterpret_cast<uintptr_t>(address) % bytes == 0) return;
  char words[120];
  std::snprintf(words, sizeof words, "a %s of %d bytes at %p, which is not aligned to them", what, bytes, address);
  fail(words);
}

namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr size_t kBorder = 0;
#else
constexpr size_t kBorder = 4096;
#endif
constexpr unsigned char kBorderByte = 0xcb;

// Allocated anew for each block, with not a byte to spare, so that the address sanitizer sees what lies beyond.
Shared allocate(size_t bytes) {
  void* made = nullptr;
  if (posix_memalign(&made, 1024, max<size_t>(bytes + 2 * kBorder, 1))) std::abort();
  Shared shared;
  shared.storage.reset(static_cast<unsigned char*>(made));
  shared.start = shared.storage.get() + kBorder;
  shared.bytes = bytes;
  std::memset(made, kBorderByte, bytes + 2 * kBorder);
  std::memset(shared.start, kGarbage, bytes);
  return shared;
}

// Whether all bytes are that one: the first is, and each is like the one behind it. A loop would take most of a long run.
bool is_filled(const unsigned char* start, size_t bytes, unsigned char byte) {
  return bytes == 0 || (*start == byte && std::memcmp(start, start + 1, bytes - 1) == 0);
}

bool is_whole(const Shared& shared) {
  return is_filled(shared.start - kBorder, kBorder, kBorderByte) &&
         is_filled(shared.start + shared.bytes, kBorder, kBorderByte);
}

bool lies_in(const Shared& shared, const void* address, size_t bytes) {
  const auto* first = static_cast<const unsigned char*>(address);
  return first >= shared.start && first + bytes <= shared.start + shared.bytes;
}

}  // namespace

void start_memory(Block& started, size_t dynamic_bytes) {
  started.objects.clear();
  started.dynamic = allocate(dynamic_bytes);
}

// At the end of the last thread of the block.
void check_borders() {
  bool are_whole = is_whole(block->dynamic);
  for (const auto& [identity, object] : block->objects) are_whole &= is_whole(object);
  if (!are_whole) fail("its block wrote before or behind its shared memory");
}

unsigned char* shared_dynamic(bool is_swizzled) {
  block->is_swizzled |= is_swizzled;
  return block->dynamic.start;
}

void check_swizzled(const char* what) {
  if (!block->is_swizzled) fail((std::string(what) + " in shared memory that is not QP_SHARED_SWIZZLED").c_str());
}

void* shared_object(const void* identity, size_t bytes) {
  Shared& object = block->objects[identity];
  if (!object.storage) object = allocate(bytes);
  return object.start;
}

bool is_shared(const void* address, size_t bytes) {
  if (lies_in(block->dynamic, address, bytes)) return true;
  for (const auto& [identity, object] : block->objects)
    if (lies_in(object, address, bytes)) return true;
  return false;
}

void* find_in(Block& other, const void* address) {
  const auto* byte = static_cast<const unsigned char*>(address);
  if (lies_in(block->dynamic, address, 1)) return other.dynamic.start + (byte - block->dynamic.start);
  for (const auto& [identity, object] : block->objects) {
    const auto found = other.objects.find(identity);
    if (lies_in(object, address, 1) && found != other.objects.end())
      return found->second.start + (byte - object.start);
  }
  return nullptr;
}

bool show_late(bool has_waited) {
  static bool is_shown = true;
  if (late.empty()) is_shown = true;
  if (late.empty() || has_waited == is_shown) return true;
  is_shown = has_waited;
  bool are_whole = true;
  for (Late& each : late) {
    const size_t bytes = each.content.size();
    if (!has_waited) {
      if (each.is_written) std::memcpy(each.content.data(), each.start, bytes);
      std::memset(each.start, kGarbage, bytes);
      continue;
    }
    are_whole &= is_filled(each.start, bytes, kGarbage);
    std::memcpy(each.start, each.content.data(), bytes);
  }
  return are_whole;
}

bool is_before_late() { return !late.empty() && !fiber->has_waited; }

void join_late(bool has_waited) {
  if (!has_waited || fiber->has_waited) return;
  fiber->has_waited = true;
  if (!show_late(true)) fail(kTooEarly);
}

void join_late(std::vector<Fiber>& fibers, unsigned first_thread, unsigned threads) {
  bool has_waited = false;
  for (unsigned t = first_thread; t < first_thread + threads; t++) has_waited |= fibers[t].has_waited;
  join_late(has_waited);
  for (unsigned t = first_thread; t < first_thread + threads; t++) fibers[t].has_waited |= has_waited;
}

void wait_for_kernel_before() {
  block->has_waited = true;
  if (late.empty() || schedule->waits_by_lanes) return join_late(true);
  // As a warp of a card does: all of its lanes come here before one goes on. It goes on with what was late.
  fiber->has_waited = true;
  pause();
}

namespace {

void land(const Copy& copy) {
  std::memcpy(copy.shared, copy.bytes, copy.size);
  fiber->has_unfenced_writes = true;
}

}  // namespace

void note_store(const void* address, size_t bytes) {
  if (lies_in(block->dynamic, address, bytes)) fiber->has_unfenced_writes = true;
}

void copy_async(void* shared, const void* global, int size, int bytes, bool is_late) {
  check_aligned(shared, size, "copy to shared memory");
  check_aligned(global, size, "copy from global memory");
  if (bytes < 0 || bytes > size) fail("an asynchronous copy of fewer bytes than 0 or more than its size");
  if (!is_shared(shared, size)) fail("an asynchronous copy to where there is no shared memory");
  Copy copy{static_cast<unsigned char*>(shared), size, {}};
  std::memcpy(copy.bytes, global, bytes);
  if (!is_late) return land(copy);
  // Until it lands, nobody may count on what was there before.
  std::memset(shared, kGarbage, size);
  fiber->open_copies.push_back(copy);
}

void copy_commit() {
  fiber->copies.push_back(std::move(fiber->open_copies));
  fiber->open_copies.clear();
}

void copy_wait(int pending) {
  while (fiber->copies.size() > static_cast<size_t>(pending)) {
    for (const Copy& copy : fiber->copies.front()) land(copy);
    fiber->copies.pop_front();
  }
}

void end_copies() {
  if (!fiber->open_copies.empty()) fail("it ends with asynchronous copies that it did not commit");
  for (const auto& group : fiber->copies)
    if (!group.empty()) fail("it ends with asynchronous copies that it did not wait for");
}

}  // namespace qp_emulator
