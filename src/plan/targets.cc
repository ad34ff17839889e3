// Into and out of target groups. A task that is to stop leaves them first; only what has left is stopped (by control, when no
// target of it is left).
#include <algorithm>

#include "plan/planner.h"

namespace watari::plan {

void Planner::follow_targets() {
  for (const auto& member : members_) follow_targets_of(member);
}

void Planner::follow_targets_of(const Member& member) {
  const auto& task = *member.task;
  bool registered_now = false;
  if (member.alive() && task.status.state == model::TaskState::Running) {
    for (const auto& place : places_of(in_, task)) {
      bool known = std::ranges::any_of(in_.targets, [&](const auto& target) {
        return target.target_group == place.target_group && target.address == task.address && target.port == place.port;
      });
      if (!known) plan_.actions.push_back(RegisterTarget{place.target_group, task.address, place.port});
      registered_now |= !known;
    }
  }
  if (registered_now || member.alive()) return;
  for (const auto& target : in_.targets) {
    if (target.address != task.address) continue;
    // Of a task that is gone nothing can be waited for.
    if (member.judgement.fitness == Fitness::Gone || leave_target(target))
      plan_.actions.push_back(RemoveTarget{target.target_group, target.address, target.port});
  }
}

// True when no request can be on its way to the target any more.
bool Planner::leave_target(const model::Target& target) {
  if (!target.draining_until) {
    auto delay = in_.deregistration_delays.find(target.target_group);
    auto until = in_.now + (delay == in_.deregistration_delays.end() ? Seconds(300) : delay->second);
    plan_.actions.push_back(DeregisterTarget{target.target_group, target.address, target.port, until});
    wake_at(until);
    return false;
  }
  if (in_.now >= *target.draining_until) return true;
  wake_at(*target.draining_until);
  if (!in_.fresh) return false;
  auto seen = std::ranges::find_if(in_.health, [&](const auto& health) {
    return health.target_group == target.target_group && health.address == target.address && health.port == target.port;
  });
  return seen != in_.health.end() && seen->state == model::TargetState::Draining && seen->in_flight == 0;
}

}  // namespace watari::plan
