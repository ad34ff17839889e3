#include "cli/deploy/releases.h"

#include <algorithm>
#include <map>
#include <set>
#include <thread>

#include "base/strings.h"
#include "cli/up/diagnose.h"
#include "cli/up/progress.h"

namespace watari::cli::deploy {

using codec::Json;

namespace {

constexpr std::size_t kDescribe = 20;  // service revisions in one call

struct Revision {
  std::string task_definition;
  Json images = Json::object(), network;
};

Result<std::map<std::string, Revision>> revisions_of(Client& client, const Json& releases) {
  std::set<std::string> wanted;
  for (const auto& release : releases.as_array()) wanted.insert(release["targetServiceRevisionArn"].as_string());
  std::map<std::string, Revision> out;
  std::vector<std::string> arns(wanted.begin(), wanted.end());
  for (std::size_t i = 0; i < arns.size(); i += kDescribe) {
    auto part = Json::array();
    for (std::size_t j = i; j < std::min(i + kDescribe, arns.size()); ++j) part.push(arns[j]);
    TRY(auto answer, client.call("ecs", "DescribeServiceRevisions", Json::object({{"serviceRevisionArns", part}})));
    for (const auto& revision : answer["serviceRevisions"].as_array()) {
      auto& entry = out[revision["serviceRevisionArn"].as_string()];
      entry.task_definition = name_of_arn(revision["taskDefinition"].as_string());
      entry.network = revision["networkConfiguration"];
      for (const auto& image : revision["containerImages"].as_array()) entry.images.set(image["containerName"].as_string(), image["imageDigest"]);
    }
  }
  return out;
}

// Why its tasks fail, in lines for people.
std::string evidence_of(Client& client, const Found& service, const std::string& revision) {
  auto answer = client.call("ecs", "DescribeServiceRevisions", Json::object({{"serviceRevisionArns", Json::array({revision})}}));
  if (!answer || (*answer)["serviceRevisions"].as_array().empty()) return "";
  return up::diagnose_service(client, service.cluster, service.service, (*answer)["serviceRevisions"].as_array()[0]["taskDefinition"].as_string());
}

std::string words_of(const Json& release) {
  const auto& status = release["status"].as_string();
  const auto& stage = release["lifecycleStage"].as_string();
  if (status.starts_with("ROLLBACK")) return "going back to the revision before";
  if (status == "PENDING") return "waiting for its turn";
  if (stage.empty() || stage == "RECONCILE_SERVICE" || stage == "SCALE_UP") return "starting tasks";
  auto words = to_lower(stage);
  std::ranges::replace(words, '_', ' ');
  return words;
}

std::string counts_of(const Json& release) {
  const auto& target = release["targetServiceRevision"];
  auto text = fmt::format("{} of {} running", target["runningTaskCount"].as_int(), target["requestedTaskCount"].as_int());
  if (target.has("requestedProductionTrafficWeight"))
    text += fmt::format(", {:.4g} % of the traffic", target["requestedProductionTrafficWeight"].as_double());
  return text;
}

}  // namespace

bool Release::open() const {
  return status == "PENDING" || status == "IN_PROGRESS" || status == "STOP_REQUESTED" || status == "ROLLBACK_REQUESTED" || status == "ROLLBACK_IN_PROGRESS";
}

Result<std::vector<Release>> releases_of(Client& client, const Found& service) {
  TRY(auto list, client.call_all("ecs", "ListServiceDeployments", Json::object({{"cluster", service.cluster}, {"service", service.service}}), "serviceDeployments"));
  TRY(auto revisions, revisions_of(client, list));
  std::vector<Release> out;
  for (const auto& item : list.as_array()) {
    Release release{.arn = item["serviceDeploymentArn"].as_string(), .status = item["status"].as_string(), .reason = item["statusReason"].as_string()};
    const auto& revision = item["targetServiceRevisionArn"].as_string();
    release.revision = name_of_arn(revision);
    release.task_definition = revisions[revision].task_definition;
    release.images = revisions[revision].images;
    release.network = revisions[revision].network;
    release.created = item["createdAt"].as_double();
    release.finished = item["finishedAt"].as_double();
    out.push_back(std::move(release));
  }
  std::ranges::sort(out, std::greater{}, &Release::created);
  return out;
}

Result<Release> way_back(const std::vector<Release>& releases, const std::string& to) {
  std::vector<std::string> kept;
  const Release* serving = nullptr;
  for (const auto& release : releases) {
    if (release.status != "SUCCESSFUL") continue;
    if (!serving) serving = &release;
    bool other = release.task_definition != serving->task_definition || release.images.dump() != serving->images.dump() ||
                 release.network.dump() != serving->network.dump();
    if (to.empty() ? other : release.revision == to || release.task_definition == to || release.task_definition.ends_with(":" + to)) return release;
    if (other) kept.push_back(release.task_definition);
  }
  if (to.empty()) return fail(Code::NotFound, "no other revision was ever deployed, so there is nothing to go back to");
  return fail(Code::NotFound, "no revision {} was deployed; {}", to, kept.empty() ? "there is no other" : "there are " + join(kept, ", "));
}

Result<Json> plan(Client& client, const Found& service, Json request) {
  request.set("cluster", service.cluster);
  request.set("service", service.service);
  return client.call("watari", "PlanDeployment", std::move(request));
}

void print_problems(const Json& plan, std::FILE* to) {
  for (const auto& problem : plan["problems"].as_array())
    fmt::print(to, "  {} {}: {}: {}\n          -> {}\n", problem["severity"].as_string(), problem["code"].as_string(), problem["subject"].as_string(), problem["message"].as_string(),
               problem["advice"].as_string());
}

Result<std::string> register_again(Client& client, const std::string& definition, const Json& images) {
  TRY(auto answer, client.call("ecs", "DescribeTaskDefinition", Json::object({{"taskDefinition", definition}, {"include", Json::array({"TAGS"})}})));
  const auto& old = answer["taskDefinition"];
  auto request = Json::object();
  for (auto member : {"family", "taskRoleArn", "executionRoleArn", "networkMode", "volumes", "requiresCompatibilities", "cpu", "memory", "runtimePlatform"})
    if (old.has(member)) request.set(member, old[member]);
  auto containers = Json::array();
  for (auto container : old["containerDefinitions"].as_array()) {
    const auto& name = container["name"].as_string();
    if (images.has(name)) container.set("image", images[name]);
    else if (images.has("*") && container["essential"].as_bool()) container.set("image", images["*"]);
    containers.push(std::move(container));
  }
  request.set("containerDefinitions", std::move(containers));
  if (!answer["tags"].as_array().empty()) request.set("tags", answer["tags"]);
  TRY(auto made, client.call("ecs", "RegisterTaskDefinition", std::move(request)));
  return made["taskDefinition"]["taskDefinitionArn"].as_string();
}

namespace {

// What UpdateService may not do to a service of CodeDeploy's; its desired count it may.
Result<void> create_deployment(Client& client, const Found& service, const Json& plan, const Json& request) {
  auto update = Json::object({{"cluster", service.cluster}, {"service", service.service}});
  TRY(auto described, client.call("ecs", "DescribeServices", Json::object({{"cluster", service.cluster}, {"services", Json::array({service.service})}})));
  const auto& now = described["services"].as_array().at(0);
  if (request.has("desiredCount") && request["desiredCount"].as_int() != now["desiredCount"].as_int())
    TRY_VOID(client.call("ecs", "UpdateService", update.set("desiredCount", request["desiredCount"])));
  TRY(auto found, client.call("ecs", "DescribeTaskDefinition", Json::object({{"taskDefinition", request["taskDefinition"]}})));
  const auto& definition = found["taskDefinition"]["taskDefinitionArn"];
  if (definition == now["taskDefinition"] && !request["forceNewDeployment"].as_bool() && !request.has("networkConfiguration")) return {};
  const auto& balancer = now["loadBalancers"].as_array().at(0);
  auto properties = Json::object({{"TaskDefinition", definition},
                                  {"LoadBalancerInfo", Json::object({{"ContainerName", balancer["containerName"]}, {"ContainerPort", balancer["containerPort"]}})}});
  if (const auto& vpc = request["networkConfiguration"]["awsvpcConfiguration"]; vpc.is_object())
    properties.set("NetworkConfiguration", Json::object({{"AwsvpcConfiguration", vpc}}));
  auto target = Json::object({{"TargetService", Json::object({{"Type", "AWS::ECS::Service"}, {"Properties", properties}})}});
  auto spec = Json::object({{"version", "0.0"}, {"Resources", Json::array({target})}});
  auto revision = Json::object({{"revisionType", "AppSpecContent"}, {"appSpecContent", Json::object({{"content", spec.dump()}})}});
  TRY_VOID(client.call("codedeploy", "CreateDeployment", Json::object({{"applicationName", plan["codeDeployApplication"]},
                                                                       {"deploymentGroupName", plan["codeDeployGroup"]}, {"revision", revision}})));
  return {};
}

}  // namespace

Result<std::string> start(Client& client, const Found& service, const Json& plan, Json request) {
  TRY(auto before, releases_of(client, service));
  if (plan.has("codeDeployGroup")) {
    TRY_VOID(create_deployment(client, service, plan, request));
  } else {
    request.set("cluster", service.cluster);
    request.set("service", service.service);
    TRY_VOID(client.call("ecs", "UpdateService", std::move(request)));
  }
  TRY(auto after, releases_of(client, service));
  if (after.empty() || (!before.empty() && before.front().arn == after.front().arn)) return std::string();
  return after.front().arn;
}

Result<void> follow(Client& client, const Found& service, const std::string& arn, bool quiet_stdout) {
  up::Progress progress(quiet_stdout);
  up::Stopwatch watch;
  client.set_patience(Seconds(60));  // a server that is being restarted
  std::string said, evidence;
  for (auto pause = Millis(50);; pause = std::min(pause * 3 / 2, Millis(500))) {
    TRY(auto answer, client.call("ecs", "DescribeServiceDeployments", Json::object({{"serviceDeploymentArns", Json::array({arn})}})));
    const auto& items = answer["serviceDeployments"].as_array();
    if (items.empty()) return fail(Code::NotFound, "the deployment {} is gone", arn);
    const auto& release = items[0];
    const auto& status = release["status"].as_string();
    if (status == "SUCCESSFUL") {
      progress.line(service.service, fmt::format("deployed ({})", watch.text()));
      return {};
    }
    // While the tasks that failed are still known.
    if (evidence.empty() && (release["deploymentCircuitBreaker"]["failureCount"].as_int() > 0 || status.starts_with("ROLLBACK")))
      evidence = evidence_of(client, service, release["targetServiceRevision"]["arn"].as_string());
    if (!Release{.status = status}.open())
      return fail(Code::FailedPrecondition, "{}: the deployment ended as {}\n  {}\n{}", service.service, status, release["statusReason"].as_string(), evidence);
    if (auto words = words_of(release); words != said) {
      progress.line(service.service, fmt::format("{} ({})", words, watch.text()));
      said = words;
    }
    progress.now(fmt::format("{}: {}, {} ({})", service.service, said, counts_of(release), watch.text()));
    std::this_thread::sleep_for(pause);
  }
}

Result<Found> find_service(Client& client, const std::string& name, const std::string& cluster) {
  TRY(auto found, find_by_name(client, name, cluster));
  if (found.service.empty()) return fail(Code::InvalidArgument, "{} is a task; name a service", name);
  return found;
}

}  // namespace watari::cli::deploy
