// What the parts of the emulator know of each other: fibers, warps, warpgroups and blocks.

#pragma once

#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cuda_emulator.h"

namespace qp_emulator {

constexpr unsigned kWarp = 32;
constexpr unsigned kWarpgroup = 128;
// Not a number in every floating type, and -1 in the integers.
constexpr unsigned char kGarbage = 0xff;

enum class Waits { kForNothing, kForBlock, kForFirst, kForCluster, kForWarp, kForWarpgroup, kForBarrier, kForever };

struct Copy {
  unsigned char* shared;
  int size;
  unsigned char bytes[16];
};

// A product of a warpgroup, from the first thread that asks for it until the wait.
struct Product {
  Numbers numbers;
  int columns;
  uint64_t a, b;
  unsigned askers;
  std::vector<double> values;
  // Of a first operand in registers: where each thread has its own.
  std::vector<const uint32_t*> registers;
};

// What the copy engine was told to bring: rows of a matrix, to an offset in dynamic shared memory.
struct Box {
  uint64_t address, rows, row_bytes, byte, row, box_rows, offset;
};

// And bytes that lie one behind another; as they were, if they were asked for before the wait for the kernel before.
struct Bulk {
  unsigned char* shared;
  const void* global;
  int bytes;
  std::vector<unsigned char> as_they_were;
};

// The current phase of a barrier: arrivals that it still needs, and bytes that were announced and are under way.
struct Barrier {
  unsigned arrivals, pending, parity, waiting, maker;
  int64_t announced, under_way;
  bool is_fenced, is_reached_from_afar, has_waited;
  std::vector<Box> boxes;
  std::vector<Bulk> bulks;
};

struct Fiber {
  unsigned thread;
  Waits waits;
  const void* awaited;
  void* stack_pointer;
  char* stack;
  void* sanitizer_state;

  std::vector<Copy> open_copies;
  std::deque<std::vector<Copy>> copies;

  // Accumulators that wgmma owns, as they were when it took them, and the products to be added: (number, accumulators).
  std::map<void*, std::vector<uint32_t>> owned;
  std::deque<std::pair<size_t, void*>> products;
  std::deque<size_t> product_groups;  // The number of products issued before each commit that is not waited for.
  size_t products_issued;
  int wait_leaves;
  bool has_fenced_registers;
  bool has_unfenced_writes;
  bool has_waited;  // For the kernel before, or for a thread that has.
};

struct Lane {
  uint32_t in[8];
  const void* address;
  uint32_t out[4];
};

struct Warp {
  unsigned size, arrived;
  const char* operation;
  Lane lanes[kWarp];
};

struct Warpgroup {
  unsigned size, arrived;
  std::deque<Product> products;
  size_t products_retired;
};

// A piece of shared memory. Its borders show whether somebody wrote there; the address sanitizer needs none.
struct Shared {
  std::unique_ptr<unsigned char, decltype(&std::free)> storage{nullptr, &std::free};
  unsigned char* start = nullptr;
  size_t bytes = 0;
};

struct Block {
  Extents index;
  // The blocks of its cluster, by their rank: itself, and where it has one its neighbour.
  std::vector<Block*> cluster;
  unsigned arrived_cluster;  // Of all of them, counted at the first.
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  std::vector<Warpgroup> warpgroups;
  unsigned arrived, arrived_first, alive;
  bool has_unfenced_writes;
  bool has_waited;  // Any of its threads, for the kernel before.

  Shared dynamic;
  bool is_swizzled;  // Declared to begin where swizzles do.
  std::map<const void*, Shared> objects;
  std::map<const void*, Barrier> barriers;
};

// Memory of which the kernel before may not be through: threads that have not waited for it, nor for one that has, find garbage
// there, and must not write.
struct Late {
  unsigned char* start;
  std::vector<unsigned char> content;
  bool is_written;
};

struct Schedule {
  const char* name;
  unsigned blocks_at_once;
  bool runs_first_warps_first;
  bool is_reversed;
  bool is_random;
  bool runs_first_lanes_first;
  bool reads_wgmma_operands_late;
  bool boxes_land_early;
  bool waits_by_lanes;  // For the kernel before.
};

// What is being run.
struct Launch {
  void (*call)(void**);
  void** arguments;
  size_t dynamic_bytes;
  unsigned threads, cluster;
  size_t blocks, started;
  std::mt19937 random;
  std::string failure;
};

extern Launch* launch;
// Of the launch; none where the kernel before has ended.
extern std::vector<Late> late;
extern Block* block;
extern Fiber* fiber;
extern const Schedule* schedule;
// Of ldmatrix, in this launch.
extern unsigned bank_conflicts;

// Makes a fiber that will run the launch's kernel on the stack of that number.
void prepare_fiber(Fiber& started, unsigned thread, size_t stack_number);
// Goes on with a fiber until it waits.
void resume(Block& its_block, Fiber& resumed);
// The running fiber goes back to the schedule; for the last time, or not.
void leave(bool forever);

// The running fiber stops until `wake` of the same kind.
void wait(Waits what);
void wake(Waits what, unsigned first_thread, unsigned threads);

// Memory of the block: whether all bytes are its own.
bool is_shared(const void* address, size_t bytes);
// Where another block has what is at an address of shared memory of this one; nullptr if it has nothing there.
void* find_in(Block& other, const void* address);

void start_memory(Block& started, size_t dynamic_bytes);
void check_borders();

constexpr char kTooEarly[] = "a thread has written before qp_wait_for_kernel_before";
// Before a thread goes on: what is late is there for those alone that have waited. Says whether others have left it alone.
bool show_late(bool has_waited);
// Whether the running thread has yet to wait for it.
bool is_before_late();
// The running thread meets others: if one has waited, all have.
void join_late(bool has_waited);
void join_late(std::vector<Fiber>& fibers, unsigned first_thread, unsigned threads);

// Runs it, and turns faults of memory and a time of processor that runs out into the launch's failure.
void run_guarded(void (*run)(), unsigned seconds);
void end_copies();
void end_boxes();

}  // namespace qp_emulator
