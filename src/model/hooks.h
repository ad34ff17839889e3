#pragma once
// Steps that a deployment waits for, alarms that end it, and what CodeDeploy adds to it.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentLifecycleHook.html and
// https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fields.h"

namespace watari::model {

// In the order in which a deployment goes through them. PreProductionTrafficShift is a stage of hooks only.
enum class Stage {
  ReconcileService, PreScaleUp, ScaleUp, PostScaleUp, TestTrafficShift, PostTestTrafficShift, PreProductionTrafficShift,
  ProductionTrafficShift, PostProductionTrafficShift, BakeTime, CleanUp
};
WATARI_ENUM(Stage, {Stage::ReconcileService, "RECONCILE_SERVICE"}, {Stage::PreScaleUp, "PRE_SCALE_UP"},
            {Stage::ScaleUp, "SCALE_UP"}, {Stage::PostScaleUp, "POST_SCALE_UP"},
            {Stage::TestTrafficShift, "TEST_TRAFFIC_SHIFT"}, {Stage::PostTestTrafficShift, "POST_TEST_TRAFFIC_SHIFT"},
            {Stage::PreProductionTrafficShift, "PRE_PRODUCTION_TRAFFIC_SHIFT"},
            {Stage::ProductionTrafficShift, "PRODUCTION_TRAFFIC_SHIFT"},
            {Stage::PostProductionTrafficShift, "POST_PRODUCTION_TRAFFIC_SHIFT"}, {Stage::BakeTime, "BAKE_TIME"},
            {Stage::CleanUp, "CLEAN_UP"})

enum class HookTarget { Lambda, Pause };
WATARI_ENUM(HookTarget, {HookTarget::Lambda, "AWS_LAMBDA"}, {HookTarget::Pause, "PAUSE"})

enum class HookAction { Continue, Rollback };
WATARI_ENUM(HookAction, {HookAction::Continue, "CONTINUE"}, {HookAction::Rollback, "ROLLBACK"})

struct LifecycleHook {
  HookTarget target = HookTarget::Lambda;
  // What is called: an http(s) URL; the ARN of a task definition (or `family[:revision]`), run once per deployment as a task in
  // the service's network, exit code 0 succeeds; or the ARN or name of a function that was mapped to one of these two.
  std::string target_arn;
  std::string role;
  std::vector<Stage> stages;
  std::string details;  // JSON, handed to the hook as it is
  Seconds timeout{86400};
  HookAction timeout_action = HookAction::Rollback;
  // Asked in CodeDeploy's way: called once with {DeploymentId, LifecycleEventHookExecutionId}, answered by
  // PutLifecycleEventHookExecutionStatus; the name is that of the AppSpec ("AfterAllowTestTraffic"). Empty for ECS's own.
  std::string lifecycle_event;
  WATARI_FIELDS(LifecycleHook, target, target_arn, role, stages, details, timeout, timeout_action, lifecycle_event)
};

enum class HookStatus { AwaitingAction, InProgress, Succeeded, Failed, TimedOut };
WATARI_ENUM(HookStatus, {HookStatus::AwaitingAction, "AWAITING_ACTION"}, {HookStatus::InProgress, "IN_PROGRESS"},
            {HookStatus::Succeeded, "SUCCEEDED"}, {HookStatus::Failed, "FAILED"}, {HookStatus::TimedOut, "TIMED_OUT"})

// One hook at one stage of one deployment. Written by the planner as InProgress (AwaitingAction: a pause) when the stage is
// reached; control calls what is InProgress, again after a crash, and writes the answer; nothing else moves it.
struct HookRun {
  std::string id;
  std::size_t hook = 0;  // index in the configuration's hooks
  Stage stage = Stage::PreScaleUp;
  int stage_number = 0;  // Deployment::stage_number it belongs to: some stages are reached again and again
  HookStatus status = HookStatus::InProgress;
  std::string task;    // id, when it runs as a task
  std::string reason;  // why it failed: HTTP status, exit code, the hook's words
  Time started_at{}, call_at{};  // call_at: not called (again) before
  Time expires_at{};
  std::optional<Time> finished_at;
  bool called = false;  // in CodeDeploy's way: it was told, and is to answer by itself
  int attempts = 0;     // calls in a row that reached nobody
  std::string details;  // JSON that it gave with its last answer, handed to it with the next call
  WATARI_FIELDS(HookRun, id, hook, stage, stage_number, status, task, reason, started_at, call_at, expires_at, finished_at,
                called, attempts, details)
};

struct DeploymentAlarms {
  std::vector<std::string> names;
  bool enable = false, rollback = false;
  bool ignore_poll_failure = false;  // CodeDeploy: an alarm that does not exist is no failure
  WATARI_FIELDS(DeploymentAlarms, names, enable, rollback, ignore_poll_failure)
};

// What a deployment that CreateDeployment (CodeDeploy) made has beyond others.
struct CodeDeployment {
  std::string id;  // d-XXXXXXXXX
  std::string application, group, config, description, creator = "user";
  std::string app_spec;           // as it was given, with its sha256 (hexadecimal)
  std::string app_spec_sha256;
  bool rollback_on_failure = false, rollback_on_stop = false, rollback_on_alarm = false;
  std::string rollback_id;        // of the deployment that undoes this one; set in the transaction that begins the rollback
  std::string rollback_of;        // the deployment that this one deploys again
  bool ready_wait_stops = false;  // STOP_DEPLOYMENT when the ready wait runs out
  Seconds ready_wait{0};
  bool keep_blue = false;         // terminateBlueInstancesOnDeploymentSuccess.action = KEEP_ALIVE
  Seconds termination_wait{0};
  bool skip_termination_wait = false;  // ContinueDeployment(TERMINATION_WAIT)
  WATARI_FIELDS(CodeDeployment, id, application, group, config, description, creator, app_spec, app_spec_sha256,
                rollback_on_failure, rollback_on_stop, rollback_on_alarm, rollback_id, rollback_of, ready_wait_stops, ready_wait,
                keep_blue, termination_wait, skip_termination_wait)
};

}  // namespace watari::model
