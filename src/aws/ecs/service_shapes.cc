#include "aws/ecs/service_shapes.h"

#include <algorithm>

#include "aws/ecs/names.h"
#include "aws/ecs/task_sets.h"
#include "aws/ecs/wire.h"
#include "aws/namespaces.h"
#include "control/services.h"

namespace watari::aws::ecs {
namespace {

std::optional<std::string> text(const std::string& value) { return value.empty() ? std::nullopt : std::optional(value); }

int minutes(Seconds value) { return static_cast<int>(value.count() / 60); }

DeploymentLifecycleHook to_wire(const model::LifecycleHook& in) {
  DeploymentLifecycleHook out{.targetType = std::string(name_of(in.target)), .hookTargetArn = text(in.target_arn), .roleArn = text(in.role)};
  for (auto stage : in.stages) out.lifecycleStages.push_back(std::string(name_of(stage)));
  out.hookDetails = text(in.details);
  out.timeoutConfiguration =
      DeploymentLifecycleHookTimeoutConfiguration{.timeoutInMinutes = minutes(in.timeout), .action = std::string(name_of(in.timeout_action))};
  return out;
}

// Of the stage that the deployment is in, as AWS does.
DeploymentLifecycleHookDetail to_wire(const model::HookRun& in, const model::LifecycleHook& hook) {
  return {.hookId = in.id, .targetType = std::string(name_of(hook.target)), .targetArn = text(hook.target_arn),
          .status = std::string(name_of(in.status)), .expiresAt = in.expires_at, .timeoutAction = std::string(name_of(hook.timeout_action))};
}

DeploymentConfiguration to_wire(const model::DeploymentConfiguration& in) {
  DeploymentConfiguration out{
      .deploymentCircuitBreaker = DeploymentCircuitBreaker{.enable = in.circuit_breaker, .rollback = in.circuit_breaker_rollback},
      .maximumPercent = in.maximum_percent,
      .minimumHealthyPercent = in.minimum_healthy_percent,
      .strategy = std::string(name_of(in.strategy)),
      .bakeTimeInMinutes = minutes(in.bake_time)};
  if (in.strategy == model::Strategy::Canary)
    out.canaryConfiguration = CanaryConfiguration{in.canary_percent, minutes(in.canary_bake_time)};
  if (in.strategy == model::Strategy::Linear)
    out.linearConfiguration = LinearConfiguration{in.linear_step_percent, minutes(in.linear_step_bake_time)};
  out.deploymentCircuitBreaker->resetOnHealthyTask = in.reset_on_healthy_task;
  out.deploymentCircuitBreaker->thresholdConfiguration = ThresholdConfiguration{std::string(name_of(in.threshold)), in.threshold_value};
  if (!in.alarms.names.empty()) out.alarms = DeploymentAlarms{in.alarms.names, in.alarms.rollback, in.alarms.enable};
  for (const auto& hook : in.hooks) out.lifecycleHooks.push_back(to_wire(hook));
  return out;
}

// A network load balancer's listener has one action and, on AWS, no rules: its own ARN stands for the default rule.
std::optional<std::string> rule_text(const std::string& rule) { return text(listener_of_network_rule(rule).value_or(rule)); }

LoadBalancer to_wire(const model::ServiceLoadBalancer& in, const std::string& target_group) {
  LoadBalancer out{.targetGroupArn = target_group, .containerName = in.container, .containerPort = in.container_port};
  if (!in.alternate_target_group.empty())
    out.advancedConfiguration = AdvancedConfiguration{
        .alternateTargetGroupArn = target_group == in.target_group ? in.alternate_target_group : in.target_group,
        .productionListenerRule = rule_text(in.production_listener_rule), .testListenerRule = rule_text(in.test_listener_rule),
        .roleArn = text(in.role)};
  return out;
}

std::vector<LoadBalancer> load_balancers(const model::ServiceRevision& revision) {
  std::vector<LoadBalancer> out;
  for (std::size_t i = 0; i < revision.load_balancers.size(); ++i) {
    const auto& item = revision.load_balancers[i];
    out.push_back(to_wire(item, i < revision.target_groups.size() ? revision.target_groups[i] : item.target_group));
  }
  return out;
}

std::optional<ServiceConnectConfiguration> service_connect(const model::Scope& scope, const model::ServiceRevision& revision) {
  if (revision.names_namespace.empty()) return std::nullopt;
  ServiceConnectConfiguration out{.enabled = true, .namespace_ = namespace_arn(scope, revision.names_namespace)};
  for (const auto& name : revision.names)
    out.services.push_back({.portName = name.port_name, .discoveryName = name.dns_name,
                            .clientAliases = {{.port = name.port, .dnsName = name.dns_name}}});
  return out;
}

std::string_view rollout_state(model::DeploymentStatus status) {
  switch (status) {
    case model::DeploymentStatus::Pending:
    case model::DeploymentStatus::InProgress: return "IN_PROGRESS";
    case model::DeploymentStatus::Successful: return "COMPLETED";
    default: return "FAILED";
  }
}

std::string rollout_reason(const model::Deployment& deployment, std::string_view state) {
  if (state == "COMPLETED") return "ECS deployment " + deployment.id + " completed.";
  if (state == "IN_PROGRESS") return "ECS deployment " + deployment.id + " in progress.";
  return deployment.reason.empty() ? "ECS deployment " + deployment.id + " failed." : deployment.reason;
}

// What both kinds of entry of Service.deployments share.
Deployment entry(const model::ServiceRevision& revision, const model::Scope& scope, const TaskCounts& counts) {
  return {.taskDefinition = task_definition_arn(scope, revision.family, revision.revision), .desiredCount = counts.wanted,
          .pendingCount = counts.pending, .runningCount = counts.running, .failedTasks = 0, .launchType = revision.launch_type,
          .platformVersion = "1.4.0", .platformFamily = "Linux", .networkConfiguration = ecs::to_wire(revision.network),
          .serviceConnectConfiguration = service_connect(scope, revision)};
}

Deployment entry(const control::State& state, const model::Deployment& deployment) {
  auto counts = count_tasks(state, deployment.scope, deployment.cluster, deployment.service, deployment.target.id);
  auto out = entry(deployment.target, deployment.scope, counts);
  auto rollout = rollout_state(deployment.status);
  out.id = deployment.id;
  out.failedTasks = deployment.failed_tasks;
  out.createdAt = deployment.created_at;
  out.updatedAt = deployment.updated_at;
  out.rolloutState = std::string(rollout);
  out.rolloutStateReason = rollout_reason(deployment, rollout);
  return out;
}

// The way back of a deployment that failed is an entry of its own, with an id of its own.
Deployment rollback_entry(const control::State& state, const model::Deployment& deployment) {
  auto counts = count_tasks(state, deployment.scope, deployment.cluster, deployment.service, deployment.source->id);
  auto out = entry(*deployment.source, deployment.scope, counts);
  bool done = deployment.status == model::DeploymentStatus::RollbackSuccessful;
  out.id = deployment.rollback_id;
  out.createdAt = deployment.rollback_started_at.value_or(deployment.updated_at);
  out.updatedAt = deployment.updated_at;
  out.rolloutState = done ? "COMPLETED" : deployment.status == model::DeploymentStatus::RollbackFailed ? "FAILED" : "IN_PROGRESS";
  out.rolloutStateReason = fmt::format("ECS deployment {} {}: rolled back from {}: {}", deployment.rollback_id,
                                       done ? "completed" : "in progress", deployment.id, deployment.reason);
  return out;
}

std::vector<Deployment> entries_of(const control::State& state, const model::Service& service) {
  std::vector<const model::Deployment*> history;  // oldest first, of this service and not of one before it with the same name
  state.deployments.each(control::deployment_prefix(service), [&](const auto&, const model::Deployment& deployment) {
    if (deployment.created_at >= service.created_at) history.push_back(&deployment);
  });
  std::vector<Deployment> out;
  if (history.empty() || service.status == "INACTIVE") return out;
  auto under_way = [](const model::Deployment* one) { return control::in_progress(one->status); };
  // Those that wait behind another one are not deployed yet.
  while (history.size() > 1 && history.back()->status == model::DeploymentStatus::Pending && under_way(history[history.size() - 2]))
    history.pop_back();
  const auto& newest = *history.back();
  bool back = !newest.rollback_id.empty() && newest.source;
  out.push_back(back ? rollback_entry(state, newest) : entry(state, newest));
  out.back().status = "PRIMARY";
  out.back().desiredCount = service.desired_count;
  std::vector<std::string> listed = {back ? newest.source->id : newest.target.id};
  for (auto at = history.rbegin(); at != history.rend(); ++at) {
    const auto& candidate = **at;
    if (std::ranges::count(listed, candidate.target.id)) continue;
    listed.push_back(candidate.target.id);
    if (!count_tasks(state, service.scope, service.cluster, service.name, candidate.target.id).any()) continue;
    out.push_back(entry(state, candidate));
    out.back().status = "ACTIVE";
  }
  return out;
}

std::string name_within(const model::Deployment& deployment, const std::string& id) {
  return deployment.cluster + "/" + deployment.service + "/" + id.substr(id.rfind('/') + 1);
}

ServiceRevisionSummary summary(const control::State& state, const model::Deployment& deployment,
                               const model::ServiceRevision& revision, double weight, std::optional<double> test_weight) {
  auto counts = count_tasks(state, deployment.scope, deployment.cluster, deployment.service, revision.id);
  ServiceRevisionSummary out{.arn = revision_arn(deployment, revision), .requestedTaskCount = counts.wanted,
                             .runningTaskCount = counts.running, .pendingTaskCount = counts.pending};
  if (deployment.configuration.strategy != model::Strategy::Rolling) out.requestedProductionTrafficWeight = weight;
  out.requestedTestTrafficWeight = test_weight;
  return out;
}

// Percent of the test traffic that the deployment's target has; nothing where there are no test rules.
std::optional<double> test_weight(const model::Deployment& deployment) {
  bool tests = std::ranges::any_of(deployment.target.load_balancers, [](const auto& one) { return !one.rules(true).empty(); });
  if (!tests || deployment.configuration.strategy == model::Strategy::Rolling) return std::nullopt;
  return deployment.stage >= model::Stage::TestTrafficShift && !deployment.rollback_started_at ? 100 : 0;
}

}  // namespace

std::optional<std::string> listener_of_network_rule(const std::string& rule) {
  constexpr std::string_view kKind = ":listener-rule/net/";
  auto at = rule.find(kKind);
  if (at == std::string::npos) return std::nullopt;
  return rule.substr(0, at) + ":listener/net/" + rule.substr(at + kKind.size(), rule.rfind('/') - at - kKind.size());
}

std::string deployment_arn(const model::Deployment& deployment) {
  return arn(deployment.scope, "service-deployment", name_within(deployment, deployment.id));
}

std::string revision_arn(const model::Deployment& deployment, const model::ServiceRevision& revision) {
  return arn(deployment.scope, "service-revision", name_within(deployment, revision.id));
}

NetworkConfiguration to_wire(const model::NetworkPlacement& network) {
  return {.awsvpcConfiguration = AwsVpcConfiguration{.subnets = network.subnets, .securityGroups = network.security_groups,
                                                     .assignPublicIp = network.assign_public_ip ? "ENABLED" : "DISABLED"}};
}

Service describe_service(const control::State& state, const model::Service& service, bool with_tags) {
  auto counts = count_tasks(state, service.scope, service.cluster, service.name);
  Service out{.serviceArn = service_arn(service), .serviceName = service.name, .clusterArn = cluster_arn(service.scope, service.cluster),
              .status = service.status, .desiredCount = service.desired_count, .runningCount = counts.running,
              .pendingCount = counts.pending, .launchType = service.target.launch_type, .platformVersion = "LATEST",
              .platformFamily = "Linux",
              .deploymentConfiguration = to_wire(service.configuration)};
  // A service of the controller EXTERNAL has neither until it has a primary task set.
  if (!service.target.family.empty()) {
    out.taskDefinition = task_definition_arn(service.scope, service.target.family, service.target.revision);
    out.networkConfiguration = to_wire(service.target.network);
  }
  out.loadBalancers = load_balancers(service.target);
  out.deployments = entries_of(state, service);
  out.taskSets = task_sets(state, service);
  for (const auto& event : service.events) out.events.push_back({.id = event.id, .createdAt = event.at, .message = event.message});
  out.createdAt = service.created_at;
  if (!service.target.load_balancers.empty() || service.controller == "EXTERNAL")  // as on AWS: tools that write a service down would name it in vain
    out.healthCheckGracePeriodSeconds = static_cast<int>(service.health_check_grace_period.count());
  out.schedulingStrategy = "REPLICA";
  out.deploymentController = DeploymentController{.type = service.controller};
  if (with_tags) out.tags = tags_to_wire(service.tags);
  out.createdBy = text(service.created_by);
  out.enableECSManagedTags = service.managed_tags;
  out.propagateTags = service.propagate_tags.empty() ? "NONE" : service.propagate_tags;
  out.enableExecuteCommand = service.enable_execute_command;
  out.availabilityZoneRebalancing = "DISABLED";

  std::optional<model::Deployment> newest;
  state.deployments.each(control::deployment_prefix(service),
                         [&](const auto&, const model::Deployment& deployment) { newest = deployment; });
  if (newest) {
    if (newest->status == model::DeploymentStatus::InProgress || newest->status == model::DeploymentStatus::Pending)
      out.currentServiceDeployment = deployment_arn(*newest);
    for (const auto* revision : {newest->source ? &*newest->source : nullptr, &newest->target}) {
      if (!revision) continue;
      auto of = count_tasks(state, service.scope, service.cluster, service.name, revision->id);
      if (of.any())
        out.currentServiceRevisions.push_back({.arn = revision_arn(*newest, *revision), .requestedTaskCount = of.wanted,
                                               .runningTaskCount = of.running, .pendingTaskCount = of.pending});
    }
  }
  return out;
}

// The API has no name for the stage of hooks before production traffic.
model::Stage shown_stage(const model::Deployment& deployment) {
  if (deployment.stage != model::Stage::PreProductionTrafficShift) return deployment.stage;
  return deployment.production_weight > 0 ? model::Stage::ProductionTrafficShift : model::Stage::PostTestTrafficShift;
}

ServiceDeployment describe_deployment(const control::State& state, const model::Deployment& in) {
  model::Service service{.scope = in.scope, .cluster = in.cluster, .name = in.service};
  ServiceDeployment out{.serviceDeploymentArn = deployment_arn(in), .serviceArn = service_arn(service),
                        .clusterArn = cluster_arn(in.scope, in.cluster), .createdAt = in.created_at, .startedAt = in.started_at,
                        .finishedAt = in.finished_at, .updatedAt = in.updated_at};
  bool stopped = in.status == model::DeploymentStatus::Stopped;
  if (stopped) out.stoppedAt = in.finished_at;
  auto tested = test_weight(in);
  auto others = tested ? std::optional(100 - *tested) : std::nullopt;
  if (in.source) out.sourceServiceRevisions.push_back(summary(state, in, *in.source, 100 - in.production_weight, others));
  out.targetServiceRevision = summary(state, in, in.target, in.production_weight, tested);
  out.status = std::string(name_of(in.status));
  out.statusReason = text(in.reason);
  if ((in.configuration.strategy != model::Strategy::Rolling || !in.configuration.hooks.empty()) && !in.finished_at)
    out.lifecycleStage = std::string(name_of(shown_stage(in)));
  for (const auto& run : in.hook_runs)
    if (run.stage_number == in.stage_number) out.lifecycleHookDetails.push_back(to_wire(run, in.configuration.hooks.at(run.hook)));
  out.deploymentConfiguration = to_wire(in.configuration);
  if (!in.rollback_id.empty() && in.source)
    out.rollback = Rollback{.reason = text(in.reason), .startedAt = in.rollback_started_at, .serviceRevisionArn = revision_arn(in, *in.source)};
  bool triggered = in.configuration.circuit_breaker && in.failure_threshold > 0 && in.failed_tasks >= in.failure_threshold;
  out.deploymentCircuitBreaker = ServiceDeploymentCircuitBreaker{
      .status = !in.configuration.circuit_breaker ? "DISABLED" : triggered ? "TRIGGERED" : in.finished_at ? "MONITORING_COMPLETE" : "MONITORING",
      .failureCount = in.failed_tasks, .threshold = in.failure_threshold};
  if (const auto& alarms = in.configuration.alarms; !alarms.names.empty())
    out.alarms = ServiceDeploymentAlarms{
        .status = !alarms.enable ? "DISABLED" : !in.triggered_alarms.empty() ? "TRIGGERED" : in.finished_at ? "MONITORING_COMPLETE" : "MONITORING",
        .alarmNames = alarms.names, .triggeredAlarmNames = in.triggered_alarms};
  return out;
}

ServiceDeploymentBrief summarise_deployment(const model::Deployment& in) {
  model::Service service{.scope = in.scope, .cluster = in.cluster, .name = in.service};
  return {.serviceDeploymentArn = deployment_arn(in), .serviceArn = service_arn(service), .clusterArn = cluster_arn(in.scope, in.cluster),
          .startedAt = in.started_at, .createdAt = in.created_at, .finishedAt = in.finished_at,
          .targetServiceRevisionArn = revision_arn(in, in.target), .status = std::string(name_of(in.status)), .statusReason = text(in.reason)};
}

ServiceRevision describe_revision(const control::State& state, const model::Deployment& deployment, const model::ServiceRevision& in) {
  model::Service service{.scope = deployment.scope, .cluster = deployment.cluster, .name = deployment.service};
  ServiceRevision out{.serviceRevisionArn = revision_arn(deployment, in), .serviceArn = service_arn(service),
                      .clusterArn = cluster_arn(deployment.scope, deployment.cluster),
                      .taskDefinition = task_definition_arn(deployment.scope, in.family, in.revision), .launchType = in.launch_type,
                      .platformVersion = "1.4.0", .platformFamily = "Linux"};
  out.loadBalancers = load_balancers(in);
  out.networkConfiguration = to_wire(in.network);
  out.serviceConnectConfiguration = service_connect(deployment.scope, in);
  out.createdAt = in.created_at;
  auto definition = state.task_definitions.get(control::task_definition_key(deployment.scope, in.family, in.revision));
  for (const auto& [container, digest] : in.pinned_images) {
    ContainerImage image{.containerName = container, .imageDigest = digest};
    if (definition) {
      auto found = std::ranges::find(definition->containers, container, &model::ContainerDefinition::name);
      if (found != definition->containers.end()) image.image = found->image;
    }
    out.containerImages.push_back(std::move(image));
  }
  return out;
}

}  // namespace watari::aws::ecs
