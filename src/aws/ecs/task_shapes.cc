#include "aws/ecs/task_shapes.h"

#include <algorithm>

#include "aws/ecs/names.h"
#include "aws/ecs/wire.h"
#include "aws/terminals.h"

namespace watari::aws::ecs {
namespace {

std::optional<std::string> text(const std::string& value) { return value.empty() ? std::nullopt : std::optional(value); }

// The essential containers with a health check decide.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/healthcheck.html
model::Health health_of(const model::Task& task, const model::TaskDefinition* definition) {
  auto health = model::Health::Unknown;
  for (const auto& status : task.status.containers) {
    if (status.health == model::Health::Unknown) continue;
    if (definition) {
      auto found = std::ranges::find(definition->containers, status.name, &model::ContainerDefinition::name);
      if (found != definition->containers.end() && !found->essential) continue;
    }
    if (status.health == model::Health::Unhealthy) return model::Health::Unhealthy;
    health = model::Health::Healthy;
  }
  return health;
}

Attachment interface_of(const model::Task& task) {
  Attachment out{.id = task.interface_id, .type = "ElasticNetworkInterface",
                 .status = task.status.state == model::TaskState::Stopped ? "DELETED" : "ATTACHED"};
  auto add = [&](std::string name, const std::string& value) { out.details.push_back({.name = std::move(name), .value = value}); };
  add("subnetId", task.subnet);
  add("networkInterfaceId", task.interface_id);
  add("macAddress", task.mac);
  add("privateIPv4Address", task.address);
  return out;
}

Container describe_container(const model::Task& task, const std::string& name, const model::TaskDefinition* definition) {
  Container out{.containerArn = arn(task.scope, "container", task.cluster + "/" + task.id + "/" + name), .taskArn = task_arn(task),
                .name = name, .lastStatus = "PENDING", .healthStatus = "UNKNOWN", .cpu = "0"};
  if (definition) {
    auto found = std::ranges::find(definition->containers, name, &model::ContainerDefinition::name);
    if (found != definition->containers.end()) {
      out.image = found->image;
      out.cpu = std::to_string(found->cpu);
      if (found->memory_mib) out.memory = std::to_string(*found->memory_mib);
      if (found->memory_reservation_mib) out.memoryReservation = std::to_string(*found->memory_reservation_mib);
    }
  }
  if (auto pinned = task.pinned_images.find(name); pinned != task.pinned_images.end()) out.imageDigest = pinned->second;
  if (!task.address.empty())
    out.networkInterfaces.push_back({.attachmentId = task.interface_id, .privateIpv4Address = task.address});
  auto status = std::ranges::find(task.status.containers, name, &model::ContainerStatus::name);
  if (status == task.status.containers.end()) return out;
  out.lastStatus = std::string(name_of(status->state));
  out.exitCode = status->exit_code;
  out.reason = text(status->reason);
  out.runtimeId = text(status->runtime_id);
  out.healthStatus = std::string(name_of(status->health));
  // There is no agent in the container; clients wait for it to run before they open a terminal.
  if (allows_commands(task))
    out.managedAgents.push_back({.lastStartedAt = status->started_at, .name = "ExecuteCommandAgent",
                                 .lastStatus = status->state == model::ContainerState::Running ? "RUNNING" : std::string(name_of(status->state))});
  if (!status->image_digest.empty()) out.imageDigest = status->image_digest;
  return out;
}

}  // namespace

Task describe_task(const control::State& state, const model::Task& task, bool with_tags) {
  auto definition = state.task_definitions.find(control::task_definition_key(task.scope, task.family, task.revision));
  const auto& status = task.status;
  Task out{.availabilityZone = text(task.zone), .clusterArn = cluster_arn(task.scope, task.cluster), .connectivity = "CONNECTED",
           .connectivityAt = task.created_at, .createdAt = task.created_at,
           .desiredStatus = task.desired_stopped || status.state >= model::TaskState::Stopping ? "STOPPED" : "RUNNING",
           .enableExecuteCommand = allows_commands(task), .executionStoppedAt = status.execution_stopped_at, .group = text(task.group),
           .healthStatus = std::string(name_of(health_of(task, definition))), .lastStatus = std::string(name_of(status.state)),
           .launchType = task.launch_type, .platformVersion = "1.4.0", .platformFamily = "Linux",
           .pullStartedAt = status.pull_started_at, .pullStoppedAt = status.pull_stopped_at, .startedAt = status.started_at,
           .startedBy = text(task.started_by), .stopCode = text(status.stop_code.empty() ? task.stop_code : status.stop_code),
           .stoppedAt = status.stopped_at, .stoppedReason = text(status.stop_reason.empty() ? task.stop_reason : status.stop_reason),
           .stoppingAt = status.stopping_at, .taskArn = task_arn(task),
           .taskDefinitionArn = task_definition_arn(task.scope, task.family, task.revision), .version = 1};
  if (!task.interface_id.empty()) out.attachments.push_back(interface_of(task));
  if (definition) {
    out.cpu = text(definition->cpu);
    out.memory = text(definition->memory);
    for (const auto& container : definition->containers)
      out.containers.push_back(describe_container(task, container.name, definition));
  }
  TaskOverride overrides;
  for (const auto& item : task.overrides) {
    ContainerOverride override_{.name = item.name, .command = item.command.value_or(std::vector<std::string>{})};
    for (const auto& [name, value] : item.environment) override_.environment.push_back({.name = name, .value = value});
    auto number = [](const auto& value) { return value ? std::optional(static_cast<int>(*value)) : std::nullopt; };
    override_.cpu = number(item.cpu);
    override_.memory = number(item.memory_mib);
    override_.memoryReservation = number(item.memory_reservation_mib);
    overrides.containerOverrides.push_back(std::move(override_));
  }
  out.overrides = overrides;
  if (with_tags) {
    auto shown = task.tags;
    std::erase_if(shown, [](const model::Tag& tag) { return tag.key == kAllowsCommands; });
    out.tags = tags_to_wire(shown);
  }
  return out;
}

}  // namespace watari::aws::ecs
