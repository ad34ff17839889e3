#include "engine/local/dependencies.h"

#include <algorithm>
#include <map>

namespace watari::engine {
namespace {

using model::ContainerState;
using model::DependencyCondition;
using model::Health;

const model::ContainerStatus* find(const std::vector<model::ContainerStatus>& statuses, const std::string& name) {
  auto found = std::ranges::find(statuses, name, &model::ContainerStatus::name);
  return found == statuses.end() ? nullptr : &*found;
}

Readiness satisfies(const model::ContainerStatus& on, DependencyCondition condition) {
  bool stopped = on.state == ContainerState::Stopped;
  bool ran = on.started_at.has_value();
  switch (condition) {
    case DependencyCondition::Start:
      if (on.state == ContainerState::Running || (stopped && ran)) return Readiness::Ready;
      return stopped ? Readiness::Never : Readiness::Waiting;
    case DependencyCondition::Complete:
      if (!stopped) return Readiness::Waiting;
      return on.exit_code ? Readiness::Ready : Readiness::Never;
    case DependencyCondition::Success:
      if (!stopped) return Readiness::Waiting;
      return on.exit_code == 0 ? Readiness::Ready : Readiness::Never;
    case DependencyCondition::Healthy:
      if (stopped || on.health == Health::Unhealthy) return Readiness::Never;
      return on.health == Health::Healthy ? Readiness::Ready : Readiness::Waiting;
  }
  return Readiness::Never;
}

std::string described(const model::ContainerStatus& status) {
  if (status.state == ContainerState::Stopped)
    return status.exit_code ? "it exited with code " + std::to_string(*status.exit_code) : "it could not be started";
  return "it is " + std::string(name_of(status.state)) + ", health " + std::string(name_of(status.health));
}

}  // namespace

Verdict may_start(const model::ContainerDefinition& container, const std::vector<model::ContainerStatus>& statuses) {
  Verdict verdict;
  for (const auto& dependency : container.depends_on) {
    const auto* on = find(statuses, dependency.container);
    auto readiness = on ? satisfies(*on, dependency.condition) : Readiness::Never;
    if (readiness == Readiness::Ready) continue;
    // Never outweighs Waiting.
    if (verdict.readiness == Readiness::Waiting && readiness == Readiness::Waiting) continue;
    verdict = {readiness,
               "container " + container.name + " needs container " + dependency.container + " to reach " +
                   std::string(name_of(dependency.condition)) + ", but " + (on ? described(*on) : "there is none"),
               dependency.container};
    if (readiness == Readiness::Never) return verdict;
  }
  return verdict;
}

bool may_stop(const std::string& name, const std::vector<ContainerSpec>& containers, const std::vector<model::ContainerStatus>& statuses) {
  for (const auto& container : containers) {
    bool depends = std::ranges::any_of(container.definition.depends_on, [&](const auto& each) { return each.container == name; });
    const auto* status = find(statuses, container.definition.name);
    if (depends && status && status->state != ContainerState::Stopped) return false;
  }
  return true;
}

Result<void> check_dependencies(const std::vector<ContainerSpec>& containers) {
  std::map<std::string, const model::ContainerDefinition*> by_name;
  for (const auto& container : containers) by_name[container.definition.name] = &container.definition;
  for (const auto& [name, definition] : by_name)
    for (const auto& dependency : definition->depends_on) {
      auto on = by_name.find(dependency.container);
      if (on == by_name.end())
        return fail(Code::InvalidArgument, "container {} depends on container {}, which the task does not have", name, dependency.container);
      if (dependency.condition == DependencyCondition::Healthy && !on->second->health_check)
        return fail(Code::InvalidArgument, "container {} waits for container {} to be HEALTHY, but it has no health check", name,
                    dependency.container);
    }
  // Take away containers without dependencies on remaining ones until none is left; what stays is a circle.
  auto left = by_name;
  for (bool removed = true; removed && !left.empty();) {
    removed = std::erase_if(left, [&](const auto& entry) {
                return std::ranges::none_of(entry.second->depends_on, [&](const auto& each) { return left.contains(each.container); });
              }) > 0;
  }
  if (!left.empty()) return fail(Code::InvalidArgument, "the dependencies of container {} form a circle", left.begin()->first);
  return {};
}

}  // namespace watari::engine
