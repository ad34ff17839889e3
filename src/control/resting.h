#pragma once
// Private to control/: the services at which there was nothing to do when they were looked at last, and nothing that their plans are
// made from has changed since. They need no plan: an evaluation looks at the few services that something happens to.
// Thread: the control loop. Can be lost: what is not known to rest is planned.
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "control/state.h"
#include "plan/snapshot.h"

namespace watari::control {

class Resting {
 public:
  // Begins an evaluation: whatever was written since the last one began wakes the services that it concerns.
  void begin(const State& state);

  // Does it rest still? `health_of(target group)` gives what the balancer said last; `wake` is when to look again.
  template <class HealthOf>
  bool has(const std::string& service, Time now, HealthOf&& health_of, std::optional<Time>& wake) const {
    auto found = resting_.find(service);
    if (found == resting_.end() || (found->second.wake && *found->second.wake <= now)) return false;
    std::vector<Health> health;
    for (const auto& group : found->second.groups) add(health, health_of(group));
    wake = found->second.wake;
    return health == found->second.health;
  }

  // What came of looking at it.
  void looked_at(const std::string& service, const plan::ServiceSnapshot& snapshot, const plan::Plan& plan);

 private:
  using Health = std::tuple<std::string, int, model::TargetState>;
  struct Rest {
    std::vector<std::string> groups, rules;  // ARNs
    std::vector<Health> health;
    std::optional<Time> wake;
  };
  static void add(std::vector<Health>& out, std::span<const model::TargetHealth> health);

  std::map<std::string, Rest> resting_;  // service_key
  SharedMap<model::Service> services_;   // as they were when the last evaluation began
  SharedMap<model::Deployment> deployments_;
  SharedMap<model::Task> tasks_;
  SharedMap<model::Target> targets_;
  SharedMap<model::TargetGroup> target_groups_;
  SharedMap<model::Rule> rules_;
};

}  // namespace watari::control
