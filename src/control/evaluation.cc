#include "control/evaluation.h"

#include <algorithm>

#include "base/log.h"
#include "control/balancing.h"
#include "control/network.h"
#include "control/services.h"
#include "control/scaling.h"
#include "plan/reconcile.h"

namespace watari::control {

using model::TaskState;

namespace {

constexpr auto kKeepStoppedTasks = std::chrono::days(30);
constexpr auto kKeepDeployments = std::chrono::days(90);
// Between a task's name going and its SIGTERM: who has resolved the name just before still gets an answer.
constexpr Seconds kNameDrain{3};

}  // namespace

Result<void> Control::Evaluation::decide() {
  auto decided = control.commit([&]() -> Result<void> {
    absorb_inbox();
    keep_capacity(control);
    plan_services();
    end_hook_tasks();
    keep_books();
    collect_garbage();
    return {};
  });
  if (decided) inbox.clear();
  return decided;
}

void Control::Evaluation::absorb_inbox() {
  std::map<std::string, std::string> keys;  // task id -> key
  for (const auto& status : inbox) keys.emplace(status.task, "");
  if (keys.empty()) return;
  control.state().tasks.each("", [&](const std::string& key, const model::Task& task) {
    if (auto found = keys.find(task.id); found != keys.end()) found->second = key;
  });
  for (const auto& status : inbox) {
    const auto& key = keys[status.task];
    if (key.empty()) {
      // Nobody wants it: a task whose row was never written, or is long gone.
      if (status.state == TaskState::Stopped) {
        control.ports_.engine->forget(status.task);
      } else if (stopping.insert(status.task).second) {
        log::warn("task {} runs, but the state does not know it; stopping it", status.task);
        control.ports_.engine->stop(status.task, "TerminationNotice", "The state does not know this task.");
      }
      continue;
    }
    absorb(status);
    auto task = *control.state().tasks.get(key);
    if (task.status.state == TaskState::Stopped) continue;  // what comes after the end is of no interest
    auto reached = std::max(task.status.state, status.state);  // never backwards
    task.status = status;
    task.status.state = reached;
    if (reached == TaskState::Stopped) {
      if (!task.status.stopped_at) task.status.stopped_at = control.now();
      if (task.desired_stopped) {
        task.status.stop_code = task.stop_code;
        task.status.stop_reason = task.stop_reason;
      }
    }
    control.state().tasks.put(key, std::move(task));
  }
}

void Control::Evaluation::absorb(const model::TaskStatus& status) {
  log::debug("task {}: {} {}", status.task, name_of(status.state), status.stop_reason);
}

void Control::Evaluation::plan_services() {
  auto& state = control.state();
  auto tasks = tasks_by_service();
  std::vector<std::string> services;
  state.services.each("", [&](const std::string& key, const model::Service& service) {
    if (service.status != "INACTIVE" || tasks.contains(key)) services.push_back(key);
  });
  under_way.clear();
  resting.begin(state);
  for (const auto& key : services) {
    std::optional<Time> next;
    if (resting.has(key, control.now(), [this](const std::string& group) { return health_of(group); }, next)) {
      if (next) wake_at(*next);
      continue;
    }
    begin_queued(state, key);
    auto snapshot = snapshot_of(*state.services.find(key), tasks[key]);
    auto plan = plan::reconcile(snapshot);
    resting.looked_at(key, snapshot, plan);
    if (plan.wake) wake_at(*plan.wake);
    if (!plan.actions.empty()) apply(snapshot, plan);
    if (snapshot.deployments.empty()) continue;
    under_way.push_back(deployment_key(snapshot.deployments.back()));
    follow_hooks(under_way.back());
  }
}

// Do other tasks reach this one by a name? Not waited for where the next copy has to wait for this one to end.
bool Control::Evaluation::has_clients(const model::Task& task) const {
  if (task.service.empty() || task.status.state != TaskState::Running) return false;
  auto* service = control.state_->services.find(service_key(task.scope, task.cluster, task.service));
  return service && !service->target.names.empty() && service->configuration.maximum_percent > 100;
}

// What happens to single tasks whoever owns them: the state that people see while a task leaves, and its end.
void Control::Evaluation::keep_books() {
  auto& state = control.state();
  std::vector<model::Task> changed;
  state.tasks.each("", [&](const std::string&, const model::Task& task) {
    if (task.forgotten) return;
    if (task.status.state == TaskState::Stopped) {
      if (!forgotten.contains(task.id)) return;
      auto done = task;
      done.forgotten = true;
      changed.push_back(std::move(done));
    } else if (task.desired_stopped && task.status.state < TaskState::Deactivating) {
      auto leaving = task;
      bool unborn = task.status.state == TaskState::Provisioning && !known.contains(task.id);
      leaving.status.state = unborn ? TaskState::Stopped : TaskState::Deactivating;
      if (unborn) {
        leaving.status.stop_code = task.stop_code;
        leaving.status.stop_reason = task.stop_reason;
        leaving.status.stopped_at = control.now();
      }
      if (!unborn && has_clients(task)) leaving.drain_until = control.now() + kNameDrain;
      changed.push_back(std::move(leaving));
    }
  });
  for (auto& task : changed) {
    if (task.forgotten) {
      if (!task.address.empty()) release_address(state, task.scope, task.subnet, task.address);
      for (auto* ids : {&known, &stopping, &forgotten}) ids->erase(task.id);
    }
    auto key = task_key(task);
    state.tasks.put(key, std::move(task));
  }
  const auto& targets = state.targets.rows();
  SharedMap<model::Target>::differences(looked_at, targets, [&](const std::string& key, const model::Target*, const model::Target* now) {
    if (now && now->draining_until) draining.insert(key);
    else draining.erase(key);
  });
  looked_at = targets;
  if (auto next = remove_drained_targets(control, draining, fresh())) wake_at(*next);
}

void Control::Evaluation::collect_garbage() {
  auto now = control.now();
  if (garbage_at && now < *garbage_at) return;
  garbage_at = now + std::chrono::hours(1);
  wake_at(*garbage_at);
  auto& state = control.state();
  std::vector<std::string> tasks, deployments;
  state.tasks.each("", [&](const std::string& key, const model::Task& task) {
    if (task.forgotten && task.status.stopped_at && now - *task.status.stopped_at > kKeepStoppedTasks) tasks.push_back(key);
  });
  state.deployments.each("", [&](const std::string& key, const model::Deployment& deployment) {
    auto* service = state.services.find(service_key(deployment.scope, deployment.cluster, deployment.service));
    bool current = service && (service->target.id == deployment.target.id ||
                               (service->completed && service->completed->id == deployment.target.id));
    if (!current && deployment.finished_at && now - *deployment.finished_at > kKeepDeployments) deployments.push_back(key);
  });
  for (const auto& key : tasks) state.tasks.erase(key);
  for (const auto& key : deployments) state.deployments.erase(key);
}

void Control::Evaluation::wake_at(Time time) {
  if (!wake || time < *wake) wake = time;
}

void Control::Evaluation::arm_timer() {
  if (timer) control.scheduler_.cancel(*timer);
  timer.reset();
  if (!wake) return;
  auto delay = std::max(Millis(1), *wake - control.now());
  timer = control.scheduler_.after(delay, [this] { control.schedule(); });
}

}  // namespace watari::control
