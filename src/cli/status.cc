// watari status: clusters, services, deployments, tasks, targets with their health, and the last events.
#include <CLI/CLI.hpp>
#include <set>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/services.h"
#include "cli/verbs.h"

namespace watari::cli {
namespace {

using codec::Json;

struct Options : Common {
  std::string cluster;
  std::size_t events = 5;
};

// "reservations-api:7"
std::string revision_of(const Json& task_definition) { return name_of_arn(task_definition.as_string()); }

Result<Json> targets_of(Client& client, const Json& service) {
  auto targets = Json::array();
  std::set<std::string> groups;
  for (const auto& balancer : service["loadBalancers"].as_array())
    groups.insert({balancer["targetGroupArn"].as_string(), balancer["advancedConfiguration"]["alternateTargetGroupArn"].as_string()});
  for (const auto& set : service["taskSets"].as_array())  // of CodeDeploy's services
    for (const auto& balancer : set["loadBalancers"].as_array()) groups.insert(balancer["targetGroupArn"].as_string());
  groups.erase("");
  for (const auto& group : groups) {
    TRY(auto health, client.call("elbv2", "DescribeTargetHealth", Json::object({{"TargetGroupArn", group}})));
    for (const auto& target : health["TargetHealthDescriptions"].as_array()) {
      auto entry = target["TargetHealth"];
      if (!entry.is_object()) entry = Json::object();
      entry.set("TargetGroup", group);
      entry.set("Id", target["Target"]["Id"]);
      entry.set("Port", target["Target"]["Port"]);
      targets.push(entry);
    }
  }
  return targets;
}

// What the load balancer counted of both revisions, while traffic is being shifted; null otherwise.
Result<Json> traffic_of(Client& client, const std::string& cluster, const Json& service) {
  TRY(auto answer, client.call("watari", "DescribeTraffic", Json::object({{"cluster", cluster}, {"service", service["serviceName"]}, {"limit", 1}})));
  const auto& deployments = answer["deployments"].as_array();
  if (deployments.empty()) return Json();
  const auto& status = deployments[0]["status"].as_string();
  bool moving = status == "IN_PROGRESS" || status == "ROLLBACK_REQUESTED" || status == "ROLLBACK_IN_PROGRESS";
  return moving ? deployments[0] : Json();
}

Result<Json> collect(Client& client, const Options& options) {
  std::vector<std::string> clusters;
  if (options.cluster.empty()) {
    TRY(clusters, cluster_names(client));
  } else {
    clusters = {options.cluster};
  }
  auto all = Json::array();
  for (const auto& cluster : clusters) {
    TRY(auto services, describe_services(client, cluster));
    TRY(auto tasks, describe_tasks(client, cluster, "", false));
    auto described = Json::array();
    for (auto service : services.as_array()) {
      TRY(auto targets, targets_of(client, service));
      service.set("targets", targets);
      TRY(auto traffic, traffic_of(client, cluster, service));
      if (!traffic.is_null()) service.set("traffic", std::move(traffic));
      described.push(service);
    }
    all.push(Json::object({{"clusterName", cluster}, {"services", described}, {"tasks", tasks}}));
  }
  return Json::object({{"endpoint", client.place().endpoint}, {"region", client.place().region}, {"clusters", all}});
}

std::string address_of(const Json& task) {
  for (const auto& attachment : task["attachments"].as_array())
    for (const auto& detail : attachment["details"].as_array())
      if (detail["name"].as_string() == "privateIPv4Address") return detail["value"].as_string();
  return "";
}

std::string target_state(const Json& service, const std::string& address) {
  for (const auto& target : service["targets"].as_array())
    if (target["Id"].as_string() == address && !address.empty()) return target["State"].as_string();
  return service["targets"].as_array().empty() ? "" : "-";
}

void print_tasks(const Json& service, const std::string& group, const Json& tasks) {
  std::vector<std::vector<std::string>> rows = {{"  TASK", "REVISION", "STATE", "HEALTH", "TARGET", "ADDRESS", "AGE"}};
  for (const auto& task : tasks.as_array()) {
    if (task["group"].as_string() != group) continue;
    auto address = address_of(task);
    rows.push_back({"  " + name_of_arn(task["taskArn"].as_string()).substr(0, 8), revision_of(task["taskDefinitionArn"]),
                    task["lastStatus"].as_string(), task["healthStatus"].as_string(), target_state(service, address), address,
                    ago(task["createdAt"].as_double())});
  }
  if (rows.size() > 1) fmt::print("{}", table(rows));
}

void print_traffic(const Json& traffic) {
  if (traffic.is_null()) return;
  fmt::print("  {}: {:.4g} % of the traffic on {}{}\n", traffic["strategy"].as_string(), traffic["trafficPercent"].as_double(),
             traffic["target"]["taskDefinition"].as_string(), traffic["judged"].as_bool() ? "" : " (not judged: watari:verdict=off)");
  std::vector<std::vector<std::string>> rows = {{"  COUNTED", "REQUESTS", "FAILED", "P50", "P99"}};
  for (auto side : {"target", "source"}) {
    const auto& counted = traffic[side];
    auto milliseconds = [&](const char* name) { return counted.has(name) ? fmt::format("{:.0f} ms", counted[name].as_double()) : "-"; };
    rows.push_back({"  " + counted["taskDefinition"].as_string(), std::to_string(counted["requests"].as_int()),
                    fmt::format("{} ({:.1f} %)", counted["failures"].as_int(), counted["failedPercent"].as_double()), milliseconds("p50Milliseconds"),
                    milliseconds("p99Milliseconds")});
  }
  fmt::print("{}", table(rows));
}

void print_service(const Json& service, const Json& tasks, std::size_t events) {
  fmt::print("\n{}  {} of {} running", service["serviceName"].as_string(), service["runningCount"].as_int(),
             service["desiredCount"].as_int());
  if (auto pending = service["pendingCount"].as_int(); pending > 0) fmt::print(", {} starting", pending);
  fmt::print("  {}\n", revision_of(service["taskDefinition"]));
  const auto& deployments = service["deployments"].as_array();
  for (const auto& deployment : deployments) {
    auto state = deployment["rolloutState"].as_string();
    if (deployments.size() == 1 && (state == "COMPLETED" || state.empty())) continue;
    fmt::print("  {} {} {}: {} of {} running{}{}\n", deployment["status"].as_string(), revision_of(deployment["taskDefinition"]), state,
               deployment["runningCount"].as_int(), deployment["desiredCount"].as_int(),
               deployment["rolloutStateReason"].as_string().empty() ? "" : "; ", deployment["rolloutStateReason"].as_string());
  }
  print_traffic(service["traffic"]);
  print_tasks(service, "service:" + service["serviceName"].as_string(), tasks);
  for (const auto& target : service["targets"].as_array())
    if (auto state = target["State"].as_string(); state == "unhealthy")
      fmt::print("  target {}:{} is {}: {}\n", target["Id"].as_string(), target["Port"].as_string(), state,
                 target["Description"].as_string());
  std::size_t shown = 0;
  for (const auto& event : service["events"].as_array()) {
    if (shown++ == events) break;
    fmt::print("  {} ago  {}\n", ago(event["createdAt"].as_double()), event["message"].as_string());
  }
}

Result<void> status(const Options& options) {
  TRY(auto client, options.connect());
  TRY(auto state, collect(client, options));
  if (options.json) {
    fmt::print("{}\n", state.pretty());
    return {};
  }
  fmt::print("{} ({})\n", state["endpoint"].as_string(), state["region"].as_string());
  bool any = false;
  for (const auto& cluster : state["clusters"].as_array()) {
    fmt::print("\nCLUSTER {}\n", cluster["clusterName"].as_string());
    for (const auto& service : cluster["services"].as_array()) {
      print_service(service, cluster["tasks"], options.events);
      any = true;
    }
    for (const auto& task : cluster["tasks"].as_array())
      if (!task["group"].as_string().starts_with("service:"))
        fmt::print("\ntask {}  {}  {}  {}\n", name_of_arn(task["taskArn"].as_string()).substr(0, 8), revision_of(task["taskDefinitionArn"]),
                   task["lastStatus"].as_string(), ago(task["createdAt"].as_double()));
  }
  if (!any) fmt::print("\nno services yet; `watari up DIR` starts the application in DIR\n");
  return {};
}

}  // namespace

void add_status(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  auto verb = add_verb(app, "status", "Services, revisions, deployments, tasks, targets and events");
  verb->add_option("cluster", options->cluster, "Only this cluster");
  verb->add_option("--events", options->events, "Events to show of each service")->capture_default_str();
  add_common(*verb, *options);
  verb->footer("Examples:\n  watari status\n  watari status reservations-staging --json");
  verb->callback([options, &run] { run = [options] { return finish(status(*options)); }; });
}

}  // namespace watari::cli
