#pragma once
// One RUN: a process in the OCI runtime on a mounted root.
//
// The runtime is started by run_contained(): when it is gone, for whatever reason, the kernel has killed everything of the step and
// dropped its mounts; there is nothing to clean up but directories and the build's control group. The bundle, which holds secrets that
// go into the environment, lies on a tmpfs of this thread's own. Device nodes are out of reach: no CAP_MKNOD, and the root is
// mounted nodev. The container shares the host's network namespace unless `network` is false.
#include <filesystem>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "builder/contained.h"
#include "builder/limits.h"
#include "builder/rooted.h"
#include "builder/stop_signal.h"

namespace watari::builder {

struct Bind {
  std::filesystem::path source;
  std::string target;
  bool read_only = true;
};
struct Tmpfs {
  std::string target;
  std::int64_t size = 0;  // 0: the kernel's default
};

struct SandboxOptions {
  std::string runtime = "crun";
  std::filesystem::path root;       // mounted layers
  std::filesystem::path directory;  // empty, for the bundle and the runtime's state
  std::vector<std::string> argv, env;
  std::string cwd = "/";
  User user;
  bool network = true;
  std::vector<Bind> binds;
  std::vector<Tmpfs> tmpfs;
  BuildGroup* group = nullptr;      // limits; outlives the step
  Millis timeout{3'600'000};
};

// What must exist below `root` so that the sandbox leaves no mount points behind: see MountedLayers::Options.
const std::vector<std::string>& sandbox_directories();
const std::vector<std::string>& sandbox_files();

// Returns the exit code (128 + signal when one ended it); lines of stdout and stderr go to `on_line` as they come. Cancelled when
// stopped, DeadlineExceeded after the timeout: everything is dead when it returns. Call it on a thread that has own_mounts().
Result<int> run_in_sandbox(const SandboxOptions& options, const StopSignal& stop, const OnLine& on_line);

}  // namespace watari::builder
