#include "control/code_deploy.h"

#include <algorithm>

#include "base/id.h"

namespace watari::control {

using model::ServiceLoadBalancer;

std::string application_key(const model::Scope& scope, const std::string& application) { return scope_prefix(scope) + application; }
std::string group_prefix(const model::Scope& scope, const std::string& application) { return scope_prefix(scope) + application + "/"; }
std::string group_key(const model::Scope& scope, const std::string& application, const std::string& group) {
  return group_prefix(scope, application) + group;
}
std::string deployment_config_key(const model::Scope& scope, const std::string& config) { return scope_prefix(scope) + config; }
std::string code_revision_key(const model::Scope& scope, const std::string& application, const std::string& sha256) {
  return group_prefix(scope, application) + sha256;
}

std::string new_code_deployment_id() {
  std::string out = "d-";
  for (char c : random_hex(9)) out += static_cast<char>(c >= 'a' ? c - 'a' + 'A' : c - '0' + 'G');
  return out;
}

std::vector<model::CodeDeployConfig> deployment_configs(const State& state, const model::Scope& scope) {
  auto predefined = [&](std::string name, std::string type, int percent, int minutes) {
    return model::CodeDeployConfig{scope, "00000000-0000-0000-0000-000000000000", "CodeDeployDefault." + name, std::move(type),
                                   percent, minutes, {}};
  };
  std::vector<model::CodeDeployConfig> out = {
      predefined("ECSAllAtOnce", "AllAtOnce", 0, 0), predefined("ECSCanary10Percent15Minutes", "TimeBasedCanary", 10, 15),
      predefined("ECSCanary10Percent5Minutes", "TimeBasedCanary", 10, 5), predefined("ECSLinear10PercentEvery1Minutes", "TimeBasedLinear", 10, 1),
      predefined("ECSLinear10PercentEvery3Minutes", "TimeBasedLinear", 10, 3)};
  state.code_deploy_configs.each(scope_prefix(scope), [&](const auto&, const model::CodeDeployConfig& config) { out.push_back(config); });
  return out;
}

namespace {

std::string target_group_named(const State& state, const model::Scope& scope, const std::string& name) {
  std::string arn;
  state.target_groups.each("", [&](const std::string& key, const model::TargetGroup& group) {
    if (group.scope.key() == scope.key() && group.name == name) arn = key;
  });
  return arn;
}

// The rules that forward to the pair, the default rule among them.
Result<std::vector<std::string>> rules_to(const State& state, const std::vector<std::string>& listeners, const ServiceLoadBalancer& pair) {
  std::vector<std::string> out;
  for (const auto& listener : listeners) {
    if (!state.listeners.has(listener)) return fail(Code::FailedPrecondition, "The listener {} does not exist.", listener);
    state.rules.each("", [&](const std::string& arn, const model::Rule& rule) {
      auto leads = [&](const auto& to) { return to.target_group == pair.target_group || to.target_group == pair.alternate_target_group; };
      // A rule that shares its traffic with other groups is somebody else's; one that forwards to the pair alone is shifted.
      bool mine = !rule.action.forward.empty() && std::ranges::all_of(rule.action.forward, leads);
      if (rule.listener == listener && mine) out.push_back(arn);
    });
    bool any = std::ranges::any_of(out, [&](const auto& arn) { return state.rules.find(arn)->listener == listener; });
    if (!any) return fail(Code::FailedPrecondition, "Primary taskset target group must be behind listener {}: no rule of it forwards to the pair alone.", listener);
  }
  return out;
}

void note_revision(State& state, model::CodeDeployRevision revision, const std::string& group, Time now) {
  auto key = code_revision_key(revision.scope, revision.application, revision.sha256);
  if (auto known = state.code_deploy_revisions.get(key)) revision = *known;
  else revision.registered_at = now;
  if (!revision.first_used_at) revision.first_used_at = now;
  revision.last_used_at = now;
  if (!std::ranges::count(revision.groups, group)) revision.groups.push_back(group);
  state.code_deploy_revisions.put(key, std::move(revision));
}

}  // namespace

Result<std::vector<ServiceLoadBalancer>> balancers_of(const State& state, const model::CodeDeployGroup& group,
                                                      const model::ServiceRevision& current, const std::string& container,
                                                      int container_port) {
  std::vector<ServiceLoadBalancer> out;
  for (const auto& pair : group.pairs) {
    ServiceLoadBalancer balancer;
    for (auto [name, arn] : {std::pair{pair.target_groups[0], &balancer.target_group}, {pair.target_groups[1], &balancer.alternate_target_group}}) {
      *arn = target_group_named(state, group.scope, name);
      if (arn->empty()) return fail(Code::FailedPrecondition, "The target group {} does not exist.", name);
    }
    auto of_pair = [&](const std::string& arn) { return arn == balancer.target_group || arn == balancer.alternate_target_group; };
    auto before = std::ranges::find_if(current.load_balancers, [&](const auto& one) { return of_pair(one.target_group); });
    bool given = !container.empty() && group.pairs.size() == 1;
    if (!given && before == current.load_balancers.end())
      return fail(Code::FailedPrecondition, "The service {} is not registered with the target groups {} and {}.", group.service,
                  pair.target_groups[0], pair.target_groups[1]);
    balancer.container = given ? container : before->container;
    balancer.container_port = given ? container_port : before->container_port;
    TRY(balancer.production_rules, rules_to(state, pair.production_listeners, balancer));
    TRY(balancer.test_rules, rules_to(state, pair.test_listeners, balancer));
    out.push_back(std::move(balancer));
  }
  return out;
}

std::optional<model::CodeDeployGroup> group_of(const State& state, const model::Service& service) {
  std::optional<model::CodeDeployGroup> found;
  state.code_deploy_groups.each(scope_prefix(service.scope), [&](const auto&, const model::CodeDeployGroup& group) {
    if (!found && group.cluster == service.cluster && group.service == service.name) found = group;
  });
  return found;
}

model::DeploymentConfiguration configuration_for(const model::Service& service, const model::CodeDeployConfig& config,
                                                 const model::CodeDeployGroup& group) {
  auto out = service.configuration;
  out.strategy = config.type == "TimeBasedCanary"   ? model::Strategy::Canary
                 : config.type == "TimeBasedLinear" ? model::Strategy::Linear
                                                    : model::Strategy::BlueGreen;
  out.canary_percent = out.linear_step_percent = config.percent ? config.percent : 100;
  out.canary_bake_time = out.linear_step_bake_time = Seconds(60) * config.minutes;
  out.bake_time = group.keep_blue ? Seconds(0) : Seconds(60) * group.termination_wait;
  out.alarms = group.alarms;
  return out;
}

Result<model::Deployment> create_code_deployment(Control& control, const std::string& service_key, model::ServiceRevision next,
                                                 model::DeploymentConfiguration configuration, model::CodeDeployment code,
                                                 model::CodeDeployRevision revision) {
  return control.commit([&]() -> Result<model::Deployment> {
    note_revision(control.state(), std::move(revision), code.group, control.now());
    return enqueue_deployment(control, service_key, std::move(next), std::move(configuration), std::move(code));
  });
}

Result<void> stop_code_deployment(Control& control, const std::string& key, bool rollback) {
  auto& state = control.state();
  return control.commit([&]() -> Result<void> {
    auto deployment = state.deployments.get(key);
    if (!deployment || (deployment->status != model::DeploymentStatus::Pending && deployment->status != model::DeploymentStatus::InProgress))
      return fail(Error{Code::Conflict, "The deployment is over or on its way back.", "DeploymentAlreadyCompletedException"});
    auto* service = state.services.find(service_key(deployment->scope, deployment->cluster, deployment->service));
    bool queued = service && service->target.id != deployment->target.id;  // it has done nothing yet
    deployment->status = queued               ? model::DeploymentStatus::Stopped
                         : deployment->source ? model::DeploymentStatus::RollbackRequested
                                              : model::DeploymentStatus::StopRequested;
    if (queued) deployment->finished_at = control.now();
    deployment->reason = "The deployment was stopped by request.";
    deployment->stop_requested = true;
    if (deployment->code_deploy) deployment->code_deploy->rollback_on_stop = rollback;
    deployment->updated_at = control.now();
    state.deployments.put(key, *deployment);
    return {};
  });
}

Result<void> end_termination_wait(Control& control, const std::string& key) {
  auto& state = control.state();
  return control.commit([&]() -> Result<void> {
    auto deployment = state.deployments.get(key);
    bool waits = deployment && deployment->code_deploy && deployment->status == model::DeploymentStatus::InProgress &&
                 deployment->stage == model::Stage::BakeTime;
    if (!waits) return fail(Code::FailedPrecondition, "The deployment is not waiting to terminate its original task set.");
    deployment->code_deploy->skip_termination_wait = true;
    state.deployments.put(key, *deployment);
    return {};
  });
}

}  // namespace watari::control
