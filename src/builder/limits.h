#pragma once
// What the RUN steps of one build may use together, kept by a control group of the build. Any thread.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace watari::builder {

struct BuildLimits {
  std::int64_t memory_bytes = 0;  // 0: as much as there is
  double cpus = 0;                // 0: all; 0.5 is half of one core's time
  std::int64_t processes = 16384;
  Seconds timeout{3600};          // of one RUN
};

// The group, made when the first step needs it and removed with this object. Owned by the build.
class BuildGroup {
 public:
  // `path` below the root of the hierarchies.
  BuildGroup(std::string path, const BuildLimits& limits);
  ~BuildGroup();
  BuildGroup(const BuildGroup&) = delete;
  BuildGroup& operator=(const BuildGroup&) = delete;

  Result<void> add(int pid);
  std::int64_t oom_kills() const;
  const BuildLimits& limits() const { return limits_; }
  // Removes groups that builds of a killed server left: those whose names begin with `prefix`.
  static void sweep(const std::string& prefix);

 private:
  struct Impl;
  BuildLimits limits_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace watari::builder
