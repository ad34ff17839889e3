#pragma once
// A process that cannot outlive the thread that started it, and nothing that it starts can outlive it: it is the first process of a pid
// namespace (when it ends the kernel kills the rest), it dies with its thread (PR_SET_PDEATHSIG), and its mounts are its own.
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "builder/stop_signal.h"

namespace watari::builder {

using OnLine = std::function<void(std::string_view line)>;

// Runs argv (looked up in PATH) with the caller's environment to its end and returns the exit code (128 + signal). Lines of stdout and
// stderr go to `on_line` as they come. Cancelled when stopped, DeadlineExceeded after the timeout: everything is dead when it returns.
// `on_start` gets the process's id before it does anything (to put it into a control group); its error ends the process.
using OnStart = std::function<Result<void>(int pid)>;
Result<int> run_contained(std::vector<std::string> argv, Millis timeout, const StopSignal& stop, const OnLine& on_line,
                          const OnStart& on_start = {});

}  // namespace watari::builder
