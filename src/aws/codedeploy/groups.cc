// Deployment groups: which service, which pairs of target groups, which waits.
#include <algorithm>

#include "aws/codedeploy/view.h"
#include "aws/codedeploy/wire.h"
#include "aws/ecs/wire.h"
#include "aws/gen/codedeploy/batch_get_deployment_groups.h"
#include "aws/gen/codedeploy/create_deployment_group.h"
#include "aws/gen/codedeploy/delete_deployment_group.h"
#include "aws/gen/codedeploy/get_deployment_group.h"
#include "aws/gen/codedeploy/list_deployment_groups.h"
#include "aws/gen/codedeploy/update_deployment_group.h"
#include "aws/page.h"

namespace watari::aws::codedeploy {
namespace {

Result<void> read_service(Call& call, const std::vector<ECSService>& services, model::CodeDeployGroup& out) {
  if (services.size() != 1)
    return error("InvalidECSServiceException", "A deployment group of the compute platform ECS has exactly one ECS service.");
  auto cluster = ecs::cluster_name(call.scope, services[0].clusterName);
  if (!cluster) return error("InvalidECSServiceException", "{}", cluster.error().message);
  auto name = ecs::service_name(call.scope, *cluster, services[0].serviceName.value_or(""));
  if (!name) return error("InvalidECSServiceException", "{}", name.error().message);
  auto* service = state(call).services.find(control::service_key(call.scope, *cluster, *name));
  if (!service || service->status != "ACTIVE")
    return error("InvalidECSServiceException", "The ECS service {} in the cluster {} does not exist.", *name, *cluster);
  if (service->controller != "CODE_DEPLOY")
    return error("InvalidECSServiceException", "Deployment group's ECS service must be configured for a CODE_DEPLOY deployment controller.");
  bool taken = false;
  state(call).code_deploy_groups.each(control::scope_prefix(call.scope), [&](const auto&, const model::CodeDeployGroup& other) {
    taken |= other.cluster == *cluster && other.service == *name && (other.application != out.application || other.name != out.name);
  });
  if (taken)
    return error("ECSServiceMappingLimitExceededException", "The ECS service {} in the cluster {} already belongs to a deployment group.", *name,
                 *cluster);
  out.cluster = *cluster;
  out.service = *name;
  return {};
}

Result<std::vector<std::string>> read_listeners(Call& call, const std::optional<TrafficRoute>& route) {
  std::vector<std::string> out;
  if (!route) return out;
  for (const auto& arn : route->listenerArns) {
    if (!state(call).listeners.has(arn)) return error("InvalidLoadBalancerInfoException", "The listener {} does not exist.", arn);
    out.push_back(arn);
  }
  return out;
}

Result<void> read_pairs(Call& call, const LoadBalancerInfo& info, model::CodeDeployGroup& out) {
  out.pairs.clear();
  for (const auto& pair : info.targetGroupPairInfoList) {
    model::TargetGroupPair read;
    for (const auto& group : pair.targetGroups) read.target_groups.push_back(group.name.value_or(""));
    if (read.target_groups.size() != 2 || read.target_groups[0] == read.target_groups[1])
      return error("InvalidTargetGroupPairException", "A target group pair has two different target groups.");
    TRY(read.production_listeners, read_listeners(call, pair.prodTrafficRoute));
    TRY(read.test_listeners, read_listeners(call, pair.testTrafficRoute));
    if (read.production_listeners.empty()) return error("InvalidTargetGroupPairException", "A target group pair needs a production listener.");
    out.pairs.push_back(std::move(read));
  }
  if (out.pairs.empty())
    return error("InvalidLoadBalancerInfoException", "For ECS deployment group, loadBalancerInfo must contain a targetGroupPairInfoList.");
  return {};
}

// Do the target groups exist, and is the service registered with one of each pair?
Result<void> check_pairs(Call& call, const model::CodeDeployGroup& group) {
  auto* service = state(call).services.find(control::service_key(call.scope, group.cluster, group.service));
  if (!service) return {};
  auto balancers = control::balancers_of(state(call), group, service->target, "", 0);
  if (!balancers) return error("InvalidTargetGroupPairException", "{}", balancers.error().message);
  return {};
}

Result<void> read_waits(const BlueGreenDeploymentConfiguration& in, model::CodeDeployGroup& out) {
  constexpr const char* kInvalid = "InvalidBlueGreenDeploymentConfigurationException";
  constexpr int kLongest = 2880;
  if (in.deploymentReadyOption) {
    out.ready_wait_stops = in.deploymentReadyOption->actionOnTimeout == "STOP_DEPLOYMENT";
    out.ready_wait = in.deploymentReadyOption->waitTimeInMinutes.value_or(0);
    if (out.ready_wait < 0 || out.ready_wait > kLongest) return error(kInvalid, "waitTimeInMinutes must be between 0 and {}.", kLongest);
    if (out.ready_wait > 0 && !out.ready_wait_stops)
      return error(kInvalid, "waitTimeInMinutes applies only to actionOnTimeout STOP_DEPLOYMENT; leave it out or 0 for CONTINUE_DEPLOYMENT.");
    if (out.ready_wait_stops && out.ready_wait == 0) return error(kInvalid, "STOP_DEPLOYMENT needs a waitTimeInMinutes of at least 1.");
  }
  if (in.terminateBlueInstancesOnDeploymentSuccess) {
    const auto& terminate = *in.terminateBlueInstancesOnDeploymentSuccess;
    out.keep_blue = terminate.action == "KEEP_ALIVE";
    out.termination_wait = terminate.terminationWaitTimeInMinutes.value_or(0);
    if (out.termination_wait < 0 || out.termination_wait > kLongest)
      return error(kInvalid, "terminationWaitTimeInMinutes must be between 0 and {}.", kLongest);
  }
  return {};
}

// What creating and updating share; members that were not given stay as they are.
template <class Request>
Result<void> read_members(Call& call, const Request& request, model::CodeDeployGroup& out) {
  if (request.deploymentConfigName) {
    TRY(auto config, find_config(call, *request.deploymentConfigName));
    out.config = config.name;
  }
  if (call.given("ecsServices")) TRY_VOID(read_service(call, request.ecsServices, out));
  if (request.loadBalancerInfo) TRY_VOID(read_pairs(call, *request.loadBalancerInfo, out));
  if (request.autoRollbackConfiguration) TRY_VOID(read_rollback(*request.autoRollbackConfiguration, out.rollback, out.rollback_events));
  if (request.alarmConfiguration) {
    TRY(out.alarms, alarms_from_wire(*request.alarmConfiguration));
  }
  if (request.blueGreenDeploymentConfiguration) TRY_VOID(read_waits(*request.blueGreenDeploymentConfiguration, out));
  return check_pairs(call, out);
}

LastDeploymentInfo last_info(const Call& call, const View& view) {
  return {.deploymentId = view.id, .status = std::string(status_of(view, call)), .endTime = finished_at(view), .createTime = created_at(view)};
}

DeploymentGroupInfo describe(const Call& call, const model::CodeDeployGroup& group) {
  DeploymentGroupInfo out{.applicationName = group.application, .deploymentGroupId = group.id, .deploymentGroupName = group.name,
                          .deploymentConfigName = group.config};
  out.serviceRoleArn = group.role;
  out.alarmConfiguration = to_wire(group.alarms);
  out.autoRollbackConfiguration = rollback_to_wire(group.rollback, group.rollback_events);
  out.deploymentStyle = blue_green_style();
  out.outdatedInstancesStrategy = "UPDATE";
  out.blueGreenDeploymentConfiguration = waits_to_wire(group.ready_wait_stops, group.ready_wait, group.keep_blue, group.termination_wait);
  out.loadBalancerInfo = to_wire(group.pairs);
  out.computePlatform = "ECS";
  out.ecsServices = {{.serviceName = group.service, .clusterName = group.cluster}};
  out.terminationHookEnabled = false;
  for (const auto& view : views_of(call)) {  // oldest first
    if (view.application != group.application || view.group != group.name) continue;
    out.lastAttemptedDeployment = last_info(call, view);
    if (status_of(view, call) == "Succeeded") {
      out.lastSuccessfulDeployment = out.lastAttemptedDeployment;
      out.targetRevision = revision_of(call, view);
    }
  }
  return out;
}

}  // namespace

Result<CreateDeploymentGroupResponse> create_deployment_group(Call& call, const CreateDeploymentGroupRequest& request) {
  TRY_VOID(find_application(call, request.applicationName));
  TRY_VOID(check_name(request.deploymentGroupName, "DeploymentGroup"));
  auto key = control::group_key(call.scope, request.applicationName, request.deploymentGroupName);
  if (state(call).code_deploy_groups.has(key))
    return error("DeploymentGroupAlreadyExistsException", "Deployment group name already exists: {}", request.deploymentGroupName);
  if (request.serviceRoleArn.empty()) return error("RoleRequiredException", "The service role is missing.");
  if (request.ecsServices.empty())
    return error("InvalidECSServiceException", "A deployment group of the compute platform ECS has exactly one ECS service.");
  if (!request.loadBalancerInfo)
    return error("InvalidLoadBalancerInfoException", "For ECS deployment group, loadBalancerInfo must be specified.");
  model::CodeDeployGroup group{.scope = call.scope, .id = new_id(), .application = request.applicationName,
                               .name = request.deploymentGroupName, .role = request.serviceRoleArn};
  TRY_VOID(read_members(call, request, group));
  TRY(group.tags, tags_from_wire(request.tags));
  return call.platform.control->commit([&]() -> Result<CreateDeploymentGroupResponse> {
    state(call).code_deploy_groups.put(key, group);
    return CreateDeploymentGroupResponse{.deploymentGroupId = group.id};
  });
}

Result<UpdateDeploymentGroupResponse> update_deployment_group(Call& call, const UpdateDeploymentGroupRequest& request) {
  TRY(auto group, find_group(call, request.applicationName, request.currentDeploymentGroupName));
  TRY_VOID(read_members(call, request, group));
  if (request.serviceRoleArn) group.role = *request.serviceRoleArn;
  auto old_key = control::group_key(call.scope, group.application, group.name);
  group.name = request.newDeploymentGroupName.value_or(group.name);
  TRY_VOID(check_name(group.name, "DeploymentGroup"));
  auto key = control::group_key(call.scope, group.application, group.name);
  if (key != old_key && state(call).code_deploy_groups.has(key))
    return error("DeploymentGroupAlreadyExistsException", "Deployment group name already exists: {}", group.name);
  return call.platform.control->commit([&]() -> Result<UpdateDeploymentGroupResponse> {
    state(call).code_deploy_groups.erase(old_key);
    state(call).code_deploy_groups.put(key, group);
    return UpdateDeploymentGroupResponse{};
  });
}

Result<GetDeploymentGroupResponse> get_deployment_group(Call& call, const GetDeploymentGroupRequest& request) {
  TRY(auto group, find_group(call, request.applicationName, request.deploymentGroupName));
  return GetDeploymentGroupResponse{.deploymentGroupInfo = describe(call, group)};
}

Result<BatchGetDeploymentGroupsResponse> batch_get_deployment_groups(Call& call, const BatchGetDeploymentGroupsRequest& request) {
  TRY_VOID(find_application(call, request.applicationName));
  if (request.deploymentGroupNames.size() > 100) return error("BatchLimitExceededException", "At most 100 deployment groups in one call.");
  BatchGetDeploymentGroupsResponse response;
  for (const auto& name : request.deploymentGroupNames)
    if (auto group = find_group(call, request.applicationName, name)) response.deploymentGroupsInfo.push_back(describe(call, *group));
  return response;
}

Result<ListDeploymentGroupsResponse> list_deployment_groups(Call& call, const ListDeploymentGroupsRequest& request) {
  TRY_VOID(find_application(call, request.applicationName));
  std::vector<std::string> names;
  for (const auto& group : groups_of(call, request.applicationName)) names.push_back(group.name);
  TRY(auto page, paginate(call, std::move(names), request.nextToken, 100, std::identity{}, "InvalidNextTokenException"));
  ListDeploymentGroupsResponse response{.applicationName = request.applicationName};
  response.deploymentGroups = std::move(page.items);
  response.nextToken = std::move(page.next_token);
  return response;
}

Result<DeleteDeploymentGroupResponse> delete_deployment_group(Call& call, const DeleteDeploymentGroupRequest& request) {
  TRY_VOID(find_application(call, request.applicationName));
  return call.platform.control->commit([&]() -> Result<DeleteDeploymentGroupResponse> {
    state(call).code_deploy_groups.erase(control::group_key(call.scope, request.applicationName, request.deploymentGroupName));
    return DeleteDeploymentGroupResponse{};
  });
}

}  // namespace watari::aws::codedeploy
