#include "aws/ecs/service_requests.h"

#include <algorithm>
#include <cmath>

#include "aws/ecs/service_shapes.h"
#include "aws/error.h"
#include "aws/namespaces.h"
#include "control/control.h"
#include "control/hooks.h"
#include "control/network.h"

namespace watari::aws::ecs {
namespace {

constexpr const char* kInvalid = "InvalidParameterException";

Seconds minutes(int value) { return Seconds(60) * value; }

const model::PortMapping* find_port(const model::TaskDefinition& definition, const std::string& container, int port) {
  auto found = std::ranges::find(definition.containers, container, &model::ContainerDefinition::name);
  if (found == definition.containers.end()) return nullptr;
  auto mapping = std::ranges::find(found->ports, port, &model::PortMapping::container_port);
  return mapping == found->ports.end() ? nullptr : &*mapping;
}

bool has_load_balancer(const control::State& state, const std::string& target_group) {
  bool found = false;
  state.rules.each("", [&](const std::string&, const model::Rule& rule) {
    found |= std::ranges::count(rule.action.forward, target_group, &model::WeightedTargetGroup::target_group) > 0;
  });
  return found;
}

Result<void> check_target_group(const control::State& state, const std::string& arn) {
  if (state.target_groups.has(arn)) return {};
  return error(kInvalid, "The specified target group does not exist: {}", arn);
}

// The rule that a client names; of a network load balancer, whose listeners have none on AWS, by its listener.
Result<std::string> find_rule(const control::State& state, const std::string& arn, std::string_view member) {
  if (arn.empty() || state.rules.has(arn)) return arn;
  std::string found;
  if (state.listeners.has(arn))
    state.rules.each("", [&](const std::string& key, const model::Rule& rule) {
      if (rule.listener == arn && listener_of_network_rule(key)) found = key;
    });
  if (!found.empty()) return found;
  return error(kInvalid, "The {} does not exist: {}. Give the ARN of a listener rule (a listener's default rule has one, too).", member,
               arn);
}

Result<model::ServiceLoadBalancer> balancer_from_wire(const control::State& state, const LoadBalancer& in,
                                                      const model::TaskDefinition& definition, model::Strategy strategy) {
  model::ServiceLoadBalancer out;
  out.target_group = in.targetGroupArn.value_or("");
  out.container = in.containerName.value_or("");
  out.container_port = in.containerPort.value_or(0);
  if (out.target_group.empty()) return error(kInvalid, "loadBalancers.targetGroupArn cannot be blank.");
  if (!find_port(definition, out.container, out.container_port))
    return error(kInvalid, "The container {} did not have a container port {} defined.", out.container, out.container_port);
  TRY_VOID(check_target_group(state, out.target_group));
  if (in.advancedConfiguration) {
    const auto& advanced = *in.advancedConfiguration;
    out.alternate_target_group = advanced.alternateTargetGroupArn.value_or("");
    TRY(out.production_listener_rule, find_rule(state, advanced.productionListenerRule.value_or(""), "productionListenerRule"));
    TRY(out.test_listener_rule, find_rule(state, advanced.testListenerRule.value_or(""), "testListenerRule"));
    out.role = advanced.roleArn.value_or("");
  }
  TRY_VOID(check_advanced(out, strategy));
  if (!out.alternate_target_group.empty()) {
    TRY_VOID(check_target_group(state, out.alternate_target_group));
    if (out.alternate_target_group == out.target_group)
      return error(kInvalid, "alternateTargetGroupArn and targetGroupArn are the same: {}", out.target_group);
  }
  if (!has_load_balancer(state, out.target_group) && !has_load_balancer(state, out.alternate_target_group))
    return error(kInvalid, "The target group with targetGroupArn {} does not have an associated load balancer.", out.target_group);
  return out;
}

Result<model::LifecycleHook> hook_from_wire(Call& call, const DeploymentLifecycleHook& in) {
  model::LifecycleHook out;
  out.target = parse_enum<model::HookTarget>(in.targetType.value_or("AWS_LAMBDA")).value_or(model::HookTarget::Lambda);
  out.target_arn = in.hookTargetArn.value_or("");
  out.role = in.roleArn.value_or("");
  out.details = in.hookDetails.value_or("");
  bool pause = out.target == model::HookTarget::Pause;
  if (pause && !out.target_arn.empty()) return error(kInvalid, "lifecycleHooks.hookTargetArn is not applicable for PAUSE hooks.");
  if (!pause && out.target_arn.empty()) return error(kInvalid, "lifecycleHooks.hookTargetArn cannot be blank for AWS_LAMBDA hooks.");
  if (!pause) {
    auto place = control::find_hook(call.platform.control->state(), call.scope, out.target_arn);
    if (!place) return error(kInvalid, "lifecycleHooks.hookTargetArn: {}", place.error().message);
  }
  if (in.timeoutConfiguration) {
    out.timeout = minutes(in.timeoutConfiguration->timeoutInMinutes.value_or(1440));
    out.timeout_action =
        parse_enum<model::HookAction>(in.timeoutConfiguration->action.value_or("ROLLBACK")).value_or(model::HookAction::Rollback);
  }
  for (const auto& name : in.lifecycleStages) {
    auto stage = parse_enum<model::Stage>(name).value_or(model::Stage::PreScaleUp);
    if (pause && (stage == model::Stage::TestTrafficShift || stage == model::Stage::ProductionTrafficShift))
      return error(kInvalid, "PAUSE hooks cannot be configured at {}.", name);
    out.stages.push_back(stage);
  }
  if (out.stages.empty()) return error(kInvalid, "lifecycleHooks.lifecycleStages cannot be empty.");
  return out;
}

Result<void> threshold_from_wire(const std::optional<ThresholdConfiguration>& in, model::DeploymentConfiguration& out) {
  out.threshold = model::Threshold::BoundedPercent;
  out.threshold_value = 50;
  if (!in) return {};
  out.threshold = parse_enum<model::Threshold>(in->type).value_or(model::Threshold::BoundedPercent);
  out.threshold_value = in->value;
  if (in->value < 1 || in->value > 5000)
    return error(kInvalid, "thresholdConfiguration.value must be between 1 and 5000; it is {}.", in->value);
  return {};
}

// What belongs to another strategy would be stored and never acted upon.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
Result<void> check_strategy(const DeploymentConfiguration& in, const model::DeploymentConfiguration& out) {
  using model::Strategy;
  auto refuse = [&](std::string_view member, Strategy strategy) {
    return error(kInvalid, "deploymentConfiguration.{} is only valid when the deployment strategy is {}; it is {}. Remove it, or change the strategy.",
                 member, name_of(strategy), name_of(out.strategy));
  };
  if (in.linearConfiguration && out.strategy != Strategy::Linear) return refuse("linearConfiguration", Strategy::Linear);
  if (in.canaryConfiguration && out.strategy != Strategy::Canary) return refuse("canaryConfiguration", Strategy::Canary);
  if (in.bakeTimeInMinutes.value_or(0) > 0 && out.strategy == Strategy::Rolling && !out.alarms.enable)
    return error(kInvalid,
                 "bakeTimeInMinutes is for the strategies BLUE_GREEN, LINEAR and CANARY; a ROLLING deployment bakes only while it watches "
                 "deploymentConfiguration.alarms. Remove it, or enable alarms.");
  return {};
}

Result<void> check_minutes(std::string_view member, const std::optional<int>& value) {
  if (value && (*value < 0 || *value > 1440)) return error(kInvalid, "{} must be between 0 and 1440; it is {}.", member, *value);
  return {};
}

Result<void> check_percent(std::string_view member, double least, double value) {
  bool tenths = std::abs(value * 10 - std::round(value * 10)) < 1e-6;
  if (value < least || value > 100 || !tenths)
    return error(kInvalid, "{} must be a multiple of 0.1 between {} and 100; it is {}.", member, least, value);
  return {};
}

Result<void> check_waits(const DeploymentConfiguration& in, const model::DeploymentConfiguration& out) {
  TRY_VOID(check_minutes("bakeTimeInMinutes", in.bakeTimeInMinutes));
  if (in.canaryConfiguration) TRY_VOID(check_minutes("canaryBakeTimeInMinutes", in.canaryConfiguration->canaryBakeTimeInMinutes));
  if (in.linearConfiguration) TRY_VOID(check_minutes("stepBakeTimeInMinutes", in.linearConfiguration->stepBakeTimeInMinutes));
  TRY_VOID(check_percent("canaryPercent", 0.1, out.canary_percent));
  return check_percent("stepPercent", 3, out.linear_step_percent);
}

// A rolling deployment has no traffic shifts.
Result<void> check_stages(const model::DeploymentConfiguration& configuration) {
  if (configuration.strategy != model::Strategy::Rolling) return {};
  for (const auto& hook : configuration.hooks)
    for (auto stage : hook.stages)
      if (stage != model::Stage::PreScaleUp && stage != model::Stage::PostScaleUp)
        return error(kInvalid, "A ROLLING deployment has no stage {}: its lifecycle hooks run at PRE_SCALE_UP and POST_SCALE_UP.",
                     name_of(stage));
  return {};
}

}  // namespace

Result<void> check_advanced(const model::ServiceLoadBalancer& balancer, model::Strategy strategy) {
  bool complete = !balancer.alternate_target_group.empty() && !balancer.rules(false).empty();
  if (strategy == model::Strategy::Rolling || complete) return {};
  return error(kInvalid, "The deployment strategy {} needs loadBalancers.advancedConfiguration with alternateTargetGroupArn and productionListenerRule.",
               name_of(strategy));
}

Result<model::DeploymentConfiguration> from_wire(Call& call, const DeploymentConfiguration& in, model::DeploymentConfiguration out) {
  if (in.deploymentCircuitBreaker) {
    out.circuit_breaker = in.deploymentCircuitBreaker->enable;
    out.circuit_breaker_rollback = in.deploymentCircuitBreaker->rollback;
    out.reset_on_healthy_task = in.deploymentCircuitBreaker->resetOnHealthyTask.value_or(true);
    TRY_VOID(threshold_from_wire(in.deploymentCircuitBreaker->thresholdConfiguration, out));
  }
  if (in.alarms) {
    const auto& alarms = *in.alarms;
    if (alarms.enable && alarms.alarmNames.empty()) return error(kInvalid, "alarms.alarmNames can not be empty when alarms are enabled.");
    if (alarms.alarmNames.size() > 10) return error(kInvalid, "alarms.alarmNames may have at most 10 names; there are {}.", alarms.alarmNames.size());
    out.alarms.names = alarms.alarmNames;
    out.alarms.enable = alarms.enable;
    out.alarms.rollback = alarms.rollback;
  }
  out.maximum_percent = in.maximumPercent.value_or(out.maximum_percent);
  out.minimum_healthy_percent = in.minimumHealthyPercent.value_or(out.minimum_healthy_percent);
  if (in.strategy) out.strategy = parse_enum<model::Strategy>(*in.strategy).value_or(model::Strategy::Rolling);
  if (in.bakeTimeInMinutes) out.bake_time = minutes(*in.bakeTimeInMinutes);
  if (in.canaryConfiguration) {
    out.canary_percent = in.canaryConfiguration->canaryPercent.value_or(out.canary_percent);
    if (in.canaryConfiguration->canaryBakeTimeInMinutes)
      out.canary_bake_time = minutes(*in.canaryConfiguration->canaryBakeTimeInMinutes);
  }
  if (in.linearConfiguration) {
    out.linear_step_percent = in.linearConfiguration->stepPercent.value_or(out.linear_step_percent);
    if (in.linearConfiguration->stepBakeTimeInMinutes)
      out.linear_step_bake_time = minutes(*in.linearConfiguration->stepBakeTimeInMinutes);
  }
  if (call.request["deploymentConfiguration"].has("lifecycleHooks")) {
    out.hooks.clear();
    for (const auto& one : in.lifecycleHooks) {
      TRY(auto hook, hook_from_wire(call, one));
      out.hooks.push_back(std::move(hook));
    }
  }
  TRY_VOID(check_strategy(in, out));
  TRY_VOID(check_waits(in, out));
  TRY_VOID(check_stages(out));
  if (out.minimum_healthy_percent < 0 || out.minimum_healthy_percent > 100)
    return error(kInvalid, "minimumHealthyPercent must be between 0 and 100; it is {}.", out.minimum_healthy_percent);
  if (out.maximum_percent < 100) return error(kInvalid, "maximumPercent must be at least 100; it is {}.", out.maximum_percent);
  if (out.maximum_percent == 100 && out.minimum_healthy_percent == 100)
    return error(kInvalid,
                 "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.");
  return out;
}

Result<model::NetworkPlacement> placement_from_wire(Call& call, const std::optional<NetworkConfiguration>& in) {
  if (!in || !in->awsvpcConfiguration)
    return error(kInvalid, "Network Configuration must be provided when networkMode 'awsvpc' is specified.");
  auto& control = *call.platform.control;
  TRY_VOID(control::ensure_default_network(control.database(), control.state(), call.scope));
  const auto& vpc = *in->awsvpcConfiguration;
  if (vpc.subnets.empty()) return error(kInvalid, "subnets can not be empty.");
  model::NetworkPlacement out{vpc.subnets, vpc.securityGroups, vpc.assignPublicIp.value_or("DISABLED") == "ENABLED"};
  auto completed = control::complete_placement(control.state(), call.scope, out);
  if (!completed) return error(kInvalid, "{}", completed.error().message);
  return out;
}

Result<std::vector<model::ServiceLoadBalancer>> balancers_from_wire(Call& call, const std::vector<LoadBalancer>& in,
                                                                    const model::TaskDefinition& definition,
                                                                    model::Strategy strategy) {
  std::vector<model::ServiceLoadBalancer> out;
  for (const auto& one : in) {
    TRY(auto balancer, balancer_from_wire(call.platform.control->state(), one, definition, strategy));
    out.push_back(std::move(balancer));
  }
  return out;
}

Result<std::pair<std::string, std::vector<model::ServiceName>>> names_from_wire(Call& call, const ServiceConnectConfiguration& in,
                                                                                const std::string& cluster, const model::TaskDefinition& definition) {
  std::pair<std::string, std::vector<model::ServiceName>> out;
  if (!in.enabled) return out;
  out.first = in.namespace_.value_or(cluster);
  if (out.first.starts_with("arn:")) {
    auto known = find_namespace(call.platform.control->state(), call.scope, out.first);
    if (!known) return error("NamespaceNotFoundException", "Service Connect namespace {} does not exist. Give its name: it comes with the first service.", out.first);
    out.first = known->name;
  }
  for (const auto& service : in.services) {
    const model::PortMapping* port = nullptr;
    for (const auto& container : definition.containers)
      for (const auto& mapping : container.ports)
        if (mapping.name == service.portName) port = &mapping;
    if (!port) return error(kInvalid, "portName({}) does not refer to any named PortMapping in the task definition.", service.portName);
    auto discovery = service.discoveryName.value_or(service.portName);
    auto aliases = service.clientAliases;
    if (aliases.empty()) aliases.push_back({.port = port->container_port});
    for (const auto& alias : aliases) {
      if (alias.port != port->container_port)
        return error(kInvalid,
                     "clientAliases.port {} of portName({}) differs from its container port {}: Watari resolves names to the tasks' own "
                     "addresses and translates no ports. Use the container port.",
                     alias.port, service.portName, port->container_port);
      out.second.push_back({service.portName, alias.dnsName.value_or(discovery + "." + out.first), alias.port});
    }
  }
  return out;
}

}  // namespace watari::aws::ecs
