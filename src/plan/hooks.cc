// Lifecycle hooks: a stage that has some is left when all of them have succeeded. When they begin, time out, and what follows is
// decided here; control calls them and writes what they answer.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-lifecycle-hooks.html
#include <algorithm>

#include "base/result.h"
#include "plan/planner.h"

namespace watari::plan {

using model::HookStatus;
using model::Stage;

namespace {

bool open(const model::HookRun& run) { return run.status == HookStatus::InProgress || run.status == HookStatus::AwaitingAction; }

}  // namespace

std::string hook_name(const model::LifecycleHook& hook) {
  if (!hook.lifecycle_event.empty()) return hook.lifecycle_event;
  return hook.target == model::HookTarget::Pause ? "PAUSE" : hook.target_arn;
}

// Time that hooks took is no part of a deployment's deadline.
Millis hook_time(const model::Deployment& deployment, Time now) {
  Millis sum{0};
  for (std::size_t i = 0; i < deployment.hook_runs.size();) {
    const auto& first = deployment.hook_runs[i];
    auto end = first.started_at;
    for (; i < deployment.hook_runs.size() && deployment.hook_runs[i].stage_number == first.stage_number; ++i)
      end = std::max(end, deployment.hook_runs[i].finished_at.value_or(now));
    sum += end - first.started_at;
  }
  return sum;
}

std::vector<model::HookRun*> Planner::current_runs() {
  std::vector<model::HookRun*> out;
  for (auto& run : deployment_->hook_runs)
    if (run.stage_number == deployment_->stage_number) out.push_back(&run);
  return out;
}

// Each hook of the stage once; CodeDeploy's events come once in a deployment, also where the traffic moves in several steps.
void Planner::begin_hooks(Stage stage) {
  const auto& hooks = deployment_->configuration.hooks;
  for (std::size_t i = 0; i < hooks.size(); ++i) {
    const auto& hook = hooks[i];
    if (std::ranges::find(hook.stages, stage) == hook.stages.end()) continue;
    auto& runs = deployment_->hook_runs;
    bool ran = std::ranges::any_of(runs, [&](const auto& run) { return run.hook == i && run.stage == stage; });
    if (ran && deployment_->code_deploy) continue;
    bool pause = hook.target == model::HookTarget::Pause;
    model::HookRun run;
    run.id = fmt::format("hook-{}-{}", deployment_->id.substr(deployment_->id.rfind('/') + 1), runs.size() + 1);
    run.hook = i;
    run.stage = stage;
    run.stage_number = deployment_->stage_number;
    run.status = pause ? HookStatus::AwaitingAction : HookStatus::InProgress;
    run.started_at = run.call_at = in_.now;
    // A pause is a wait, and waits are shorter in a rehearsal; what others compute is not.
    run.expires_at = in_.now + (pause ? scaled(hook.timeout) : Millis(hook.timeout));
    wake_at(run.expires_at);
    runs.push_back(std::move(run));
    deployment_changed_ = true;
    event(fmt::format("(deployment {}) {} {} at {}.", deployment_->id, pause ? "waits for" : "calls the lifecycle hook", hook_name(hook),
                      name_of(stage)));
  }
}

// May the stage be left? The first question calls its hooks.
bool Planner::hooks_done() {
  if (current_runs().empty()) begin_hooks(deployment_->stage);
  return std::ranges::none_of(current_runs(), [](const auto* run) { return open(*run); });
}

// Hooks that failed, or gave no answer in time, end the deployment (unless they are to be passed over).
void Planner::check_hooks() {
  for (auto* run : current_runs()) {
    const auto& hook = deployment_->configuration.hooks.at(run->hook);
    if (open(*run)) {
      if (in_.now < run->expires_at) {
        wake_at(run->expires_at);
        continue;
      }
      run->status = HookStatus::TimedOut;
      run->finished_at = in_.now;
      if (run->reason.empty()) run->reason = fmt::format("no answer within {} s", hook.timeout.count());
      deployment_changed_ = true;
    }
    bool failed = run->status == HookStatus::Failed ||
                  (run->status == HookStatus::TimedOut && hook.timeout_action == model::HookAction::Rollback);
    if (failed)
      return fail_deployment(fmt::format("deployment failed: the lifecycle hook {} at {} {}: {}", hook_name(hook), name_of(run->stage),
                                         run->status == HookStatus::Failed ? "failed" : "timed out", run->reason),
                             true);
  }
}

// On the way back AWS calls the hooks of the traffic shifts again, with the weights as they are then. What they say changes nothing.
bool Planner::return_hooks_done() {
  if (!deployment_->returned) {
    ++deployment_->stage_number;
    for (auto stage : {Stage::TestTrafficShift, Stage::ProductionTrafficShift})
      if (!deployment_->code_deploy && deployment_->stage >= stage) begin_hooks(stage);
    deployment_->returned = true;
    deployment_changed_ = true;
  }
  for (auto* run : current_runs()) {
    if (!open(*run)) continue;
    if (in_.now < run->expires_at) {
      wake_at(run->expires_at);
      return false;
    }
    run->status = HookStatus::TimedOut;
    run->finished_at = in_.now;
    deployment_changed_ = true;
  }
  return true;
}

// Nobody waits any more for what is still open.
void Planner::close_hooks(const std::string& reason) {
  for (auto& run : deployment_->hook_runs) {
    if (!open(run)) continue;
    run.status = HookStatus::Failed;
    run.finished_at = in_.now;
    run.reason = reason;
    deployment_changed_ = true;
  }
}

}  // namespace watari::plan
