// What a kernel does to the process: faults of memory, and no end.

#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <sys/time.h>

#include "engine.h"

namespace qp_emulator {

namespace {

sigjmp_buf after_signal;

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

void run_guarded(void (*run)(), unsigned seconds) {
  const Guard guard(seconds);
  if (!sigsetjmp(after_signal, 1)) run();
}

}  // namespace qp_emulator
