#include "engine/local/task_run.h"

#include <signal.h>

#include <algorithm>

#include "base/log.h"
#include "codec/reflect.h"
#include "engine/local/dependencies.h"
#include "runtime/bundle.h"
#include "sys/files.h"

namespace watari::engine {

using codec::Json;
using model::ContainerState;
using model::Health;
using model::TaskState;
using runtime::ShimState;

namespace {

constexpr Seconds kStopTimeout{30};
constexpr Seconds kCreationTimeout{180};  // the ECS agent's ECS_CONTAINER_START_TIMEOUT
constexpr std::size_t kMaxHealthOutput = 4096;

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

template <class Work, class Then>
void TaskRun::in_background(Work work, Then then) {
  ++background_;
  host_.work([self = shared_from_this(), work = std::move(work), then = std::move(then)]() mutable {
    auto& loop = self->host_.loop;
    loop.post([self = std::move(self), result = work(), then = std::move(then)]() mutable {
      --self->background_;
      then(std::move(result));
    });
  });
}

std::size_t TaskRun::index_of(const std::string& container) const {
  std::size_t index = 0;
  while (index < record_.status.containers.size() && record_.status.containers[index].name != container) ++index;
  return index;
}

bool TaskRun::all_stopped() const {
  return std::ranges::all_of(record_.status.containers, [](const auto& each) { return each.state == ContainerState::Stopped; });
}

void TaskRun::save() {
  if (auto saved = sys::replace_file(host_.paths.record(id()), codec::to_json(record_).dump(), 0600); !saved)
    log::error("task {}: {}", id(), saved.error().message);
}

void TaskRun::report() {
  save();
  log::debug("task {}: {}", id(), name_of(record_.status.state));
  if (host_.observer) host_.observer(record_.status);
}

// ---- Preparing

void TaskRun::start() {
  auto made = sys::make_directories(host_.paths.task(id()), 0711);
  if (made) made = sys::make_directories(host_.paths.task(id()) + "/etc");
  if (made) made = sys::make_directories(host_.paths.disk(id()), 0711);
  write_hosts();
  record_.status.pull_started_at = host_.clock.now();
  record_.launched = true;
  report();
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

// ---- Active

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

// ---- Health

void TaskRun::schedule_health(std::size_t index) {
  auto& health = containers_[index].health;
  auto running = host_.clock.now() - status_of(index).started_at.value_or(host_.clock.now());
  host_.loop.after(health->next_check_in(running), [weak = weak_from_this(), index] {
    if (auto self = weak.lock()) self->check_health(index);
  });
}

void TaskRun::check_health(std::size_t index) {
  if (status_of(index).state != ContainerState::Running || !shim_ || record_.stop_wanted) return;
  const auto& check = containers_[index].health->check();
  runtime::ExecRequest request{status_of(index).name, HealthState::command(check), Millis(check.timeout).count()};
  shim_->call("exec", codec::to_json(request), [this, weak = weak_from_this(), index](Result<Json> reply) {
    runtime::ExecReply done;
    if (reply)
      done = codec::from_json<runtime::ExecReply>(*reply).value_or(runtime::ExecReply{.exit_code = 1, .output = "unreadable reply"});
    else
      done = {.exit_code = 1, .output = reply.error().message};
    if (done.timed_out) done.output += "\nHealth check exceeded its timeout";
    host_.loop.post([weak, index, success = done.exit_code == 0, output = done.output.substr(0, kMaxHealthOutput)] {
      if (auto self = weak.lock()) self->health_checked(index, success, output);
    });
  });
}

void TaskRun::health_checked(std::size_t index, bool success, const std::string& output) {
  auto& status = status_of(index);
  if (status.state != ContainerState::Running || record_.stop_wanted) return;
  auto& health = *containers_[index].health;
  auto running = host_.clock.now() - status.started_at.value_or(host_.clock.now());
  bool changed = health.record(success, running);
  // What a passing check prints may differ each time; that is no news.
  changed |= !success && status.health_output != output;
  status.health = health.health();
  status.health_output = output;
  if (changed) report();
  schedule_health(index);
  if (changed) advance();
}

// ---- Stopping

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
    save();
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
  save();
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

// ---- The rest

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
