#include "cli/up/footprint.h"

#include "cli/services.h"
#include "cli/up/definition.h"
#include "cli/up/network.h"

namespace watari::cli::up {

using codec::Json;

namespace {

bool forwards_to(const Json& listener, const Names& groups) {
  for (const auto& action : listener["DefaultActions"].as_array()) {
    if (groups.contains(action["TargetGroupArn"].as_string())) return true;
    for (const auto& group : action["ForwardConfig"]["TargetGroups"].as_array())
      if (groups.contains(group["TargetGroupArn"].as_string())) return true;
  }
  return false;
}

class Finder {
 public:
  Finder(Client& client, const App& app, const Names& only) : client_(client), app_(app), only_(only) {}

  Result<Footprint> run() {
    found_.whole = only_.empty();
    TRY_VOID(find_services());
    TRY_VOID(find_families());
    TRY_VOID(find_target_groups());
    TRY_VOID(find_balancer());
    if (only_.empty()) TRY_VOID(find_groups());
    TRY_VOID(find_volumes());
    return std::move(found_);
  }

 private:
  bool wanted(const std::string& full_name) const { return only_.empty() || only_.contains(full_name); }

  Result<void> find_services() {
    for (const auto& service : app_.services)
      if (wanted(app_.full_name(service.name))) names_.insert(app_.full_name(service.name));
    TRY(auto described, client_.call("ecs", "DescribeClusters", Json::object({{"clusters", Json::array({app_.cluster()})}})));
    for (const auto& cluster : described["clusters"].as_array())
      if (cluster["status"].as_string() == "ACTIVE") found_.cluster = app_.cluster();
    if (found_.cluster.empty()) return {};
    TRY(auto services, describe_services(client_, found_.cluster));
    for (const auto& service : services.as_array()) {
      const auto& name = service["serviceName"].as_string();
      if (!wanted(name)) continue;
      found_.services.insert(name);
      names_.insert(name);
      definitions_.insert(service["taskDefinition"].as_string());
    }
    if (!only_.empty()) return {};
    TRY(auto tasks, describe_tasks(client_, found_.cluster, "", false));
    for (const auto& task : tasks.as_array())
      if (!task["group"].as_string().starts_with("service:")) found_.tasks.insert(task["taskArn"].as_string());
    return {};
  }

  // Of services that are gone already, too.
  Result<void> find_families() {
    for (const auto& name : names_)
      for (auto family : {name, name + "-before"}) {
        TRY(auto list, client_.call("ecs", "ListTaskDefinitions", Json::object({{"familyPrefix", family}, {"maxResults", 1}})));
        if (!list["taskDefinitionArns"].as_array().empty()) found_.families.insert(family);
      }
    return {};
  }

  Result<void> find_target_groups() {
    for (const auto& name : names_)
      for (auto suffix : {"-blue", "-green"}) {
        auto request = Json::object({{"Names", Json::array({short_name(name, suffix)})}});
        TRY(auto answer, unless(client_.call("elbv2", "DescribeTargetGroups", request), {"TargetGroupNotFound"}));
        for (const auto& group : answer["TargetGroups"].as_array()) found_.target_groups.insert(group["TargetGroupArn"].as_string());
      }
    return {};
  }

  Result<void> find_balancer() {
    auto request = Json::object({{"Names", Json::array({short_name(app_.cluster(), "")})}});
    TRY(auto answer, unless(client_.call("elbv2", "DescribeLoadBalancers", request), {"LoadBalancerNotFound"}));
    for (const auto& balancer : answer["LoadBalancers"].as_array()) {
      TRY(auto listeners, client_.call("elbv2", "DescribeListeners", Json::object({{"LoadBalancerArn", balancer["LoadBalancerArn"]}})));
      for (const auto& listener : listeners["Listeners"].as_array())
        if (only_.empty() || forwards_to(listener, found_.target_groups)) found_.listeners.insert(listener["ListenerArn"].as_string());
      if (only_.empty()) found_.balancer = balancer["LoadBalancerArn"].as_string();
    }
    return {};
  }

  // The tasks' group names the load balancers' group in a rule, so it goes first.
  Result<void> find_groups() {
    for (const auto& name : {app_.cluster(), app_.cluster() + "-balancers"}) {
      auto filter = Json::object({{"Name", "group-name"}, {"Value", Json::array({name})}});
      TRY(auto answer, client_.call("ec2", "DescribeSecurityGroups", Json::object({{"Filter", Json::array({filter})}})));
      for (const auto& group : answer["securityGroupInfo"].as_array()) found_.groups.push_back(group["groupId"].as_string());
    }
    return {};
  }

  // Those that the file names, and those of what is deployed.
  Result<void> find_volumes() {
    Names named;
    for (const auto& service : app_.services)
      for (const auto& container : service.containers)
        for (const auto& mount : container.volumes)
          if (wanted(app_.full_name(service.name))) named.insert(volume_name(app_, mount.volume));
    for (const auto& definition : definitions_) {
      TRY(auto answer, client_.call("ecs", "DescribeTaskDefinition", Json::object({{"taskDefinition", definition}})));
      for (const auto& volume : answer["taskDefinition"]["volumes"].as_array()) named.insert(volume["name"].as_string());
    }
    TRY(auto answer, client_.call("watari", "ListVolumes"));
    for (const auto& volume : answer["volumes"].as_array())
      if (named.contains(volume["name"].as_string())) found_.volumes.insert(volume["name"].as_string());
    return {};
  }

  Client& client_;
  const App& app_;
  const Names& only_;
  Names names_;        // of services, those that are gone too
  Names definitions_;  // ARNs of what is deployed
  Footprint found_;
};

}  // namespace

Result<Footprint> find_footprint(Client& client, const App& app, const Names& only) { return Finder(client, app, only).run(); }

Result<Json> unless(Result<Json> answer, std::initializer_list<std::string_view> errors) {
  if (answer) return answer;
  for (auto name : errors)
    if (answer.error().reason == name) return Json();
  return answer;
}

}  // namespace watari::cli::up
