// A deployment looked at before it starts. Nothing is written.
#include <algorithm>
#include <map>
#include <set>

#include "aws/ecs/names.h"
#include "aws/ecs/wire.h"
#include "aws/gen/watari/plan_deployment.h"
#include "base/strings.h"
#include "control/preview.h"
#include "vault/vault.h"

namespace watari::aws::watari {
namespace {

using Changes = std::vector<PlannedChange>;

void compare(Changes& out, const std::string& subject, const std::string& field, const std::string& before, const std::string& after) {
  if (before == after) return;
  PlannedChange change;
  change.subject = subject;
  change.field = field;
  change.before = before;
  change.after = after;
  out.push_back(std::move(change));
}

void compare_maps(Changes& out, const std::string& subject, const std::string& kind, const std::map<std::string, std::string>& before,
                  const std::map<std::string, std::string>& after) {
  std::set<std::string> names;
  for (const auto* side : {&before, &after})
    for (const auto& [name, value] : *side) names.insert(name);
  auto value = [](const auto& map, const std::string& name) {
    auto found = map.find(name);
    return found == map.end() ? std::string() : found->second;
  };
  for (const auto& name : names) compare(out, subject, kind + " " + name, value(before, name), value(after, name));
}

std::map<std::string, std::string> secrets_of(const model::ContainerDefinition& container) {
  std::map<std::string, std::string> out;
  for (const auto& secret : container.secrets) out[secret.name] = secret.value_from;
  return out;
}

std::string ports_of(const model::ContainerDefinition& container) {
  std::vector<std::string> out;
  for (const auto& port : container.ports) out.push_back(fmt::format("{}/{}", port.container_port, port.protocol));
  return join(out, " ");
}

void compare_containers(Changes& out, const std::string& name, const model::ContainerDefinition& before, const model::ContainerDefinition& after) {
  auto subject = "container " + name;
  auto number = [](const auto& value) { return value ? std::to_string(*value) : std::string(); };
  compare(out, subject, "image", before.image, after.image);
  compare(out, subject, "command", join(before.command, " "), join(after.command, " "));
  compare(out, subject, "entryPoint", join(before.entry_point, " "), join(after.entry_point, " "));
  compare(out, subject, "cpu", std::to_string(before.cpu), std::to_string(after.cpu));
  compare(out, subject, "memory", number(before.memory_mib), number(after.memory_mib));
  compare(out, subject, "ports", ports_of(before), ports_of(after));
  compare_maps(out, subject, "environment", before.environment, after.environment);
  compare_maps(out, subject, "secret", secrets_of(before), secrets_of(after));
}

Changes changes_between(const model::TaskDefinition* before, const model::TaskDefinition& after, const model::Service& old, const model::Service& now) {
  Changes out;
  const model::ContainerDefinition none;
  std::map<std::string, std::pair<const model::ContainerDefinition*, const model::ContainerDefinition*>> pairs;
  if (before)
    for (const auto& container : before->containers) pairs[container.name] = {&container, &none};
  for (const auto& container : after.containers) {
    auto& pair = pairs[container.name];
    pair = {pair.first ? pair.first : &none, &container};
  }
  for (const auto& [name, pair] : pairs) compare_containers(out, name, *pair.first, *pair.second);
  compare(out, "task", "cpu", before ? before->cpu : "", after.cpu);
  compare(out, "task", "memory", before ? before->memory : "", after.memory);
  compare(out, "service", "desiredCount", std::to_string(old.desired_count), std::to_string(now.desired_count));
  compare(out, "service", "strategy", std::string(name_of(old.configuration.strategy)), std::string(name_of(now.configuration.strategy)));
  return out;
}

// `images`: container -> image; the name "*" stands for the only essential container.
Result<void> replace_images(model::TaskDefinition& definition, const std::map<std::string, std::string>& images) {
  for (const auto& [name, image] : images) {
    auto found = std::ranges::find(definition.containers, name, &model::ContainerDefinition::name);
    if (name == "*" && std::ranges::count(definition.containers, true, &model::ContainerDefinition::essential) == 1)
      found = std::ranges::find(definition.containers, true, &model::ContainerDefinition::essential);
    if (found == definition.containers.end())
      return error("ValidationException", "{}:{} has no container {}; name one as CONTAINER=IMAGE.", definition.family, definition.revision, name);
    found->image = image;
    definition.revision = 0;  // it would be registered
  }
  return {};
}

PlanProblem to_wire(const control::Problem& problem) {
  PlanProblem out;
  out.severity = problem.blocking ? "ERROR" : "WARNING";
  out.code = problem.code;
  out.subject = problem.subject;
  out.message = problem.message;
  out.advice = problem.advice;
  return out;
}

}  // namespace

Result<PlanDeploymentResponse> plan_deployment(Call& call, const PlanDeploymentRequest& request) {
  const auto& state = call.platform.control->state();
  TRY(auto cluster, ecs::cluster_name(call.scope, request.cluster));
  TRY(auto name, ecs::service_name(call.scope, cluster, request.service));
  auto service = state.services.get(control::service_key(call.scope, cluster, name));
  if (!service || service->status != "ACTIVE")
    return fail(Error{Code::NotFound, fmt::format("there is no active service {} in cluster {}", name, cluster), "ResourceNotFoundException"});
  auto old = *service;
  auto wanted = request.taskDefinition.value_or(fmt::format("{}:{}", service->target.family, service->target.revision));
  auto definition = ecs::find_task_definition(call, wanted);
  if (!definition) return fail(Error{Code::NotFound, fmt::format("there is no task definition {}", wanted), "ResourceNotFoundException"});
  TRY_VOID(replace_images(*definition, request.images));
  service->target.family = definition->family;
  service->target.revision = definition->revision;
  if (request.desiredCount) service->desired_count = *request.desiredCount;
  if (request.strategy) service->configuration.strategy = parse_enum<model::Strategy>(*request.strategy).value_or(model::Strategy::Rolling);

  const auto* before = state.task_definitions.find(control::task_definition_key(call.scope, old.target.family, old.target.revision));
  auto seen = control::preview(*call.platform.control, {*service, *definition, [&](const std::string& from) { return call.platform.vault->read_secret(call.scope, from); }});
  PlanDeploymentResponse response;
  response.strategy = std::string(name_of(service->configuration.strategy));
  response.currentTaskDefinition = fmt::format("{}:{}", old.target.family, old.target.revision);
  response.taskDefinition = definition->revision ? fmt::format("{}:{}", definition->family, definition->revision) : definition->family + " (a new revision)";
  response.changes = changes_between(before, *definition, old, *service);
  response.possible = std::ranges::none_of(seen.problems, &control::Problem::blocking);
  for (const auto& problem : seen.problems) response.problems.push_back(to_wire(problem));
  std::int64_t total = 0;
  for (const auto& step : seen.steps) {
    PlanStep out;
    out.name = step.name;
    out.seconds = step.duration.count();
    total += step.duration.count();
    response.steps.push_back(std::move(out));
  }
  response.expectedSeconds = total;
  for (auto duration : seen.last_durations) response.lastDeploymentSeconds.push_back(duration.count());
  response.runningTasks = seen.tasks_now;
  response.desiredTasks = seen.tasks_wanted;
  response.mostTasks = seen.tasks_at_most;
  return response;
}

}  // namespace watari::aws::watari
