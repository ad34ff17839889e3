#include "control/services.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "base/id.h"
#include "base/strings.h"
#include "control/code_deploy.h"
#include "plan/reconcile.h"

namespace watari::control {

using model::DeploymentStatus;

namespace {

constexpr std::size_t kMaxEvents = 100;

std::string digits(std::size_t count) {
  // 19 decimal digits that begin with 1..9, as ECS's ids do.
  std::string out;
  for (char c : random_hex(count * 2)) {
    int value = c <= '9' ? c - '0' : 10 + c - 'a';
    if (value < 10 && (value > 0 || !out.empty())) out.push_back(c);
    if (out.size() == count) return out;
  }
  out.append(count - out.size(), '7');
  return out;
}

std::string tag_of(const model::Service& service, std::string_view name) {
  auto tag = std::ranges::find(service.tags, name, &model::Tag::key);
  return tag == service.tags.end() ? "" : tag->value;
}

// "90", "90s", "15m", "2h".
std::optional<Seconds> duration(std::string text) {
  if (text.empty()) return std::nullopt;
  int unit = text.back() == 'h' ? 3600 : text.back() == 'm' ? 60 : 1;
  if (text.back() == 'h' || text.back() == 'm' || text.back() == 's') text.pop_back();
  auto value = parse_number<int>(text);
  if (!value || *value < 0 || *value > 1'000'000) return std::nullopt;
  return Seconds(*value) * unit;
}

// Which target group of each pair the revision uses: the one that the revision before it does not.
std::vector<std::string> choose_target_groups(const model::ServiceRevision& target,
                                              const std::optional<model::ServiceRevision>& source,
                                              const model::DeploymentConfiguration& configuration) {
  std::vector<std::string> groups;
  for (const auto& balancer : target.load_balancers) {
    bool taken = source && std::ranges::find(source->target_groups, balancer.target_group) != source->target_groups.end();
    bool swap = configuration.strategy != model::Strategy::Rolling && !balancer.alternate_target_group.empty() && taken;
    // A rolling deployment goes on in the group that has the traffic now, also after blue/green swapped them.
    if (configuration.strategy == model::Strategy::Rolling && source && !balancer.alternate_target_group.empty())
      swap = std::ranges::find(source->target_groups, balancer.alternate_target_group) != source->target_groups.end();
    groups.push_back(swap ? balancer.alternate_target_group : balancer.target_group);
  }
  return groups;
}

bool forwards_to(const State& state, const model::ServiceLoadBalancer& pair, const std::string& group) {
  return std::ranges::any_of(pair.rules(false), [&](const auto& arn) {
    const auto* rule = state.rules.find(arn);
    return rule && std::ranges::any_of(rule->action.forward, [&](const auto& share) { return share.target_group == group && share.weight > 0; });
  });
}

// Blue/green may have left traffic with the other group of a pair. A rolling deployment that names one group alone would lose those requests, so
// it goes on as a pair.
void keep_pairs(const State& state, const model::ServiceRevision& now, model::ServiceRevision& next) {
  for (auto& balancer : next.load_balancers) {
    if (!balancer.alternate_target_group.empty()) continue;
    for (const auto& before : now.load_balancers) {
      bool first = before.target_group == balancer.target_group, second = before.alternate_target_group == balancer.target_group;
      const auto& other = first ? before.alternate_target_group : before.target_group;
      if ((!first && !second) || !forwards_to(state, before, other)) continue;
      balancer.alternate_target_group = other;
      balancer.production_listener_rule = before.production_listener_rule;
      balancer.test_listener_rule = before.test_listener_rule;
      balancer.role = before.role;
    }
  }
}

model::Deployment new_deployment(const State& state, const model::Service& service, Time now) {
  model::Deployment deployment;
  // Their times put deployments in order, so no two have the same.
  auto before = deployments_of(state, service);
  if (!before.empty()) now = std::max(now, before.back().created_at + Millis(1));
  deployment.scope = service.scope;
  deployment.id = new_deployment_id();
  deployment.cluster = service.cluster;
  deployment.service = service.name;
  deployment.target = service.target;
  deployment.source = service.completed;
  deployment.configuration = deployment_configuration(service);
  deployment.failure_threshold = plan::failure_threshold(service.configuration, service.desired_count);
  deployment.timeout = deployment_timeout(service);
  deployment.verdict.enabled = tag_of(service, "watari:verdict") != "off";
  deployment.created_at = deployment.updated_at = deployment.stage_since = now;
  return deployment;
}

int count_running(const State& state, const model::Service& service, const std::string& revision, bool healthy) {
  int running = 0;
  state.tasks.each(service_key(service.scope, service.cluster, ""), [&](const std::string&, const model::Task& task) {
    running += task.service == service.name && task.service_revision == revision && !task.desired_stopped &&
               task.status.state == model::TaskState::Running && (!healthy || task.healthy_at);
  });
  return running;
}

// All wanted tasks of a revision run. Not yet `healthy` is enough for the SDKs' services_stable waiter, which takes it for done.
bool runs_whole(const State& state, const model::Service& service, const std::string& revision, bool healthy) {
  return service.desired_count > 0 && count_running(state, service, revision, healthy) >= service.desired_count;
}

// Where neither a load balancer nor a container's health check looks at its tasks, that they run is all that can be known.
bool is_checked(const State& state, const model::Service& service, const model::ServiceRevision& revision) {
  if (!revision.load_balancers.empty()) return true;
  const auto* definition = state.task_definitions.find(task_definition_key(service.scope, revision.family, revision.revision));
  return definition && std::ranges::any_of(definition->containers, [](const auto& container) { return container.essential && container.health_check; });
}

// A way back that was not walked to its end, because the revision before does not run any more, has left all traffic where it was:
// that is what the next deployment starts from. Else it would wait for the broken one for ever.
void start_from_what_serves(const State& state, model::Service& service) {
  auto history = deployments_of(state, service);
  auto last = std::ranges::find_if(history.rbegin(), history.rend(), [](const auto& one) { return !in_progress(one.status); });
  if (last == history.rend() || !last->source || !last->rollback_started_at || last->production_weight < 100) return;
  bool over = last->status == DeploymentStatus::RollbackFailed || last->status == DeploymentStatus::Stopped;
  if (over && count_running(state, service, last->source->id, true) == 0 && count_running(state, service, last->target.id, true) > 0)
    service.completed = last->target;
}

// Ends what is under way because something newer takes its place. A revision that had taken over all traffic, or runs whole
// as the first of its service, is what the newer one starts from; that one was a success when it had become healthy.
void supersede(State& state, model::Service& service, Time now, const std::string& reason = "Superseded by a newer deployment.") {
  for (auto& deployment : deployments_of(state, service)) {
    if (!in_progress(deployment.status)) continue;
    bool shifts = deployment.configuration.strategy != model::Strategy::Rolling;
    bool shifted = deployment.status == DeploymentStatus::InProgress &&
                   (deployment.source ? shifts && deployment.stage >= model::Stage::CleanUp
                                      : runs_whole(state, service, deployment.target.id, is_checked(state, service, deployment.target)));
    // Only a hook or an alarm was waited for, and the revision before is gone; or there was none before.
    bool rolled = deployment.status == DeploymentStatus::InProgress &&
                  (!deployment.source || (!shifts && deployment.stage >= model::Stage::PostScaleUp)) &&
                  runs_whole(state, service, deployment.target.id, false);
    deployment.status = shifted ? DeploymentStatus::Successful : DeploymentStatus::Stopped;
    if (shifted || rolled) service.completed = deployment.target;
    if (!shifted) {
      deployment.reason = reason;
      deployment.stop_requested = true;
    }
    deployment.finished_at = deployment.updated_at = now;
    for (auto& run : deployment.hook_runs) {
      if (run.finished_at) continue;
      run.status = model::HookStatus::Failed;
      run.reason = "The deployment was superseded before.";
      run.finished_at = now;
    }
    state.deployments.put(deployment_key(deployment), deployment);
  }
  start_from_what_serves(state, service);
  // A first deployment that was stopped with healthy tasks serves until something better does.
  auto history = deployments_of(state, service);
  if (!service.completed && !history.empty() && count_running(state, service, history.back().target.id, true) > 0)
    service.completed = history.back().target;
}

// A rule's weights are one service's: two that shift traffic with the same rule would undo each other's steps without end.
Result<void> check_rules(const State& state, const model::Service& service) {
  if (service.configuration.strategy == model::Strategy::Rolling) return {};
  std::set<std::string> mine;
  for (const auto& balancer : service.target.load_balancers) for (const auto& rule : balancer.rules(false)) mine.insert(rule);
  std::string taken, owner;
  state.services.each(scope_prefix(service.scope), [&](const std::string& key, const model::Service& other) {
    bool shifts = other.status == "ACTIVE" && other.configuration.strategy != model::Strategy::Rolling;
    if (!shifts || key == service_key(service)) return;
    for (const auto& balancer : other.target.load_balancers)
      for (const auto& rule : balancer.rules(false))
        if (mine.contains(rule)) std::tie(taken, owner) = std::pair(rule, other.name);
  });
  if (taken.empty()) return {};
  return fail(Error{Code::InvalidArgument, fmt::format("The service {} shifts its traffic with the listener rule {} already; give each service a rule of its own.", owner, taken),
                    "InvalidParameterException"});
}

Result<model::Service> active_service(const State& state, const std::string& key) {
  auto service = state.services.get(key);
  if (!service) return fail(Error{Code::NotFound, "Service not found.", "ServiceNotFoundException"});
  if (service->status != "ACTIVE") return fail(Error{Code::FailedPrecondition, "Service was not ACTIVE.", "ServiceNotActiveException"});
  return *service;
}

}  // namespace

model::DeploymentConfiguration deployment_configuration(const model::Service& service) {
  auto out = service.configuration;
  if (auto bake = duration(tag_of(service, "watari:bakeTime"))) out.bake_time = *bake;
  return out;
}

Seconds deployment_timeout(const model::Service& service) {
  auto tagged = duration(tag_of(service, "watari:timeout")).value_or(Seconds(0));
  return tagged > Seconds(0) ? tagged : Seconds(1800);
}

std::string new_deployment_id() { return "ecs-svc/" + digits(19); }
std::string new_revision_id() { return digits(19); }

void add_event(model::Service& service, Time now, std::string message) {
  auto id = random_hex(32);
  for (std::size_t at : {20, 16, 12, 8}) id.insert(at, "-");
  service.events.insert(service.events.begin(), model::ServiceEvent{id, now, std::move(message)});
  if (service.events.size() > kMaxEvents) service.events.resize(kMaxEvents);
}

double time_scale_of(Control& control, const model::Service& service) {
  auto tagged = [](const std::vector<model::Tag>& tags) {
    auto tag = std::ranges::find(tags, "watari:timeScale", &model::Tag::key);
    return tag == tags.end() ? 1 : std::max(1.0, parse_number<double>(tag->value).value_or(1));
  };
  auto scale = control.options().time_scale * tagged(service.tags);
  if (service.controller == "CODE_DEPLOY")
    if (auto group = group_of(control.state(), service)) scale *= tagged(group->tags);
  return scale;
}

bool in_progress(DeploymentStatus status) {
  switch (status) {
    case DeploymentStatus::Pending:
    case DeploymentStatus::InProgress:
    case DeploymentStatus::StopRequested:
    case DeploymentStatus::RollbackRequested:
    case DeploymentStatus::RollbackInProgress: return true;
    default: return false;
  }
}

std::vector<model::Deployment> deployments_of(const State& state, const model::Service& service) {
  std::vector<model::Deployment> out;
  state.deployments.each(deployment_prefix(service), [&](const std::string&, const model::Deployment& deployment) {
    // A service that was deleted and made again does not inherit.
    if (deployment.created_at >= service.created_at) out.push_back(deployment);
  });
  return out;
}

// A deployment that has waited behind others gets its place: where it comes from and which target groups it uses are known now.
void begin_queued(State& state, const std::string& key) {
  const auto& known = *state.services.find(key);
  const model::Deployment* first = nullptr;  // of those under way
  state.deployments.each(deployment_prefix(known), [&](const std::string&, const model::Deployment& deployment) {
    if (!first && deployment.created_at >= known.created_at && in_progress(deployment.status)) first = &deployment;
  });
  if (!first || first->status != DeploymentStatus::Pending || first->target.id == known.target.id || known.status != "ACTIVE") return;
  auto service = known;
  auto deployment = *first;
  start_from_what_serves(state, service);
  deployment.source = service.completed;
  deployment.target.target_groups = choose_target_groups(deployment.target, service.completed, deployment.configuration);
  service.target = deployment.target;
  state.deployments.put(deployment_key(deployment), deployment);
  state.services.put(key, service);
}

Result<model::Service> create_service(Control& control, model::Service service) {
  auto& state = control.state();
  return control.commit([&]() -> Result<model::Service> {
    auto key = service_key(service);
    if (auto* old = state.services.find(key); old && old->status != "INACTIVE") {
      if (old->status == "DRAINING")
        return fail(Error{Code::Conflict, "Unable to Start a service that is still Draining.", "InvalidParameterException"});
      if (!service.client_token.empty() && old->client_token == service.client_token) return *old;
      return fail(Error{Code::AlreadyExists, "Creation of service was not idempotent.", "InvalidParameterException"});
    }
    TRY_VOID(check_rules(state, service));
    service.created_at = control.now();
    if (service.controller == "EXTERNAL") {  // what it runs comes with its task sets
      state.services.put(key, service);
      return service;
    }
    service.target.id = new_revision_id();
    service.target.created_at = control.now();
    service.target.target_groups = choose_target_groups(service.target, {}, service.configuration);
    service.completed.reset();
    auto deployment = new_deployment(state, service, control.now());
    state.deployments.put(deployment_key(deployment), deployment);
    state.services.put(key, service);
    return service;
  });
}

Result<model::Service> update_service(Control& control, const std::string& key, const ServiceUpdate& update) {
  auto& state = control.state();
  return control.commit([&]() -> Result<model::Service> {
    TRY(auto service, active_service(state, key));
    if (update.desired_count) service.desired_count = *update.desired_count;
    if (update.configuration) service.configuration = *update.configuration;
    if (update.health_check_grace_period) service.health_check_grace_period = *update.health_check_grace_period;
    if (update.enable_execute_command) service.enable_execute_command = *update.enable_execute_command;
    if (update.propagate_tags) service.propagate_tags = *update.propagate_tags;
    if (update.managed_tags) service.managed_tags = *update.managed_tags;
    if (update.platform_version) service.platform_version = *update.platform_version;

    auto next = service.target;
    if (update.task_definition) std::tie(next.family, next.revision) = *update.task_definition;
    if (update.network) next.network = *update.network;
    if (update.load_balancers) next.load_balancers = *update.load_balancers;
    if (update.names) std::tie(next.names_namespace, next.names) = *update.names;
    if (update.load_balancers || update.configuration) {
      auto wanted = service;
      wanted.target = next;
      TRY_VOID(check_rules(state, wanted));
    }
    bool another = next.family != service.target.family || next.revision != service.target.revision;
    if (update.force || another || update.network || update.load_balancers || update.names) {
      supersede(state, service, control.now());
      if (service.completed) keep_pairs(state, *service.completed, next);
      next.id = new_revision_id();
      next.created_at = control.now();
      next.pinned_images.clear();
      next.target_groups = choose_target_groups(next, service.completed, service.configuration);
      service.target = next;
      auto deployment = new_deployment(state, service, control.now());
      state.deployments.put(deployment_key(deployment), deployment);
    }
    state.services.put(key, service);
    return service;
  });
}

Result<model::Deployment> enqueue_deployment(Control& control, const std::string& key, model::ServiceRevision next,
                                             model::DeploymentConfiguration configuration, model::CodeDeployment code) {
  auto& state = control.state();
  TRY(auto service, active_service(state, key));
  // It waits behind CodeDeploy's own. What the making of the service began, and may never become healthy, gives way to a release.
  bool busy = std::ranges::any_of(deployments_of(state, service), [](const auto& one) { return in_progress(one.status) && one.code_deploy; });
  if (!busy) supersede(state, service, control.now());
  next.id = new_revision_id();
  next.created_at = control.now();
  next.pinned_images.clear();
  next.target_groups = choose_target_groups(next, service.completed, configuration);
  service.target = std::move(next);
  service.configuration = std::move(configuration);  // of this deployment alone: written to it, not to the service
  auto deployment = new_deployment(state, service, control.now());
  deployment.code_deploy = std::move(code);
  state.deployments.put(deployment_key(deployment), deployment);
  if (busy) return deployment;
  auto stored = *state.services.get(key);
  stored.target = deployment.target;
  stored.completed = service.completed;
  state.services.put(key, std::move(stored));
  return deployment;
}

Result<model::Service> delete_service(Control& control, const std::string& key, bool force) {
  auto& state = control.state();
  return control.commit([&]() -> Result<model::Service> {
    TRY(auto service, active_service(state, key));
    if (service.desired_count > 0 && !force)
      return fail(Error{Code::FailedPrecondition, "The service cannot be stopped while it is scaled above 0.",
                        "InvalidParameterException"});
    supersede(state, service, control.now(), "The service was deleted.");
    service.status = "DRAINING";
    service.desired_count = 0;
    state.services.put(key, service);
    return service;
  });
}

Result<model::Deployment> stop_deployment(Control& control, const std::string& key, bool rollback) {
  auto& state = control.state();
  return control.commit([&]() -> Result<model::Deployment> {
    auto deployment = state.deployments.get(key);
    if (!deployment) return fail(Error{Code::NotFound, "Service deployment not found.", "ServiceDeploymentNotFoundException"});
    if (deployment->status != DeploymentStatus::Pending && deployment->status != DeploymentStatus::InProgress)
      return fail(Error{Code::Conflict, fmt::format("The service deployment is {}; only one in progress can be stopped.",
                                                    name_of(deployment->status)), "ConflictException"});
    auto before = deployment->status;
    deployment->status = rollback ? DeploymentStatus::RollbackRequested : DeploymentStatus::StopRequested;
    deployment->reason = rollback ? "Rollback was requested by StopServiceDeployment." : "Stopped by StopServiceDeployment.";
    deployment->stop_requested = true;
    if (deployment->code_deploy) deployment->code_deploy->rollback_on_stop = rollback;
    deployment->updated_at = control.now();
    auto* service = state.services.find(service_key(deployment->scope, deployment->cluster, deployment->service));
    if (before == DeploymentStatus::Pending && service && service->target.id != deployment->target.id) {
      deployment->status = DeploymentStatus::Stopped;  // it waits behind another one, and has done nothing yet
      deployment->finished_at = control.now();
    }
    state.deployments.put(key, *deployment);
    return *deployment;
  });
}

}  // namespace watari::control
