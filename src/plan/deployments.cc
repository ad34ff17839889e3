// The life of a deployment:
//
//   Pending -> InProgress -> Successful
//                  |--(fails, or RollbackRequested)--> RollbackInProgress -> RollbackSuccessful | RollbackFailed
//                  '--(fails without a way back, StopRequested, superseded)--> Stopped
#include <algorithm>

#include "base/result.h"
#include "plan/planner.h"

namespace watari::plan {

using model::DeploymentStatus;
using model::Strategy;

Millis Planner::scaled(Seconds wait) const {
  return std::chrono::duration_cast<Millis>(std::chrono::duration<double>(wait) / std::max(in_.time_scale, 1e-6));
}

void Planner::drive() {
  if (!deployment_) return roll_towards(service_.target.id, false);
  if (deployment_->status == DeploymentStatus::Pending) begin();
  if (deployment_->status == DeploymentStatus::RollbackRequested)
    begin_rollback(deployment_->reason.empty() ? "Rollback was requested." : deployment_->reason);
  if (deployment_->status == DeploymentStatus::StopRequested) {
    deployment_->status = DeploymentStatus::Stopped;
    deployment_->finished_at = in_.now;
    deployment_changed_ = true;
    if (deployment_->reason.empty()) deployment_->reason = "The deployment was stopped by request.";
  }
  if (deployment_->status == DeploymentStatus::InProgress) check_failure();

  bool shifts = deployment_->configuration.strategy != Strategy::Rolling;
  switch (deployment_->status) {
    case DeploymentStatus::InProgress: return shifts ? shift_deployment() : rolling();
    case DeploymentStatus::RollbackInProgress: return shifts ? shift_rollback() : rolling();
    case DeploymentStatus::Stopped: return roll_towards(service_.target.id, true);
    default: return roll_towards(service_.target.id, false);
  }
}

void Planner::begin() {
  deployment_->status = DeploymentStatus::InProgress;
  deployment_->started_at = in_.now;
  deployment_->stage_since = in_.now;
  deployment_->failure_threshold = failure_threshold(service_.desired_count);
  deployment_changed_ = true;
}

void Planner::check_failure() {
  const auto& configuration = deployment_->configuration;
  bool breaks = configuration.circuit_breaker || configuration.strategy != Strategy::Rolling;
  bool undoable = deployment_->stage < model::Stage::CleanUp;
  if (!undoable) return;
  if (breaks && deployment_->failed_tasks >= deployment_->failure_threshold)
    return fail_deployment(fmt::format("deployment failed: tasks failed to start. {} of at most {} failures; the last: {}",
                                       deployment_->failed_tasks, deployment_->failure_threshold, deployment_->reason));
  Millis waits{0};
  if (configuration.strategy != Strategy::Rolling) waits += scaled(configuration.bake_time);
  if (configuration.strategy == Strategy::Canary) waits += scaled(configuration.canary_bake_time);
  if (configuration.strategy == Strategy::Linear)
    waits += scaled(configuration.linear_step_bake_time) * static_cast<int>(100 / configuration.linear_step_percent + 1);
  auto deadline = deployment_->started_at.value_or(deployment_->created_at) + deployment_->timeout + waits;
  if (in_.now < deadline) return wake_at(deadline);
  fail_deployment(fmt::format("deployment failed: it was not done after {} s.{}", deployment_->timeout.count(),
                              deployment_->reason.empty() ? "" : " The last failure: " + deployment_->reason));
}

void Planner::fail_deployment(const std::string& reason) {
  event(fmt::format("(deployment {}) {}", deployment_->id, reason));
  bool shifts = deployment_->configuration.strategy != Strategy::Rolling;
  if (deployment_->source && (shifts || deployment_->configuration.circuit_breaker_rollback)) return begin_rollback(reason);
  deployment_->status = DeploymentStatus::Stopped;
  deployment_->reason = reason;
  deployment_->finished_at = in_.now;
  deployment_changed_ = true;
}

void Planner::begin_rollback(const std::string& reason) {
  deployment_changed_ = true;
  deployment_->reason = reason;
  if (!deployment_->source) {  // nothing to go back to
    deployment_->status = DeploymentStatus::Stopped;
    deployment_->finished_at = in_.now;
    return;
  }
  deployment_->status = DeploymentStatus::RollbackInProgress;
  deployment_->rollback_started_at = in_.now;
  service_.target = *deployment_->source;
  service_changed_ = true;
  event(fmt::format("rolling back to task definition {}:{}.", service_.target.family, service_.target.revision));
}

void Planner::complete() {
  deployment_->status = DeploymentStatus::Successful;
  deployment_->finished_at = in_.now;
  deployment_->reason.clear();
  deployment_changed_ = true;
  service_.completed = deployment_->target;
  service_changed_ = true;
  event(fmt::format("(deployment {}) deployment completed.", deployment_->id));
}

void Planner::complete_rollback() {
  deployment_->status = DeploymentStatus::RollbackSuccessful;
  deployment_->finished_at = in_.now;
  deployment_changed_ = true;
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

// Forward and back are the same for a rolling deployment: service_.target is where it goes.
void Planner::rolling() {
  const auto goal = service_.target.id;
  roll_towards(goal, false);
  auto members = alive_of(goal);
  bool done = static_cast<int>(members.size()) == service_.desired_count &&
              healthy_in(members) == service_.desired_count && alive_not_of(goal).empty() && only_serves(goal);
  bool back = deployment_->status == DeploymentStatus::RollbackInProgress;
  if (done) return back ? complete_rollback() : complete();
  if (!back) return;
  auto deadline = deployment_->rollback_started_at.value_or(in_.now) + deployment_->timeout;
  if (in_.now < deadline) return wake_at(deadline);
  deployment_->status = DeploymentStatus::RollbackFailed;
  deployment_->finished_at = in_.now;
  deployment_changed_ = true;
}

// A deleted service: everything leaves in order, then it is INACTIVE.
void Planner::drain_service() {
  for (auto& member : members_)
    if (member.alive()) stop(member, "Service was deleted.");
  if (leaving_ > 0) return;
  service_.status = "INACTIVE";
  service_changed_ = true;
}

}  // namespace watari::plan
