// CreateDeployment: an AppSpec and a deployment group become one deployment of the service.
#include <algorithm>

#include "aws/codedeploy/app_spec.h"
#include "aws/codedeploy/wire.h"
#include "aws/ecs/service_requests.h"
#include "aws/ecs/wire.h"
#include "aws/gen/codedeploy/create_deployment.h"
#include "control/hooks.h"

namespace watari::aws::codedeploy {
namespace {

constexpr const char* kInvalid = "InvalidRevisionException";
constexpr Seconds kHookTimeout{3600};  // AWS: a hook that has not answered within an hour has failed

model::Stage stage_of(const std::string& event) {
  if (event == "BeforeInstall") return model::Stage::PreScaleUp;
  if (event == "AfterInstall") return model::Stage::PostScaleUp;
  if (event == "AfterAllowTestTraffic") return model::Stage::PostTestTrafficShift;
  if (event == "BeforeAllowTraffic") return model::Stage::PreProductionTrafficShift;
  return model::Stage::PostProductionTrafficShift;
}

Result<std::vector<model::LifecycleHook>> hooks_of(Call& call, const AppSpec& spec, const model::CodeDeployGroup& group) {
  std::vector<model::LifecycleHook> out;
  if (group.ready_wait_stops)
    out.push_back({.target = model::HookTarget::Pause, .stages = {model::Stage::PostTestTrafficShift},
                   .timeout = Seconds(60) * group.ready_wait, .timeout_action = model::HookAction::Rollback});
  for (const auto& hook : spec.hooks) {
    auto place = control::find_hook(state(call), call.scope, hook.function);
    if (!place) return error(kInvalid, "The hook {}: {}", hook.event, place.error().message);
    out.push_back({.target = model::HookTarget::Lambda, .target_arn = hook.function, .role = group.role, .stages = {stage_of(hook.event)},
                   .timeout = kHookTimeout, .timeout_action = model::HookAction::Rollback, .lifecycle_event = hook.event});
  }
  return out;
}

// The revision that the AppSpec asks for: the service's, but for what the AppSpec says.
Result<model::ServiceRevision> revision_for(Call& call, const AppSpec& spec, const model::Service& service, const model::CodeDeployGroup& group) {
  auto definition = ecs::find_task_definition(call, spec.task_definition);
  if (!definition || !definition->active)
    return error(kInvalid, "The task definition {} of the AppSpec does not exist or is inactive.", spec.task_definition);
  auto container = std::ranges::find(definition->containers, spec.container, &model::ContainerDefinition::name);
  if (container == definition->containers.end() || !std::ranges::count(container->ports, spec.container_port, &model::PortMapping::container_port))
    return error(kInvalid, "The task definition {}:{} has no container {} with the container port {} that LoadBalancerInfo names.",
                 definition->family, definition->revision, spec.container, spec.container_port);
  if (!spec.platform_version.empty() && spec.platform_version != "LATEST" && spec.platform_version != "1.4.0")
    return error(kInvalid, "PlatformVersion '{}' is not supported by Watari; use LATEST or 1.4.0.", spec.platform_version);
  for (const auto& provider : spec.capacity_providers)
    if (provider != "FARGATE") return error(kInvalid, "The capacity provider {} is not supported by Watari; use FARGATE.", provider);
  auto next = service.target;
  next.family = definition->family;
  next.revision = definition->revision;
  if (spec.network) {
    ecs::AwsVpcConfiguration vpc{.subnets = spec.network->subnets, .securityGroups = spec.network->security_groups};
    vpc.assignPublicIp = spec.network->assign_public_ip ? "ENABLED" : "DISABLED";
    auto placement = ecs::placement_from_wire(call, ecs::NetworkConfiguration{.awsvpcConfiguration = std::move(vpc)});
    if (!placement) return error(kInvalid, "{}", placement.error().message);
    next.network = *placement;
  }
  auto balancers = control::balancers_of(state(call), group, service.target, spec.container, spec.container_port);
  if (!balancers) return error("InvalidLoadBalancerInfoException", "{}", balancers.error().message);
  next.load_balancers = *std::move(balancers);
  return next;
}

bool rolls_back_on(const std::vector<std::string>& events, bool enabled, std::string_view event) {
  return enabled && std::ranges::count(events, event) > 0;
}

Result<model::CodeDeployment> read_code(const CreateDeploymentRequest& request, const model::CodeDeployGroup& group,
                                        const model::CodeDeployRevision& revision) {
  bool enabled = group.rollback;
  auto events = group.rollback_events;
  if (request.autoRollbackConfiguration) TRY_VOID(read_rollback(*request.autoRollbackConfiguration, enabled, events));
  model::CodeDeployment code{.id = control::new_code_deployment_id(), .application = group.application, .group = group.name};
  code.config = request.deploymentConfigName.value_or(group.config);
  code.description = request.description.value_or("");
  code.app_spec = revision.content;
  code.app_spec_sha256 = revision.sha256;
  code.rollback_on_failure = rolls_back_on(events, enabled, "DEPLOYMENT_FAILURE");
  code.rollback_on_stop = rolls_back_on(events, enabled, "DEPLOYMENT_STOP_ON_REQUEST");
  code.rollback_on_alarm = rolls_back_on(events, enabled, "DEPLOYMENT_STOP_ON_ALARM");
  code.rollback_id = control::new_code_deployment_id();  // shown once the way back has begun: in the same transaction
  code.ready_wait_stops = group.ready_wait_stops;
  code.ready_wait = Seconds(60) * group.ready_wait;
  code.keep_blue = group.keep_blue;
  code.termination_wait = Seconds(60) * group.termination_wait;
  return code;
}

}  // namespace

Result<CreateDeploymentResponse> create_deployment(Call& call, const CreateDeploymentRequest& request) {
  TRY(auto group, find_group(call, request.applicationName, request.deploymentGroupName));
  TRY(auto revision, revision_from_wire(call, request.applicationName, request.revision));
  TRY(auto spec, parse_app_spec(revision.content));
  if (request.description.value_or("").size() > 1000) return error("DescriptionTooLongException", "The description is too long.");
  TRY(auto code, read_code(request, group, revision));
  TRY(auto config, find_config(call, code.config));
  auto key = control::service_key(call.scope, group.cluster, group.service);
  auto service = state(call).services.get(key);
  if (!service || service->status != "ACTIVE")
    return error("InvalidECSServiceException", "The ECS service {} in the cluster {} does not exist.", group.service, group.cluster);
  if (service->controller != "CODE_DEPLOY")
    return error("InvalidECSServiceException", "The ECS service {} has the deployment controller {}, not CODE_DEPLOY.", group.service, service->controller);
  TRY(auto next, revision_for(call, spec, *service, group));
  auto configuration = control::configuration_for(*service, config, group);
  TRY(configuration.hooks, hooks_of(call, spec, group));
  if (request.overrideAlarmConfiguration) {
    TRY(configuration.alarms, alarms_from_wire(*request.overrideAlarmConfiguration));
  }
  for (const auto& name : configuration.alarms.names)
    if (configuration.alarms.enable && !configuration.alarms.ignore_poll_failure && !state(call).alarms.has(control::alarm_key(call.scope, name)))
      return error("InvalidAlarmConfigException", "The alarm {} does not exist. Make it, or set ignorePollAlarmFailure.", name);
  configuration.alarms.rollback = true;  // traffic never stays on a revision that raised an alarm
  TRY(auto deployment, control::create_code_deployment(*call.platform.control, key, std::move(next), std::move(configuration),
                                                       std::move(code), std::move(revision)));
  return CreateDeploymentResponse{.deploymentId = deployment.code_deploy->id};
}

}  // namespace watari::aws::codedeploy
