// Running and stopping single tasks.
#include <algorithm>

#include "aws/ecs/service_requests.h"
#include "aws/ecs/task_shapes.h"
#include "aws/ecs/wire.h"
#include "aws/gen/ecs/run_task.h"
#include "aws/gen/ecs/stop_task.h"
#include "aws/terminals.h"
#include "control/tasks.h"

namespace watari::aws::ecs {
namespace {

Result<std::vector<model::ContainerOverride>> overrides_from_wire(const std::optional<TaskOverride>& in,
                                                                  const model::TaskDefinition& definition) {
  std::vector<model::ContainerOverride> out;
  if (!in) return out;
  for (const auto& one : in->containerOverrides) {
    auto name = one.name.value_or("");
    if (!std::ranges::count(definition.containers, name, &model::ContainerDefinition::name))
      return error("InvalidParameterException", "Override for container named {} is not a container in the TaskDefinition.", name);
    model::ContainerOverride made{.name = name};
    if (!one.command.empty()) made.command = one.command;
    for (const auto& pair : one.environment) made.environment[pair.name.value_or("")] = pair.value.value_or("");
    made.cpu = one.cpu;
    made.memory_mib = one.memory;
    made.memory_reservation_mib = one.memoryReservation;
    out.push_back(std::move(made));
  }
  return out;
}

}  // namespace

Result<RunTaskResponse> run_task(Call& call, const RunTaskRequest& request) {
  TRY(auto cluster, find_cluster(call, request.cluster));
  TRY(auto definition, find_task_definition(call, request.taskDefinition));
  if (!definition.active) return error("ClientException", "TaskDefinition is inactive");
  int count = request.count.value_or(1);
  if (count < 1 || count > 10) return error("InvalidParameterException", "count must be between 1 and 10; it is {}.", count);

  control::TaskOrder order{.scope = call.scope, .cluster = cluster.name, .definition = &definition};
  TRY(order.network, placement_from_wire(call, request.networkConfiguration));
  order.launch_type = request.launchType.value_or("FARGATE");
  order.group = request.group.value_or("");
  order.started_by = request.startedBy.value_or("");
  order.client_token = request.clientToken.value_or("");
  TRY(order.overrides, overrides_from_wire(request.overrides, definition));
  TRY(order.tags, tags_from_wire(request.tags));
  if (request.propagateTags == "TASK_DEFINITION")
    for (const auto& tag : definition.tags)
      if (!std::ranges::count(order.tags, tag.key, &model::Tag::key)) order.tags.push_back(tag);

  if (request.enableECSManagedTags.value_or(false)) order.tags.push_back({"aws:ecs:clusterName", cluster.name});

  if (request.enableExecuteCommand.value_or(false)) order.tags.push_back({std::string(kAllowsCommands), "true"});
  auto tasks = control::run_tasks(*call.platform.control, std::move(order), count);
  RunTaskResponse response;
  if (!tasks && tasks.error().code == Code::ResourceExhausted) {
    response.failures.push_back({.reason = "RESOURCE:ENI", .detail = tasks.error().message});
    return response;
  }
  if (!tasks) return fail(tasks.error());
  for (const auto& task : *tasks) response.tasks.push_back(describe_task(call.platform.control->state(), task, true));
  return response;
}

Result<StopTaskResponse> stop_task(Call& call, const StopTaskRequest& request) {
  TRY(auto cluster, find_cluster(call, request.cluster));
  TRY(auto id, task_id(call.scope, cluster.name, request.task));
  auto key = control::task_key(call.scope, cluster.name, id);
  if (!call.platform.control->state().tasks.has(key))
    return error("InvalidParameterException", "The referenced task was not found.");
  TRY(auto task, control::stop_task(*call.platform.control, key, "UserInitiated", request.reason.value_or("Task stopped by user")));
  return StopTaskResponse{.task = describe_task(call.platform.control->state(), task, true)};
}

}  // namespace watari::aws::ecs
