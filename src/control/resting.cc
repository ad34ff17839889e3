#include "control/resting.h"

#include <algorithm>

#include "control/services.h"

namespace watari::control {
namespace {

// `visit(key, value)` for each entry that differs, with its value from before when it was erased. `seen` becomes `rows`.
template <class T, class Visit>
void each_change(SharedMap<T>& seen, const SharedMap<T>& rows, Visit&& visit) {
  SharedMap<T>::differences(seen, rows, [&](const std::string& key, const T* before, const T* after) { visit(key, after ? *after : *before); });
  seen = rows;
}

// Nothing to do, and nothing under way that only time, counters or the balancer's being ready would move.
bool rests(const plan::ServiceSnapshot& snapshot, const plan::Plan& plan) {
  const auto& service = snapshot.service;
  if (!plan.actions.empty() || service.status != "ACTIVE" || service.controller == "EXTERNAL") return false;
  if (!snapshot.deployments.empty() && in_progress(snapshot.deployments.back().status)) return false;
  return static_cast<int>(snapshot.tasks.size()) == service.desired_count && std::ranges::all_of(snapshot.tasks, [](const model::Task& task) {
    return task.status.state == model::TaskState::Running && !task.desired_stopped && task.healthy_at;
  });
}

}  // namespace

void Resting::begin(const State& state) {
  std::set<std::string> services, parts;  // keys; ARNs of target groups and rules
  each_change(services_, state.services.rows(), [&](const std::string& key, const model::Service&) { services.insert(key); });
  each_change(deployments_, state.deployments.rows(), [&](const std::string&, const model::Deployment& deployment) {
    services.insert(service_key(deployment.scope, deployment.cluster, deployment.service));
  });
  each_change(tasks_, state.tasks.rows(), [&](const std::string&, const model::Task& task) {
    services.insert(service_key(task.scope, task.cluster, task.service));
  });
  each_change(targets_, state.targets.rows(), [&](const std::string&, const model::Target& target) { parts.insert(target.target_group); });
  each_change(target_groups_, state.target_groups.rows(), [&](const std::string& arn, const model::TargetGroup&) { parts.insert(arn); });
  each_change(rules_, state.rules.rows(), [&](const std::string& arn, const model::Rule&) { parts.insert(arn); });
  for (const auto& key : services) resting_.erase(key);
  if (parts.empty()) return;
  auto changed = [&](const std::string& arn) { return parts.contains(arn); };
  std::erase_if(resting_, [&](const auto& entry) {
    return std::ranges::any_of(entry.second.groups, changed) || std::ranges::any_of(entry.second.rules, changed);
  });
}

void Resting::looked_at(const std::string& service, const plan::ServiceSnapshot& snapshot, const plan::Plan& plan) {
  if (!rests(snapshot, plan)) {
    resting_.erase(service);
    return;
  }
  Rest rest{.wake = plan.wake};
  for (const auto& [arn, delay] : snapshot.deregistration_delays) rest.groups.push_back(arn);
  for (const auto& [arn, weights] : snapshot.weights) rest.rules.push_back(arn);
  add(rest.health, snapshot.health);
  resting_[service] = std::move(rest);
}

// Descriptions of probes differ from probe to probe, and decide nothing.
void Resting::add(std::vector<Health>& out, std::span<const model::TargetHealth> health) {
  for (const auto& one : health) out.emplace_back(one.address, one.port, one.state);
}

}  // namespace watari::control
