#include "aws/codedeploy/view.h"

#include <algorithm>
#include <map>

#include "aws/ecs/names.h"
#include "aws/error.h"
#include "base/digest.h"
#include "codec/json.h"

namespace watari::aws::codedeploy {

using model::Deployment;
using model::DeploymentStatus;

namespace {

// Of a deployment that the ECS API made: always the same for the same one.
std::string derived_id(const std::string& deployment_id) {
  std::string out = "d-";
  for (char c : sha256_hex(deployment_id).substr(0, 9)) out += static_cast<char>(c >= 'a' ? c - 'a' + 'A' : c - '0' + 'G');
  return out;
}

bool on_the_way_back(DeploymentStatus status) {
  return status == DeploymentStatus::RollbackRequested || status == DeploymentStatus::RollbackInProgress ||
         status == DeploymentStatus::RollbackSuccessful || status == DeploymentStatus::RollbackFailed;
}

bool stopped_by_somebody(const Deployment& deployment) {
  bool wait_ran_out = deployment.code_deploy && deployment.code_deploy->ready_wait_stops &&
                      std::ranges::any_of(deployment.hook_runs, [&](const model::HookRun& run) {
                        return run.status == model::HookStatus::TimedOut &&
                               deployment.configuration.hooks.at(run.hook).target == model::HookTarget::Pause;
                      });
  return deployment.stop_requested || wait_ran_out;
}

bool queued_behind_another(const Call& call, const Deployment& deployment) {
  model::Service service{.scope = deployment.scope, .cluster = deployment.cluster, .name = deployment.service};
  bool found = false;
  state(call).deployments.each(control::deployment_prefix(service), [&](const auto&, const Deployment& other) {
    found |= control::in_progress(other.status) && other.created_at < deployment.created_at;
  });
  return found;
}

std::string_view forward_status(const Deployment& deployment, const Call& call) {
  switch (deployment.status) {
    case DeploymentStatus::Pending: return queued_behind_another(call, deployment) ? "Queued" : "Created";
    case DeploymentStatus::InProgress: return waits_for_rerouting(deployment) ? "Ready" : "InProgress";
    case DeploymentStatus::Successful: return "Succeeded";
    // An alarm stops a deployment, as somebody does; what its own tasks and hooks end has failed.
    default: return stopped_by_somebody(deployment) || !deployment.triggered_alarms.empty() ? "Stopped" : "Failed";
  }
}

std::string_view rollback_status(const Deployment& deployment) {
  switch (deployment.status) {
    case DeploymentStatus::RollbackRequested: return "Created";
    case DeploymentStatus::RollbackInProgress: return "InProgress";
    case DeploymentStatus::RollbackSuccessful: return "Succeeded";
    default: return "Failed";
  }
}

std::string spec_of(const model::Scope& scope, const model::ServiceRevision& revision) {
  using codec::Json;
  auto properties = Json::object({{"TaskDefinition", ecs::task_definition_arn(scope, revision.family, revision.revision)}});
  if (!revision.load_balancers.empty())
    properties.set("LoadBalancerInfo", Json::object({{"ContainerName", revision.load_balancers[0].container},
                                                     {"ContainerPort", revision.load_balancers[0].container_port}}));
  auto service = Json::object({{"Type", "AWS::ECS::Service"}, {"Properties", properties}});
  return Json::object({{"version", "0.0"}, {"Resources", Json::array({Json::object({{"TargetService", service}})})}}).dump();
}

// The AppSpec that made this revision, or one in the same words.
RevisionLocation location_of(const Call& call, const Deployment& near, const model::ServiceRevision& revision) {
  model::Service service{.scope = near.scope, .cluster = near.cluster, .name = near.service};
  model::CodeDeployRevision out{.type = "AppSpecContent"};
  state(call).deployments.each(control::deployment_prefix(service), [&](const auto&, const Deployment& deployment) {
    if (deployment.code_deploy && deployment.target.id == revision.id) out.content = deployment.code_deploy->app_spec;
  });
  if (out.content.empty()) out.content = spec_of(near.scope, revision);
  out.sha256 = sha256_hex(out.content);
  return to_wire(out);
}

}  // namespace

bool goes_back(const Deployment& deployment) {
  if (!deployment.code_deploy || deployment.code_deploy->rollback_id.empty() || !deployment.source || !on_the_way_back(deployment.status))
    return false;
  const auto& code = *deployment.code_deploy;
  // What BeforeInstall ends has changed nothing that could be rolled back.
  // Source: https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html
  if (!deployment.stop_requested && deployment.stage == model::Stage::PreScaleUp) return false;
  if (stopped_by_somebody(deployment)) return code.rollback_on_stop;
  return deployment.triggered_alarms.empty() ? code.rollback_on_failure : code.rollback_on_alarm;
}

bool waits_for_rerouting(const Deployment& deployment) {
  auto runs_in = [&](model::HookStatus status) { return std::ranges::count(deployment.hook_runs, status, &model::HookRun::status) > 0; };
  // AfterAllowTestTraffic may still be asked: only when it has said yes the wait is all that is left.
  return deployment.status == DeploymentStatus::InProgress && runs_in(model::HookStatus::AwaitingAction) && !runs_in(model::HookStatus::InProgress);
}

std::vector<View> views_of(const Call& call) {
  std::map<std::string, const model::CodeDeployGroup*> groups;
  state(call).code_deploy_groups.each(control::scope_prefix(call.scope), [&](const auto&, const model::CodeDeployGroup& group) {
    groups[group.cluster + "/" + group.service] = &group;
  });
  std::vector<View> out;
  state(call).deployments.each(control::scope_prefix(call.scope), [&](const auto&, const Deployment& deployment) {
    if (const auto& code = deployment.code_deploy) {
      out.push_back({&deployment, false, code->id, code->application, code->group});
      if (goes_back(deployment)) out.push_back({&deployment, true, code->rollback_id, code->application, code->group});
    } else if (auto group = groups.find(deployment.cluster + "/" + deployment.service); group != groups.end()) {
      out.push_back({&deployment, false, derived_id(deployment.id), group->second->application, group->second->name});
    }
  });
  std::ranges::sort(out, {}, [](const View& view) { return std::pair(created_at(view), view.id); });
  return out;
}

Result<void> check_deployment_id(const std::string& id) {
  if (id.empty()) return error("DeploymentIdRequiredException", "The deployment id is missing.");
  if (!id.starts_with("d-")) return error("InvalidDeploymentIdException", "Specified DeploymentId is not in the valid format: {}", id);
  return {};
}

Result<View> find_view(const Call& call, const std::string& id) {
  TRY_VOID(check_deployment_id(id));
  for (auto& view : views_of(call))
    if (view.id == id) return view;
  return error("DeploymentDoesNotExistException", "The deployment {} could not be found", id);
}

std::string_view status_of(const View& view, const Call& call) {
  return view.rollback ? rollback_status(*view.deployment) : forward_status(*view.deployment, call);
}

bool finished(const View& view, const Call& call) {
  auto status = status_of(view, call);
  return status == "Succeeded" || status == "Failed" || status == "Stopped";
}

Time created_at(const View& view) {
  const auto& deployment = *view.deployment;
  return view.rollback ? deployment.rollback_started_at.value_or(deployment.updated_at) : deployment.created_at;
}

std::optional<Time> started_at(const View& view) {
  return view.rollback ? view.deployment->rollback_started_at : view.deployment->started_at;
}

std::optional<Time> finished_at(const View& view) {
  const auto& deployment = *view.deployment;
  // The way out ends where the way back begins.
  if (!view.rollback && on_the_way_back(deployment.status)) return deployment.rollback_started_at.value_or(deployment.updated_at);
  return deployment.finished_at;
}

RevisionLocation revision_of(const Call& call, const View& view) {
  const auto& deployment = *view.deployment;
  return location_of(call, deployment, view.rollback && deployment.source ? *deployment.source : deployment.target);
}

std::optional<RevisionLocation> previous_revision_of(const Call& call, const View& view) {
  const auto& deployment = *view.deployment;
  if (view.rollback) return location_of(call, deployment, deployment.target);
  if (!deployment.source) return std::nullopt;
  return location_of(call, deployment, *deployment.source);
}

}  // namespace watari::aws::codedeploy
