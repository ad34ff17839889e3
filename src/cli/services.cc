#include "cli/services.h"

#include <algorithm>
#include <map>

#include "base/strings.h"

namespace watari::cli {
namespace {

using codec::Json;

// Describe calls take a limited number of names at a time.
Result<Json> describe(Client& client, const std::string& operation, const Json& base, const std::string& input,
                      const std::string& output, const Json& arns, std::size_t limit) {
  auto all = Json::array();
  for (std::size_t i = 0; i < arns.as_array().size(); i += limit) {
    auto names = Json::array();
    for (std::size_t j = i; j < std::min(i + limit, arns.as_array().size()); ++j) names.push(arns.as_array()[j]);
    auto request = base;
    request.set(input, names);
    TRY(auto answer, client.call("ecs", operation, request));
    for (const auto& item : answer[output].as_array()) all.push(item);
  }
  return all;
}

bool is_hex(const std::string& text) { return text.find_first_not_of("0123456789abcdef") == std::string::npos; }

bool names_service(const std::string& service, const std::string& name) { return service == name || service.ends_with("-" + name); }

}  // namespace

Result<std::vector<std::string>> cluster_names(Client& client) {
  TRY(auto arns, client.call_all("ecs", "ListClusters", Json::object(), "clusterArns"));
  std::vector<std::string> names;
  for (const auto& arn : arns.as_array()) names.push_back(name_of_arn(arn.as_string()));
  return names;
}

Result<Json> describe_services(Client& client, const std::string& cluster) {
  TRY(auto arns, client.call_all("ecs", "ListServices", Json::object({{"cluster", cluster}}), "serviceArns"));
  TRY(auto services, describe(client, "DescribeServices", Json::object({{"cluster", cluster}}), "services", "services", arns, 10));
  auto active = Json::array();
  for (const auto& service : services.as_array())
    if (service["status"].as_string() != "INACTIVE") active.push(service);
  return active;
}

Result<Json> describe_tasks(Client& client, const std::string& cluster, const std::string& service, bool stopped) {
  auto request = Json::object({{"cluster", cluster}, {"desiredStatus", stopped ? "STOPPED" : "RUNNING"}});
  if (!service.empty()) request.set("serviceName", service);
  TRY(auto arns, client.call_all("ecs", "ListTasks", request, "taskArns"));
  return describe(client, "DescribeTasks", Json::object({{"cluster", cluster}}), "tasks", "tasks", arns, 100);
}

Result<Found> find_by_name(Client& client, const std::string& name, const std::string& only_cluster) {
  std::vector<std::string> clusters;
  if (only_cluster.empty()) {
    TRY(clusters, cluster_names(client));
  } else {
    clusters = {only_cluster};
  }
  std::vector<Found> exact, found;
  std::vector<std::string> there;
  for (const auto& cluster : clusters) {
    TRY(auto services, describe_services(client, cluster));
    for (const auto& service : services.as_array()) {
      auto full = service["serviceName"].as_string();
      there.push_back(full);
      Found match{cluster, full, {}, service["taskDefinition"].as_string()};
      if (full == name) exact.push_back(match);
      else if (names_service(full, name)) found.push_back(match);
    }
    if (name.size() < 4 || !is_hex(name)) continue;
    for (bool stopped : {false, true}) {
      TRY(auto tasks, describe_tasks(client, cluster, "", stopped));
      for (const auto& task : tasks.as_array())
        if (name_of_arn(task["taskArn"].as_string()).starts_with(name))
          found.push_back({cluster, "", task, task["taskDefinitionArn"].as_string()});
    }
  }
  if (exact.size() == 1) return exact[0];
  if (exact.empty() && found.size() == 1) return found[0];
  if (exact.size() + found.size() > 1) {
    std::vector<std::string> names;
    for (const auto& match : exact.empty() ? found : exact)
      names.push_back(match.service.empty() ? name_of_arn(match.task["taskArn"].as_string()) : match.service + " in " + match.cluster);
    return fail(Code::Conflict, "{} may mean {}: say which (--cluster)", name, join(names, ", "));
  }
  return fail(Code::NotFound, "no service or task is called {}; {}", name,
              there.empty() ? "there is none yet: `watari up` starts an application" : "there are " + join(there, ", "));
}

Result<std::vector<LogPlace>> log_places(Client& client, const std::string& task_definition) {
  TRY(auto answer, client.call("ecs", "DescribeTaskDefinition", Json::object({{"taskDefinition", task_definition}})));
  std::vector<LogPlace> places;
  for (const auto& container : answer["taskDefinition"]["containerDefinitions"].as_array()) {
    const auto& log = container["logConfiguration"]["options"];
    if (!log["awslogs-group"].as_string().empty())
      places.push_back({container["name"].as_string(), log["awslogs-group"].as_string(), log["awslogs-stream-prefix"].as_string()});
  }
  return places;
}

Result<std::vector<LogEvent>> read_logs(Client& client, const std::vector<LogPlace>& places, const std::string& task, std::int64_t since) {
  std::multimap<std::int64_t, LogEvent> events;  // keeps the order of lines of the same millisecond
  for (const auto& place : places) {
    auto request = Json::object({{"logGroupName", place.group}, {"startTime", since}});
    auto stream = (place.prefix.empty() ? "" : place.prefix + "/") + place.container + "/";
    request.set("logStreamNamePrefix", stream + task);
    auto page = client.call_all("logs", "FilterLogEvents", request, "events");
    if (!page && page.error().code == Code::NotFound) continue;  // nothing has been written yet
    if (!page) return fail(page.error());
    for (const auto& event : page->as_array())
      events.emplace(event["timestamp"].as_int(),
                     LogEvent{event["timestamp"].as_int(), event["eventId"].as_string(), place.container,
                              name_of_arn(event["logStreamName"].as_string()), event["message"].as_string()});
  }
  std::vector<LogEvent> sorted;
  for (auto& [at, event] : events) sorted.push_back(std::move(event));
  return sorted;
}

}  // namespace watari::cli
