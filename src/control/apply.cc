// Writes a service's plan into the state. Runs inside the evaluation's transaction; telling engine and balancer comes after.
#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "control/evaluation.h"
#include "control/services.h"
#include "control/tasks.h"

namespace watari::control {
namespace {

constexpr Seconds kPlacementRetry{5};

// "ecs-svc/1234567890123456789" -> "d-BCDEFGHIJ"
std::string code_deploy_id(const std::string& id) {
  std::string out = "d-";
  for (char digit : id.substr(id.size() - 9)) out += static_cast<char>(digit - '0' + 'A');
  return out;
}

// One pass over the actions of one service. Events of the same kind are gathered into one sentence, as on AWS.
class Application {
 public:
  Application(Control& control, const plan::ServiceSnapshot& snapshot)
      : control_(control), state_(control.state()), snapshot_(snapshot), service_(snapshot.service) {}

  // The time at which something that could not be done should be tried again.
  std::optional<Time> run(const plan::Plan& plan) {
    // New values first: the other actions add to them.
    for (const auto& action : plan.actions) {
      if (auto* put = std::get_if<plan::PutService>(&action)) service_ = put->service;
      if (auto* put = std::get_if<plan::PutDeployment>(&action)) put_deployment(put->deployment);
    }
    for (const auto& action : plan.actions) std::visit([this](const auto& value) { write(value); }, action);
    tell("has started {} tasks: {}.", started_);
    tell("has stopped {} running tasks: {}.", stopped_);
    for (const auto& [group, count] : registered_)
      event(fmt::format("registered {} targets in (target-group {})", count, group));
    for (const auto& [group, count] : deregistered_)
      event(fmt::format("deregistered {} targets in (target-group {})", count, group));
    for (auto& text : later_) add_event(service_, control_.now(), std::move(text));
    state_.services.put(service_key(service_), service_);
    return retry_;
  }

 private:
  void put_deployment(model::Deployment deployment) {
    if (deployment.rollback_started_at && deployment.rollback_id.empty()) {
      deployment.rollback_id = new_deployment_id();
      if (deployment.code_deploy && deployment.code_deploy->rollback_id.empty()) deployment.code_deploy->rollback_id = code_deploy_id(deployment.rollback_id);
    }
    state_.deployments.put(deployment_key(deployment), deployment);
  }

  void write(const plan::PutService&) {}
  void write(const plan::PutDeployment&) {}

  void write(const plan::StartTask& action) {
    auto* revision = find_revision(action.revision);
    if (!revision || retry_) return;
    auto* definition = state_.task_definitions.find(task_definition_key(service_.scope, revision->family, revision->revision));
    if (!definition) return event(fmt::format("was unable to place a task: the task definition {}:{} was deleted.",
                                              revision->family, revision->revision));
    TaskOrder order{.scope = service_.scope, .cluster = service_.cluster, .definition = definition};
    order.network = revision->network;
    order.launch_type = revision->launch_type;
    order.service = service_.name;
    order.deployment = action.deployment;
    order.service_revision = revision->id;
    order.started_by = action.deployment;
    order.pinned_images = revision->pinned_images;
    if (service_.propagate_tags == "SERVICE") order.tags = service_.tags;
    if (service_.propagate_tags == "TASK_DEFINITION") order.tags = definition->tags;
    if (service_.managed_tags) {
      order.tags.push_back({"aws:ecs:clusterName", service_.cluster});
      order.tags.push_back({"aws:ecs:serviceName", service_.name});
    }
    if (service_.enable_execute_command) order.tags.push_back({"aws:ecs:enableExecuteCommand", "true"});  // as aws/terminals.h
    auto task = make_task(control_, order);
    if (!task) {
      retry_ = control_.now() + kPlacementRetry;
      return event(fmt::format("was unable to place a task. Reason: {}", task.error().message));
    }
    pin(revision->id, task->pinned_images);
    started_.push_back("(task " + task->id + ")");
    log::info("service {}: started task {} of {}:{} ({})", service_.name, task->id, task->family, task->revision, action.reason);
  }

