// The life of a deployment:
//
//   Pending -> InProgress -> Successful
//                  |--(fails, or RollbackRequested)--> RollbackInProgress -> RollbackSuccessful | RollbackFailed
//                  '--(fails without a way back, StopRequested, superseded)--> Stopped
#include <algorithm>

#include "base/result.h"
#include "base/strings.h"
#include "plan/planner.h"

namespace watari::plan {

using model::DeploymentStatus;
using model::Strategy;

// AWS's sentence.
static constexpr std::string_view kBlocked =
    "was unable to stop or start tasks during a deployment because of the service deployment configuration. "
    "Update the minimumHealthyPercent or maximumPercent value and try again.";

Millis Planner::scaled(Seconds wait) const {
  return std::chrono::duration_cast<Millis>(std::chrono::duration<double>(wait) / std::max(in_.time_scale, 1e-6));
}

void Planner::drive() {
  if (!deployment_) return roll_towards(service_.target.id, false);
  if (deployment_->status == DeploymentStatus::Pending) begin();
  if (deployment_->status == DeploymentStatus::RollbackRequested)
    begin_rollback(deployment_->reason.empty() ? "Rollback was requested." : deployment_->reason);
  if (deployment_->status == DeploymentStatus::StopRequested) {
    if (deployment_->production_weight >= 100) {  // what has all the traffic is what the next deployment starts from
      service_.completed = deployment_->target;
      service_changed_ = true;
    }
    end_deployment(DeploymentStatus::Stopped);
    if (deployment_->reason.empty()) deployment_->reason = "The deployment was stopped by request.";
  }
  // Each may end it; the first reason counts.
  for (auto check : {&Planner::check_hooks, &Planner::check_alarms, &Planner::check_verdict, &Planner::check_failure})
    if (deployment_->status == DeploymentStatus::InProgress) (this->*check)();

  bool shifts = deployment_->configuration.strategy != Strategy::Rolling;
  switch (deployment_->status) {
    case DeploymentStatus::InProgress: return shifts ? shift_deployment() : rolling();
    case DeploymentStatus::RollbackInProgress: return shifts ? shift_rollback() : rolling();
    case DeploymentStatus::Successful:
      if (keeps_source()) return size_group(service_.target.id, service_.desired_count, service_.desired_count, true);
      return roll_towards(service_.target.id, false);
    case DeploymentStatus::Stopped:
      // Stopped while it waited for its turn: the service is where the one before has left it.
      if (deployment_->target.id != service_.target.id) return roll_towards(service_.target.id, false);
      if (deployment_->production_weight >= 100) return roll_towards(service_.target.id, false);
      return shifts && deployment_->source ? hold_shift() : roll_towards(service_.target.id, true);
    default: return roll_towards(service_.target.id, false);
  }
}

void Planner::begin() {
  deployment_->status = DeploymentStatus::InProgress;
  deployment_->started_at = in_.now;
  deployment_->stage_since = in_.now;
  deployment_changed_ = true;
  begin_counting();
  const auto& alarms = deployment_->configuration.alarms;
  for (const auto& name : alarms.names)
    if (alarms.enable && !std::ranges::count(in_.alarms, name, &model::Alarm::name))
      event(fmt::format("(deployment {}) the alarm {} does not exist: nothing trips it before it is made.", deployment_->id, name));
}

// An alarm that goes off during the deployment ends it. One that was on before tells nothing about the new revision.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-alarm-failure.html
void Planner::check_alarms() {
  const auto& wanted = deployment_->configuration.alarms;
  if (!wanted.enable || deployment_->stage >= model::Stage::CleanUp) return;
  auto began = deployment_->started_at.value_or(deployment_->created_at);
  for (const auto& alarm : in_.alarms) {
    bool named = std::ranges::find(wanted.names, alarm.name) != wanted.names.end();
    if (!named || alarm.state != "ALARM" || alarm.state_since < began) continue;
    deployment_->triggered_alarms.push_back(alarm.name);
    deployment_changed_ = true;
  }
  if (deployment_->triggered_alarms.empty()) return;
  auto reason = fmt::format("deployment failed: alarm detected: {}.", join(deployment_->triggered_alarms, ", "));
  event(fmt::format("(deployment {}) {}", deployment_->id, reason));
  if (wanted.rollback && deployment_->source) return begin_rollback(reason);
  deployment_->reason = reason;
  end_deployment(DeploymentStatus::Stopped);
}

// A task that stays healthy shows that the revision can work: failures before it are forgiven.
void Planner::forgive() {
  constexpr Seconds kStays{60};
  if (!deployment_->configuration.reset_on_healthy_task || deployment_->failed_tasks == 0) return;
  auto since = deployment_->forgiven_at.value_or(deployment_->started_at.value_or(deployment_->created_at));
  for (auto* member : alive_of(deployment_->target.id)) {
    if (!member->healthy() || !member->task->healthy_at) continue;
    auto proven = *member->task->healthy_at + kStays;
    if (in_.now < proven) wake_at(proven);
    else if (proven > since) {
      deployment_->failed_tasks = 0;
      deployment_->forgiven_at = in_.now;
      deployment_changed_ = true;
      return;
    }
  }
}

void Planner::check_failure() {
  const auto& configuration = deployment_->configuration;
  bool breaks = configuration.circuit_breaker || configuration.strategy != Strategy::Rolling;
  bool undoable = deployment_->stage < model::Stage::CleanUp;
  if (!undoable) return;
  if (auto threshold = failure_threshold(configuration, service_.desired_count); threshold != deployment_->failure_threshold) {
    deployment_->failure_threshold = threshold;  // the desired count has changed
    deployment_changed_ = true;
  }
  forgive();
  if (breaks && deployment_->failed_tasks >= deployment_->failure_threshold)
    return fail_deployment(fmt::format("deployment failed: tasks failed to start. {} of at most {} failures; the last: {}",
                                       deployment_->failed_tasks, deployment_->failure_threshold, deployment_->reason));
  Millis waits{0};
  waits += configuration.strategy != Strategy::Rolling ? scaled(configuration.bake_time) : alarm_wait();
  if (configuration.strategy == Strategy::Canary) waits += scaled(configuration.canary_bake_time);
  if (configuration.strategy == Strategy::Linear)
    waits += scaled(configuration.linear_step_bake_time) * static_cast<int>(100 / configuration.linear_step_percent + 1);
  waits += hook_time(*deployment_, in_.now);
  auto deadline = deployment_->started_at.value_or(deployment_->created_at) + deployment_->timeout + waits;
  if (in_.now < deadline) return wake_at(deadline);
  fail_deployment(fmt::format("deployment failed: it was not done after {} s.{}", deployment_->timeout.count(),
                              deployment_->reason.empty() ? "" : " The last failure: " + deployment_->reason));
}

void Planner::end_deployment(DeploymentStatus status) {
  deployment_->status = status;
  deployment_->finished_at = in_.now;
  deployment_changed_ = true;
  close_hooks("The deployment ended before.");
}

// `always_back`: also where a rolling deployment that fails stays as it is.
void Planner::fail_deployment(const std::string& reason, bool always_back) {
  event(fmt::format("(deployment {}) {}", deployment_->id, reason));
  bool shifts = deployment_->configuration.strategy != Strategy::Rolling;
  if (deployment_->source && (shifts || always_back || deployment_->configuration.circuit_breaker_rollback))
    return begin_rollback(reason);
  deployment_->reason = reason;
  end_deployment(DeploymentStatus::Stopped);
}

void Planner::begin_rollback(const std::string& reason) {
  deployment_changed_ = true;
  deployment_->reason = reason;
  if (!deployment_->source) return end_deployment(DeploymentStatus::Stopped);  // nothing to go back to
  close_hooks("The deployment was rolled back before.");
  deployment_->status = DeploymentStatus::RollbackInProgress;
  deployment_->rollback_started_at = in_.now;
  service_.target = *deployment_->source;
  service_changed_ = true;
  event(fmt::format("rolling back to task definition {}:{}.", service_.target.family, service_.target.revision));
}

void Planner::complete() {
  end_deployment(DeploymentStatus::Successful);
  deployment_->reason.clear();
  service_.completed = deployment_->target;
  service_changed_ = true;
  if (const auto& verdict = deployment_->verdict; verdict.counted_at)
    event(fmt::format("(deployment {}) {} requests went to the new revision while traffic shifted, {} of them failed; {} and {} of the old one.",
                      deployment_->id, verdict.target.requests, verdict.target.failures, verdict.source.requests, verdict.source.failures));
  event(fmt::format("(deployment {}) deployment completed.", deployment_->id));
}

void Planner::complete_rollback() {
  end_deployment(DeploymentStatus::RollbackSuccessful);
  event(fmt::format("(deployment {}) rollback completed.", deployment_->id));
}

// Do requests reach only tasks of this revision? Who waits for the deployment may ask at once.
bool Planner::only_serves(const std::string& revision) const {
  bool others = std::ranges::any_of(in_.targets, [&](const auto& target) {
    return !target.draining_until && std::ranges::any_of(in_.tasks, [&](const auto& task) {
      return task.address == target.address && task.service_revision != revision;
    });
  });
  return !others && (in_.settled || service_.target.load_balancers.empty());
}

// A rolling deployment has two places for hooks: before its first task, and after its last.
bool Planner::rolling_may_start() {
  if (deployment_->stage < model::Stage::PreScaleUp) advance(model::Stage::PreScaleUp);
  if (deployment_->stage == model::Stage::PreScaleUp && hooks_done()) advance(model::Stage::ScaleUp);
  return deployment_->stage >= model::Stage::ScaleUp;
}

// How long a rolling deployment that is whole waits for its alarms: the bake time, or else until each could have judged a period that
// lies wholly after the last step.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-alarm-failure.html
Millis Planner::alarm_wait() const {
  constexpr Millis kLag{3000};  // until what was answered is counted
  const auto& configuration = deployment_->configuration;
  if (!configuration.alarms.enable) return Millis(0);
  if (configuration.bake_time.count() > 0) return scaled(configuration.bake_time);
  Millis longest{0};
  for (const auto& alarm : in_.alarms)
    if (!alarm.metric.name.empty()) longest = std::max(longest, scaled(alarm.period * (alarm.evaluation_periods + 1)) + kLag);
  return longest;
}

// Forward and back are the same for a rolling deployment: service_.target is where it goes.
void Planner::rolling() {
  bool back = deployment_->status == DeploymentStatus::RollbackInProgress;
  if (!back && !rolling_may_start()) {
    if (deployment_->source) roll_towards(deployment_->source->id, false);
    return;
  }
  const auto goal = service_.target.id;
  if (!gather_traffic()) {
    size_group(goal, service_.desired_count, upper_limit() - counted(), true);
    return back ? check_rollback() : void();
  }
  roll_towards(goal, false);
  auto members = alive_of(goal);
  bool done = static_cast<int>(members.size()) == service_.desired_count &&
              healthy_in(members) == service_.desired_count && alive_not_of(goal).empty() && only_serves(goal);
  if (done && back) return complete_rollback();
  if (done) {
    if (deployment_->stage < model::Stage::PostScaleUp) advance(model::Stage::PostScaleUp);
    if (deployment_->stage == model::Stage::PostScaleUp && !hooks_done()) return;
    if (alarm_wait() > Millis(0) && deployment_->stage < model::Stage::BakeTime) advance(model::Stage::BakeTime);
    if (auto end = deployment_->stage_since + alarm_wait(); deployment_->stage == model::Stage::BakeTime && in_.now < end) return wake_at(end);
    return complete();
  }
  if (blocked(goal) && (service_.events.empty() || !service_.events.front().message.ends_with(kBlocked))) event(std::string(kBlocked));
  if (back) check_rollback();
}

// Everything that runs is healthy, and the percentages allow neither one task more nor one less.
bool Planner::blocked(const std::string& goal) {
  bool moves = leaving_ > 0 || counted() < upper_limit() || alive_not_of(goal).empty();
  moves |= std::ranges::any_of(members_, [](const Member& member) { return member.judgement.fitness == Fitness::Starting; });
  moves |= std::ranges::any_of(plan_.actions, [](const Action& action) {
    return std::holds_alternative<StartTask>(action) || std::holds_alternative<StopTask>(action);
  });
  return !moves;
}

// A way back that does not end in time has failed; the service goes on trying.
void Planner::check_rollback() {
  auto deadline = deployment_->rollback_started_at.value_or(in_.now) + deployment_->timeout + hook_time(*deployment_, in_.now);
  if (in_.now < deadline) return wake_at(deadline);
  end_deployment(DeploymentStatus::RollbackFailed);
}

// CodeDeploy's KEEP_ALIVE: the tasks of the revision before run on without traffic, until the next deployment.
bool Planner::keeps_source() const { return deployment_ && deployment_->code_deploy && deployment_->code_deploy->keep_blue; }

// A deleted service: everything leaves in order, then it is INACTIVE.
void Planner::drain_service() {
  for (auto& member : members_)
    if (member.alive()) stop(member, "Service was deleted.");
  if (leaving_ > 0) return;
  service_.status = "INACTIVE";
  service_.task_sets.clear();
  service_changed_ = true;
}

}  // namespace watari::plan
