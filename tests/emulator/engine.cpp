// Runs the blocks of a launch: fibers, the order in which they run, and what is said when they cannot.

#include "engine.h"

#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <sys/mman.h>
#include <sys/time.h>

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
const Schedule* schedule;
unsigned bank_conflicts;

namespace {

// Each is bad in its own way. In turn: all warps advance together, two blocks at a time. Eager: the first warps are
// far ahead. Reversed: the last ones are. Random: anything, with lanes out of step.
constexpr Schedule kSchedules[] = {
    {"in_turn", 2, false, false, false, true},
    {"eager", 1, true, false, false, false},
    {"reversed", 3, true, true, false, true},
    {"random", 3, false, false, true, false},
};

struct Launch {
  void (*call)(void**);
  void** arguments;
  size_t dynamic_bytes;
  unsigned threads;
  size_t blocks, started;
  std::mt19937 random;
  std::string failure;
  void* scheduler;
  void* scheduler_state;
  const void* scheduler_stack;
  size_t scheduler_stack_bytes;
};

Launch* launch;
sigjmp_buf after_signal;

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

namespace {

void leave([[maybe_unused]] bool forever) {
  QP_SANITIZED(__sanitizer_start_switch_fiber(forever ? nullptr : &fiber->sanitizer_state, launch->scheduler_stack,
                                              launch->scheduler_stack_bytes);)
  qp_emulator_switch(&fiber->stack_pointer, launch->scheduler);
  QP_SANITIZED(__sanitizer_finish_switch_fiber(fiber->sanitizer_state, &launch->scheduler_stack,
                                               &launch->scheduler_stack_bytes);)
}

void resume(Block& its_block, Fiber& resumed) {
  block = &its_block;
  fiber = &resumed;
  block_index = its_block.index;
  const unsigned t = resumed.thread;
  thread_index = {t % block_extents.x, t / block_extents.x % block_extents.y, t / block_extents.x / block_extents.y};
  lane_index = t % kWarp;
  QP_SANITIZED(__sanitizer_start_switch_fiber(&launch->scheduler_state, resumed.stack, kStackBytes);)
  qp_emulator_switch(&launch->scheduler, resumed.stack_pointer);
  QP_SANITIZED(__sanitizer_finish_switch_fiber(launch->scheduler_state, nullptr, nullptr);)
}

void begin() {
  QP_SANITIZED(__sanitizer_finish_switch_fiber(nullptr, &launch->scheduler_stack, &launch->scheduler_stack_bytes);)
  launch->call(launch->arguments);
  end_copies();
  if (!fiber->product_groups.empty() || !fiber->products.empty()) fail("it ends before a wgmma that it issued");
  if (block->alive == 1) check_borders();
  fiber->waits = Waits::kForever;
  block->alive--;
  leave(true);
  std::abort();
}

void prepare(Fiber& started, unsigned thread, char* stack) {
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

void start(Block& started, size_t number, size_t slot) {
  const size_t index = schedule->is_reversed ? launch->blocks - 1 - number : number;
  const size_t plane = size_t{grid_extents.x} * grid_extents.y;
  started.index = {unsigned(index % grid_extents.x), unsigned(index % plane / grid_extents.x), unsigned(index / plane)};
  started.arrived = 0;
  started.alive = launch->threads;
  started.has_unfenced_writes = false;
  started.fibers.resize(launch->threads);
  started.warps.resize((launch->threads + kWarp - 1) / kWarp);
  started.warpgroups.assign((launch->threads + kWarpgroup - 1) / kWarpgroup, Warpgroup{});
  for (unsigned t = 0; t < launch->threads; t++) {
    prepare(started.fibers[t], t, stack_of(slot * launch->threads + t));
    started.warpgroups[t / kWarpgroup].size++;
  }
  for (unsigned w = 0; w < started.warps.size(); w++) {
    started.warps[w].size = min(kWarp, launch->threads - w * kWarp);
    started.warps[w].arrived = 0;
  }
  start_memory(started, launch->dynamic_bytes);
}

// Lets every thread of a warp that can run do so until it waits; says whether one could.
bool run_warp(Block& its_block, unsigned warp) {
  const unsigned size = its_block.warps[warp].size;
  unsigned first = schedule->is_reversed ? size - 1 : 0, step = schedule->is_reversed ? size - 1 : 1;
  if (schedule->is_random) {
    first = launch->random() % size;
    step = launch->random() % 2 ? 1 : size - 1;
  }
  bool could = false;
  for (unsigned i = 0; i < size && launch->failure.empty(); i++) {
    Fiber& next = its_block.fibers[warp * kWarp + (first + i * step) % size];
    if (next.waits != Waits::kForNothing) continue;
    could = true;
    resume(its_block, next);
  }
  return could;
}

bool can_run(const Block& its_block, unsigned warp) {
  for (unsigned i = 0; i < its_block.warps[warp].size; i++)
    if (its_block.fibers[warp * kWarp + i].waits == Waits::kForNothing) return true;
  return false;
}

std::string describe_deadlock(const Block& its_block) {
  unsigned at_barrier = 0, at_warp = 0, at_group = 0, ended = 0;
  for (const Fiber& each : its_block.fibers) {
    at_barrier += each.waits == Waits::kForBlock;
    at_warp += each.waits == Waits::kForWarp;
    at_group += each.waits == Waits::kForWarpgroup;
    ended += each.waits == Waits::kForever;
  }
  const char* operation = "";
  for (const Warp& warp : its_block.warps)
    if (warp.arrived) operation = warp.operation;
  char words[300];
  std::snprintf(words, sizeof words,
                "block (%u, %u, %u): nobody can go on: %u threads wait in qp_sync, %u in an operation of their warp "
                "(%s), %u in qp_wgmma_wait, and %u have ended", its_block.index.x, its_block.index.y,
                its_block.index.z, at_barrier, at_warp, operation, at_group, ended);
  return words;
}

void run_blocks() {
  std::vector<Block> blocks(min<size_t>(schedule->blocks_at_once, launch->blocks));
  size_t running = 0;
  for (Block& each : blocks) {
    start(each, launch->started, running++);
    launch->started++;
  }
  while (running && launch->failure.empty()) {
    bool could = false;
    for (Block& each : blocks) {
      if (!each.alive) continue;
      for (unsigned w = 0; w < each.warps.size() && launch->failure.empty(); w++) {
        const unsigned warp = schedule->is_reversed ? each.warps.size() - 1 - w : w;
        if (schedule->is_random && launch->random() % 4) {
          could = could || can_run(each, warp);
          continue;
        }
        while (run_warp(each, warp)) {
          could = true;
          if (!schedule->runs_warps_until_they_wait || !launch->failure.empty()) break;
        }
      }
      if (each.alive || !launch->failure.empty()) continue;
      if (launch->started < launch->blocks) start(each, launch->started++, &each - blocks.data());
      else running--;
      could = true;
    }
    if (could || !launch->failure.empty()) continue;
    for (const Block& each : blocks)
      if (each.alive) launch->failure = describe_deadlock(each);
  }
}

void on_signal(int signal, siginfo_t* information, void*) {
  char words[160];
  if (signal == SIGVTALRM) {
    std::snprintf(words, sizeof words, "it does not end");
  } else {
    std::snprintf(words, sizeof words, "it reads or writes address %p, where there is no memory", information->si_addr);
  }
  if (launch->failure.empty()) {
    char place[260];
    std::snprintf(place, sizeof place, "block (%u, %u, %u), thread %u: %s", block_index.x, block_index.y,
                  block_index.z, fiber ? fiber->thread : 0, words);
    launch->failure = place;
  }
  siglongjmp(after_signal, 1);
}

// Turns a fault and a time of processor that runs out into an answer; the address sanitizer has its own.
class Guard {
 public:
  explicit Guard(unsigned seconds) {
#ifndef __SANITIZE_ADDRESS__
    static char alternate[64 * 1024];
    stack_t stack{};
    stack.ss_sp = alternate;
    stack.ss_size = sizeof alternate;
    sigaltstack(&stack, &stack_before_);
    struct sigaction action{};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (int i = 0; i < 3; i++) sigaction(kSignals[i], &action, &before_[i]);
    itimerval timer{};
    timer.it_value.tv_sec = seconds;
    setitimer(ITIMER_VIRTUAL, &timer, nullptr);
#endif
  }

  ~Guard() {
#ifndef __SANITIZE_ADDRESS__
    const itimerval never{};
    setitimer(ITIMER_VIRTUAL, &never, nullptr);
    for (int i = 0; i < 3; i++) sigaction(kSignals[i], &before_[i], nullptr);
    sigaltstack(&stack_before_, nullptr);
#endif
  }

 private:
  static constexpr int kSignals[3] = {SIGSEGV, SIGBUS, SIGVTALRM};
  [[maybe_unused]] struct sigaction before_[3];
  [[maybe_unused]] stack_t stack_before_;
};

}  // namespace

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
  wake(Waits::kForBlock, 0, block->fibers.size());
}

}  // namespace qp_emulator

