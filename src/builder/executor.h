#pragma once
// Carries a plan out: a thread for every needed stage, each waits for the stages it needs, at most `parallel` steps run at once.
// The first failure stops the others. Blocking until the image is in the store.
#include <cstddef>
#include <filesystem>
#include <string>

#include "builder/stage_build.h"

namespace watari::builder {

struct ExecutorOptions {
  const std::vector<Context>& contexts;  // the build's own first
  std::filesystem::path scratch, cache_mounts;
  const BuildSecrets& secrets;
  Materials& materials;
  std::optional<std::int64_t> epoch;
  BuildGroup& group;
  std::string name, runtime;
  std::size_t parallel = 0;  // 0: the number of cores
  bool no_cache = false;
};

// Adds the target's image to the store (not tagged) and returns it. `stop` is pressed when a stage fails.
Result<oci::Image> execute(const Plan& plan, oci::ImageStore& images, StepCache& cache, StopSignal& stop, BuildObserver& observer,
                           const ExecutorOptions& options);

}  // namespace watari::builder
