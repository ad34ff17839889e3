// A task goes down: containers in the order of their dependencies, each by its stop signal and then SIGKILL; then all that it had.
#include "engine/local/task_run.h"

#include <signal.h>

#include <algorithm>

#include "base/log.h"
#include "codec/reflect.h"
#include "engine/local/dependencies.h"
#include "runtime/bundle.h"

namespace watari::engine {

using codec::Json;
using model::ContainerState;
using model::TaskState;

namespace {

constexpr Seconds kStopTimeout{30};

}  // namespace

void TaskRun::stop(const std::string& code, const std::string& reason) {
  if (!record_.stop_wanted) begin_stop(code, reason);
}

void TaskRun::begin_stop(const std::string& code, const std::string& reason) {
  if (record_.stop_wanted || phase_ == Phase::TearingDown || phase_ == Phase::Stopped) return advance_stop();
  record_.stop_wanted = true;
  record_.stop_code = record_.status.stop_code = code;
  record_.stop_reason = record_.status.stop_reason = reason;
  record_.status.state = TaskState::Stopping;
  record_.status.stopping_at = host_.clock.now();
  report();
  watch_stopping();
  advance_stop();
}

// A shim that hangs (or a runtime that does) must not keep the task for ever.
void TaskRun::watch_stopping() {
  auto limit = Seconds(30);
  for (const auto& container : record_.spec.containers) limit += container.definition.stop_timeout.value_or(kStopTimeout);
  host_.loop.after(limit, [weak = weak_from_this()] {
    if (auto self = weak.lock(); self && !self->all_stopped()) self->shim_lost("did not answer");
  });
}

void TaskRun::advance_stop() {
  if (phase_ == Phase::TearingDown || phase_ == Phase::Stopped) return;
  bool changed = false;
  for (std::size_t index = 0; index < containers_.size(); ++index) {
    auto& status = status_of(index);
    // What was never given to the shim has nothing to stop; what is being prepared comes back here.
    if (status.state != ContainerState::Pending || containers_[index].wanted) continue;
    status.state = ContainerState::Stopped;
    changed = true;
  }
  for (std::size_t index = 0; index < containers_.size(); ++index)
    if (status_of(index).state == ContainerState::Running &&
        may_stop(status_of(index).name, record_.spec.containers, record_.status.containers))
      terminate(index);
  if (changed) report();
  if (all_stopped() && background_ == 0) tear_down();
}

void TaskRun::terminate(std::size_t index) {
  auto& container = containers_[index];
  if (container.killing) return;
  container.killing = true;
  const auto& name = status_of(index).name;
  auto& sent = record_.terminated_at[name];
  if (sent == Time{}) {
    sent = host_.clock.now();
    (void)save();
  }
  signal(name, runtime::signal_number(stop_signal_of_image(index)));
  auto timeout = spec_of(index).definition.stop_timeout.value_or(kStopTimeout);
  auto left = std::max(Millis(0), sent + timeout - host_.clock.now());
  host_.loop.after(left, [weak = weak_from_this(), index] {
    auto self = weak.lock();
    if (self && self->status_of(index).state == ContainerState::Running) self->signal(self->status_of(index).name, SIGKILL);
  });
}

std::string TaskRun::stop_signal_of_image(std::size_t index) const {
  return containers_[index].image ? containers_[index].image->image.config.stop_signal : "";
}

void TaskRun::signal(const std::string& container, int number) {
  if (!shim_) return;
  shim_->call("signal", codec::to_json(runtime::SignalRequest{container, number}), [](const Result<Json>&) {});
}

void TaskRun::tear_down() {
  phase_ = Phase::TearingDown;
  record_.status.execution_stopped_at = host_.clock.now();
  (void)save();
  ++connection_;  // that the shim goes now is as it should be
  in_background([this] { return engine::tear_down(host_, id()); },
                [this](Result<void> done) {
                  if (!done) {
                    log::error("task {}: {}; trying again", id(), done.error().message);
                    phase_ = Phase::Active;
                    host_.loop.after(Millis(2000), [weak = weak_from_this()] {
                      if (auto self = weak.lock()) self->advance_stop();
                    });
                    return;
                  }
                  finished();
                });
}

void TaskRun::finished() {
  shim_.reset();
  phase_ = Phase::Stopped;
  record_.secrets.clear();
  record_.status.state = TaskState::Stopped;
  record_.status.stopped_at = host_.clock.now();
  report();
}

}  // namespace watari::engine
