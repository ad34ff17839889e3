#pragma once
// Control groups, whichever layout the host has. Paths are relative to the root of the hierarchies: "watari-1a2b3c4d/<task>/web".
//
//   V2      one hierarchy on /sys/fs/cgroup
//   Hybrid  v1 controllers on /sys/fs/cgroup/<controller>, an empty v2 hierarchy on /sys/fs/cgroup/unified
//   V1      v1 controllers only
//
// Holds no state but the layout; any thread; microseconds. Every call may be repeated.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace watari::sys {

struct CgroupLimits {
  std::optional<std::int64_t> memory_bytes;
  std::optional<double> cpus;  // 0.5 is half of one core's time
  std::optional<std::int64_t> processes;
};

struct CgroupUsage {
  std::int64_t memory_bytes = 0, memory_peak_bytes = 0;
  std::int64_t cpu_ns = 0;  // since it was made
  std::int64_t processes = 0;
};

class Cgroups {
 public:
  enum class Layout { V2, Hybrid, V1 };

  // What is mounted below /sys/fs/cgroup. FailedPrecondition when no memory controller is there.
  static Result<Cgroups> detect(const std::string& mount = "/sys/fs/cgroup");

  Layout layout() const { return layout_; }
  // v1 hierarchies ("memory", "cpu,cpuacct", "systemd" …), names below the mount point; empty on V2.
  const std::vector<std::string>& hierarchies() const { return hierarchies_; }

  // Makes the group (and its parents, which must hold no process on V2) and sets its limits.
  Result<void> create(const std::string& path, const CgroupLimits& limits = {}) const;
  Result<void> add_process(const std::string& path, int pid) const;
  // Processes of the group and of all groups below it.
  std::vector<int> processes(const std::string& path) const;
  // SIGKILL to all of them, again and again until there are none. DeadlineExceeded when some cannot be killed (stuck in the kernel).
  Result<void> kill_all(const std::string& path, Millis timeout) const;
  // Removes it and the groups below. Fine when there is none; Conflict while processes live in it.
  Result<void> remove(const std::string& path) const;
  // How often the kernel killed one of its processes because memory ran out; 0 when the group is gone.
  std::int64_t oom_kills(const std::string& path) const;
  std::optional<CgroupUsage> usage(const std::string& path) const;
  // Groups directly below `path` (empty: the root), over all hierarchies.
  std::vector<std::string> children(const std::string& path) const;

 private:
  std::string directory(const std::string& hierarchy, const std::string& path) const;
  std::string controller_directory(const std::string& controller, const std::string& path) const;

  std::string mount_;
  Layout layout_ = Layout::V2;
  std::vector<std::string> hierarchies_;  // v1
  std::string memory_, cpu_, cpuacct_, pids_;  // the v1 hierarchy that has the controller
};

}  // namespace watari::sys
