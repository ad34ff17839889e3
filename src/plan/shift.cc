// Blue/green, canary and linear deployments: the new revision starts whole beside the old one, on the other target group of each
// pair, then production traffic moves by the weights of the listener rule. One stage at a time; no stage is left before the
// balancer has made its traffic real.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/blue-green-deployment-how-it-works.html
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/result.h"
#include "plan/planner.h"

namespace watari::plan {

using model::DeploymentStatus;
using model::Stage;
using model::Strategy;
using Weights = std::vector<model::WeightedTargetGroup>;

namespace {

constexpr int kNoLimit = std::numeric_limits<int>::max() / 2;

// Weights are whole numbers up to 999 on the wire; whole percentages stay readable, tenths of a percent are exact.
Weights weights_for(const std::string& target, const std::string& other, double percent) {
  bool whole = percent == std::floor(percent);
  int of_target = static_cast<int>(whole ? percent : std::round(percent * 10));
  int total = whole ? 100 : 1000;
  Weights weights{{other, total - of_target}, {target, of_target}};
  std::ranges::sort(weights, {}, &model::WeightedTargetGroup::target_group);
  return weights;
}

// Of a pair.
const std::string& other_group(const model::ServiceLoadBalancer& balancer, const std::string& mine) {
  return mine == balancer.target_group ? balancer.alternate_target_group : balancer.target_group;
}

bool same(Weights left, const Weights& right) {
  std::ranges::sort(left, {}, &model::WeightedTargetGroup::target_group);
  return std::ranges::equal(left, right, [](const auto& a, const auto& b) {
    return a.target_group == b.target_group && a.weight == b.weight;
  });
}

}  // namespace

// A rule that this deployment is to move traffic with and that somebody has deleted; empty when all are there.
std::string Planner::deleted_rule() const {
  for (const auto& balancer : deployment_->target.load_balancers)
    for (bool test : {false, true})
      for (const auto& rule : balancer.rules(test))
        if (!in_.weights.contains(rule)) return rule;
  return "";
}

// What is missing for `percent` of the traffic of the production (or test) rules to go to the deployment's target. A rule that is
// gone has no traffic.
std::vector<SetWeights> Planner::weight_changes(bool test, double percent) const {
  std::vector<SetWeights> changes;
  const auto& target = deployment_->target;
  for (std::size_t i = 0; i < target.load_balancers.size() && i < target.target_groups.size(); ++i) {
    const auto& balancer = target.load_balancers[i];
    const auto& mine = target.target_groups[i];
    const auto& other = other_group(balancer, mine);
    auto wanted = weights_for(mine, other, percent);
    for (const auto& rule : balancer.rules(test)) {
      auto now = in_.weights.find(rule);
      if (now != in_.weights.end() && !same(now->second, wanted)) changes.push_back(SetWeights{rule, wanted});
    }
  }
  return changes;
}

// Makes it so. True when the balancer has it already.
bool Planner::direct_traffic(bool test, double percent) {
  auto changes = weight_changes(test, percent);
  plan_.actions.insert(plan_.actions.end(), changes.begin(), changes.end());
  return in_.settled && changes.empty();
}

// Does the other group of a pair get requests?
bool Planner::traffic_astray() const {
  const auto& target = deployment_->target;
  for (std::size_t i = 0; i < target.load_balancers.size() && i < target.target_groups.size(); ++i) {
    const auto& other = other_group(target.load_balancers[i], target.target_groups[i]);
    for (const auto& rule : target.load_balancers[i].rules(false))
      if (auto now = in_.weights.find(rule); now != in_.weights.end())
        for (const auto& share : now->second)
          if (share.weight > 0 && share.target_group == other) return true;
  }
  return false;
}

// A shift that something newer ended half-way left traffic with both groups of a pair. Before a rolling deployment stops tasks, all of it goes to
// the group that it goes on in, as soon as somebody serves there. True when nobody's requests go elsewhere.
bool Planner::gather_traffic() {
  auto here = [&](const Member& member) {
    const auto* revision = find_revision(in_, member.task->service_revision);
    return revision && revision->target_groups == deployment_->target.target_groups;
  };
  bool served = std::ranges::any_of(members_, [&](const Member& member) { return member.healthy() && here(member); });
  bool elsewhere = std::ranges::any_of(members_, [&](const Member& member) { return member.alive() && !here(member); });
  if (!traffic_astray()) return in_.settled || !elsewhere;
  if (served) direct_traffic(false, 100);
  return false;
}

void Planner::advance(Stage stage) {
  deployment_->stage = stage;
  deployment_->stage_since = in_.now;
  ++deployment_->stage_number;
  deployment_->entered.try_emplace(std::string(name_of(stage)), in_.now);
  deployment_changed_ = true;
}

// Has the revision no working task, and not because the service was scaled to 0 and back: then none has failed, and the one before
// has none either.
bool Planner::has_lost_all(const std::string& revision) {
  bool works = false, left = false;
  for (const auto& member : members_) {
    if (member.task->service_revision != revision) continue;
    bool unhealthy = member.judgement.fitness == Fitness::Unhealthy;
    works |= member.alive() && member.was_healthy() && !unhealthy;
    left |= unhealthy || !member.alive();
  }
  if (works) return false;
  if (deployment_->failed_tasks > 0) return true;
  return left && deployment_->source && healthy_in(alive_of(deployment_->source->id)) > 0;
}

void Planner::shift_deployment() {
  const auto stage = deployment_->stage;
  if (auto rule = deleted_rule(); !rule.empty() && stage < Stage::CleanUp)
    return fail_deployment(fmt::format("deployment failed: the listener rule {} does not exist any more. Name another for the service.", rule));
  const auto& target = deployment_->target.id;
  if (deployment_->source && stage < Stage::CleanUp)
    size_group(deployment_->source->id, service_.desired_count, kNoLimit, true);
  if (stage >= Stage::ScaleUp) size_group(target, service_.desired_count, kNoLimit, true);

  // Once it has traffic, a new revision that has lost its last working task is taken back at once.
  if (stage > Stage::ScaleUp && stage < Stage::CleanUp && service_.desired_count > 0 && has_lost_all(target))
    return fail_deployment("deployment failed: no task of the new revision is healthy. " + deployment_->reason);

  switch (stage) {
    case Stage::ReconcileService: return reconcile_stage();
    case Stage::PreScaleUp:
      if (hooks_done()) advance(Stage::ScaleUp);
      return;
    case Stage::ScaleUp: return scale_up_stage();
    case Stage::PostScaleUp:
      if (hooks_done()) advance(Stage::TestTrafficShift);
      return;
    case Stage::TestTrafficShift:
      if (direct_traffic(true, 100) && hooks_done()) advance(Stage::PostTestTrafficShift);
      return;
    case Stage::PostTestTrafficShift:
      if (hooks_done()) advance(Stage::PreProductionTrafficShift);
      return;
    case Stage::PreProductionTrafficShift:
      if (hooks_done()) begin_shift_step();
      return;
    case Stage::ProductionTrafficShift: return production_shift_stage();
    case Stage::PostProductionTrafficShift:
      if (hooks_done()) advance(Stage::BakeTime);
      return;
    case Stage::BakeTime: return bake_stage();
    case Stage::CleanUp:
      if (!keeps_source()) stop_all(alive_not_of(target), "Scaling activity initiated by deployment");
      return complete();
  }
}

// Stopped as it stands: whoever has traffic keeps its tasks until the next deployment.
void Planner::hold_shift() {
  bool target_serves = deployment_->production_weight > 0;
  size_group(deployment_->source->id, service_.desired_count, kNoLimit, true);
  size_group(deployment_->target.id, service_.desired_count, target_serves ? kNoLimit : 0, target_serves);
}

// Production traffic goes back to the source: not while somebody else serves and the source cannot.
bool Planner::return_traffic() {
  const auto& source = deployment_->source->id;
  auto others = alive_not_of(source);
  if (healthy_in(alive_of(source)) == 0 && healthy_in(others) > 0 && !weight_changes(false, 0).empty()) return false;
  return direct_traffic(false, 0) && direct_traffic(true, 0);
}

// What a superseded deployment left behind goes first: its traffic back to the source, then its tasks.
void Planner::reconcile_stage() {
  const auto& target = deployment_->target.id;
  if (deployment_->source && !return_traffic()) return;
  Members strangers;
  for (auto* member : alive_not_of(target))
    if (!deployment_->source || member->task->service_revision != deployment_->source->id) strangers.push_back(member);
  // Hooks of this stage are for the case that more than one revision runs.
  bool crowded = (!strangers.empty() && deployment_->source) || !current_runs().empty();
  if (crowded && !hooks_done()) return;
  stop_all(strangers, "Scaling activity initiated by deployment");
  if (strangers.empty() && !foreign_targets()) advance(Stage::PreScaleUp);
}

// Does anything but the target's own tasks still sit in the target groups that it is to use?
bool Planner::foreign_targets() {
  const auto& target = deployment_->target;
  return std::ranges::any_of(in_.targets, [&](const auto& entry) {
    if (std::ranges::find(target.target_groups, entry.target_group) == target.target_groups.end()) return false;
    return std::ranges::any_of(in_.tasks, [&](const auto& task) {
      return task.address == entry.address && task.service_revision != target.id;
    });
  });
}

void Planner::scale_up_stage() {
  // A target group without a rule gets no health checks: it joins with weight 0 (all of it when there is nothing before it).
  if (!direct_traffic(false, deployment_->source ? 0 : 100)) return;
  if (healthy_in(alive_of(deployment_->target.id)) >= service_.desired_count) advance(Stage::PostScaleUp);
}

double Planner::next_weight() const {
  const auto& configuration = deployment_->configuration;
  double now = deployment_->production_weight;
  if (!deployment_->source) return 100;
  if (configuration.strategy == Strategy::Canary) return now == 0 ? configuration.canary_percent : 100;
  if (configuration.strategy == Strategy::Linear) return std::min(100.0, now + std::max(configuration.linear_step_percent, 1.0));
  return 100;
}

Seconds Planner::weight_wait() const {
  const auto& configuration = deployment_->configuration;
  if (deployment_->production_weight == 0) return Seconds(0);
  return configuration.strategy == Strategy::Canary ? configuration.canary_bake_time : configuration.linear_step_bake_time;
}

// One step of the shift: PreProductionTrafficShift -> ProductionTrafficShift, and back to the former until all has moved.
void Planner::begin_shift_step() {
  advance(Stage::ProductionTrafficShift);
  deployment_->production_weight = next_weight();
  deployment_->weight_since = in_.now;
  direct_traffic(false, deployment_->production_weight);
}

void Planner::production_shift_stage() {
  if (!direct_traffic(false, deployment_->production_weight) || !hooks_done()) return;
  if (deployment_->production_weight >= 100) return advance(Stage::PostProductionTrafficShift);
  auto next_at = deployment_->weight_since + scaled(weight_wait());
  if (in_.now < next_at) return wake_at(next_at);
  advance(Stage::PreProductionTrafficShift);
}

void Planner::bake_stage() {
  auto end = deployment_->stage_since + scaled(deployment_->configuration.bake_time);
  bool skipped = deployment_->code_deploy && deployment_->code_deploy->skip_termination_wait;
  if (in_.now < end && !skipped) return wake_at(end);
  // From here on the new revision is the one to return to.
  service_.completed = deployment_->target;
  service_changed_ = true;
  advance(Stage::CleanUp);
}

void Planner::shift_rollback() {
  const auto& source = deployment_->source->id;
  size_group(source, service_.desired_count, kNoLimit, true);
  if (!return_traffic()) return check_rollback();
  if (deployment_->production_weight != 0) {
    deployment_->production_weight = 0;
    deployment_->weight_since = in_.now;
    deployment_changed_ = true;
  }
  bool called = return_hooks_done();
  stop_all(alive_not_of(source), "Scaling activity initiated by deployment");
  auto members = alive_of(source);
  if (called && healthy_in(members) >= service_.desired_count) return complete_rollback();
  check_rollback();
}

}  // namespace watari::plan
