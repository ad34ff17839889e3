#pragma once
// The task sets of a service whose deployments CodeDeploy makes (computed from its revisions and their tasks) or somebody else.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskSet.html. Thread: the control loop.
#include <string>
#include <vector>

#include "aws/gen/ecs/shape/TaskSet.h"
#include "control/control.h"
#include "model/service.h"

namespace watari::aws::ecs {

// The running, pending and wanted tasks of a service, or of one of its revisions.
struct TaskCounts {
  int running = 0, pending = 0, wanted = 0;
  bool any() const { return running + pending + wanted > 0; }
};
TaskCounts count_tasks(const control::State& state, const model::Scope& scope, const std::string& cluster, const std::string& service,
                       const std::string& revision = "");

std::string task_set_id(const model::ServiceRevision& revision);  // ecs-svc/<19 digits>

// One that was made by CreateTaskSet (EXTERNAL), with its tags.
TaskSet describe_task_set(const control::State& state, const model::Service& service, const model::TaskSet& set);

// Those of EXTERNAL as they were made. Of CODE_DEPLOY: the PRIMARY one has all production traffic (or had it last); the other is ACTIVE while a deployment may still need it, and
// DRAINING when it only has tasks left. None for the controller ECS.
std::vector<TaskSet> task_sets(const control::State& state, const model::Service& service);

}  // namespace watari::aws::ecs
