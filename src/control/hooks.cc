#include "control/hooks.h"

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "control/evaluation.h"
#include "control/services.h"
#include "control/tasks.h"

namespace watari::control {

using model::HookStatus;

namespace {

constexpr int kMaxAttempts = 10;  // about three minutes
constexpr Seconds kLongestPause{30};

bool is_url(const std::string& text) { return text.starts_with("http://") || text.starts_with("https://"); }

bool good_name(const std::string& name) {
  return !name.empty() && name.size() <= 64 &&
         std::ranges::all_of(name, [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_'; });
}

// "family", "family:3", "arn:aws:ecs:…:task-definition/family:3".
Result<HookPlace> task_place(const std::string& text) {
  HookPlace out;
  out.family = text.substr(text.starts_with("arn:") ? text.rfind('/') + 1 : 0);
  if (auto colon = out.family.find(':'); colon != std::string::npos) {
    auto revision = parse_number<int>(out.family.substr(colon + 1));
    if (!revision || *revision < 1) return fail(Code::InvalidArgument, "{} is no task definition: write FAMILY or FAMILY:REVISION", text);
    out.revision = *revision;
    out.family.resize(colon);
  }
  if (out.family.empty()) return fail(Code::InvalidArgument, "{} is no task definition: write FAMILY or FAMILY:REVISION", text);
  return out;
}

const model::TaskDefinition* definition_of(const State& state, const model::Scope& scope, const HookPlace& place) {
  const model::TaskDefinition* found = nullptr;
  state.task_definitions.each(family_key(scope, place.family) + "/", [&](const std::string&, const model::TaskDefinition& definition) {
    bool wanted = place.revision ? definition.revision == place.revision : definition.active;
    if (wanted) found = &definition;
  });
  return found;
}

Result<HookPlace> place_of(const model::Function& function) {
  if (!function.url.empty()) return HookPlace{.url = function.url};
  return task_place(function.task_definition);
}

model::HookRun* find_run(model::Deployment& deployment, const std::string& id) {
  auto found = std::ranges::find(deployment.hook_runs, id, &model::HookRun::id);
  return found == deployment.hook_runs.end() ? nullptr : &*found;
}

Result<model::Deployment> deployment_at(const State& state, const std::string& key) {
  auto deployment = state.deployments.get(key);
  if (!deployment) return fail(Error{Code::NotFound, "Service deployment not found.", "ServiceDeploymentNotFoundException"});
  return *deployment;
}

}  // namespace

std::string function_name(const std::string& text) {
  auto at = text.find(":function:");
  if (!text.starts_with("arn:") || at == std::string::npos) return text;
  auto name = text.substr(at + 10);
  return name.substr(0, name.find(':'));  // without version or alias
}

Result<HookPlace> find_hook(const State& state, const model::Scope& scope, const std::string& target) {
  if (is_url(target)) return HookPlace{.url = target};
  auto name = function_name(target);
  if (auto* function = state.functions.find(function_key(scope, name))) return place_of(*function);
  bool is_function = name != target || (target.starts_with("arn:") && target.find(":task-definition/") == std::string::npos);
  if (!is_function) {
    if (auto place = task_place(target); place && definition_of(state, scope, *place)) return place;
  }
  return fail(Code::NotFound,
              "nothing is known under the name {}: it is no URL, no task definition, and no function was put in its place "
              "(`watari function put {} --url URL`, or --task-definition FAMILY)",
              target, is_function ? name : "NAME");
}

Result<model::Function> put_function(Control& control, model::Function function) {
  if (!good_name(function.name))
    return fail(Code::InvalidArgument, "the function's name '{}' may have 1 to 64 letters, digits, hyphens and underscores", function.name);
  if (function.url.empty() == function.task_definition.empty())
    return fail(Code::InvalidArgument, "function {}: give either a URL or a task definition", function.name);
  if (!function.url.empty() && !is_url(function.url))
    return fail(Code::InvalidArgument, "function {}: '{}' is no http:// or https:// URL", function.name, function.url);
  TRY(auto place, place_of(function));
  if (place.url.empty() && !definition_of(control.state(), function.scope, place))
    return fail(Code::NotFound, "function {}: there is no task definition {}", function.name, function.task_definition);
  function.updated_at = control.now();
  return control.commit([&]() -> Result<model::Function> {
    control.state().functions.put(function_key(function.scope, function.name), function);
    return function;
  });
}

Result<void> delete_function(Control& control, const model::Scope& scope, const std::string& name) {
  return control.commit([&]() -> Result<void> {
    auto key = function_key(scope, name);
    if (!control.state().functions.has(key)) return fail(Code::NotFound, "there is no function {}; `watari function list` shows them", name);
    control.state().functions.erase(key);
    return {};
  });
}

Result<model::Deployment> finish_hook(Control& control, const std::string& key, const std::string& hook_id, HookStatus status,
                                      const std::string& reason) {
  return control.commit([&]() -> Result<model::Deployment> {
    TRY(auto deployment, deployment_at(control.state(), key));
    auto* run = find_run(deployment, hook_id);
    if (!run)
      return fail(Error{Code::NotFound, fmt::format("The deployment has no lifecycle event hook execution {}.", hook_id),
                        "InvalidLifecycleEventHookExecutionIdException"});
    if (run->status != HookStatus::InProgress)
      return fail(Error{Code::Conflict, fmt::format("The lifecycle event is {} already.", name_of(run->status)),
                        "LifecycleEventAlreadyCompletedException"});
    run->status = status;
    run->reason = reason;
    run->finished_at = control.now();
    deployment.updated_at = control.now();
    control.state().deployments.put(key, deployment);
    return deployment;
  });
}

Result<model::Deployment> continue_deployment(Control& control, const std::string& key, const std::string& hook_id,
                                              model::HookAction action) {
  return control.commit([&]() -> Result<model::Deployment> {
    TRY(auto deployment, deployment_at(control.state(), key));
    int ended = 0;
    for (auto& run : deployment.hook_runs) {
      if (run.status != HookStatus::AwaitingAction || (!hook_id.empty() && run.id != hook_id)) continue;
      ++ended;
      run.finished_at = control.now();
      run.status = action == model::HookAction::Continue ? HookStatus::Succeeded : HookStatus::Failed;
      if (action == model::HookAction::Rollback) run.reason = "Rollback was requested by ContinueServiceDeployment.";
    }
    if (ended == 0)
      return fail(Error{Code::FailedPrecondition,
                        hook_id.empty() ? std::string("The deployment does not wait for an action.")
                                        : fmt::format("The deployment does not wait at a lifecycle hook with the id {}.", hook_id),
                        "InvalidParameterException"});
    if (action == model::HookAction::Rollback) {
      deployment.status = model::DeploymentStatus::RollbackRequested;
      deployment.reason = "Rollback was requested by ContinueServiceDeployment.";
    }
    deployment.updated_at = control.now();
    control.state().deployments.put(key, deployment);
    return deployment;
  });
}

// --- running them: Evaluation's part -----------------------------------------------------------------------------------------

namespace {

// What the hook's containers are told about the deployment.
std::map<std::string, std::string> environment_of(const model::Deployment& deployment, const model::HookRun& run) {
  const auto& hook = deployment.configuration.hooks.at(run.hook);
  std::map<std::string, std::string> out{
      {"WATARI_CLUSTER", deployment.cluster},
      {"WATARI_SERVICE", deployment.service},
      {"WATARI_DEPLOYMENT_ID", deployment.code_deploy ? deployment.code_deploy->id : deployment.id},
      {"WATARI_HOOK_ID", run.id},
      {"WATARI_LIFECYCLE_STAGE", std::string(name_of(run.stage))},
      {"WATARI_TASK_DEFINITION", fmt::format("{}:{}", deployment.target.family, deployment.target.revision)}};
  if (!hook.details.empty()) out["WATARI_HOOK_DETAILS"] = hook.details;
  return out;
}

// Exit code 0 of every essential container is success.
std::optional<std::string> why_failed(const State& state, const model::Task& task) {
  auto* definition = state.task_definitions.find(task_definition_key(task.scope, task.family, task.revision));
  bool started = !task.status.containers.empty();
  for (const auto& status : task.status.containers) {
    bool essential = true;
    if (definition)
      for (const auto& container : definition->containers)
        if (container.name == status.name) essential = container.essential;
    if (!essential) continue;
    if (!status.exit_code) started = false;
    else if (*status.exit_code != 0)
      return fmt::format("task {}: container {} exited with code {}{}", task.id, status.name, *status.exit_code,
                         status.reason.empty() ? "" : " (" + status.reason + ")");
  }
  if (started && task.status.stop_code != "TaskFailedToStart" && !task.desired_stopped) return std::nullopt;
  return fmt::format("task {}: {}", task.id, task.status.stop_reason.empty() ? "it did not run" : task.status.stop_reason);
}

constexpr std::string_view kHookGroup = "hook:";

}  // namespace

// Hook tasks of one service never run side by side with those of an earlier deployment: two migrations would.
bool Control::Evaluation::other_hook_task_runs(const model::Deployment& deployment) const {
  bool found = false;
  auto group = std::string(kHookGroup) + deployment.service;
  control.state_->tasks.each(task_key(deployment.scope, deployment.cluster, ""), [&](const std::string&, const model::Task& task) {
    found |= task.group == group && task.started_by != deployment.id && task.status.state != model::TaskState::Stopped;
  });
  return found;
}

// The task of a run: made when there is none, looked at when there is. True when the run has changed.
bool Control::Evaluation::follow_hook_task(const model::Deployment& deployment, model::HookRun& run, const HookPlace& place) {
  auto& state = *control.state_;
  auto end = [&](HookStatus status, const std::string& reason) {
    run.status = status;
    run.reason = reason;
    run.finished_at = control.now();
    return true;
  };
  if (!run.task.empty()) {
    auto* task = state.tasks.find(task_key(deployment.scope, deployment.cluster, run.task));
    if (!task) return end(HookStatus::Failed, fmt::format("task {} is gone", run.task));
    if (task->status.state != model::TaskState::Stopped) return false;
    auto failed = why_failed(state, *task);
    return end(failed ? HookStatus::Failed : HookStatus::Succeeded, failed.value_or(""));
  }
  if (other_hook_task_runs(deployment)) return false;
  auto* definition = definition_of(state, deployment.scope, place);
  if (!definition) return end(HookStatus::Failed, fmt::format("there is no task definition {}", place.family));
  TaskOrder order{.scope = deployment.scope, .cluster = deployment.cluster, .definition = definition};
  order.network = deployment.target.network;
  order.launch_type = deployment.target.launch_type;
  order.group = std::string(kHookGroup) + deployment.service;
  order.started_by = deployment.id;
  auto environment = environment_of(deployment, run);
  for (const auto& container : definition->containers) order.overrides.push_back({.name = container.name, .environment = environment});
  auto task = make_task(control, order);
  if (!task) {
    log::warn("lifecycle hook {}: {}; trying again", run.id, task.error().message);
    wake_at(control.now() + Seconds(5));
    return false;
  }
  run.task = task->id;
  log::info("lifecycle hook {} of {}: runs as task {}", run.id, deployment.service, task->id);
  return true;
}

// Inside the evaluation's transaction: hooks that run as tasks, and those that nobody can be found for.
void Control::Evaluation::follow_hooks(const std::string& key) {
  auto& state = *control.state_;
  auto deployment = *state.deployments.get(key);
  bool changed = false;
  for (auto& run : deployment.hook_runs) {
    if (run.status != HookStatus::InProgress || run.called) continue;
    const auto& hook = deployment.configuration.hooks.at(run.hook);
    auto place = find_hook(state, deployment.scope, hook.target_arn);
    if (!run.task.empty()) place = HookPlace{};
    if (!place) {
      run.status = HookStatus::Failed;
      run.reason = place.error().message;
      run.finished_at = control.now();
      changed = true;
    } else if (place->url.empty()) {
      changed |= follow_hook_task(deployment, run, *place);
    }
  }
  if (changed) state.deployments.put(key, std::move(deployment));
}

// A hook's task whose run is over (timed out, superseded) is stopped.
void Control::Evaluation::end_hook_tasks() {
  auto& state = *control.state_;
  std::vector<model::Task> orphans;
  state.tasks.each("", [&](const std::string&, const model::Task& task) {
    if (!task.group.starts_with(kHookGroup) || task.desired_stopped || task.status.state == model::TaskState::Stopped) return;
    model::Service service{.scope = task.scope, .cluster = task.cluster, .name = task.group.substr(kHookGroup.size())};
    bool wanted = false;
    state.deployments.each(deployment_prefix(service), [&](const std::string&, const model::Deployment& deployment) {
      for (const auto& run : deployment.hook_runs) wanted |= run.task == task.id && run.status == HookStatus::InProgress;
    });
    if (!wanted) orphans.push_back(task);
  });
  for (auto& task : orphans) {
    task.desired_stopped = true;
    task.stop_code = "ServiceSchedulerInitiated";
    task.stop_reason = "The deployment does not wait for this lifecycle hook any more.";
    auto key = task_key(task);
    state.tasks.put(key, std::move(task));
  }
}

// After the commit: whoever is to be called and is not being called now.
void Control::Evaluation::call_hooks() {
  if (!control.ports_.call_hook) return;
  auto& state = *control.state_;
  for (const auto& key : under_way) {
    auto* deployment = state.deployments.find(key);
    if (!deployment) continue;
    for (const auto& run : deployment->hook_runs) {
      if (run.status != HookStatus::InProgress || run.called || !run.task.empty() || calling.contains(run.id)) continue;
      if (control.now() < run.call_at) {
        wake_at(run.call_at);
        continue;
      }
      auto place = find_hook(state, deployment->scope, deployment->configuration.hooks.at(run.hook).target_arn);
      if (!place || place->url.empty()) continue;
      calling.insert(run.id);
      control.ports_.call_hook({*deployment, run, place->url}, [this, key, id = run.id](HookAnswer answer) {
        control.scheduler_.post([this, key, id, answer = std::move(answer)] { hear_hook(key, id, answer); });
      });
    }
  }
}

void Control::Evaluation::hear_hook(const std::string& key, const std::string& id, const HookAnswer& answer) {
  calling.erase(id);
  auto heard = control.commit([&]() -> Result<void> {
    auto deployment = control.state_->deployments.get(key);
    auto* run = deployment ? find_run(*deployment, id) : nullptr;
    if (!run || run->status != HookStatus::InProgress) return {};  // it came too late
    bool unreachable = answer.kind == HookAnswer::Kind::Unreachable;
    run->attempts = unreachable ? run->attempts + 1 : 0;
    if (!answer.reason.empty()) run->reason = answer.reason;
    switch (answer.kind) {
      case HookAnswer::Kind::Succeeded: run->status = HookStatus::Succeeded; break;
      case HookAnswer::Kind::Failed: run->status = HookStatus::Failed; break;
      case HookAnswer::Kind::InProgress:
        run->call_at = control.now() + answer.delay;
        run->details = answer.details;
        break;
      case HookAnswer::Kind::Accepted: run->called = true; break;
      case HookAnswer::Kind::Unreachable:
        if (run->attempts >= kMaxAttempts) run->status = HookStatus::Failed;
        run->call_at = control.now() + std::min(kLongestPause, Seconds(1LL << std::min(run->attempts - 1, 10)));
        break;
    }
    if (run->status != HookStatus::InProgress) run->finished_at = control.now();
    if (run->status == HookStatus::Succeeded) run->reason.clear();
    deployment->updated_at = control.now();
    control.state_->deployments.put(key, *deployment);
    return {};
  });
  if (!heard) log::error("lifecycle hook {}: {}; it is called again", id, heard.error().message);
  control.schedule();
}

}  // namespace watari::control
