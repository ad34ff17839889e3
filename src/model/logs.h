#pragma once
// Where a container's output goes: the awslogs group and stream. Containers without a logConfiguration have theirs in
// /watari/<cluster>/<family>, so that no line is ever lost.
#include <string>

#include "model/task.h"
#include "model/task_definition.h"

namespace watari::model {

struct LogPlace {
  std::string region, group, stream;
};

inline LogPlace log_place(const Task& task, const ContainerDefinition& container) {
  LogPlace place{task.scope.region, "/watari/" + task.cluster + "/" + task.family, ""};
  std::string prefix = "ecs";
  if (container.log && container.log->driver == "awslogs") {
    if (auto found = container.log->options.find("awslogs-group"); found != container.log->options.end())
      place.group = found->second;
    if (auto found = container.log->options.find("awslogs-region"); found != container.log->options.end())
      place.region = found->second;
    if (auto found = container.log->options.find("awslogs-stream-prefix"); found != container.log->options.end())
      prefix = found->second;
  }
  place.stream = prefix + "/" + container.name + "/" + task.id;
  return place;
}

}  // namespace watari::model
