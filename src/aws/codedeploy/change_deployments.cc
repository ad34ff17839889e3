// Stopping deployments, ending their waits, and what their hooks report.
#include "aws/codedeploy/view.h"
#include "aws/gen/codedeploy/continue_deployment.h"
#include "aws/gen/codedeploy/put_lifecycle_event_hook_execution_status.h"
#include "aws/gen/codedeploy/skip_wait_time_for_instance_termination.h"
#include "aws/gen/codedeploy/stop_deployment.h"
#include "control/hooks.h"

namespace watari::aws::codedeploy {
namespace {

Result<void> skip_termination_wait(Call& call, const View& view) {
  if (auto done = control::end_termination_wait(*call.platform.control, control::deployment_key(*view.deployment)); !done)
    return error("InvalidDeploymentStatusException", "{}", done.error().message);
  return {};
}

Result<View> unfinished(Call& call, const std::string& id) {
  TRY(auto view, find_view(call, id));
  if (finished(view, call)) return error("DeploymentAlreadyCompletedException", "The deployment {} has already completed.", id);
  return view;
}

}  // namespace

Result<StopDeploymentResponse> stop_deployment(Call& call, const StopDeploymentRequest& request) {
  TRY(auto view, unfinished(call, request.deploymentId));
  if (view.rollback)
    return error("UnsupportedActionForDeploymentTypeException", "The deployment {} rolls back {}; it cannot be stopped.", view.id,
                 view.deployment->code_deploy->id);
  bool configured = view.deployment->code_deploy && view.deployment->code_deploy->rollback_on_stop;
  TRY_VOID(control::stop_code_deployment(*call.platform.control, control::deployment_key(*view.deployment),
                                         request.autoRollbackEnabled.value_or(configured)));
  return StopDeploymentResponse{.status = "Succeeded",
                                .statusMessage = "No more commands will be scheduled for execution in the deployment instances"};
}

Result<ContinueDeploymentResponse> continue_deployment(Call& call, const ContinueDeploymentRequest& request) {
  TRY(auto view, unfinished(call, request.deploymentId.value_or("")));
  if (request.deploymentWaitType.value_or("READY_WAIT") == "TERMINATION_WAIT") {
    TRY_VOID(skip_termination_wait(call, view));
    return ContinueDeploymentResponse{};
  }
  if (view.rollback || !waits_for_rerouting(*view.deployment))
    return error("DeploymentIsNotInReadyStateException", "The deployment {} is not in the ready state.", view.id);
  TRY_VOID(control::continue_deployment(*call.platform.control, control::deployment_key(*view.deployment), "", model::HookAction::Continue));
  return ContinueDeploymentResponse{};
}

Result<SkipWaitTimeForInstanceTerminationResponse> skip_wait_time_for_instance_termination(
    Call& call, const SkipWaitTimeForInstanceTerminationRequest& request) {
  TRY(auto view, unfinished(call, request.deploymentId.value_or("")));
  TRY_VOID(skip_termination_wait(call, view));
  return SkipWaitTimeForInstanceTerminationResponse{};
}

Result<PutLifecycleEventHookExecutionStatusResponse> put_lifecycle_event_hook_execution_status(
    Call& call, const PutLifecycleEventHookExecutionStatusRequest& request) {
  TRY(auto view, find_view(call, request.deploymentId.value_or("")));
  auto status = request.status.value_or("");
  auto id = request.lifecycleEventHookExecutionId.value_or("");
  if (status != "Succeeded" && status != "Failed")
    return error("InvalidLifecycleEventHookExecutionStatusException", "The status of a hook is Succeeded or Failed, not '{}'.", status);
  TRY_VOID(control::finish_hook(*call.platform.control, control::deployment_key(*view.deployment), id,
                                status == "Succeeded" ? model::HookStatus::Succeeded : model::HookStatus::Failed,
                                "The hook reported " + status + "."));
  return PutLifecycleEventHookExecutionStatusResponse{.lifecycleEventHookExecutionId = id};
}

}  // namespace watari::aws::codedeploy
