// Fibers: each CUDA thread has a stack of its own, and runs until it waits.

#include "engine.h"

#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define QP_SANITIZED(...) __VA_ARGS__
constexpr size_t kStackBytes = 256 * 1024;
#else
#define QP_SANITIZED(...)
constexpr size_t kStackBytes = 64 * 1024;
#endif

namespace qp_emulator {

Extents thread_index, block_index, block_extents, grid_extents;
unsigned lane_index;
Block* block;
Fiber* fiber;

namespace {

// Where the schedule goes on, and what the address sanitizer knows of its stack.
void* scheduler;
[[maybe_unused]] void* scheduler_state;
[[maybe_unused]] const void* scheduler_stack;
[[maybe_unused]] size_t scheduler_stack_bytes;

}  // namespace

// Saves the callee's registers on this stack and goes on where the other stack left off.
extern "C" void qp_emulator_switch(void** save, void* stack_pointer);

#if !defined(__x86_64__)
#error "the emulator switches stacks in x86-64 assembly: build it there"
#endif
asm(R"(
.text
.globl qp_emulator_switch
.type qp_emulator_switch, @function
qp_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size qp_emulator_switch, .-qp_emulator_switch
)");

void leave([[maybe_unused]] bool forever) {
  QP_SANITIZED(__sanitizer_start_switch_fiber(forever ? nullptr : &fiber->sanitizer_state, scheduler_stack,
                                              scheduler_stack_bytes);)
  qp_emulator_switch(&fiber->stack_pointer, scheduler);
  QP_SANITIZED(__sanitizer_finish_switch_fiber(fiber->sanitizer_state, &scheduler_stack,
                                               &scheduler_stack_bytes);)
}

void resume(Block& its_block, Fiber& resumed) {
  block = &its_block;
  fiber = &resumed;
  block_index = its_block.index;
  if (!show_late(resumed.has_waited)) {
    launch->failure = kTooEarly;
    return;
  }
  const unsigned t = resumed.thread;
  thread_index = {t % block_extents.x, t / block_extents.x % block_extents.y, t / block_extents.x / block_extents.y};
  lane_index = t % kWarp;
  QP_SANITIZED(__sanitizer_start_switch_fiber(&scheduler_state, resumed.stack, kStackBytes);)
  qp_emulator_switch(&scheduler, resumed.stack_pointer);
  QP_SANITIZED(__sanitizer_finish_switch_fiber(scheduler_state, nullptr, nullptr);)
}

namespace {

void begin() {
  QP_SANITIZED(__sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_bytes);)
  launch->call(launch->arguments);
  end_copies();
  if (!fiber->product_groups.empty() || !fiber->products.empty()) fail("it ends before a wgmma that it issued");
  if (block->alive == 1) end_boxes(), check_borders();
  if (block->alive == 1 && !late.empty() && !block->has_waited) fail("its block ends without qp_wait_for_kernel_before");
  fiber->waits = Waits::kForever;
  block->alive--;
  leave(true);
  std::abort();
}

// Stacks are kept from launch to launch; the system gives memory only to the pages that are used.
char* stack_of(size_t number) {
  static std::vector<char*> stacks;
  while (stacks.size() <= number) {
    void* made = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (made == MAP_FAILED) std::abort();
    stacks.push_back(static_cast<char*>(made));
  }
  return stacks[number];
}

}  // namespace

void prepare_fiber(Fiber& started, unsigned thread, size_t stack_number) {
  char* const stack = stack_of(stack_number);
  started = Fiber{};
  started.thread = thread;
  started.stack = stack;
  QP_SANITIZED(__asan_unpoison_memory_region(stack, kStackBytes);)
  // As qp_emulator_switch leaves a stack: six registers, and where to return to. A function starts 8 bytes off 16.
  void** top = reinterpret_cast<void**>(stack + kStackBytes);
  top[-1] = nullptr;
  top[-2] = reinterpret_cast<void*>(&begin);
  for (int i = 3; i <= 8; i++) top[-i] = nullptr;
  started.stack_pointer = top - 8;
}

void fail(const char* words) {
  if (launch->failure.empty()) {
    char place[400];
    std::snprintf(place, sizeof place, "block (%u, %u, %u), thread %u: %s", block_index.x, block_index.y,
                  block_index.z, fiber->thread, words);
    launch->failure = place;
  }
  fiber->waits = Waits::kForever;
  leave(true);
  std::abort();
}

void wait(Waits what) {
  fiber->waits = what;
  leave(false);
}

void wake(Waits what, unsigned first_thread, unsigned threads) {
  for (unsigned t = first_thread; t < first_thread + threads; t++)
    if (block->fibers[t].waits == what) block->fibers[t].waits = Waits::kForNothing;
}

void pause() { leave(false); }

// A thread that has ended never arrives: hardware may let it pass, but CUDA does not promise so.
void sync_block() {
  block->has_unfenced_writes |= fiber->has_unfenced_writes;
  if (++block->arrived < block->fibers.size()) return wait(Waits::kForBlock);
  block->arrived = 0;
  join_late(block->fibers, 0, block->fibers.size());
  wake(Waits::kForBlock, 0, block->fibers.size());
}

void sync_first(unsigned threads) {
  if (fiber->thread >= threads) fail("a thread waits in qp_sync_first that is not among the first");
  block->has_unfenced_writes |= fiber->has_unfenced_writes;
  if (++block->arrived_first < threads) return wait(Waits::kForFirst);
  block->arrived_first = 0;
  join_late(block->fibers, 0, threads);
  wake(Waits::kForFirst, 0, threads);
}

void sync_cluster() {
  block->has_unfenced_writes |= fiber->has_unfenced_writes;
  Block& first = *block->cluster[0];
  if (++first.arrived_cluster < block->cluster.size() * block->fibers.size()) return wait(Waits::kForCluster);
  first.arrived_cluster = 0;
  bool has_waited = false;
  for (Block* each : block->cluster)
    for (const Fiber& other : each->fibers) has_waited |= other.has_waited;
  join_late(has_waited);
  for (Block* each : block->cluster)
    for (Fiber& other : each->fibers)
      if (other.waits == Waits::kForCluster) other.waits = Waits::kForNothing, other.has_waited |= has_waited;
}

}  // namespace qp_emulator
