// A deployment looked at before it starts. Nothing is written.
#include <algorithm>
#include <map>
#include <set>

#include "aws/ecs/wire.h"
#include "aws/gen/watari/plan_deployment.h"
#include "aws/watari/services.h"
#include "base/strings.h"
#include "control/code_deploy.h"
#include "control/preview.h"
#include "oci/reference.h"
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
  auto network = [](const model::Service& service) -> const model::NetworkPlacement& { return service.target.network; };
  compare(out, "network", "subnets", join(network(old).subnets, " "), join(network(now).subnets, " "));
  compare(out, "network", "securityGroups", join(network(old).security_groups, " "), join(network(now).security_groups, " "));
  compare(out, "network", "assignPublicIp", network(old).assign_public_ip ? "ENABLED" : "DISABLED", network(now).assign_public_ip ? "ENABLED" : "DISABLED");
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

// The images of a revision that was deployed, where their tags mean something else by now: container -> repository@digest.
Result<std::map<std::string, std::string>> images_as_deployed(Call& call, const model::ServiceRevision& revision, const model::TaskDefinition& definition) {
  std::map<std::string, std::string> out;
  for (const auto& container : definition.containers) {
    auto pinned = revision.pinned_images.find(container.name);
    if (pinned == revision.pinned_images.end()) continue;
    auto now = call.platform.control->image_digest(container.image);
    if (now && *now == pinned->second) continue;
    TRY(auto reference, oci::parse_reference(container.image));
    out[container.name] = reference.repository + "@" + pinned->second;
  }
  return out;
}

// The service's deployment that led to this revision (its digits, or its ARN).
Result<model::ServiceRevision> deployed_revision(const Call& call, const model::Service& service, const std::string& wanted) {
  auto id = wanted.substr(wanted.rfind('/') + 1);
  for (const auto& deployment : control::deployments_of(call.platform.control->state(), service))
    if (deployment.target.id == id) return deployment.target;
  return fail(Error{Code::NotFound, fmt::format("no revision {} of service {} was deployed", wanted, service.name), "ResourceNotFoundException"});
}

// How CodeDeploy would deploy it: strategy, waits and target groups of the deployment group.
void plan_code_deploy(Call& call, model::Service& service, const std::optional<model::CodeDeployGroup>& group, std::vector<control::Problem>& problems) {
  const auto& state = call.platform.control->state();
  if (!group) {
    problems.push_back({true, "NO_DEPLOYMENT_GROUP", service.name, "its deployments are made by CodeDeploy, and no deployment group names it",
                        "aws deploy create-deployment-group"});
    return;
  }
  for (const auto& config : control::deployment_configs(state, call.scope))
    if (config.name == group->config) service.configuration = control::configuration_for(service, config, *group);
  auto balancers = control::balancers_of(state, *group, service.target, "", 0);
  if (balancers) service.target.load_balancers = *std::move(balancers);
  else problems.push_back({true, "DEPLOYMENT_GROUP", group->name, balancers.error().message, "aws deploy update-deployment-group"});
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
  TRY(auto service, find_service(call, request.cluster, request.service));
  if (service.status != "ACTIVE")
    return error("ResourceNotFoundException", "there is no active service {} in cluster {}", service.name, service.cluster);
  if (service.controller == "EXTERNAL")
    return error("ValidationException", "The service {} has the deployment controller EXTERNAL: its releases are task sets (CreateTaskSet), made by another tool.", service.name);
  auto old = service;
  auto wanted = request.taskDefinition.value_or(fmt::format("{}:{}", service.target.family, service.target.revision));
  std::optional<model::ServiceRevision> back_to;
  if (request.serviceRevision) {
    TRY(back_to, deployed_revision(call, service, *request.serviceRevision));
    wanted = fmt::format("{}:{}", back_to->family, back_to->revision);
  }
  auto definition = ecs::find_task_definition(call, wanted);
  if (!definition) return fail(Error{Code::NotFound, fmt::format("there is no task definition {}", wanted), "ResourceNotFoundException"});
  PlanDeploymentResponse response;
  auto images = request.images;
  if (back_to) {
    TRY(images, images_as_deployed(call, *back_to, *definition));
    response.images = images;
    response.registers = !images.empty() || !definition->active;  // a revision that was deregistered comes back as a new one
    if (*response.registers) definition->revision = 0;
    definition->active = true;
    service.target.network = back_to->network;
  }
  TRY_VOID(replace_images(*definition, images));
  service.target.family = definition->family;
  service.target.revision = definition->revision;
  if (request.desiredCount) service.desired_count = *request.desiredCount;
  std::vector<control::Problem> problems;
  Seconds ready_wait{0};
  if (service.controller == "CODE_DEPLOY") {
    if (request.strategy) return error("ValidationException", "The deployment group's configuration says how traffic moves; name none.");
    auto group = control::group_of(state, service);
    plan_code_deploy(call, service, group, problems);
    if (group) {
      ready_wait = Seconds(60) * group->ready_wait;
      std::tie(response.codeDeployApplication, response.codeDeployGroup) = std::pair(group->application, group->name);
    }
  }
  if (request.strategy) service.configuration.strategy = parse_enum<model::Strategy>(*request.strategy).value_or(model::Strategy::Rolling);

  const auto* before = state.task_definitions.find(control::task_definition_key(call.scope, old.target.family, old.target.revision));
  auto seen = control::preview(*call.platform.control, {service, *definition, [&](const std::string& from) { return call.platform.vault->read_secret(call.scope, from); },
                                                           std::move(problems), ready_wait});
  response.strategy = std::string(name_of(service.configuration.strategy));
  response.currentTaskDefinition = fmt::format("{}:{}", old.target.family, old.target.revision);
  response.taskDefinition = definition->revision ? fmt::format("{}:{}", definition->family, definition->revision) : definition->family + " (a new revision)";
  response.changes = changes_between(before, *definition, old, service);
  response.possible = std::ranges::none_of(seen.problems, &control::Problem::blocking);
  for (const auto& problem : seen.problems) response.problems.push_back(to_wire(problem));
  std::int64_t total = 0, longest = 0;
  for (const auto& step : seen.steps) {
    PlanStep out;
    out.name = step.name;
    out.seconds = step.duration.count();
    out.longestSeconds = step.at_most.count();
    total += step.duration.count();
    longest += step.at_most.count();
    response.steps.push_back(std::move(out));
  }
  response.expectedSeconds = total;
  response.longestSeconds = longest;
  for (auto duration : seen.last_durations) response.lastDeploymentSeconds.push_back(duration.count());
  response.runningTasks = seen.tasks_now;
  response.desiredTasks = seen.tasks_wanted;
  response.mostTasks = seen.tasks_at_most;
  return response;
}

}  // namespace watari::aws::watari
