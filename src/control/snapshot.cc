// The state of one service as plan/ sees it.
#include <algorithm>
#include <set>

#include "base/strings.h"
#include "control/evaluation.h"
#include "control/services.h"

namespace watari::control {

// After a change has reached HAProxy, what the balancer reports next is about the time after it. It reports changes only: when
// nothing came for this long, what it said before still holds.
static constexpr Millis kQuiet{2000};

namespace {

plan::GroupCounts counts_of(const balancer::Counters& counters) {
  plan::GroupCounts out{static_cast<std::int64_t>(counters.requests), static_cast<std::int64_t>(counters.failures()), {}};
  for (auto count : counters.latency.counts) out.latency.push_back(static_cast<std::int64_t>(count));
  return out;
}

}  // namespace

std::uint64_t Control::Evaluation::balancing_version() const {
  const auto& state = *control.state_;
  return state.load_balancers.version() + state.listeners.version() + state.rules.version() + state.target_groups.version() +
         state.targets.version() + state.certificates.version();
}

std::span<const model::TargetHealth> Control::Evaluation::health_of(const std::string& target_group) const {
  auto found = std::ranges::equal_range(health, target_group, {}, &model::TargetHealth::target_group);
  return {found.begin(), found.end()};
}

bool Control::Evaluation::settled() const {
  return balancing_told && *balancing_told == balancing_version() && flushed == applied;
}

bool Control::Evaluation::fresh() const {
  return settled() && ((health_at && *health_at > flushed_at) || control.now() >= flushed_at + kQuiet);
}

// Live tasks, and stopped ones until they have been accounted for and the engine has been told to forget them.
Control::Evaluation::TasksOfService Control::Evaluation::tasks_by_service() const {
  TasksOfService out;
  control.state_->tasks.each("", [&](const std::string&, const model::Task& task) {
    if (task.service.empty() || (task.status.state == model::TaskState::Stopped && task.accounted && task.forgotten)) return;
    out[service_key(task.scope, task.cluster, task.service)].push_back(&task);
  });
  return out;
}

plan::ServiceSnapshot Control::Evaluation::snapshot_of(const model::Service& service,
                                                       const std::vector<const model::Task*>& tasks) const {
  const auto& state = *control.state_;
  plan::ServiceSnapshot out;
  out.service = service;
  out.now = control.now();
  out.settled = settled();
  out.fresh = fresh();
  out.time_scale = time_scale_of(control, service);
  std::set<std::string> running;
  for (const auto* task : tasks) {
    out.tasks.push_back(*task);
    running.insert(task->service_revision);
    auto name = task->family + ":" + std::to_string(task->revision);
    if (out.definitions.contains(name)) continue;
    if (auto* definition = state.task_definitions.find(task_definition_key(task->scope, task->family, task->revision)))
      out.definitions.emplace(name, *definition);
  }
  const model::Deployment* newest = nullptr;
  state.deployments.each(deployment_prefix(service), [&](const std::string&, const model::Deployment& deployment) {
    if (newest && in_progress(newest->status)) return;  // this one waits behind it
    if (newest && running.contains(newest->target.id)) out.deployments.push_back(*newest);
    newest = &deployment;
  });
  if (newest) out.deployments.push_back(*newest);

  if (newest)
    for (const auto& name : newest->configuration.alarms.names)
      if (auto* alarm = state.alarms.find(alarm_key(service.scope, name))) out.alarms.push_back(*alarm);

  std::set<std::string> groups, rules;
  auto look_at = [&](const model::ServiceRevision& revision) {
    for (const auto& balancer : revision.load_balancers) {
      groups.insert({balancer.target_group, balancer.alternate_target_group});
      for (bool test : {false, true})
        for (auto& rule : balancer.rules(test)) rules.insert(std::move(rule));
    }
  };
  look_at(service.target);
  if (service.completed) look_at(*service.completed);
  for (const auto& set : service.task_sets) look_at(set.revision);
  for (const auto& deployment : out.deployments) {
    look_at(deployment.target);
    if (deployment.source) look_at(*deployment.source);
  }
  for (const auto& arn : groups) {
    if (arn.empty()) continue;
    if (auto* group = state.target_groups.find(arn)) out.deregistration_delays[arn] = group->deregistration_delay;
    state.targets.each(arn + "/", [&](const std::string&, const model::Target& target) { out.targets.push_back(target); });
  }
  for (const auto& arn : groups) std::ranges::copy(health_of(arn), std::back_inserter(out.health));
  if (newest && in_progress(newest->status) && newest->verdict.enabled && control.ports_.balancer)
    for (const auto& group : control.ports_.balancer->counters())
      if (groups.contains(group.target_group)) out.counts[group.target_group] = counts_of(group.total);
  for (const auto& arn : rules)
    if (auto* rule = state.rules.find(arn)) out.weights[arn] = rule->action.forward;
  return out;
}

}  // namespace watari::control
