#include "control/scaling.h"

#include <algorithm>

#include "base/id.h"
#include "control/services.h"

namespace watari::control {
namespace {

constexpr std::size_t kMaxActivities = 50;

bool deploys(const State& state, const model::Service& service) {
  auto deployments = deployments_of(state, service);
  return !deployments.empty() && in_progress(deployments.back().status);
}

void set_desired(Control& control, model::ScalableTarget& target, model::Service& service, int count, const char* bound) {
  service.desired_count = count;
  model::ScalingActivity activity{.id = random_hex(32), .at = control.now()};
  activity.cause = fmt::format("{} capacity was set to {}", bound, count);
  activity.description = fmt::format("Setting desired count to {}.", count);
  add_event(service, control.now(), fmt::format("(service {}) {}: {}", service.name, activity.cause, activity.description));
  target.activities.insert(target.activities.begin(), std::move(activity));
  if (target.activities.size() > kMaxActivities) target.activities.resize(kMaxActivities);
}

}  // namespace

void keep_capacity(Control& control) {
  auto& state = control.state();
  for (auto& [key, target] : state.scalable_targets.list()) {
    auto service = state.services.get(key);
    if (!service || service->status == "INACTIVE" || service->created_at > target.created_at) {
      state.scalable_targets.erase(key);
      continue;
    }
    if (service->status != "ACTIVE") continue;
    if (service->desired_count < target.min && !target.out_suspended) set_desired(control, target, *service, target.min, "minimum");
    else if (service->desired_count > target.max && !target.in_suspended && !deploys(state, *service))
      set_desired(control, target, *service, target.max, "maximum");
    else continue;
    state.services.put(key, *service);
    state.scalable_targets.put(key, target);
  }
}

}  // namespace watari::control
