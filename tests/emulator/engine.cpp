// Runs the blocks of a launch: in which order threads and blocks run, and what is said when none can.

#include "engine.h"

#include <algorithm>
#include <cstdio>

namespace qp_emulator {

Launch* launch;
std::vector<Late> late;
const Schedule* schedule;
unsigned bank_conflicts;

namespace {

// Each is bad in its own way. In turn: all warps advance together, two blocks at a time. Eager: others run only when the first
// cannot. Reversed: when the last cannot. Random: anything, with lanes out of step. Ahead: the first lane of each warp goes on
// as long as it can, before the others do anything. In the last two lanes wait for the kernel before each by itself.
constexpr Schedule kSchedules[] = {
    {"in_turn", 2, false, false, false, false, true, false, false},
    {"eager", 1, true, false, false, false, false, true, false},
    {"reversed", 3, true, true, false, false, true, false, false},
    {"random", 3, false, false, true, false, false, true, true},
    {"ahead", 1, false, false, false, true, false, true, true},
};

void start(Block& started, size_t number, size_t slot, const std::vector<Block*>& cluster) {
  const size_t index = schedule->is_reversed ? launch->blocks - 1 - number : number;
  const size_t plane = size_t{grid_extents.x} * grid_extents.y;
  started.index = {unsigned(index % grid_extents.x), unsigned(index % plane / grid_extents.x), unsigned(index / plane)};
  started.cluster = cluster;
  started.arrived = started.arrived_first = started.arrived_cluster = 0;
  started.alive = launch->threads;
  started.has_unfenced_writes = started.has_waited = false;
  started.barriers.clear();
  started.fibers.resize(launch->threads);
  started.warps.resize((launch->threads + kWarp - 1) / kWarp);
  started.warpgroups.assign((launch->threads + kWarpgroup - 1) / kWarpgroup, Warpgroup{});
  for (unsigned t = 0; t < launch->threads; t++) {
    prepare_fiber(started.fibers[t], t, slot * launch->threads + t);
    started.warpgroups[t / kWarpgroup].size++;
  }
  for (unsigned w = 0; w < started.warps.size(); w++) {
    started.warps[w].size = min(kWarp, launch->threads - w * kWarp);
    started.warps[w].arrived = 0;
  }
  start_memory(started, launch->dynamic_bytes);
}

// Lets every thread of a warp that can run do so until it waits, or the first of them; says whether one could.
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
    if (schedule->runs_first_lanes_first) break;
  }
  return could;
}

bool can_run(const Block& its_block, unsigned warp) {
  for (unsigned i = 0; i < its_block.warps[warp].size; i++)
    if (its_block.fibers[warp * kWarp + i].waits == Waits::kForNothing) return true;
  return false;
}

std::string describe_deadlock(const Block& its_block) {
  unsigned at_barrier = 0, at_first = 0, at_cluster = 0, at_warp = 0, at_group = 0, at_phase = 0, ended = 0;
  for (const Fiber& each : its_block.fibers) {
    at_barrier += each.waits == Waits::kForBlock;
    at_first += each.waits == Waits::kForFirst;
    at_cluster += each.waits == Waits::kForCluster;
    at_warp += each.waits == Waits::kForWarp;
    at_group += each.waits == Waits::kForWarpgroup;
    at_phase += each.waits == Waits::kForBarrier;
    ended += each.waits == Waits::kForever;
  }
  const char* operation = "";
  for (const Warp& warp : its_block.warps)
    if (warp.arrived) operation = warp.operation;
  char words[300];
  std::snprintf(words, sizeof words,
                "block (%u, %u, %u): nobody can go on: %u threads wait in qp_sync, %u in qp_sync_first, %u in "
                "qp_sync_cluster, %u in an operation of their warp (%s), %u in qp_wgmma_wait, %u in qp_wait, and %u "
                "have ended", its_block.index.x, its_block.index.y, its_block.index.z, at_barrier, at_first, at_cluster,
                at_warp, operation, at_group, at_phase, ended);
  return words;
}

// Starts the blocks of a cluster in its slots.
void start_cluster(std::vector<Block>& blocks, size_t first_slot) {
  std::vector<Block*> cluster;
  for (unsigned i = 0; i < launch->cluster; i++) cluster.push_back(&blocks[first_slot + i]);
  if (schedule->is_reversed) std::reverse(cluster.begin(), cluster.end());
  for (unsigned i = 0; i < launch->cluster; i++)
    start(blocks[first_slot + i], launch->started++, first_slot + i, cluster);
}

