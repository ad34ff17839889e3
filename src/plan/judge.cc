#include <algorithm>

#include "base/result.h"
#include "model/logs.h"
#include "plan/planner.h"
#include "plan/reconcile.h"

namespace watari::plan {
namespace {

// A task that nothing checks counts as healthy when it has run this long: long enough to catch those that exit at once.
// (AWS waits 40 s.)
constexpr Millis kSettle{2000};

const model::TaskDefinition* definition_of(const ServiceSnapshot& snapshot, const model::Task& task) {
  auto found = snapshot.definitions.find(task.family + ":" + std::to_string(task.revision));
  return found == snapshot.definitions.end() ? nullptr : &found->second;
}

const model::ContainerStatus* status_of(const model::Task& task, const std::string& container) {
  auto found = std::ranges::find(task.status.containers, container, &model::ContainerStatus::name);
  return found == task.status.containers.end() ? nullptr : &*found;
}

std::string log_of(const model::Task& task, const model::ContainerDefinition& container) {
  auto place = model::log_place(task, container);
  return fmt::format("its log: group {}, stream {}", place.group, place.stream);
}

std::string one_line(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  return text.size() > 300 ? text.substr(0, 300) + "…" : text;
}

// Healthy when every essential container with a health check passes it; has_checks tells whether there is one.
Judgement judge_containers(const model::TaskDefinition& definition, const model::Task& task, bool& has_checks) {
  Judgement result{Fitness::Healthy, {}, {}};
  for (const auto& container : definition.containers) {
    if (!container.essential || !container.health_check) continue;
    has_checks = true;
    auto* status = status_of(task, container.name);
    auto health = status ? status->health : model::Health::Unknown;
    if (health == model::Health::Unhealthy)
      return {Fitness::Unhealthy,
              fmt::format("Task failed container health checks (container {}: {}; {})", container.name,
                          one_line(status->health_output), log_of(task, container)),
              {}};
    if (health == model::Health::Unknown) result.fitness = Fitness::Starting;
  }
  return result;
}

}  // namespace

Judgement judge(const ServiceSnapshot& snapshot, const model::Task& task) {
  using model::TaskState;
  if (task.status.state == TaskState::Stopped) return {Fitness::Gone, {}, {}};
  if (task.desired_stopped || task.status.state > TaskState::Running) return {Fitness::Leaving, {}, {}};
  if (task.status.state != TaskState::Running) return {};

  bool has_checks = false;
  Judgement result{Fitness::Healthy, {}, {}};
  if (auto* definition = definition_of(snapshot, task)) result = judge_containers(*definition, task, has_checks);
  if (result.fitness == Fitness::Unhealthy) return result;

  auto started = task.status.started_at.value_or(task.created_at);
  for (const auto& [group, port, container] : places_of(snapshot, task)) {
    has_checks = true;
    auto seen = std::ranges::find_if(snapshot.health, [&](const auto& health) {
      return health.target_group == group && health.address == task.address && health.port == port;
    });
    auto state = seen == snapshot.health.end() ? model::TargetState::Initial : seen->state;
    if (state == model::TargetState::Unhealthy) {
      auto grace_end = started + snapshot.service.health_check_grace_period;
      if (snapshot.now < grace_end) {
        result = {Fitness::Starting, {}, grace_end};
        continue;
      }
      return {Fitness::Unhealthy,
              fmt::format("Task failed ELB health checks in (target-group {}) ({}; container {}, port {})", group,
                          one_line(seen->description.empty() ? seen->reason : seen->description), container, port),
              {}};
    }
    // Unavailable: its target group has health checks turned off.
    if (state != model::TargetState::Healthy && state != model::TargetState::Unavailable) result.fitness = Fitness::Starting;
  }
  if (!has_checks && snapshot.now < started + kSettle) return {Fitness::Starting, {}, started + kSettle};
  return result;
}

std::string why_stopped(const ServiceSnapshot& snapshot, const model::Task& task) {
  auto* definition = definition_of(snapshot, task);
  std::string text = fmt::format("task {} stopped", task.id);
  if (!task.status.stop_reason.empty()) text += ": " + task.status.stop_reason;
  for (const auto& status : task.status.containers) {
    if (status.reason.empty() && status.exit_code.value_or(0) == 0) continue;
    text += fmt::format("; container {}", status.name);
    if (status.exit_code) text += fmt::format(" exited with code {}", *status.exit_code);
    if (!status.reason.empty()) text += fmt::format(" ({})", one_line(status.reason));
    if (!definition) continue;
    auto container = std::ranges::find(definition->containers, status.name, &model::ContainerDefinition::name);
    if (container != definition->containers.end()) text += ", " + log_of(task, *container);
  }
  return text;
}

}  // namespace watari::plan
