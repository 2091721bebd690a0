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

void start_memory(Block& started, size_t dynamic_bytes) {
  started.objects.clear();
  // Allocated anew, with no byte to spare at its end, so that the address sanitizer sees what lies beyond.
  void* made = nullptr;
  if (posix_memalign(&made, 1024, max<size_t>(dynamic_bytes, 1))) std::abort();
  std::memset(made, kGarbage, dynamic_bytes);
  started.dynamic.reset(static_cast<unsigned char*>(made));
  started.dynamic_bytes = dynamic_bytes;
}

unsigned char* shared_dynamic() { return block->dynamic.get(); }

void* shared_object(const void* identity, size_t bytes) {
  auto& [storage, its_bytes] = block->objects[identity];
  if (!storage) {
    storage.reset(new unsigned char[bytes]);
    its_bytes = bytes;
    std::memset(storage.get(), kGarbage, bytes);
  }
  return storage.get();
}

bool is_shared(const void* address, size_t bytes) {
  const auto* first = static_cast<const unsigned char*>(address);
  const auto lies_in = [&](const unsigned char* start, size_t room) {
    return first >= start && first + bytes <= start + room;
  };
  if (lies_in(block->dynamic.get(), block->dynamic_bytes)) return true;
  for (const auto& [identity, object] : block->objects)
    if (lies_in(object.first.get(), object.second)) return true;
  return false;
}

namespace {

void land(const Copy& copy) {
  std::memcpy(copy.shared, copy.bytes, copy.size);
  fiber->has_unfenced_writes = true;
}

}  // namespace

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