// The first warp of a block that can run, in the schedule's order, runs until it waits; says whether there was one.
bool run_first(Block& its_block) {
  for (unsigned w = 0; w < its_block.warps.size(); w++) {
    const unsigned warp = schedule->is_reversed ? its_block.warps.size() - 1 - w : w;
    if (!can_run(its_block, warp)) continue;
    while (launch->failure.empty() && run_warp(its_block, warp)) {}
    return true;
  }
  return false;
}

// Lets each warp of a block run, or one in four; says whether one could.
bool run_each(Block& its_block) {
  bool could = false;
  for (unsigned warp = 0; warp < its_block.warps.size() && launch->failure.empty(); warp++) {
    const bool is_left_out = schedule->is_random && launch->random() % 4;
    if (is_left_out ? can_run(its_block, warp) : run_warp(its_block, warp)) could = true;
  }
  return could;
}

// Lets the blocks of a cluster run; says whether one could.
bool run_cluster(Block* blocks) {
  bool could = false;
  for (unsigned i = 0; i < launch->cluster && launch->failure.empty(); i++) {
    if (!blocks[i].alive) continue;
    if (!schedule->runs_first_warps_first) could = run_each(blocks[i]) || could;
    else while (launch->failure.empty() && run_first(blocks[i])) could = true;
    // Those behind it run when it cannot.
    if (could && schedule->runs_first_warps_first) break;
  }
  return could;
}

bool is_alive(const Block* blocks) {
  for (unsigned i = 0; i < launch->cluster; i++)
    if (blocks[i].alive) return true;
  return false;
}

void run_blocks() {
  const size_t size = launch->cluster, clusters = launch->blocks / size;
  std::vector<Block> blocks(min<size_t>((schedule->blocks_at_once + size - 1) / size, clusters) * size);
  for (size_t slot = 0; slot < blocks.size(); slot += size) start_cluster(blocks, slot);
  for (bool is_running = true; is_running && launch->failure.empty();) {
    bool could = is_running = false;
    for (size_t slot = 0; slot < blocks.size() && launch->failure.empty(); slot += size) {
      could = run_cluster(&blocks[slot]) || could;
      if (!is_alive(&blocks[slot]) && launch->started < launch->blocks) start_cluster(blocks, slot);
      is_running = is_running || is_alive(&blocks[slot]);
    }
    if (could || !is_running || !launch->failure.empty()) continue;
    for (const Block& each : blocks)
      if (each.alive) launch->failure = describe_deadlock(each);
  }
}

}  // namespace

}  // namespace qp_emulator

// The kernel before reads this memory, or writes it, until this one waits for it; for the next launch alone.
extern "C" void qp_emulator_late(void* start, size_t bytes, int is_written) {
  auto* first = static_cast<unsigned char*>(start);
  qp_emulator::late.push_back({first, {first, first + bytes}, is_written != 0});
}

// How often rows of ldmatrix had to wait for one another in the last launch.
extern "C" unsigned qp_emulator_bank_conflicts() { return qp_emulator::bank_conflicts; }

// Runs a launch, whose blocks along x are in clusters of so many. Returns 0, or 1 with what went wrong in `words`.
extern "C" int qp_emulator_launch(void (*call)(void**), const unsigned* grid, const unsigned* threads,
                                  unsigned cluster, size_t dynamic_bytes, const char* schedule_name, unsigned seed, unsigned seconds,
                                  void** arguments, char* words, size_t words_bytes) {
  using namespace qp_emulator;
  const struct Ended {
    ~Ended() {
      show_late(true);
      late.clear();
    }
  } ended;
  bank_conflicts = 0;
  schedule = nullptr;
  for (const Schedule& each : kSchedules)
    if (!std::strcmp(each.name, schedule_name)) schedule = &each;
  if (!schedule) {
    std::snprintf(words, words_bytes, "there is no schedule %s", schedule_name);
    return 1;
  }
  if (grid[0] % cluster) {
    std::snprintf(words, words_bytes, "%u blocks along x are not whole clusters of %u", grid[0], cluster);
    return 1;
  }
  Launch launched{};
  launched.call = call;
  launched.arguments = arguments;
  launched.dynamic_bytes = dynamic_bytes;
  launched.threads = threads[0] * threads[1] * threads[2];
  launched.cluster = cluster;
  launched.blocks = size_t{grid[0]} * grid[1] * grid[2];
  launched.random.seed(seed);
  launch = &launched;
  grid_extents = {grid[0], grid[1], grid[2]};
  block_extents = {threads[0], threads[1], threads[2]};
  fiber = nullptr;
  run_guarded(run_blocks, seconds);
  launch = nullptr;
  std::snprintf(words, words_bytes, "%s", launched.failure.c_str());
  return launched.failure.empty() ? 0 : 1;
}
