#pragma once
// Starting and watching child processes. Nothing here forks the caller's memory: children are posix_spawned, so that starting one from a
// large daemon costs the same as from a small one.
#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "sys/fd.h"

namespace watari::sys {

struct SpawnOptions {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH
  std::optional<std::vector<std::string>> environment;  // NAME=value; the caller's when absent
  // Child's descriptor -> ours. 0, 1, 2 that are not named are /dev/null; all others are closed (everything we open is O_CLOEXEC).
  std::map<int, int> descriptors;
  bool new_session = false;
  bool signals_blocked = false;  // until the program is ready for them
};

struct Child {
  pid_t pid = -1;
  Fd pidfd;  // readable when it has ended
};

// Signals are at their defaults in the child, and unblocked unless the options say otherwise. NotFound when there is no such program.
Result<Child> spawn(const SpawnOptions& options);

// The status as a shell has it: 128 + signal when a signal ended it.
int exit_code(int wait_status);

// Waits for a child. DeadlineExceeded when it has not ended in time (it goes on running).
Result<int> wait_child(const Child& child, std::optional<Millis> timeout = std::nullopt);

struct Output {
  int exit_code = 0;
  std::string text;  // stdout and stderr
};
// Runs a program to its end. It is killed after `timeout` (DeadlineExceeded).
Result<Output> run(std::vector<std::string> argv, Millis timeout);

}  // namespace watari::sys
