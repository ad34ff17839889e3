#include "control/preview.h"

#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/strings.h"
#include "control/services.h"

namespace watari::control {
namespace {

constexpr std::size_t kRemembered = 5;

// From being placed to healthy: what the service's tasks took, else what its checks must take.
Seconds start_time(const State& state, const model::Service& service) {
  std::vector<Millis> seen;
  state.tasks.each(service_key(service.scope, service.cluster, ""), [&](const std::string&, const model::Task& task) {
    if (task.service == service.name && task.healthy_at) seen.push_back(*task.healthy_at - task.created_at);
  });
  if (!seen.empty()) {
    std::ranges::nth_element(seen, seen.begin() + static_cast<std::ptrdiff_t>(seen.size() / 2));
    return std::chrono::ceil<Seconds>(seen[seen.size() / 2]);
  }
  Seconds longest{2};
  for (const auto& balancer : service.target.load_balancers)
    if (const auto* group = state.target_groups.find(balancer.target_group))
      longest = std::max(longest, Seconds(2) + group->health_check.interval * (group->health_check.healthy_threshold - 1));
  return longest;
}

Seconds drain_time(const State& state, const model::Service& service) {
  Seconds longest{0};
  for (const auto& balancer : service.target.load_balancers)
    if (const auto* group = state.target_groups.find(balancer.target_group)) longest = std::max(longest, group->deregistration_delay);
  return longest;
}

std::string minutes(Seconds wait) {
  return wait % Seconds(60) == Seconds(0) ? fmt::format("{} min", wait.count() / 60) : fmt::format("{} s", wait.count());
}

// How often a stage is entered.
int times(model::Stage stage, const model::DeploymentConfiguration& configuration) {
  if (stage != model::Stage::PreProductionTrafficShift && stage != model::Stage::ProductionTrafficShift) return 1;
  if (configuration.strategy == model::Strategy::Linear) return static_cast<int>(std::ceil(100 / configuration.linear_step_percent));
  return configuration.strategy == model::Strategy::Canary ? 2 : 1;
}

// How long somebody else takes cannot be known: no time is expected, only the most that it may take is counted. The hooks of a stage
// run side by side, so the longest of them counts for all. A compressed clock shortens pauses only.
void add_hooks(std::vector<Step>& out, const model::DeploymentConfiguration& configuration, const std::function<Seconds(Seconds)>& scaled) {
  std::map<model::Stage, Seconds> longest;
  for (const auto& hook : configuration.hooks) {
    bool pause = hook.target == model::HookTarget::Pause;
    auto limit = pause ? scaled(hook.timeout) : hook.timeout;
    Step step;
    std::vector<std::string> stages;
    for (auto stage : hook.stages) {
      stages.emplace_back(name_of(stage));
      auto& counted = longest[stage];
      step.at_most += std::max(Seconds(0), limit - counted) * times(stage, configuration);
      counted = std::max(counted, limit);
    }
    auto what = pause ? std::string("waits to be continued") : fmt::format("the hook {} is asked", hook.target_arn);
    step.name = fmt::format("{} at {} (at most {} each time)", what, join(stages, ", "), minutes(limit));
    out.push_back(std::move(step));
  }
}

std::vector<Step> steps_of(Control& control, const Proposal& proposal) {
  const auto& service = proposal.service;
  const auto configuration = deployment_configuration(service);
  std::vector<Step> out;
  auto time_scale = time_scale_of(control, service);
  auto scaled = [&](Seconds wait) {
    return std::chrono::ceil<Seconds>(std::chrono::duration<double>(static_cast<double>(wait.count()) / time_scale));
  };
  auto start = start_time(control.state(), service);
  auto timeout = deployment_timeout(service);
  auto wait = [&](std::string name, Seconds time) { out.push_back({std::move(name), scaled(time), scaled(time)}); };
  if (configuration.strategy == model::Strategy::Rolling) {
    int wanted = service.desired_count;
    int room = std::max(1, peak_tasks(service) - wanted * configuration.minimum_healthy_percent / 100);
    int waves = wanted == 0 ? 0 : (wanted + room - 1) / room;
    if (waves) out.push_back({fmt::format("{} of {} tasks at a time start and become healthy", std::min(room, wanted), wanted), start * waves, timeout});
  } else {
    out.push_back({"all tasks of the new revision start and become healthy", start, timeout});
  }
  add_hooks(out, configuration, scaled);
  if (proposal.ready_wait > Seconds(0))
    out.push_back({fmt::format("waits for ContinueDeployment before traffic moves (at most {})", minutes(scaled(proposal.ready_wait))), Seconds(0), scaled(proposal.ready_wait)});
  if (configuration.strategy == model::Strategy::Canary)
    wait(fmt::format("{} % of the traffic on the new revision", configuration.canary_percent), configuration.canary_bake_time);
  if (configuration.strategy == model::Strategy::Linear) {
    auto shifts = static_cast<int>(std::ceil(100 / configuration.linear_step_percent)) - 1;
    wait(fmt::format("{} shifts of {} % of the traffic", shifts + 1, configuration.linear_step_percent), configuration.linear_step_bake_time * shifts);
  }
  if (configuration.strategy == model::Strategy::Rolling && configuration.alarms.enable && configuration.bake_time > Seconds(0))
    wait("alarms are watched before it is done", configuration.bake_time);
  if (configuration.strategy != model::Strategy::Rolling && configuration.bake_time > Seconds(0))
    wait("both revisions kept for a quick way back", configuration.bake_time);
  if (auto drain = drain_time(control.state(), service); drain > Seconds(0))
    out.push_back({fmt::format("old tasks finish their requests (at most {} s, usually much less)", drain.count()), Seconds(0), Seconds(0)});
  return out;
}

}  // namespace

Host this_host() {
  struct sysinfo info{};
  ::sysinfo(&info);
  return {static_cast<std::int64_t>(info.totalram) * info.mem_unit / (1 << 20), ::sysconf(_SC_NPROCESSORS_ONLN) * 1024};
}

int peak_tasks(const model::Service& service) {
  if (service.configuration.strategy != model::Strategy::Rolling) return service.desired_count * 2;
  return service.desired_count * service.configuration.maximum_percent / 100;
}

Preview preview(Control& control, const Proposal& proposal) {
  Preview out;
  out.problems = proposal.problems;
  check_definition(control, proposal, out.problems);
  check_balancing(control, proposal, out.problems);
  check_room(control, proposal, this_host(), out.problems);
  check_strategy(control, proposal, out.problems);
  std::vector<Problem> sorted;
  for (bool blocking : {true, false})
    for (const auto& problem : out.problems)
      if (problem.blocking == blocking) sorted.push_back(problem);
  out.problems = std::move(sorted);

  const auto& service = proposal.service;
  control.state().tasks.each(service_key(service.scope, service.cluster, ""), [&](const std::string&, const model::Task& task) {
    out.tasks_now += task.service == service.name && task.status.state == model::TaskState::Running;
  });
  out.tasks_wanted = service.desired_count;
  out.tasks_at_most = std::max(peak_tasks(service), service.desired_count);
  out.steps = steps_of(control, proposal);
  auto past = deployments_of(control.state(), service);
  for (auto at = past.rbegin(); at != past.rend() && out.last_durations.size() < kRemembered; ++at)
    if (at->status == model::DeploymentStatus::Successful && at->finished_at)
      out.last_durations.push_back(std::chrono::ceil<Seconds>(*at->finished_at - at->created_at));
  return out;
}

}  // namespace watari::control
