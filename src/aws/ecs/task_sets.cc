#include "aws/ecs/task_sets.h"

#include "aws/ecs/names.h"
#include "aws/ecs/service_shapes.h"
#include "aws/ecs/wire.h"
#include "control/services.h"
#include "plan/reconcile.h"

namespace watari::aws::ecs {
namespace {

// The newest deployment that has begun: those behind it wait.
const model::Deployment* newest_begun(const control::State& state, const model::Service& service) {
  const model::Deployment* newest = nullptr;
  state.deployments.each(control::deployment_prefix(service), [&](const auto&, const model::Deployment& deployment) {
    bool waits = newest && control::in_progress(newest->status);
    if (!waits) newest = &deployment;
  });
  return newest;
}

// What both kinds share.
TaskSet describe_revision_as_set(const control::State& state, const model::Service& service, const model::ServiceRevision& revision) {
  auto counts = count_tasks(state, service.scope, service.cluster, service.name, revision.id);
  TaskSet out{.id = task_set_id(revision)};
  out.taskSetArn = arn(service.scope, "task-set", fmt::format("{}/{}/{}", service.cluster, service.name, task_set_id(revision)));
  out.serviceArn = service_arn(service);
  out.clusterArn = cluster_arn(service.scope, service.cluster);
  out.taskDefinition = task_definition_arn(service.scope, revision.family, revision.revision);
  out.pendingCount = counts.pending;
  out.runningCount = counts.running;
  out.createdAt = revision.created_at;
  out.launchType = revision.launch_type;
  out.platformVersion = "1.4.0";
  out.platformFamily = "Linux";
  out.networkConfiguration = to_wire(revision.network);
  for (std::size_t i = 0; i < revision.load_balancers.size() && i < revision.target_groups.size(); ++i)
    out.loadBalancers.push_back({.targetGroupArn = revision.target_groups[i], .containerName = revision.load_balancers[i].container,
                                 .containerPort = revision.load_balancers[i].container_port});
  return out;
}

TaskSet describe(const control::State& state, const model::Service& service, const model::Deployment& deployment,
                 const model::ServiceRevision& revision, std::string_view status) {
  auto out = describe_revision_as_set(state, service, revision);
  int wanted = status == "DRAINING" ? 0 : service.desired_count;
  out.startedBy = service.controller;
  if (deployment.code_deploy && revision.id == deployment.target.id) out.externalId = deployment.code_deploy->id;
  out.status = std::string(status);
  out.computedDesiredCount = wanted;
  out.updatedAt = deployment.updated_at;
  out.scale = Scale{.value = 100.0, .unit = "PERCENT"};
  bool steady = out.runningCount == wanted && out.pendingCount == 0;
  out.stabilityStatus = steady ? "STEADY_STATE" : "STABILIZING";
  out.stabilityStatusAt = deployment.updated_at;
  return out;
}

}  // namespace

TaskCounts count_tasks(const control::State& state, const model::Scope& scope, const std::string& cluster, const std::string& service,
                       const std::string& revision) {
  TaskCounts counts;
  state.tasks.each(control::cluster_key(scope, cluster) + "/", [&](const auto&, const model::Task& task) {
    if (task.service != service || (!revision.empty() && task.service_revision != revision)) return;
    counts.running += task.status.state == model::TaskState::Running;
    counts.pending += task.status.state < model::TaskState::Running;
    counts.wanted += !task.desired_stopped && task.status.state != model::TaskState::Stopped;
  });
  return counts;
}

std::string task_set_id(const model::ServiceRevision& revision) { return "ecs-svc/" + revision.id; }

TaskSet describe_task_set(const control::State& state, const model::Service& service, const model::TaskSet& set) {
  auto out = describe_revision_as_set(state, service, set.revision);
  out.startedBy = set.started_by;
  if (!set.external_id.empty()) out.externalId = set.external_id;
  out.status = set.status;
  out.computedDesiredCount = plan::task_set_count(set, service.desired_count);
  out.updatedAt = set.updated_at;
  out.scale = Scale{.value = set.scale, .unit = "PERCENT"};
  out.stabilityStatus = set.stable ? "STEADY_STATE" : "STABILIZING";
  out.stabilityStatusAt = set.stable_since;
  out.tags = tags_to_wire(set.tags);
  return out;
}

std::vector<TaskSet> task_sets(const control::State& state, const model::Service& service) {
  std::vector<TaskSet> out;
  for (const auto& set : service.task_sets) out.push_back(describe_task_set(state, service, set));
  if (service.controller == "EXTERNAL") return out;
  const auto* newest = service.controller == "ECS" ? nullptr : newest_begun(state, service);
  if (!newest) return out;
  bool green = !newest->source || newest->production_weight >= 100 || newest->status == model::DeploymentStatus::Successful;
  const auto& primary = green ? newest->target : *newest->source;
  out.push_back(describe(state, service, *newest, primary, "PRIMARY"));
  for (const auto* other : {&newest->target, newest->source ? &*newest->source : nullptr}) {
    if (!other || other->id == primary.id) continue;
    auto counts = count_tasks(state, service.scope, service.cluster, service.name, other->id);
    if (control::in_progress(newest->status) || counts.any())
      out.push_back(describe(state, service, *newest, *other, counts.any() && counts.wanted == 0 ? "DRAINING" : "ACTIVE"));
  }
  return out;
}

}  // namespace watari::aws::ecs
