#include "control/images.h"

#include <algorithm>
#include <map>
#include <ranges>
#include <set>

#include "control/control.h"

namespace watari::control {

constexpr std::size_t kReleases = 10;

std::vector<std::string> images_in_use(const State& state) {
  std::set<std::string> found;
  const auto add = [&](const std::map<std::string, std::string>& pinned) {
    for (const auto& [container, digest] : pinned) found.insert(digest);
  };
  state.tasks.each("", [&](const std::string&, const model::Task& task) {
    if (!task.forgotten) add(task.pinned_images);
  });
  state.services.each("", [&](const std::string&, const model::Service& service) {
    if (service.status == "INACTIVE") return;
    add(service.target.pinned_images);
    if (service.completed) add(service.completed->pinned_images);  // what a rollback returns to
  });
  // What `watari rollback --to` leads to: the newest releases of each service.
  std::map<std::string, std::vector<const model::Deployment*>> releases;
  state.deployments.each("", [&](const std::string&, const model::Deployment& deployment) {
    if (deployment.status == model::DeploymentStatus::Successful) releases[service_key(deployment.scope, deployment.cluster, deployment.service)].push_back(&deployment);
  });
  for (auto& [key, list] : releases) {
    const auto* service = state.services.find(key);
    if (!service || service->status == "INACTIVE") continue;
    std::ranges::sort(list, std::greater{}, &model::Deployment::created_at);
    for (const auto* deployment : list | std::views::take(kReleases)) add(deployment->target.pinned_images);
  }
  state.task_definitions.each("", [&](const std::string&, const model::TaskDefinition& definition) {
    if (!definition.active) return;
    for (const auto& container : definition.containers) found.insert(container.image);
  });
  return {found.begin(), found.end()};
}

}  // namespace watari::control
