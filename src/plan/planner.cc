#include "plan/planner.h"

#include <algorithm>

#include "base/result.h"

namespace watari::plan {
namespace {

bool in_progress(const std::optional<model::Deployment>& deployment) {
  using enum model::DeploymentStatus;
  if (!deployment) return false;
  switch (deployment->status) {
    case Pending:
    case InProgress:
    case StopRequested:
    case RollbackRequested:
    case RollbackInProgress: return true;
    default: return false;
  }
}

}  // namespace

const model::ServiceRevision* find_revision(const ServiceSnapshot& snapshot, const std::string& id) {
  if (snapshot.service.target.id == id) return &snapshot.service.target;
  if (snapshot.service.completed && snapshot.service.completed->id == id) return &*snapshot.service.completed;
  for (const auto& set : snapshot.service.task_sets)
    if (set.revision.id == id) return &set.revision;
  for (const auto& deployment : snapshot.deployments) {
    if (deployment.target.id == id) return &deployment.target;
    if (deployment.source && deployment.source->id == id) return &*deployment.source;
  }
  return nullptr;
}

std::vector<Place> places_of(const ServiceSnapshot& snapshot, const model::Task& task) {
  std::vector<Place> places;
  auto* revision = find_revision(snapshot, task.service_revision);
  if (!revision) return places;
  for (std::size_t i = 0; i < revision->load_balancers.size(); ++i) {
    const auto& balancer = revision->load_balancers[i];
    auto group = i < revision->target_groups.size() ? revision->target_groups[i] : balancer.target_group;
    places.push_back({group, balancer.container_port, balancer.container});
  }
  return places;
}

Plan reconcile(const ServiceSnapshot& snapshot) { return Planner(snapshot).run(); }

int failure_threshold(const model::DeploymentConfiguration& configuration, int desired_count) {
  int value = configuration.threshold_value;
  int percent = (desired_count * value + 99) / 100;
  switch (configuration.threshold) {
    case model::Threshold::Count: return std::max(1, value);
    case model::Threshold::UnboundedPercent: return std::max(1, percent);
    case model::Threshold::BoundedPercent: break;
  }
  return std::clamp(percent, 3, 200);
}

Planner::Planner(const ServiceSnapshot& snapshot) : in_(snapshot), service_(snapshot.service) {
  if (!in_.deployments.empty()) deployment_ = in_.deployments.back();
  for (const auto& task : in_.tasks) {
    auto judgement = judge(in_, task);
    if (judgement.changes) wake_at(*judgement.changes);
    if (judgement.fitness == Fitness::Leaving) ++leaving_;
    members_.push_back({&task, std::move(judgement)});
  }
}

Plan Planner::run() {
  account();
  mark_healthy();
  follow_targets();
  if (service_.status == "DRAINING") {
    drain_service();
  } else if (service_.status == "ACTIVE") {
    stop_failed();
    if (service_.controller == "EXTERNAL") follow_task_sets();
    else drive();
    steady_state();
  }
  finish();
  return std::move(plan_);
}

// Each stopped task is looked at once: did it fail, and what follows from that? Tasks that went with their host did not.
void Planner::account() {
  for (const auto& member : members_) {
    if (member.judgement.fitness != Fitness::Gone || member.task->accounted) continue;
    bool failed = !member.task->desired_stopped && member.task->status.stop_code != "TerminationNotice";
    if (failed) count_failure(*member.task, why_stopped(in_, *member.task));
    plan_.actions.push_back(MarkAccounted{member.task->id});
  }
}

void Planner::mark_healthy() {
  for (const auto& member : members_)
    if (member.healthy() && !member.task->healthy_at) plan_.actions.push_back(MarkHealthy{member.task->id});
}

void Planner::steady_state() {
  static constexpr std::string_view kSteady = "has reached a steady state.";
  if (in_progress(deployment_) || service_changed_ || deployment_changed_) return;
  if (service_.events.empty() || service_.events.front().message.ends_with(kSteady)) return;
  if (service_.controller == "EXTERNAL") {
    if (std::ranges::all_of(service_.task_sets, &model::TaskSet::stable)) event(std::string(kSteady));
    return;
  }
  auto members = alive_of(service_.target.id);
  bool all_healthy = healthy_in(members) == static_cast<int>(members.size());
  if (all_healthy && static_cast<int>(members.size()) == service_.desired_count && leaving_ == 0 &&
      (keeps_source() || alive_not_of(service_.target.id).empty()))
    event(std::string(kSteady));
}

void Planner::finish() {
  std::erase_if(service_.back_off, [&](const auto& entry) {
    bool stale = !find_revision(in_, entry.first);
    service_changed_ |= stale;
    return stale;
  });
  if (deployment_changed_) {
    deployment_->updated_at = in_.now;
    plan_.actions.push_back(PutDeployment{*deployment_});
  }
  if (service_changed_) plan_.actions.push_back(PutService{service_});
}

void Planner::wake_at(Time time) {
  if (time > in_.now && (!plan_.wake || time < *plan_.wake)) plan_.wake = time;
}

void Planner::event(std::string text) { plan_.actions.push_back(Event{fmt::format("(service {}) {}", service_.name, text)}); }

Planner::Members Planner::alive_of(const std::string& revision) {
  Members out;
  for (auto& member : members_)
    if (member.alive() && member.task->service_revision == revision) out.push_back(&member);
  return out;
}

Planner::Members Planner::alive_not_of(const std::string& revision) {
  Members out;
  for (auto& member : members_)
    if (member.alive() && member.task->service_revision != revision) out.push_back(&member);
  return out;
}

int Planner::healthy_in(const Members& members) {
  return static_cast<int>(std::ranges::count_if(members, [](const Member* member) { return member->healthy(); }));
}

}  // namespace watari::plan
