// How many tasks of which revision: starting, stopping, replacing.
#include <algorithm>
#include <limits>

#include "base/result.h"
#include "plan/planner.h"

namespace watari::plan {
namespace {

constexpr Millis kLongRun{60'000};        // a task that was healthy this long failed for a new reason
constexpr Millis kLongestBackOff{300'000};

Millis back_off_after(int failures) {
  if (failures <= 1) return Millis(0);
  if (failures > 10) return kLongestBackOff;
  return std::min(kLongestBackOff, Millis(1000LL << (failures - 2)));
}

}  // namespace

// A failed task counts against the deployment that started it, and makes its revision's next start wait: at once after the
// first failure, then 1 s, 2 s, 4 s … 5 minutes. Tasks that were started together count as one step.
void Planner::count_failure(const model::Task& task, const std::string& text) {
  if (deployment_ && deployment_->status == model::DeploymentStatus::InProgress && task.deployment == deployment_->id &&
      task.service_revision == deployment_->target.id) {
    ++deployment_->failed_tasks;
    deployment_->reason = text;
    deployment_changed_ = true;
  }
  auto& wait = service_.back_off[task.service_revision];
  service_changed_ = true;
  if (task.healthy_at && in_.now - *task.healthy_at >= kLongRun) wait = {};
  if (task.created_at < wait.start_after && wait.failures > 0) return;
  ++wait.failures;
  wait.start_after = in_.now + back_off_after(wait.failures);
}

void Planner::stop(Member& member, const std::string& reason) {
  bool failed = member.judgement.fitness == Fitness::Unhealthy;
  if (failed) {
    count_failure(*member.task, fmt::format("task {}: {}", member.task->id, member.judgement.reason));
    event(fmt::format("(task {}) {}", member.task->id, member.judgement.reason));
  }
  plan_.actions.push_back(StopTask{member.task->id, failed ? member.judgement.reason : reason, failed});
  member.judgement.fitness = Fitness::Leaving;
  ++leaving_;
}

void Planner::stop_all(const Members& members, const std::string& reason) {
  for (auto* member : members) stop(*member, reason);
}

// Tasks that never passed their checks and now fail them serve nobody.
void Planner::stop_failed() {
  for (auto& member : members_)
    if (member.judgement.fitness == Fitness::Unhealthy && !member.task->healthy_at) stop(member, "");
}

int Planner::start(const std::string& revision, int count, const std::string& reason) {
  if (count <= 0) return 0;
  if (auto wait = service_.back_off.find(revision); wait != service_.back_off.end() && in_.now < wait->second.start_after) {
    wake_at(wait->second.start_after);
    return 0;
  }
  for (int i = 0; i < count; ++i)
    plan_.actions.push_back(StartTask{revision, service_.controller == "EXTERNAL" ? "ecs-svc/" + revision : deployment_ ? deployment_->id : "", reason});
  return count;
}

// The least useful first: failing, never healthy, not healthy now, of a revision that was never completed; then the newest.
void Planner::stop_surplus(Members members, int surplus, const std::string& reason) {
  if (surplus <= 0) return;
  auto usefulness = [&](const Member* member) {
    int health = member->healthy() ? 3 : member->judgement.fitness == Fitness::Unhealthy ? 0 : member->was_healthy() ? 2 : 1;
    bool completed = service_.completed && service_.completed->id == member->task->service_revision;
    return std::tuple(health, completed, -member->task->created_at.time_since_epoch().count());
  };
  std::ranges::sort(members, {}, usefulness);
  for (int i = 0; i < surplus && i < static_cast<int>(members.size()); ++i) stop(*members[i], reason);
}

// Brings one revision to `wanted` tasks, starting at most `budget`. A task that was healthy and fails now is replaced first and
// stopped after, as long as the budget allows it.
void Planner::size_group(const std::string& revision, int wanted, int budget, bool may_start) {
  auto members = alive_of(revision);
  int size = static_cast<int>(members.size());
  int failing = static_cast<int>(
      std::ranges::count_if(members, [](auto* member) { return member->judgement.fitness == Fitness::Unhealthy; }));
  bool replaced = healthy_in(members) >= wanted;
  int with_replacements = wanted + (replaced || !may_start ? 0 : failing);
  if (size > with_replacements) {
    stop_surplus(members, size - with_replacements, "Scaling activity initiated by deployment");
    return;
  }
  if (!may_start) return;
  int missing = with_replacements - size;
  start(revision, std::min(missing, budget), size < wanted ? "fewer are running than wanted" : "replaces an unhealthy task");
  bool stuck = missing > 0 && budget <= 0 && size >= wanted;
  bool starting = std::ranges::any_of(
      members, [](auto* member) { return member->judgement.fitness == Fitness::Starting; });
  if (stuck && failing > 0 && !starting) stop_surplus(members, 1, "");
}

int Planner::upper_limit() const {
  int desired = service_.desired_count;
  return std::max(desired > 0 ? 1 : 0, desired * service_.configuration.maximum_percent / 100);
}

// Tasks that count against the upper limit. Without room for a second copy, the first has to be gone before it is replaced.
int Planner::counted() const {
  int alive = static_cast<int>(std::ranges::count_if(members_, [](const Member& member) { return member.alive(); }));
  return service_.configuration.maximum_percent <= 100 ? alive + leaving_ : alive;
}

// A rolling step: as many of the others as minimumHealthyPercent asks for stay until `revision` has healthy tasks instead.
// `hold` (the deployment has failed): nothing of `revision` is started, the completed revision is kept whole.
void Planner::roll_towards(const std::string& revision, bool hold) {
  int desired = service_.desired_count;
  int upper = upper_limit();
  int lower = (desired * service_.configuration.minimum_healthy_percent + 99) / 100;
  int healthy = healthy_in(alive_of(revision));
  int floor = std::max(0, lower - healthy);
  bool headroom = upper > desired;
  int keep = headroom || hold ? std::max(0, desired - healthy) : floor;
  auto others = alive_not_of(revision);
  stop_surplus(others, static_cast<int>(others.size()) - keep, "Scaling activity initiated by deployment");

  bool has_other = service_.completed && service_.completed->id != revision;
  int others_left = static_cast<int>(alive_not_of(revision).size());
  int started = 0;
  if (has_other)
    started = start(service_.completed->id, std::min((hold ? keep : floor) - others_left, upper - counted()),
                    "keeps the revision before the deployment healthy");
  size_group(revision, desired, upper - counted() - started, !hold);
}

}  // namespace watari::plan