// How often rows of ldmatrix had to wait for one another in the last launch.
extern "C" unsigned qp_emulator_bank_conflicts() { return qp_emulator::bank_conflicts; }

// Runs a launch. Returns 0, or 1 with what went wrong in `words`.
extern "C" int qp_emulator_launch(void (*call)(void**), const unsigned* grid, const unsigned* threads,
                                  size_t dynamic_bytes, const char* schedule_name, unsigned seed, unsigned seconds,
                                  void** arguments, char* words, size_t words_bytes) {
  using namespace qp_emulator;
  bank_conflicts = 0;
  schedule = nullptr;
  for (const Schedule& each : kSchedules)
    if (!std::strcmp(each.name, schedule_name)) schedule = &each;
  if (!schedule) {
    std::snprintf(words, words_bytes, "there is no schedule %s", schedule_name);
    return 1;
  }
  Launch launched{};
  launched.call = call;
  launched.arguments = arguments;
  launched.dynamic_bytes = dynamic_bytes;
  launched.threads = threads[0] * threads[1] * threads[2];
  launched.blocks = size_t{grid[0]} * grid[1] * grid[2];
  launched.random.seed(seed);
  launch = &launched;
  grid_extents = {grid[0], grid[1], grid[2]};
  block_extents = {threads[0], threads[1], threads[2]};
  fiber = nullptr;
  {
    const Guard guard(seconds);
    if (!sigsetjmp(after_signal, 1)) run_blocks();
  }
  launch = nullptr;
  std::snprintf(words, words_bytes, "%s", launched.failure.c_str());
  return launched.failure.empty() ? 0 : 1;
}
