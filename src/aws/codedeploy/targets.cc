// Deployment targets: the service that a deployment is about, its lifecycle events and its two task sets.
#include <algorithm>

#include "aws/codedeploy/app_spec.h"
#include "aws/codedeploy/view.h"
#include "aws/ecs/names.h"
#include "aws/ecs/task_sets.h"
#include "aws/gen/codedeploy/batch_get_deployment_targets.h"
#include "aws/gen/codedeploy/get_deployment_target.h"
#include "aws/gen/codedeploy/list_deployment_targets.h"

namespace watari::aws::codedeploy {
namespace {

using model::Stage;

// One lifecycle event: from the stage in which it begins to the one that follows it.
struct Event {
  std::string_view name;
  Stage from, to;
  bool of_tests = false;  // only where there is a test listener
};
constexpr Event kEvents[] = {
    {"Start", Stage::ReconcileService, Stage::PreScaleUp},
    {"BeforeInstall", Stage::PreScaleUp, Stage::ScaleUp},
    {"Install", Stage::ScaleUp, Stage::PostScaleUp},
    {"AfterInstall", Stage::PostScaleUp, Stage::TestTrafficShift},
    {"TestTraffic", Stage::TestTrafficShift, Stage::PostTestTrafficShift, true},
    {"AfterAllowTestTraffic", Stage::PostTestTrafficShift, Stage::PreProductionTrafficShift, true},
    {"BeforeAllowTraffic", Stage::PreProductionTrafficShift, Stage::ProductionTrafficShift},
    {"AllowTraffic", Stage::ProductionTrafficShift, Stage::PostProductionTrafficShift},
    {"AfterAllowTraffic", Stage::PostProductionTrafficShift, Stage::BakeTime},
    {"End", Stage::BakeTime, Stage::CleanUp},
};

std::optional<Time> entered(const model::Deployment& deployment, Stage stage) {
  if (stage == Stage::ReconcileService) return deployment.started_at;
  auto found = deployment.entered.find(std::string(name_of(stage)));
  return found == deployment.entered.end() ? std::nullopt : std::optional(found->second);
}

const model::HookRun* run_of(const model::Deployment& deployment, std::string_view event) {
  for (const auto& run : deployment.hook_runs)
    if (deployment.configuration.hooks.at(run.hook).lifecycle_event == event) return &run;
  return nullptr;
}

LifecycleEvent describe_event(const model::Deployment& deployment, const Event& event, bool over) {
  LifecycleEvent out{.lifecycleEventName = std::string(event.name)};
  const auto* run = run_of(deployment, event.name);
  auto begun = run ? std::optional(run->started_at) : entered(deployment, event.from);
  auto ended = entered(deployment, event.to);
  if (!begun) ended.reset();
  if (run && run->finished_at) ended = run->finished_at;
  if (event.to == Stage::CleanUp && deployment.status == model::DeploymentStatus::Successful) ended = deployment.finished_at;
  out.startTime = begun;
  out.endTime = ended;
  bool failed = run && (run->status == model::HookStatus::Failed || run->status == model::HookStatus::TimedOut);
  if (failed) {
    bool late = run->status == model::HookStatus::TimedOut;
    out.diagnostics = Diagnostics{.errorCode = late ? "ScriptTimedOut" : "ScriptFailed", .message = run->reason};
  }
  out.status = failed ? "Failed" : ended ? "Succeeded" : !begun ? (over ? "Skipped" : "Pending") : over ? "Failed" : "InProgress";
  return out;
}

// The way back has no hooks: traffic returns at once.
std::vector<LifecycleEvent> rollback_events(const model::Deployment& deployment) {
  std::vector<LifecycleEvent> out;
  for (auto name : {"Start", "AllowTraffic", "End"}) {
    bool done = name == std::string_view("End") ? deployment.finished_at.has_value() : deployment.returned || deployment.finished_at;
    out.push_back({.lifecycleEventName = name, .startTime = deployment.rollback_started_at,
                   .endTime = done ? deployment.finished_at : std::nullopt, .status = done ? "Succeeded" : "InProgress"});
  }
  return out;
}

std::string target_group_of(const Call& call, const model::ServiceRevision& revision) {
  if (revision.target_groups.empty()) return "";
  auto* group = state(call).target_groups.find(revision.target_groups[0]);
  return group ? group->name : "";
}

ECSTaskSet task_set(const Call& call, const model::Deployment& deployment, const model::ServiceRevision& revision, bool green, double weight) {
  auto counts = ecs::count_tasks(state(call), deployment.scope, deployment.cluster, deployment.service, revision.id);
  bool primary = green ? weight >= 100 : weight > 0;
  return {.identifer = ecs::task_set_id(revision), .desiredCount = counts.wanted, .pendingCount = counts.pending, .runningCount = counts.running,
          .status = primary ? "PRIMARY" : counts.wanted > 0 || green ? "ACTIVE" : "DRAINING", .trafficWeight = weight,
          .targetGroup = TargetGroupInfo{.name = target_group_of(call, revision)}, .taskSetLabel = green ? "Green" : "Blue"};
}

std::string target_id(const View& view) { return view.deployment->cluster + ":" + view.deployment->service; }

std::string target_status(const View& view, const Call& call) {
  auto status = status_of(view, call);
  if (status == "Created" || status == "Queued") return "Pending";
  return std::string(status == "Stopped" ? "Skipped" : status);
}

DeploymentTarget describe(const Call& call, const View& view) {
  const auto& deployment = *view.deployment;
  bool over = finished(view, call);
  ECSTarget out{.deploymentId = view.id, .targetId = target_id(view)};
  out.targetArn = ecs::service_arn({.scope = deployment.scope, .cluster = deployment.cluster, .name = deployment.service});
  out.lastUpdatedAt = deployment.updated_at;
  bool tests = std::ranges::any_of(deployment.target.load_balancers, [](const auto& one) { return !one.rules(true).empty(); });
  if (view.rollback) out.lifecycleEvents = rollback_events(deployment);
  else
    for (const auto& event : kEvents)
      if (tests || !event.of_tests) out.lifecycleEvents.push_back(describe_event(deployment, event, over));
  out.status = target_status(view, call);
  double weight = deployment.source ? deployment.production_weight : 100;
  if (deployment.source) out.taskSetsInfo.push_back(task_set(call, deployment, *deployment.source, false, 100 - weight));
  out.taskSetsInfo.push_back(task_set(call, deployment, deployment.target, true, weight));
  return {.deploymentTargetType = "ECSTarget", .ecsTarget = std::move(out)};
}

Result<DeploymentTarget> find_target(const Call& call, const View& view, const std::string& id) {
  auto status = status_of(view, call);
  if (status == "Queued") return error("DeploymentNotStartedException", "The deployment {} has not started: it is queued.", view.id);
  if (id.empty()) return error("DeploymentTargetIdRequiredException", "The deployment target id is missing.");
  if (id != target_id(view) && id != describe(call, view).ecsTarget->targetArn)
    return error("DeploymentTargetDoesNotExistException", "The deployment {} has no target {}; its target is {}.", view.id, id, target_id(view));
  return describe(call, view);
}

}  // namespace

Result<GetDeploymentTargetResponse> get_deployment_target(Call& call, const GetDeploymentTargetRequest& request) {
  TRY(auto view, find_view(call, request.deploymentId));
  TRY(auto target, find_target(call, view, request.targetId));
  return GetDeploymentTargetResponse{.deploymentTarget = std::move(target)};
}

Result<BatchGetDeploymentTargetsResponse> batch_get_deployment_targets(Call& call, const BatchGetDeploymentTargetsRequest& request) {
  TRY(auto view, find_view(call, request.deploymentId));
  if (request.targetIds.size() > 25) return error("DeploymentTargetListSizeExceededException", "At most 25 targets in one call.");
  BatchGetDeploymentTargetsResponse response;
  for (const auto& id : request.targetIds) {
    TRY(auto target, find_target(call, view, id));
    response.deploymentTargets.push_back(std::move(target));
  }
  return response;
}

Result<ListDeploymentTargetsResponse> list_deployment_targets(Call& call, const ListDeploymentTargetsRequest& request) {
  TRY(auto view, find_view(call, request.deploymentId));
  ListDeploymentTargetsResponse response;
  bool wanted = true;
  for (const auto& [name, values] : request.targetFilters) {
    if (name == "TargetStatus") wanted &= std::ranges::count(values, target_status(view, call)) > 0;
    else if (name != "ServerInstanceLabel") return error("InvalidTargetFilterNameException", "{} is no target filter.", name);
  }
  if (wanted) response.targetIds.push_back(target_id(view));
  return response;
}

}  // namespace watari::aws::codedeploy
