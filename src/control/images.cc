#include "control/images.h"

#include <set>

namespace watari::control {

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
  state.task_definitions.each("", [&](const std::string&, const model::TaskDefinition& definition) {
    if (!definition.active) return;
    for (const auto& container : definition.containers) found.insert(container.image);
  });
  return {found.begin(), found.end()};
}

}  // namespace watari::control