  // The first task of a revision decides which images all of its tasks run.
  void pin(const std::string& revision, const std::map<std::string, std::string>& images) {
    auto set = [&](model::ServiceRevision& candidate) {
      bool changes = candidate.id == revision && candidate.pinned_images != images;
      if (changes) candidate.pinned_images = images;
      return changes;
    };
    set(service_.target);
    if (service_.completed) set(*service_.completed);
    for (auto& one : service_.task_sets) set(one.revision);
    for (const auto& known : snapshot_.deployments) {
      auto deployment = *state_.deployments.get(deployment_key(known));
      bool changed = set(deployment.target);
      if (deployment.source) changed |= set(*deployment.source);
      if (changed) state_.deployments.put(deployment_key(deployment), deployment);
    }
  }

  const model::ServiceRevision* find_revision(const std::string& id) {
    if (service_.target.id == id) return &service_.target;
    if (service_.completed && service_.completed->id == id) return &*service_.completed;
    for (const auto& one : service_.task_sets)
      if (one.revision.id == id) return &one.revision;
    for (const auto& deployment : snapshot_.deployments) {
      if (deployment.target.id == id) return &deployment.target;
      if (deployment.source && deployment.source->id == id) return &*deployment.source;
    }
    return nullptr;
  }

  template <class Change>
  void change_task(const std::string& id, Change&& change) {
    auto key = task_key(service_.scope, service_.cluster, id);
    auto task = state_.tasks.get(key);
    if (!task) return;
    change(*task);
    state_.tasks.put(key, std::move(*task));
  }

  void write(const plan::StopTask& action) {
    change_task(action.task, [&](model::Task& task) {
      task.desired_stopped = true;
      task.stop_code = "ServiceSchedulerInitiated";
      task.stop_reason = action.reason;
      task.accounted |= action.accounted;
    });
    stopped_.push_back("(task " + action.task + ")");
    log::info("service {}: stops task {}: {}", service_.name, action.task, action.reason);
  }

  void write(const plan::MarkHealthy& action) {
    change_task(action.task, [&](model::Task& task) { task.healthy_at = control_.now(); });
  }
  void write(const plan::MarkAccounted& action) {
    change_task(action.task, [&](model::Task& task) { task.accounted = true; });
  }

  void write(const plan::RegisterTarget& action) {
    model::Target target{action.target_group, action.address, action.port, {}, control_.now()};
    state_.targets.put(target_key(target), target);
    ++registered_[action.target_group];
  }
  void write(const plan::DeregisterTarget& action) {
    auto key = target_key(action.target_group, action.address, action.port);
    auto target = state_.targets.get(key);
    if (!target) return;
    target->draining_until = action.draining_until;
    state_.targets.put(key, *target);
    ++deregistered_[action.target_group];
  }
  void write(const plan::RemoveTarget& action) {
    auto key = target_key(action.target_group, action.address, action.port);
    auto* target = state_.targets.find(key);
    if (!target) return;
    if (!target->draining_until) ++deregistered_[action.target_group];
    state_.targets.erase(key);
  }

  void write(const plan::SetWeights& action) {
    auto rule = state_.rules.get(action.rule);
    if (!rule) return event(fmt::format("was unable to shift traffic: the listener rule {} does not exist.", action.rule));
    rule->action.type = model::ActionType::Forward;
    rule->action.forward = action.weights;
    state_.rules.put(action.rule, *rule);
    std::vector<std::string> parts;
    for (const auto& weight : action.weights) parts.push_back(fmt::format("{}={}", weight.target_group, weight.weight));
    log::info("service {}: traffic of {}: {}", service_.name, action.rule, join(parts, ", "));
  }

  void write(const plan::Event& action) { later_.push_back(action.message); }

  void event(const std::string& text) {
    auto message = fmt::format("(service {}) {}", service_.name, text);
    // The same trouble over and over is said once.
    bool trouble = text.starts_with("was unable");
    if (!trouble || service_.events.empty() || service_.events.front().message != message)
      add_event(service_, control_.now(), std::move(message));
  }
  void tell(fmt::format_string<std::size_t, std::string> text, const std::vector<std::string>& tasks) {
    if (!tasks.empty()) event(fmt::format(text, tasks.size(), join(tasks, " ")));
  }

  Control& control_;
  State& state_;
  const plan::ServiceSnapshot& snapshot_;
  model::Service service_;
  std::vector<std::string> started_, stopped_, later_;
  std::map<std::string, int> registered_, deregistered_;
  std::optional<Time> retry_;
};

}  // namespace

void Control::Evaluation::apply(const plan::ServiceSnapshot& snapshot, const plan::Plan& plan) {
  if (auto retry = Application(control, snapshot).run(plan)) wake_at(*retry);
}

}  // namespace watari::control
