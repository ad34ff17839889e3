// Looking at deployments.
#include <algorithm>

#include "aws/codedeploy/view.h"
#include "aws/gen/codedeploy/batch_get_deployments.h"
#include "aws/gen/codedeploy/get_deployment.h"
#include "aws/gen/codedeploy/list_deployments.h"
#include "aws/page.h"

namespace watari::aws::codedeploy {
namespace {

using model::HookStatus;

// Source: https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_ErrorInformation.html
ErrorInformation error_of(const View& view, std::string_view status) {
  const auto& deployment = *view.deployment;
  auto hook_failed = [](const model::HookRun& run) { return run.status == HookStatus::Failed || run.status == HookStatus::TimedOut; };
  std::string_view code = "HEALTH_CONSTRAINTS";
  if (!deployment.triggered_alarms.empty()) code = "ALARM_ACTIVE";
  else if (status == "Stopped") code = "MANUAL_STOP";
  else if (deployment.reason.find("it was not done after") != std::string::npos) code = "TIMEOUT";
  else if (std::ranges::any_of(deployment.hook_runs, hook_failed)) code = "HOOK_EXECUTION_FAILURE";
  return {.code = std::string(code), .message = deployment.reason};
}

DeploymentOverview overview_of(std::string_view status) {
  DeploymentOverview out{.Pending = 0, .InProgress = 0, .Succeeded = 0, .Failed = 0, .Skipped = 0, .Ready = 0};
  if (status == "Created" || status == "Queued") out.Pending = 1;
  else if (status == "InProgress") out.InProgress = 1;
  else if (status == "Succeeded") out.Succeeded = 1;
  else if (status == "Failed") out.Failed = 1;
  else if (status == "Stopped") out.Skipped = 1;
  else out.Ready = 1;
  return out;
}

std::optional<RollbackInfo> rollback_of(const View& view) {
  const auto& code = view.deployment->code_deploy;
  if (view.rollback) return RollbackInfo{.rollbackTriggeringDeploymentId = code->id, .rollbackMessage = "Rolls back the deployment " + code->id + "."};
  if (!goes_back(*view.deployment)) return std::nullopt;
  return RollbackInfo{.rollbackDeploymentId = code->rollback_id, .rollbackMessage = view.deployment->reason};
}

void add_code(const model::CodeDeployment& code, DeploymentInfo& out) {
  out.deploymentConfigName = code.config;
  if (!code.description.empty()) out.description = code.description;
  std::vector<std::string> events;
  if (code.rollback_on_failure) events.push_back("DEPLOYMENT_FAILURE");
  if (code.rollback_on_alarm) events.push_back("DEPLOYMENT_STOP_ON_ALARM");
  if (code.rollback_on_stop) events.push_back("DEPLOYMENT_STOP_ON_REQUEST");
  out.autoRollbackConfiguration = rollback_to_wire(!events.empty(), events);
  auto minutes = [](Seconds wait) { return static_cast<int>(wait.count() / 60); };
  out.blueGreenDeploymentConfiguration =
      waits_to_wire(code.ready_wait_stops, minutes(code.ready_wait), code.keep_blue, minutes(code.termination_wait));
}

DeploymentInfo describe(const Call& call, const View& view) {
  const auto& deployment = *view.deployment;
  auto status = status_of(view, call);
  DeploymentInfo out{.applicationName = view.application, .deploymentGroupName = view.group, .deploymentConfigName = "CodeDeployDefault.ECSAllAtOnce",
                     .deploymentId = view.id};
  if (deployment.code_deploy) add_code(*deployment.code_deploy, out);
  out.revision = revision_of(call, view);
  out.previousRevision = previous_revision_of(call, view);
  out.status = std::string(status);
  if (!view.rollback && (status == "Failed" || status == "Stopped")) out.errorInformation = error_of(view, status);
  out.createTime = created_at(view);
  out.startTime = started_at(view);
  if (finished(view, call)) out.completeTime = finished_at(view);
  out.deploymentOverview = overview_of(status);
  out.creator = view.rollback ? "codeDeployRollback" : "user";
  out.ignoreApplicationStopFailures = false;
  out.updateOutdatedInstancesOnly = false;
  out.rollbackInfo = rollback_of(view);
  out.deploymentStyle = blue_green_style();
  out.instanceTerminationWaitTimeStarted = !view.rollback && deployment.stage >= model::Stage::BakeTime;
  if (auto group = find_group(call, view.application, view.group)) out.loadBalancerInfo = to_wire(group->pairs);
  out.fileExistsBehavior = "DISALLOW";
  out.computePlatform = "ECS";
  if (!deployment.reason.empty()) out.deploymentStatusMessages = {deployment.reason};
  return out;
}

}  // namespace

Result<GetDeploymentResponse> get_deployment(Call& call, const GetDeploymentRequest& request) {
  TRY(auto view, find_view(call, request.deploymentId));
  return GetDeploymentResponse{.deploymentInfo = describe(call, view)};
}

Result<BatchGetDeploymentsResponse> batch_get_deployments(Call& call, const BatchGetDeploymentsRequest& request) {
  if (request.deploymentIds.empty()) return error("DeploymentIdRequiredException", "At least one deployment id must be specified.");
  if (request.deploymentIds.size() > 25) return error("BatchLimitExceededException", "At most 25 deployments in one call.");
  for (const auto& id : request.deploymentIds) TRY_VOID(check_deployment_id(id));
  BatchGetDeploymentsResponse response;
  for (const auto& view : views_of(call))
    if (std::ranges::count(request.deploymentIds, view.id)) response.deploymentsInfo.push_back(describe(call, view));
  return response;
}

Result<ListDeploymentsResponse> list_deployments(Call& call, const ListDeploymentsRequest& request) {
  if (request.deploymentGroupName && !request.applicationName)
    return error("ApplicationNameRequiredException", "A deployment group is named without its application.");
  if (request.applicationName) TRY_VOID(find_application(call, *request.applicationName));
  if (request.deploymentGroupName) TRY_VOID(find_group(call, *request.applicationName, request.deploymentGroupName));
  const auto& range = request.createTimeRange;
  if (range && range->start && range->end && *range->start > *range->end)
    return error("InvalidTimeRangeException", "The time range begins after its end.");
  std::vector<View> found;
  for (const auto& view : views_of(call)) {
    if (request.applicationName && view.application != *request.applicationName) continue;
    if (request.deploymentGroupName && view.group != *request.deploymentGroupName) continue;
    if (!among(request.includeOnlyStatuses, std::string(status_of(view, call)))) continue;
    auto at = created_at(view);
    if (range && range->start && at < *range->start) continue;
    if (range && range->end && at > *range->end) continue;
    found.push_back(view);
  }
  auto key = [](const View& view) { return newest_first(created_at(view), view.id); };
  std::ranges::sort(found, {}, key);
  TRY(auto page, paginate(call, std::move(found), request.nextToken, 100, key, "InvalidNextTokenException"));
  ListDeploymentsResponse response;
  response.nextToken = std::move(page.next_token);
  for (const auto& view : page.items) response.deployments.push_back(view.id);
  return response;
}

}  // namespace watari::aws::codedeploy
