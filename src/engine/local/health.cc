#include "engine/local/health.h"

#include <algorithm>

namespace watari::engine {

using model::Health;

HealthState::HealthState(model::HealthCheck check, Health health) : check_(std::move(check)), health_(health) {}

bool HealthState::starting(Millis running) const {
  return health_ == Health::Unknown && running < std::max<Millis>(check_.start_period, check_.interval);
}

Millis HealthState::next_check_in(Millis running) const {
  if (!starting(running)) return check_.interval;
  auto quick = running < std::chrono::seconds(5) ? Millis(250) : Millis(1000);
  auto end = std::max<Millis>(check_.start_period, check_.interval);
  return std::min({quick, Millis(check_.interval), std::max(end - running, Millis(1))});
}

bool HealthState::record(bool success, Millis running) {
  auto before = health_;
  if (success) {
    failures_ = 0;
    health_ = Health::Healthy;
  } else if (!starting(running) && ++failures_ >= std::max(1, check_.retries)) {
    health_ = Health::Unhealthy;
  }
  return health_ != before;
}

std::vector<std::string> HealthState::command(const model::HealthCheck& check) {
  if (check.command.empty()) return {};
  if (check.command[0] == "CMD-SHELL")
    return {"/bin/sh", "-c", check.command.size() > 1 ? check.command[1] : ""};
  if (check.command[0] == "CMD") return {check.command.begin() + 1, check.command.end()};
  return check.command;
}

}  // namespace watari::engine
