#include "engine/local/task_run.h"

#include <signal.h>

#include <algorithm>

#include "base/log.h"
#include "codec/reflect.h"
#include "sys/files.h"

namespace watari::engine {

using model::ContainerState;
using model::TaskState;
using runtime::ShimState;

namespace {

model::TaskStatus initial_status(const TaskSpec& spec) {
  model::TaskStatus status;
  status.task = spec.id;
  for (const auto& container : spec.containers) {
    model::ContainerStatus each;
    each.name = container.definition.name;
    each.image = container.definition.image;
    each.image_digest = container.image_digest;
    status.containers.push_back(std::move(each));
  }
  return status;
}

}  // namespace

TaskRun::TaskRun(Host& host, TaskSpec spec) : host_(host) {
  record_.spec = std::move(spec);
  record_.status = initial_status(record_.spec);
  for (const auto& container : record_.spec.containers)
    if (!container.secrets.empty()) record_.secrets[container.definition.name] = container.secrets;
  containers_.resize(record_.spec.containers.size());
}

TaskRun::TaskRun(Host& host, TaskRecord record) : host_(host), record_(std::move(record)) {
  for (auto& container : record_.spec.containers) container.secrets = record_.secrets[container.definition.name];
  containers_.resize(record_.spec.containers.size());
  if (record_.status.state == TaskState::Stopped) phase_ = Phase::Stopped;
}

std::size_t TaskRun::index_of(const std::string& container) const {
  std::size_t index = 0;
  while (index < record_.status.containers.size() && record_.status.containers[index].name != container) ++index;
  return index;
}

bool TaskRun::all_stopped() const {
  return std::ranges::all_of(record_.status.containers, [](const auto& each) { return each.state == ContainerState::Stopped; });
}

Result<void> TaskRun::save() {
  auto saved = sys::replace_file(host_.paths.record(id()), codec::to_json(record_).dump(), 0600);
  if (saved || saves_again_) return saved;
  log::error("task {}: {}; trying again until it can be written", id(), saved.error().message);
  saves_again_ = true;
  host_.loop.after(Millis(1000), [weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self) return;
    self->saves_again_ = false;
    (void)self->save();
  });
  return saved;
}

void TaskRun::report() {
  (void)save();  // what it lacks, the shim knows
  log::debug("task {}: {}", id(), name_of(record_.status.state));
  if (host_.observer) host_.observer(record_.status);
}

void TaskRun::shim_changed(const runtime::ShimContainer& container) {
  auto index = index_of(container.name);
  log::debug("task {}: container {} is {} {}", id(), container.name, name_of(container.state), container.error);
  if (index == containers_.size() || status_of(index).state == ContainerState::Stopped) return;
  if (container.state == ShimState::Failed) return container_failed(index, "CannotStartContainerError: " + container.error);
  auto before = status_of(index).state;
  apply(container);
  if (status_of(index).state == before) return;
  bool exited = status_of(index).state == ContainerState::Stopped;
  if (exited && spec_of(index).definition.essential && !record_.stop_wanted)
    return begin_stop("EssentialContainerExited", "Essential container in task exited");
  update_task_state();
  report();
  advance();
}

// Takes over what the shim says about a container.
void TaskRun::apply(const runtime::ShimContainer& container) {
  auto index = index_of(container.name);
  if (index == containers_.size()) return;
  auto& status = status_of(index);
  containers_[index].wanted = containers_[index].in_shim = true;
  if (status.state == ContainerState::Stopped) return;
  if (container.started_at) status.started_at = container.started_at;
  if (container.state == ShimState::Running) {
    status.state = ContainerState::Running;
    const auto& check = spec_of(index).definition.health_check;
    if (check && !containers_[index].health) {
      containers_[index].health.emplace(*check, status.health);
      schedule_health(index);
    }
  } else if (container.state == ShimState::Exited) {
    status.state = ContainerState::Stopped;
    status.exit_code = container.exit_code;
    status.finished_at = container.finished_at;
    if (container.out_of_memory && container.exit_code != 0)
      status.reason = "OutOfMemoryError: Container killed due to memory usage";
  } else if (container.state == ShimState::Failed) {
    status.state = ContainerState::Stopped;
    status.reason = "CannotStartContainerError: " + container.error;
    status.finished_at = container.finished_at;
  }
}

