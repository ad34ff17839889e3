#pragma once
// The health of one container, from the outcomes of its checks. Pure; the task's state machine asks it what to do next.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
//
// Until the first success, and at most for the start period or the first interval, checks come quickly and failures do not count: a
// container that is ready after a second is healthy after a second, and one that fails is not unhealthy any sooner than on ECS.
#include "base/clock.h"
#include "model/task.h"
#include "model/task_definition.h"

namespace watari::engine {

class HealthState {
 public:
  explicit HealthState(model::HealthCheck check, model::Health health = model::Health::Unknown);

  const model::HealthCheck& check() const { return check_; }
  model::Health health() const { return health_; }
  // From now to the next check; `running` is how long the container has been running.
  Millis next_check_in(Millis running) const;
  // Takes the outcome of a check; true when the health has changed.
  bool record(bool success, Millis running);
  // What to execute in the container.
  static std::vector<std::string> command(const model::HealthCheck& check);

 private:
  bool starting(Millis running) const;

  model::HealthCheck check_;
  model::Health health_;
  int failures_ = 0;
};

}  // namespace watari::engine
