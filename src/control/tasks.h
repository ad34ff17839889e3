#pragma once
// Making and stopping tasks. Thread: the control loop.
#include <optional>
#include <string>
#include <vector>

#include "control/control.h"

namespace watari::control {

// What a new task is made from; everything else follows from the definition.
struct TaskOrder {
  model::Scope scope;
  std::string cluster;
  const model::TaskDefinition* definition = nullptr;
  model::NetworkPlacement network;  // complete (complete_placement in network.h)
  std::string launch_type = "FARGATE";
  std::string service, deployment, service_revision;  // of a service's task
  std::string group, started_by, client_token;
  std::vector<model::ContainerOverride> overrides;
  std::vector<model::Tag> tags;
  std::map<std::string, std::string> pinned_images;  // container -> digest; what is missing is resolved and added to the task
};

// Writes a task's row with its address and images; the next evaluation starts it. Inside control.commit(...).
// A task whose image cannot be found is written as stopped, with ECS's reason, because it was asked for and has failed.
// ResourceExhausted when the subnets have no free address.
Result<model::Task> make_task(Control& control, const TaskOrder& order);

// `count` tasks in one transaction (RunTask). With a client token that was used before, the tasks of that time; Conflict
// (ConflictException) when something else was asked for then.
Result<std::vector<model::Task>> run_tasks(Control& control, TaskOrder order, int count);

// Wants the task stopped: it leaves its target groups, then gets SIGTERM. Fine when it is stopping or stopped.
Result<model::Task> stop_task(Control& control, const std::string& key, const std::string& code, const std::string& reason);

}  // namespace watari::control
