#include <algorithm>
#include <set>

#include "aws/ecs/container_definition.h"
#include "aws/ecs/wire.h"
#include "aws/gen/ecs/delete_task_definitions.h"
#include "aws/gen/ecs/deregister_task_definition.h"
#include "aws/gen/ecs/describe_task_definition.h"
#include "aws/gen/ecs/list_task_definition_families.h"
#include "aws/gen/ecs/list_task_definitions.h"
#include "aws/gen/ecs/register_task_definition.h"
#include "aws/page.h"
#include "base/strings.h"

namespace watari::aws::ecs {
namespace {

TaskDefinition describe(const model::TaskDefinition& in) {
  auto text = [](const std::string& value) { return value.empty() ? std::nullopt : std::optional(value); };
  TaskDefinition out{.taskDefinitionArn = task_definition_arn(in.scope, in.family, in.revision), .family = in.family,
                     .taskRoleArn = text(in.task_role), .executionRoleArn = text(in.execution_role), .networkMode = in.network_mode,
                     .revision = in.revision, .status = in.active ? "ACTIVE" : "INACTIVE", .compatibilities = {"EC2", "FARGATE"},
                     .requiresCompatibilities = in.requires_compatibilities, .cpu = text(in.cpu), .memory = text(in.memory),
                     .registeredAt = in.registered_at, .deregisteredAt = in.deregistered_at, .registeredBy = text(in.registered_by)};
  for (const auto& container : in.containers) out.containerDefinitions.push_back(to_wire(container));
  for (const auto& volume : in.volumes) out.volumes.push_back(to_wire(volume));
  return out;
}

// "1024", "1 vCPU", ".5 vcpu" -> units; "2048", "2 GB", "0.5GB" -> MiB. Stored as a plain number, as ECS does.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html#task_size
Result<std::string> read_size(const std::string& text, std::string_view unit, std::string_view what) {
  auto lower = to_lower(text);
  auto value = trim(lower);
  if (value.empty()) return std::string();
  bool large = value.ends_with(unit);
  auto number = parse_number<double>(trim(large ? value.substr(0, value.size() - unit.size()) : value));
  if (!number || *number <= 0 || *number * 1024 > 1e9)
    return error("ClientException", "Invalid setting for {}: '{}'. Write a whole number, or a number with {}.", what, text, unit);
  return std::to_string(static_cast<long>(large ? *number * 1024 : *number));
}

bool wanted_status(const model::TaskDefinition& definition, const std::optional<std::string>& status) {
  return definition.active == (status.value_or("ACTIVE") == "ACTIVE");
}

}  // namespace

// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html
Result<RegisterTaskDefinitionResponse> register_task_definition(Call& call, const RegisterTaskDefinitionRequest& request) {
  auto fine = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_'; };
  if (request.family.empty() || request.family.size() > 255 || !std::ranges::all_of(request.family, fine))
    return error("ClientException", "Family contains invalid characters: {}. Use letters, digits, '-' and '_'.", request.family);
  if (request.containerDefinitions.empty()) return error("ClientException", "Container definitions should not be null or empty.");

  // Every task has a network namespace and an address of its own, so an absent networkMode means awsvpc here.
  model::TaskDefinition definition{.scope = call.scope, .family = request.family, .task_role = request.taskRoleArn.value_or(""),
                                   .execution_role = request.executionRoleArn.value_or(""),
                                   .requires_compatibilities = request.requiresCompatibilities, .registered_by = call.principal};
  TRY(definition.cpu, read_size(request.cpu.value_or(""), "vcpu", "cpu"));
  TRY(definition.memory, read_size(request.memory.value_or(""), "gb", "memory"));
  TRY(definition.tags, tags_from_wire(request.tags));
  for (const auto& container : request.containerDefinitions) {
    TRY(auto read, from_wire(container));
    definition.containers.push_back(std::move(read));
  }
  for (const auto& volume : request.volumes) {
    TRY(auto read, from_wire(volume));
    definition.volumes.push_back(std::move(read));
  }
  TRY_VOID(check_together(definition));
  TRY(auto registered, control::register_task_definition(*call.platform.control, std::move(definition)));
  return RegisterTaskDefinitionResponse{.taskDefinition = describe(registered), .tags = tags_to_wire(registered.tags)};
}

Result<DescribeTaskDefinitionResponse> describe_task_definition(Call& call, const DescribeTaskDefinitionRequest& request) {
  TRY(auto definition, find_task_definition(call, request.taskDefinition));
  DescribeTaskDefinitionResponse response{.taskDefinition = describe(definition)};
  if (std::ranges::count(request.include, "TAGS")) response.tags = tags_to_wire(definition.tags);
  return response;
}

Result<ListTaskDefinitionsResponse> list_task_definitions(Call& call, const ListTaskDefinitionsRequest& request) {
  std::vector<model::TaskDefinition> found;
  call.platform.control->state().task_definitions.each(
      control::scope_prefix(call.scope), [&](const auto&, const model::TaskDefinition& definition) {
        if (wanted_status(definition, request.status) && (!request.familyPrefix || definition.family == *request.familyPrefix))
          found.push_back(definition);
      });
  // By family, then by revision; DESC turns both around.
  auto key = [descending = request.sort.value_or("ASC") == "DESC"](const model::TaskDefinition& definition) {
    auto plain = fmt::format("{} {:010}", definition.family, definition.revision);
    return descending ? turned(std::move(plain)) : plain;
  };
  std::ranges::sort(found, {}, key);
  TRY(auto limit, page_limit(request.maxResults, 100));
  TRY(auto page, paginate(call, std::move(found), request.nextToken, limit, key, "InvalidParameterException"));
  ListTaskDefinitionsResponse response{.nextToken = std::move(page.next_token)};
  for (const auto& definition : page.items)
    response.taskDefinitionArns.push_back(task_definition_arn(definition.scope, definition.family, definition.revision));
  return response;
}

Result<ListTaskDefinitionFamiliesResponse> list_task_definition_families(Call& call, const ListTaskDefinitionFamiliesRequest& request) {
  std::map<std::string, bool> families;  // name -> has an active revision
  call.platform.control->state().task_definitions.each(
      control::scope_prefix(call.scope), [&](const auto&, const model::TaskDefinition& definition) {
        if (definition.family.starts_with(request.familyPrefix.value_or(""))) families[definition.family] |= definition.active;
      });
  auto status = request.status.value_or("ALL");
  std::vector<std::string> names;
  for (const auto& [name, active] : families)
    if (status == "ALL" || active == (status == "ACTIVE")) names.push_back(name);
  TRY(auto limit, page_limit(request.maxResults, 100));
  TRY(auto page, paginate(call, std::move(names), request.nextToken, limit,
                          std::identity{}, "InvalidParameterException"));
  return ListTaskDefinitionFamiliesResponse{.families = std::move(page.items), .nextToken = std::move(page.next_token)};
}

Result<DeregisterTaskDefinitionResponse> deregister_task_definition(Call& call, const DeregisterTaskDefinitionRequest& request) {
  TRY(auto name, task_definition_name(call.scope, request.taskDefinition));
  if (!name.revision) return error("ClientException", "Deregistering needs a revision: write {}:1.", name.family);
  TRY(auto definition, find_task_definition(call, request.taskDefinition));
  auto& control = *call.platform.control;
  TRY_VOID(control.commit([&]() -> Result<void> {
    if (definition.active) definition.deregistered_at = call.now;
    definition.active = false;
    control.state().task_definitions.put(control::task_definition_key(call.scope, name.family, name.revision), definition);
    return {};
  }));
  return DeregisterTaskDefinitionResponse{.taskDefinition = describe(definition)};
}

Result<DeleteTaskDefinitionsResponse> delete_task_definitions(Call& call, const DeleteTaskDefinitionsRequest& request) {
  if (request.taskDefinitions.size() > 10)
    return error("InvalidParameterException", "At most 10 task definitions can be deleted in one call.");
  auto& control = *call.platform.control;
  auto& state = control.state();
  // Tasks and services read their revision when they start another task, so one that is used stays.
  std::set<std::pair<std::string, int>> used;
  state.tasks.each(control::scope_prefix(call.scope), [&](const auto&, const model::Task& task) {
    if (task.status.state != model::TaskState::Stopped) used.emplace(task.family, task.revision);
  });
  state.services.each(control::scope_prefix(call.scope), [&](const auto&, const model::Service& service) {
    if (service.status == "INACTIVE") return;
    used.emplace(service.target.family, service.target.revision);
    if (service.completed) used.emplace(service.completed->family, service.completed->revision);
  });
  DeleteTaskDefinitionsResponse response;
  TRY_VOID(control.commit([&]() -> Result<void> {
    for (const auto& text : request.taskDefinitions) {
      auto refuse = [&](std::string reason) { response.failures.push_back({.arn = text, .reason = std::move(reason)}); };
      TRY(auto name, task_definition_name(call.scope, text));
      auto key = control::task_definition_key(call.scope, name.family, name.revision);
      auto definition = state.task_definitions.get(key);
      if (!definition) {
        refuse("The specified task definition does not exist. Specify a valid account, family, revision and try again.");
      } else if (definition->active) {
        refuse("The specified task definition is still in ACTIVE status. Please deregister the target and try again.");
      } else if (used.contains({name.family, name.revision})) {
        refuse("The specified task definition is used by a service or a task. Move them to another revision and try again.");
      } else {
        auto wire = describe(*definition);
        wire.status = "DELETE_IN_PROGRESS";
        wire.deleteRequestedAt = call.now;
        response.taskDefinitions.push_back(std::move(wire));
        state.task_definitions.erase(key);
      }
    }
    return {};
  }));
  return response;
}

}  // namespace watari::aws::ecs
