// A task comes up: directories, images, shim, then each container when its dependencies allow.
#include "engine/local/task_run.h"

#include <algorithm>

#include "base/log.h"
#include "codec/reflect.h"
#include "engine/local/dependencies.h"
#include "sys/files.h"

namespace watari::engine {

using codec::Json;
using model::ContainerState;
using model::TaskState;

namespace {

constexpr Seconds kCreationTimeout{180};  // the ECS agent's ECS_CONTAINER_START_TIMEOUT

// Names become directories.
Result<void> check_names(const TaskSpec& spec) {
  auto good = [](const std::string& name) {
    return !name.empty() && name.size() <= 255 && name[0] != '.' && name.find_first_of(std::string_view("/\0", 2)) == std::string::npos;
  };
  for (const auto& container : spec.containers)
    if (!good(container.definition.name)) return fail(Code::InvalidArgument, "\"{}\" cannot be the name of a container", container.definition.name);
  for (const auto& volume : spec.volumes)
    if (!good(volume.name)) return fail(Code::InvalidArgument, "\"{}\" cannot be the name of a volume", volume.name);
  if (spec.volume_scope.contains("..")) return fail(Code::InvalidArgument, "\"{}\" cannot be a scope of volumes", spec.volume_scope);
  return {};
}

}  // namespace

void TaskRun::start() {
  auto made = sys::make_directories(host_.paths.task(id()), 0711);
  if (made) made = sys::make_directories(host_.paths.task(id()) + "/etc");
  if (made) made = sys::make_directories(host_.paths.disk(id()), 0711);
  write_hosts();
  record_.status.pull_started_at = host_.clock.now();
  record_.launched = true;
  auto saved = save();
  report();
  if (made) made = saved;
  if (!made) return begin_stop("TaskFailedToStart", "ResourceInitializationError: " + made.error().message);
  if (auto good = check_names(record_.spec); !good) return begin_stop("TaskFailedToStart", good.error().message);
  if (auto good = check_dependencies(record_.spec.containers); !good) return begin_stop("TaskFailedToStart", good.error().message);
  launch();
  fetch_images();
}

void TaskRun::fetch_images() {
  for (std::size_t index = 0; index < containers_.size(); ++index) {
    if (containers_[index].image || status_of(index).state == ContainerState::Stopped) continue;
    in_background([this, index] { return ready_image(host_, spec_of(index)); },
                  [this, index](Result<ReadyImage> image) {
                    if (!image) {
                      if (containers_[index].in_shim) return advance();  // it runs; that its image is gone matters no more
                      status_of(index).reason = "CannotPullContainerError: " + image.error().message;
                      return begin_stop("TaskFailedToStart", status_of(index).reason);
                    }
                    status_of(index).image_digest = image->image.digest;
                    containers_[index].image = *std::move(image);
                    bool all = std::ranges::all_of(containers_, [](const auto& each) { return each.image.has_value(); });
                    if (all && !record_.status.pull_stopped_at) record_.status.pull_stopped_at = host_.clock.now();
                    advance();
                  });
  }
}

void TaskRun::launch() {
  auto attached = [this, weak = weak_from_this()] {
    host_.loop.post([weak] {
      auto self = weak.lock();
      if (!self || self->record_.status.state != TaskState::Provisioning) return;
      self->record_.status.state = TaskState::Pending;
      self->report();
    });
  };
  in_background(
      [this, attached, number = ++connection_]() -> Result<Connected> {
        TRY_VOID(launch_shim(host_, record_.spec, attached));
        return connect_shim(number);
      },
      [this](Result<Connected> connected) {
        if (!connected) return begin_stop("TaskFailedToStart", "ResourceInitializationError: " + connected.error().message);
        attach_shim(*std::move(connected));
      });
}

Result<TaskRun::Connected> TaskRun::connect_shim(int number) {
  auto weak = weak_from_this();
  auto on_loop = [this, weak, number](auto action) {
    host_.loop.post([weak, number, action = std::move(action)] {
      if (auto self = weak.lock(); self && self->connection_ == number) action(*self);
    });
  };
  runtime::ShimClient::Handlers handlers;
  handlers.changed = [on_loop](const runtime::ShimContainer& container) {
    on_loop([container](TaskRun& self) { self.shim_changed(container); });
  };
  handlers.lost = [on_loop] { on_loop([](TaskRun& self) { self.shim_lost("ended unexpectedly"); }); };
  TRY(auto client, runtime::ShimClient::connect(host_.paths.task(id()), std::move(handlers)));
  TRY(auto reply, client->ask("subscribe", Json::object(), std::chrono::seconds(10)));
  TRY(auto status, codec::from_json<runtime::ShimStatus>(reply));
  return Connected{std::move(client), std::move(status)};
}

void TaskRun::attach_shim(Connected connected) {
  shim_ = std::move(connected.client);
  phase_ = Phase::Active;
  for (const auto& container : connected.status.containers) apply(container);
  update_task_state();
  advance();
}

void TaskRun::advance() {
  if (phase_ == Phase::TearingDown || phase_ == Phase::Stopped) return;
  if (record_.stop_wanted) return advance_stop();
  if (phase_ != Phase::Active) return;
  for (std::size_t index = 0; index < containers_.size(); ++index) {
    auto& container = containers_[index];
    if (container.wanted || !container.image || status_of(index).state != ContainerState::Pending) continue;
    auto verdict = may_start(spec_of(index).definition, record_.status.containers);
    if (verdict.readiness == Readiness::Never) return begin_stop("TaskFailedToStart", "Container dependency cannot be resolved: " + verdict.why);
    if (verdict.readiness == Readiness::Waiting)
      watch_start_timeout(verdict.waits_for);
    else
      start_container(index);
  }
}

void TaskRun::watch_start_timeout(const std::string& name) {
  auto index = index_of(name);
  const auto& timeout = spec_of(index).definition.start_timeout;
  auto started = status_of(index).started_at;
  if (!timeout || !started || containers_[index].timing) return;
  containers_[index].timing = true;
  auto left = std::max(Millis(0), *started + *timeout - host_.clock.now());
  host_.loop.after(left, [weak = weak_from_this(), name, timeout] {
    auto self = weak.lock();
    if (!self || self->record_.stop_wanted || self->phase_ != Phase::Active) return;
    for (std::size_t i = 0; i < self->containers_.size(); ++i) {
      if (self->containers_[i].wanted || self->status_of(i).state != ContainerState::Pending) continue;
      auto verdict = may_start(self->spec_of(i).definition, self->record_.status.containers);
      if (verdict.readiness == Readiness::Waiting && verdict.waits_for == name)
        return self->begin_stop("TaskFailedToStart", fmt::format("Container dependency timed out after {} s: {}", timeout->count(), verdict.why));
    }
  });
}

void TaskRun::start_container(std::size_t index) {
  containers_[index].wanted = true;
  in_background([this, index, image = *containers_[index].image] { return prepare_container(host_, record_.spec, spec_of(index), image); },
                [this, index](Result<runtime::RunRequest> request) {
                  if (!request) return container_failed(index, "CannotStartContainerError: " + request.error().message);
                  if (record_.stop_wanted) {
                    containers_[index].wanted = false;
                    return advance_stop();
                  }
                  send_run(index, *request);
                });
}

void TaskRun::send_run(std::size_t index, const runtime::RunRequest& request) {
  status_of(index).runtime_id = request.runtime_id;
  containers_[index].in_shim = true;
  if (!shim_) return;
  host_.loop.after(kCreationTimeout, [weak = weak_from_this(), index] {
    auto self = weak.lock();
    if (self && self->status_of(index).state == ContainerState::Pending)
      self->container_failed(index, fmt::format("CannotStartContainerError: the OCI runtime did not finish within {} s", kCreationTimeout.count()));
  });
  shim_->call("run", codec::to_json(request), [this, weak = weak_from_this(), index](Result<Json> reply) {
    if (reply || reply.error().code == Code::Unavailable) return;  // a lost shim is reported as such
    host_.loop.post([weak, index, error = reply.error()] {
      if (auto self = weak.lock()) self->container_failed(index, "CannotStartContainerError: " + error.message);
    });
  });
}

void TaskRun::container_failed(std::size_t index, const std::string& reason) {
  auto& status = status_of(index);
  if (status.state == ContainerState::Stopped) return;
  status.state = ContainerState::Stopped;
  status.reason = reason;
  status.finished_at = host_.clock.now();
  if (spec_of(index).definition.essential && !record_.stop_wanted) return begin_stop("TaskFailedToStart", "Task failed to start");
  update_task_state();
  report();
  advance();
}

}  // namespace watari::engine
