// Task sets of services with the deployment controller EXTERNAL: the calls of somebody else's deployment controller.
#include <algorithm>

#include "aws/ecs/service_requests.h"
#include "aws/ecs/task_sets.h"
#include "aws/ecs/wire.h"
#include "aws/gen/ecs/create_task_set.h"
#include "aws/gen/ecs/delete_task_set.h"
#include "aws/gen/ecs/describe_task_sets.h"
#include "aws/gen/ecs/update_service_primary_task_set.h"
#include "aws/gen/ecs/update_task_set.h"
#include "control/task_sets.h"

namespace watari::aws::ecs {
namespace {

Result<std::string> key_of(Call& call, const std::string& cluster_text, const std::string& service_text) {
  TRY(auto cluster, find_cluster(call, cluster_text));
  TRY(auto name, service_name(call.scope, cluster.name, service_text));
  return control::service_key(call.scope, cluster.name, name);
}

Result<double> percent_of(const Scale& scale) {
  double value = scale.value.value_or(0);
  if (value < 0 || value > 100) return error("InvalidParameterException", "scale.value must be between 0 and 100; it is {}.", value);
  return value;
}

// "ecs-svc/123", its ARN, or the digits.
Result<std::string> id_of(Call& call, const std::string& text) {
  TRY(auto name, resource_name(call.scope, "task-set", text));
  return name.substr(name.rfind('/') + 1);
}

TaskSet show(Call& call, const std::string& key, const model::TaskSet& set) {
  return describe_task_set(call.platform.control->state(), *call.platform.control->state().services.get(key), set);
}

}  // namespace

Result<CreateTaskSetResponse> create_task_set(Call& call, const CreateTaskSetRequest& request) {
  TRY(auto key, key_of(call, request.cluster, request.service));
  auto definition = find_task_definition(call, request.taskDefinition);
  if (!definition) return fail(definition.error());
  if (!definition->active) return error("ClientException", "TaskDefinition is inactive");
  model::TaskSet set{.external_id = request.externalId.value_or(""), .client_token = request.clientToken.value_or("")};
  set.started_by = call.principal;
  set.platform_version = request.platformVersion.value_or("LATEST");
  set.revision.family = definition->family;
  set.revision.revision = definition->revision;
  set.revision.launch_type = request.launchType.value_or("FARGATE");
  TRY(set.revision.network, placement_from_wire(call, request.networkConfiguration));
  TRY(set.revision.load_balancers, balancers_from_wire(call, request.loadBalancers, *definition, model::Strategy::Rolling));
  if (request.scale) {
    TRY(set.scale, percent_of(*request.scale));
  }
  TRY(set.tags, tags_from_wire(request.tags));
  TRY(auto created, control::create_task_set(*call.platform.control, key, std::move(set)));
  return CreateTaskSetResponse{.taskSet = show(call, key, created)};
}

Result<UpdateTaskSetResponse> update_task_set(Call& call, const UpdateTaskSetRequest& request) {
  TRY(auto key, key_of(call, request.cluster, request.service));
  TRY(auto id, id_of(call, request.taskSet));
  TRY(auto percent, percent_of(request.scale));
  TRY(auto updated, control::scale_task_set(*call.platform.control, key, id, percent));
  return UpdateTaskSetResponse{.taskSet = show(call, key, updated)};
}

Result<UpdateServicePrimaryTaskSetResponse> update_service_primary_task_set(Call& call, const UpdateServicePrimaryTaskSetRequest& request) {
  TRY(auto key, key_of(call, request.cluster, request.service));
  TRY(auto id, id_of(call, request.primaryTaskSet));
  TRY(auto primary, control::make_primary(*call.platform.control, key, id));
  return UpdateServicePrimaryTaskSetResponse{.taskSet = show(call, key, primary)};
}

Result<DeleteTaskSetResponse> delete_task_set(Call& call, const DeleteTaskSetRequest& request) {
  TRY(auto key, key_of(call, request.cluster, request.service));
  TRY(auto id, id_of(call, request.taskSet));
  TRY(auto deleted, control::delete_task_set(*call.platform.control, key, id, request.force.value_or(false)));
  return DeleteTaskSetResponse{.taskSet = show(call, key, deleted)};
}

Result<DescribeTaskSetsResponse> describe_task_sets(Call& call, const DescribeTaskSetsRequest& request) {
  TRY(auto key, key_of(call, request.cluster, request.service));
  auto& state = call.platform.control->state();
  auto service = state.services.get(key);
  if (!service) return error("ServiceNotFoundException", "Service not found.");
  if (service->status == "INACTIVE") return error("ServiceNotActiveException", "Service was not ACTIVE.");
  bool with_tags = std::ranges::count(request.include, "TAGS") > 0;
  std::vector<std::string> ids;
  for (const auto& text : request.taskSets) {
    TRY(auto id, id_of(call, text));
    ids.push_back("ecs-svc/" + id);
  }
  DescribeTaskSetsResponse response;
  for (auto& set : task_sets(state, *service)) {
    if (!ids.empty() && std::erase(ids, *set.id) == 0) continue;
    if (!with_tags) set.tags.clear();
    response.taskSets.push_back(std::move(set));
  }
  for (const auto& id : ids)
    response.failures.push_back({.arn = arn(call.scope, "task-set", fmt::format("{}/{}/{}", service->cluster, service->name, id)), .reason = "MISSING"});
  return response;
}

}  // namespace watari::aws::ecs