// Running when every essential container runs and nobody waits to be started; never back.
void TaskRun::update_task_state() {
  auto& status = record_.status;
  if (status.state != TaskState::Pending || record_.stop_wanted) return;
  for (std::size_t index = 0; index < containers_.size(); ++index) {
    auto state = status_of(index).state;
    if (state == ContainerState::Pending) return;
    if (spec_of(index).definition.essential && state != ContainerState::Running) return;
  }
  status.state = TaskState::Running;
  status.started_at = host_.clock.now();
}

void TaskRun::shim_lost(const std::string& why) {
  shim_.reset();
  ++connection_;
  if (phase_ == Phase::TearingDown || phase_ == Phase::Stopped) return;
  if (!all_stopped())
    log::warn("task {}: its shim {}: {}", id(), why, sys::read_file(host_.paths.task(id()) + "/shim.log").value_or("no word from it"));
  // What it had written down before it died is true.
  if (auto text = sys::read_file(runtime::status_file(host_.paths.task(id()))))
    if (auto json = codec::parse_json(*text))
      if (auto last = codec::from_json<runtime::ShimStatus>(*json))
        for (const auto& container : last->containers) apply(container);
  for (auto& container : record_.status.containers) {
    if (container.state == ContainerState::Stopped) continue;
    bool ran = container.state == ContainerState::Running;
    container.state = ContainerState::Stopped;
    container.finished_at = host_.clock.now();
    if (ran) {
      container.exit_code = 128 + SIGKILL;
      container.reason = "The task's shim " + why + ", so the container was killed";
    }
  }
  if (!record_.stop_wanted)
    begin_stop(record_.status.started_at ? "EssentialContainerExited" : "TaskFailedToStart",
               "The task's shim (watari-shim) " + why + "; its containers were killed");
  else
    advance_stop();
}

void TaskRun::write_hosts() {
  auto found = host_.names.find(names_place());
  static const Names kNone;
  auto content = hosts_file(record_.spec, found == host_.names.end() ? kNone : found->second);
  if (auto written = sys::rewrite_in_place(host_.paths.hosts(id()), content); !written)
    log::warn("task {}: {}", id(), written.error().message);
}

void TaskRun::release() {
  ++connection_;
  shim_.reset();
}

void TaskRun::resume() {
  if (phase_ == Phase::Stopped) return;
  if (record_.stop_wanted) watch_stopping();
  auto connected = record_.launched ? connect_shim(++connection_) : Result<Connected>(fail(Code::Unavailable, "not started yet"));
  bool ran = record_.launched && sys::read_file(runtime::status_file(host_.paths.task(id())));
  if (connected) {
    fetch_images();
    attach_shim(*std::move(connected));
    // An essential container may have ended while nobody watched.
    for (std::size_t index = 0; index < containers_.size(); ++index)
      if (status_of(index).state == ContainerState::Stopped && spec_of(index).definition.essential && !record_.stop_wanted)
        status_of(index).exit_code ? begin_stop("EssentialContainerExited", "Essential container in task exited")
                                   : begin_stop("TaskFailedToStart", "Task failed to start");
  } else if (ran || record_.stop_wanted) {
    shim_lost("ended unexpectedly");
  } else {
    // Nothing ever ran: begin again. A shim that hangs half-started must not come to life later, nor must news of its end count.
    ++connection_;
    in_background([this] { return host_.cgroups.kill_all(host_.paths.cgroup(id()), std::chrono::seconds(5)); },
                  [this](Result<void>) { start(); });
  }
}

}  // namespace watari::engine
