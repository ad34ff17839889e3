#include "cli/up/network.h"

#include "base/digest.h"
#include "base/strings.h"

namespace watari::cli::up {

using codec::Json;

namespace {

Json filter(const char* name, const std::string& value) {
  return Json::object({{"Name", name}, {"Value", Json::array({value})}});
}

Result<std::string> ensure_group(Client& client, const std::string& vpc, const std::string& name, const std::string& description) {
  TRY(auto found, client.call("ec2", "DescribeSecurityGroups",
                              Json::object({{"Filter", Json::array({filter("group-name", name), filter("vpc-id", vpc)})}})));
  const auto& groups = found["securityGroupInfo"].as_array();
  if (!groups.empty()) return groups[0]["groupId"].as_string();
  TRY(auto made, client.call("ec2", "CreateSecurityGroup",
                             Json::object({{"GroupName", name}, {"GroupDescription", description}, {"VpcId", vpc}})));
  return made["groupId"].as_string();
}

Result<void> allow(Client& client, const std::string& group, Json permission) {
  auto done = client.call("ec2", "AuthorizeSecurityGroupIngress",
                          Json::object({{"GroupId", group}, {"IpPermissions", Json::array({std::move(permission)})}}));
  if (!done && done.error().reason != "InvalidPermission.Duplicate") return fail(done.error());
  return {};
}

Json from_group(const std::string& group) {
  return Json::object({{"IpProtocol", "-1"}, {"Groups", Json::array({Json::object({{"GroupId", group}})})}});
}

Json from_everywhere(int port) {
  return Json::object({{"IpProtocol", "tcp"}, {"FromPort", port}, {"ToPort", port},
                       {"IpRanges", Json::array({Json::object({{"CidrIp", "0.0.0.0/0"}})})}});
}

// The application's tasks reach each other and are reached by its load balancer, and by nobody else.
Result<void> ensure_groups(Client& client, const App& app, Network& network) {
  TRY(auto found, client.call("ec2", "DescribeSubnets", Json::object({{"Filter", Json::array({filter("default-for-az", "true")})}})));
  network.subnets = Json::array();
  for (const auto& subnet : found["subnetSet"].as_array()) {
    network.subnets.push(subnet["subnetId"]);
    network.vpc = subnet["vpcId"].as_string();
  }
  if (network.vpc.empty()) return fail(Code::FailedPrecondition, "the region has no default subnets: `aws ec2 create-default-vpc` makes them");
  TRY(network.tasks, ensure_group(client, network.vpc, app.cluster(), "Tasks of " + app.cluster()));
  TRY(network.balancers, ensure_group(client, network.vpc, app.cluster() + "-balancers", "Load balancers of " + app.cluster()));
  TRY_VOID(allow(client, network.tasks, from_group(network.tasks)));
  TRY_VOID(allow(client, network.tasks, from_group(network.balancers)));
  for (const auto& service : app.services)
    if (service.load_balancer) TRY_VOID(allow(client, network.balancers, from_everywhere(service.load_balancer->port)));
  return {};
}

Result<Json> find_one(Client& client, const std::string& operation, Json request, const std::string& list, const std::string& none) {
  auto found = client.call("elbv2", operation, std::move(request));
  if (!found && found.error().reason == none) return Json();
  if (!found) return fail(found.error());
  const auto& items = (*found)[list].as_array();
  return items.empty() ? Json() : items[0];
}

// Attributes that differ from what is wanted.
Json differing(const Json& described, const std::vector<std::pair<std::string, std::string>>& wanted) {
  auto changes = Json::array();
  for (const auto& [key, value] : wanted) {
    bool same = false;
    for (const auto& attribute : described.as_array())
      same = same || (attribute["Key"].as_string() == key && attribute["Value"].as_string() == value);
    if (!same) changes.push(Json::object({{"Key", key}, {"Value", value}}));
  }
  return changes;
}

Result<Json> ensure_balancer(Client& client, const App& app, const Network& network, Seconds idle_timeout) {
  auto name = short_name(app.cluster(), "");
  TRY(auto balancer, find_one(client, "DescribeLoadBalancers", Json::object({{"Names", Json::array({name})}}), "LoadBalancers",
                              "LoadBalancerNotFound"));
  if (balancer.is_null()) {
    TRY(auto made, client.call("elbv2", "CreateLoadBalancer",
                               Json::object({{"Name", name}, {"Subnets", network.subnets},
                                             {"SecurityGroups", Json::array({network.balancers})}, {"Type", "application"}})));
    balancer = made["LoadBalancers"].as_array().at(0);
  }
  auto arn = Json::object({{"LoadBalancerArn", balancer["LoadBalancerArn"]}});
  TRY(auto described, client.call("elbv2", "DescribeLoadBalancerAttributes", arn));
  auto changes = differing(described["Attributes"], {{"idle_timeout.timeout_seconds", std::to_string(idle_timeout.count())}});
  if (!changes.as_array().empty()) {
    arn.set("Attributes", changes);
    TRY_VOID(client.call("elbv2", "ModifyLoadBalancerAttributes", arn));
  }
  return balancer;
}

Json health_of(const LoadBalancer& b) {
  return Json::object({{"HealthCheckProtocol", "HTTP"}, {"HealthCheckPath", b.health_path},
                       {"HealthCheckIntervalSeconds", b.health_interval.count()}, {"HealthCheckTimeoutSeconds", b.health_timeout.count()},
                       {"HealthyThresholdCount", b.healthy}, {"UnhealthyThresholdCount", b.unhealthy},
                       {"Matcher", Json::object({{"HttpCode", b.health_codes}})}});
}

bool same_health(const Json& described, const Json& wanted) {
  for (const auto& [name, value] : wanted.as_object()) {
    auto text = [](const Json& json) { return json.is_object() ? json["HttpCode"].as_string() : json.is_string() ? json.as_string() : json.dump(); };
    if (text(described[name]) != text(value)) return false;
  }
  return true;
}

// The port and VPC of a target group cannot be changed; a container port is given with each target, so the group's does not matter.
Result<std::string> ensure_target_group(Client& client, const std::string& name, const std::string& vpc, const LoadBalancer& b) {
  TRY(auto group, find_one(client, "DescribeTargetGroups", Json::object({{"Names", Json::array({name})}}), "TargetGroups", "TargetGroupNotFound"));
  auto health = health_of(b);
  if (group.is_null()) {
    auto request = health;
    for (const auto& [key, value] : Json::object({{"Name", name}, {"Protocol", "HTTP"}, {"Port", b.container_port}, {"VpcId", vpc}, {"TargetType", "ip"}}).as_object())
      request.set(key, value);
    TRY(auto made, client.call("elbv2", "CreateTargetGroup", request));
    group = made["TargetGroups"].as_array().at(0);
  } else if (!same_health(group, health)) {
    health.set("TargetGroupArn", group["TargetGroupArn"]);
    TRY_VOID(client.call("elbv2", "ModifyTargetGroup", health));
  }
  auto arn = Json::object({{"TargetGroupArn", group["TargetGroupArn"]}});
  TRY(auto described, client.call("elbv2", "DescribeTargetGroupAttributes", arn));
  auto changes = differing(described["Attributes"],
                           {{"deregistration_delay.timeout_seconds", std::to_string(b.deregistration_delay.count())}});
  if (!changes.as_array().empty()) {
    arn.set("Attributes", changes);
    TRY_VOID(client.call("elbv2", "ModifyTargetGroupAttributes", arn));
  }
  return group["TargetGroupArn"].as_string();
}

// The group that has the traffic now, so that a new port begins where the others are.
Result<std::string> live_group(Client& client, const App& app, const Service& service, const Balanced& balanced) {
  TRY(auto answer, client.call("ecs", "DescribeServices",
                               Json::object({{"cluster", app.cluster()}, {"services", Json::array({app.full_name(service.name)})}})));
  for (const auto& described : answer["services"].as_array())
    for (const auto& entry : described["loadBalancers"].as_array())
      if (entry["targetGroupArn"].as_string() == balanced.green) return balanced.green;
  return balanced.blue;
}

bool forwards_to(const Json& listener, const Balanced& balanced) {
  for (const auto& action : listener["DefaultActions"].as_array()) {
    if (action["TargetGroupArn"].as_string() == balanced.blue || action["TargetGroupArn"].as_string() == balanced.green) return true;
    for (const auto& group : action["ForwardConfig"]["TargetGroups"].as_array())
      if (group["TargetGroupArn"].as_string() == balanced.blue || group["TargetGroupArn"].as_string() == balanced.green) return true;
  }
  return false;
}

Result<Balanced> ensure_balanced(Client& client, const App& app, const Service& service, const Network& network, const Json& balancer,
                                 Progress& progress) {
  const auto& b = *service.load_balancer;
  Balanced out;
  auto name = app.full_name(service.name);
  TRY(out.blue, ensure_target_group(client, short_name(name, "-blue"), network.vpc, b));
  TRY(out.green, ensure_target_group(client, short_name(name, "-green"), network.vpc, b));
  TRY(auto listeners, client.call("elbv2", "DescribeListeners", Json::object({{"LoadBalancerArn", balancer["LoadBalancerArn"]}})));
  Json listener;
  for (const auto& item : listeners["Listeners"].as_array()) {
    auto port = parse_number<int>(item["Port"].as_string()).value_or(0);
    if (port == b.port) listener = item;
    else if (forwards_to(item, out)) out.former_listeners.emplace_back(port, item["ListenerArn"].as_string());
  }
  if (listener.is_null()) {
    TRY(auto live, live_group(client, app, service, out));
    auto forward = Json::object({{"Type", "forward"}, {"TargetGroupArn", live}});
    TRY(auto made, client.call("elbv2", "CreateListener",
                               Json::object({{"LoadBalancerArn", balancer["LoadBalancerArn"]}, {"Protocol", "HTTP"}, {"Port", b.port},
                                             {"DefaultActions", Json::array({forward})}})));
    listener = made["Listeners"].as_array().at(0);
    progress.line(service.name, fmt::format("listens on port {}", b.port));
  }
  TRY(auto rules, client.call("elbv2", "DescribeRules", Json::object({{"ListenerArn", listener["ListenerArn"]}})));
  for (const auto& rule : rules["Rules"].as_array())
    if (rule["IsDefault"].as_string() == "true") out.production_rule = rule["RuleArn"].as_string();
  out.url = fmt::format("http://{}:{}", balancer["DNSName"].as_string(), b.port);
  return out;
}

}  // namespace

std::string short_name(const std::string& name, const std::string& suffix) {
  if (name.size() + suffix.size() <= 32) return name + suffix;
  auto kept = name.substr(0, 32 - suffix.size() - 7);
  while (kept.ends_with('-')) kept.pop_back();
  return kept + "-" + sha256_hex(name).substr(0, 6) + suffix;
}

Result<Network> ensure_network(Client& client, const App& app, Progress& progress) {
  TRY_VOID(client.call("ecs", "CreateCluster", Json::object({{"clusterName", app.cluster()}})));  // an existing one is left as it is
  Network network;
  TRY_VOID(ensure_groups(client, app, network));
  Json balancer;
  for (const auto& service : app.services) {
    if (!service.load_balancer) continue;
    if (balancer.is_null()) {
      TRY(balancer, ensure_balancer(client, app, network, service.load_balancer->idle_timeout));
    }
    TRY(network.balanced[service.name], ensure_balanced(client, app, service, network, balancer, progress));
  }
  return network;
}

Result<void> close_former_listeners(Client& client, const Network& network, Progress& progress) {
  for (const auto& [service, balanced] : network.balanced)
    for (const auto& [port, arn] : balanced.former_listeners) {
      TRY_VOID(client.call("elbv2", "DeleteListener", Json::object({{"ListenerArn", arn}})));
      progress.line(service, fmt::format("listens no longer on port {}", port));
    }
  return {};
}

}  // namespace watari::cli::up
