#include "builder/executor.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

namespace watari::builder {
namespace {

// What the stage threads have come to.
class Results {
 public:
  void put(std::size_t stage, Result<StageState> state) {
    std::lock_guard lock(mutex_);
    // The first real failure is the build's; the others were stopped because of it.
    if (!state && (!error_ || error_->code == Code::Cancelled)) error_ = state.error();
    if (state) states_.emplace(stage, std::move(*state));
    else failed_ = true;
    changed_.notify_all();
  }
  // False when some stage has failed.
  bool wait_for(const std::set<std::size_t>& stages) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] {
      return failed_ || std::ranges::all_of(stages, [&](auto stage) { return states_.contains(stage); });
    });
    return !failed_;
  }
  // Never changes once it is there; map nodes do not move.
  const StageState& at(std::size_t stage) {
    std::lock_guard lock(mutex_);
    return states_.at(stage);
  }
  const std::optional<Error>& error() const { return error_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::size_t, StageState> states_;
  std::optional<Error> error_;
  bool failed_ = false;
};

Result<oci::Image> add_image(oci::ImageStore& images, const StageState& state, std::optional<std::int64_t> epoch) {
  oci::Image image;
  image.config = state.config;
  image.layers = state.layers;
  image.history = state.history;
  image.author = state.author;
  image.created = state.created.empty() ? "1970-01-01T00:00:00Z" : state.created;
  if (epoch) image.created = iso8601(Time(Seconds(*epoch)));
#if defined(__aarch64__)
  image.architecture = "arm64";
#endif
  return images.add_image(std::move(image));
}

}  // namespace

Result<oci::Image> execute(const Plan& plan, oci::ImageStore& images, StepCache& cache, StopSignal& stop, BuildObserver& observer,
                           const ExecutorOptions& options) {
  auto parallel = options.parallel == 0 ? std::max(1U, std::thread::hardware_concurrency()) : options.parallel;
  std::counting_semaphore<> slots(static_cast<std::ptrdiff_t>(parallel));
  Results results;
  BuildShared shared{.plan = plan, .images = images, .cache = cache, .stop = stop, .observer = observer, .contexts = options.contexts,
                     .scratch = options.scratch, .cache_mounts = options.cache_mounts, .secrets = options.secrets, .materials = options.materials, .epoch = options.epoch,
                     .group = options.group, .name = options.name, .runtime = options.runtime, .no_cache = options.no_cache, .slots = slots,
                     .finished = [&](std::size_t index) -> const StageState& { return results.at(index); }};
  {
    std::vector<std::jthread> threads;
    for (const auto& stage : plan.stages) {
      threads.emplace_back([&] {
        if (!results.wait_for(stage.needs)) return;
        auto built = StageBuild(shared, stage).run();
        if (!built) stop.stop();
        results.put(stage.index, std::move(built));
      });
    }
  }
  if (results.error()) return fail(*results.error());
  return add_image(images, results.at(plan.target), options.epoch);
}

}  // namespace watari::builder
