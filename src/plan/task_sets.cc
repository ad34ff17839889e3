// Services whose deployments somebody else makes (EXTERNAL): every task set has its share of the desired count. Traffic is the
// client's: it moves listeners and rules by itself.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-external.html
#include <algorithm>
#include <cmath>
#include <limits>

#include "plan/planner.h"

namespace watari::plan {

int task_set_count(const model::TaskSet& set, int desired_count) {
  return set.status == "DRAINING" ? 0 : static_cast<int>(std::ceil(desired_count * set.scale / 100 - 1e-9));
}

void Planner::follow_task_sets() {
  constexpr int kNoLimit = std::numeric_limits<int>::max() / 2;
  for (auto& set : service_.task_sets) {
    const auto& id = set.revision.id;
    int wanted = task_set_count(set, service_.desired_count);
    size_group(id, wanted, kNoLimit, wanted > 0);
    bool leaving = std::ranges::any_of(members_, [&](const Member& member) {
      return member.task->service_revision == id && member.judgement.fitness == Fitness::Leaving;
    });
    auto members = alive_of(id);
    bool stable = !leaving && static_cast<int>(members.size()) == wanted && healthy_in(members) == wanted;
    if (stable == set.stable) continue;
    set.stable = stable;
    set.stable_since = in_.now;
    service_changed_ = true;
  }
  for (auto& member : members_)
    if (member.alive() && !std::ranges::count(service_.task_sets, member.task->service_revision, [](const auto& set) { return set.revision.id; }))
      stop(member, "Its task set was deleted.");
  auto gone = [&](const model::TaskSet& set) {
    return set.status == "DRAINING" && std::ranges::none_of(in_.tasks, [&](const auto& task) { return task.service_revision == set.revision.id; });
  };
  service_changed_ |= std::erase_if(service_.task_sets, gone) > 0;
}

}  // namespace watari::plan
