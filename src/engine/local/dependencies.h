#pragma once
// In which order the containers of a task start and stop. Pure.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDependency.html
#include <string>
#include <vector>

#include "engine/engine.h"
#include "model/task.h"

namespace watari::engine {

enum class Readiness {
  Ready,
  Waiting,
  Never,  // a dependency has ended in a way that cannot satisfy the condition any more
};

struct Verdict {
  Readiness readiness = Readiness::Ready;
  std::string why;             // Waiting, Never: a sentence without an end
  std::string waits_for;       // Waiting: the container whose start timeout counts
};

// `statuses` are those of all containers of the task.
Verdict may_start(const model::ContainerDefinition& container, const std::vector<model::ContainerStatus>& statuses);

// Whether every container that depends on `name` has stopped.
bool may_stop(const std::string& name, const std::vector<ContainerSpec>& containers, const std::vector<model::ContainerStatus>& statuses);

// InvalidArgument for a dependency on a missing container, on itself, in a circle, or HEALTHY without a health check.
Result<void> check_dependencies(const std::vector<ContainerSpec>& containers);

}  // namespace watari::engine
