// What would keep a deployment from succeeding, found by looking.
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "base/strings.h"
#include "control/launch.h"
#include "control/network.h"
#include "control/preview.h"
#include "control/services.h"
#include "model/cidr.h"

namespace watari::control {
namespace {

using Problems = std::vector<Problem>;

void block(Problems& out, std::string code, std::string subject, std::string message, std::string advice) {
  out.push_back({true, std::move(code), std::move(subject), std::move(message), std::move(advice)});
}
void warn(Problems& out, std::string code, std::string subject, std::string message, std::string advice) {
  out.push_back({false, std::move(code), std::move(subject), std::move(message), std::move(advice)});
}

const model::ContainerDefinition* container_named(const model::TaskDefinition& definition, const std::string& name) {
  auto found = std::ranges::find(definition.containers, name, &model::ContainerDefinition::name);
  return found == definition.containers.end() ? nullptr : &*found;
}

void check_container(Control& control, const Proposal& proposal, const model::ContainerDefinition& container, Problems& out) {
  auto subject = "container " + container.name;
  if (auto digest = control.image_digest(container.image); !digest)
    block(out, "IMAGE_NOT_FOUND", subject, digest.error().message, "push the image, or name one that is there (`watari images`)");
  for (const auto& secret : container.secrets)
    if (auto value = proposal.secret(secret.value_from); !value)
      block(out, "SECRET_NOT_FOUND", subject, fmt::format("{}: {}: {}", secret.name, secret.value_from, value.error().message),
            fmt::format("watari param put {} VALUE", secret.value_from));
  auto task_memory = parse_number<std::int64_t>(proposal.definition.memory);
  if (container.memory_mib && task_memory && *container.memory_mib > *task_memory)
    block(out, "MEMORY", subject, fmt::format("its limit of {} MiB is above the task's {} MiB", *container.memory_mib, *task_memory), "raise the task's memory");
  if (container.health_check && container.health_check->timeout > container.health_check->interval)
    warn(out, "HEALTH_CHECK", subject, fmt::format("its health check may take {} s but is run every {} s", container.health_check->timeout.count(),
                                                   container.health_check->interval.count()), "set timeout below interval");
}

// One network namespace a task: two containers cannot listen on the same port.
void check_ports(const model::TaskDefinition& definition, Problems& out) {
  std::map<std::pair<int, std::string>, std::string> users;
  for (const auto& container : definition.containers)
    for (const auto& port : container.ports) {
      auto [user, first] = users.emplace(std::pair(port.container_port, port.protocol), container.name);
      if (!first && user->second != container.name)
        block(out, "PORT_TAKEN", "container " + container.name, fmt::format("port {} is {}'s already; containers of a task share their network", port.container_port,
                                                                            user->second), "give one of them another port");
    }
}

std::set<std::string> balancers_of(const State& state, const std::string& target_group) {
  std::set<std::string> out;
  state.rules.each("", [&](const std::string&, const model::Rule& rule) {
    if (!std::ranges::count(rule.action.forward, target_group, &model::WeightedTargetGroup::target_group)) return;
    if (const auto* listener = state.listeners.find(rule.listener)) out.insert(listener->load_balancer);
  });
  return out;
}

bool admits(const model::SecurityRule& rule, int port, const std::vector<std::string>& peer_groups, std::uint32_t peer) {
  if (rule.protocol != "-1" && rule.protocol != "tcp") return false;
  if (rule.protocol == "tcp" && !(rule.from_port <= port && port <= rule.to_port) && rule.from_port >= 0) return false;
  if (!rule.group.empty()) return std::ranges::count(peer_groups, rule.group) > 0;
  auto cidr = model::parse_cidr(rule.cidr);
  return cidr && cidr->contains(peer);
}

// Does a packet of the load balancers (the VPC's node address) get to `port` of a task?
void check_path(const State& state, const Proposal& proposal, const model::Vpc& vpc, int port, Problems& out) {
  auto cidr = model::parse_cidr(vpc.cidr);
  if (!cidr) return;
  auto node = cidr->base + 1;
  auto security = security_of(state, vpc);
  const auto& node_groups = security.groups_of_address[model::ipv4_text(node)];
  std::vector<std::string> task_groups = proposal.service.target.network.security_groups;
  auto model_group = [&](const std::string& id) { return state.security_groups.find(network_key(vpc.scope, id)); };
  bool in = std::ranges::any_of(task_groups, [&](const std::string& id) {
    const auto* group = model_group(id);
    return group && std::ranges::any_of(group->ingress, [&](const auto& rule) { return admits(rule, port, node_groups, node); });
  });
  if (!in)
    block(out, "SECURITY_GROUP", join(task_groups, ", "), fmt::format("no rule lets the load balancer (security groups {}) reach port {} of the tasks", join(node_groups, ", "), port),
          fmt::format("authorize tcp {} from the load balancer's group in a group of the tasks", port));
  bool leaves = node_groups.empty();
  for (const auto& id : node_groups)
    if (const auto* group = model_group(id))
      leaves |= std::ranges::any_of(group->egress, [&](const auto& rule) {
        if (rule.group.empty()) return admits(rule, port, {}, cidr->base + 5);
        return admits(rule, port, task_groups, node);
      });
  if (in && !leaves)
    block(out, "SECURITY_GROUP", join(node_groups, ", "), fmt::format("no rule lets the load balancer send to port {}", port), "authorize egress to the tasks in the load balancer's group");
}

void check_probe(const model::TargetGroup& group, const model::ContainerDefinition& container, int port, Problems& out) {
  const auto& check = group.health_check;
  auto subject = "target group " + group.name;
  if (check.timeout >= check.interval) warn(out, "HEALTH_CHECK", subject, "its timeout is not below its interval", "lower the timeout");
  if (check.protocol != "TCP" && !check.path.starts_with('/')) block(out, "HEALTH_CHECK", subject, fmt::format("its path {} does not begin with /", check.path), "write /" + check.path);
  auto probed = check.port == "traffic-port" ? std::optional(port) : parse_number<int>(check.port);
  if (!probed || !std::ranges::count(container.ports, *probed, &model::PortMapping::container_port))
    block(out, "HEALTH_CHECK", subject, fmt::format("it probes port {}, which container {} does not have", check.port, container.name), "probe traffic-port, or map that port");
}

void check_balancer(const State& state, const Proposal& proposal, const model::ServiceLoadBalancer& balancer, Problems& out) {
  const auto* container = container_named(proposal.definition, balancer.container);
  if (!container)
    return block(out, "CONTAINER_NOT_FOUND", "load balancer", fmt::format("the service's target group expects a container {}, which the new task definition does not have", balancer.container),
                 "keep the container's name, or change loadBalancers of the service");
  if (!std::ranges::count(container->ports, balancer.container_port, &model::PortMapping::container_port))
    block(out, "PORT_NOT_MAPPED", "container " + container->name, fmt::format("the load balancer expects port {}, which is not in its portMappings", balancer.container_port),
          "add the port mapping");
  bool shifts = proposal.service.configuration.strategy != model::Strategy::Rolling;
  std::vector<std::string> groups = {balancer.target_group};
  if (shifts) groups.push_back(balancer.alternate_target_group);
  bool served = false;
  for (const auto& arn : groups) {
    const auto* group = state.target_groups.find(arn);
    if (!group) {
      block(out, "TARGET_GROUP_NOT_FOUND", arn.empty() ? "alternateTargetGroupArn" : arn, arn.empty() ? "the strategy swaps between two target groups, and the second is not given" : "the target group does not exist (any more)",
            "make it and name it in loadBalancers of the service");
      continue;
    }
    served |= !balancers_of(state, arn).empty();
    check_probe(*group, *container, balancer.container_port, out);
    if (const auto* vpc = state.vpcs.find(network_key(group->scope, group->vpc))) check_path(state, proposal, *vpc, balancer.container_port, out);
  }
  if (!served) block(out, "NO_LISTENER", "target group " + balancer.target_group, "no listener forwards to it, so nobody reaches the tasks", "add a listener or a rule that forwards to it");
  for (bool test : {false, true})
    for (const auto& rule : balancer.rules(test))
      if (shifts && !state.rules.has(rule)) block(out, "RULE_NOT_FOUND", rule, "the listener rule does not exist (any more)", "name an existing rule in advancedConfiguration");
  if (shifts && balancer.rules(false).empty())
    block(out, "RULE_NOT_FOUND", "productionListenerRule", "the strategy moves the traffic of a listener rule, and none is given", "set advancedConfiguration.productionListenerRule");
}

}  // namespace

void check_definition(Control& control, const Proposal& proposal, Problems& out) {
  const auto& definition = proposal.definition;
  if (!definition.active)
    block(out, "INACTIVE", fmt::format("{}:{}", definition.family, definition.revision), "the task definition is deregistered", "register it again");
  for (const auto& container : definition.containers) check_container(control, proposal, container, out);
  check_ports(definition, out);
  std::error_code error;
  for (const auto& volume : definition.volumes)
    if (!volume.host_path.empty() && !std::filesystem::exists(volume.host_path, error))
      block(out, "PATH_NOT_FOUND", "volume " + volume.name, volume.host_path + " does not exist on the host", "make the directory, or use a volume without host.sourcePath");
  for (const auto& role : {definition.execution_role, definition.task_role}) {
    auto name = role.substr(role.rfind('/') + 1);
    if (!role.empty() && !control.state().roles.has(definition.scope.account + "/" + name))
      warn(out, "ROLE_NOT_FOUND", role, "there is no such role; roles are shown, not enforced, so the tasks start all the same", "aws iam create-role, for tools that look it up");
  }
}

void check_balancing(Control& control, const Proposal& proposal, Problems& out) {
  for (const auto& balancer : proposal.service.target.load_balancers) check_balancer(control.state(), proposal, balancer, out);
}

void check_room(Control& control, const Proposal& proposal, const Host& host, Problems& out) {
  const auto& service = proposal.service;
  const auto& state = control.state();
  auto network = service.target.network;
  auto placed = complete_placement(state, service.scope, network);
  if (!placed) block(out, "NETWORK", "network configuration", placed.error().message, "name subnets and security groups that exist, of one VPC");
  int running = 0;
  state.tasks.each(service_key(service.scope, service.cluster, ""), [&](const std::string&, const model::Task& task) {
    running += task.service == service.name && task.status.state != model::TaskState::Stopped;
  });
  auto more = std::max(0, std::max(peak_tasks(service), service.desired_count) - running);
  std::uint64_t free = 0;
  for (const auto& id : network.subnets)
    if (const auto* subnet = state.subnets.find(network_key(service.scope, id))) free += free_addresses(state, *subnet);
  if (placed && free < static_cast<std::uint64_t>(more))
    block(out, "NO_ADDRESS", join(network.subnets, ", "), fmt::format("{} addresses are free, and up to {} more tasks run at once", free, more), "add a subnet, or lower the desired count");
  auto needs = reserved_by(proposal.definition);
  if (needs.cpu_units > host.cpu_units)
    block(out, "CPU", proposal.definition.family, fmt::format("a task wants {} CPU units; this machine has {}", needs.cpu_units, host.cpu_units), "lower cpu of the task definition");
  if (needs.memory_mib * std::max(1, service.desired_count) > host.memory_mib)
    block(out, "MEMORY", proposal.definition.family, fmt::format("{} tasks of {} MiB do not fit into this machine's {} MiB", std::max(1, service.desired_count), needs.memory_mib, host.memory_mib),
          "lower memory or the desired count");
  else if (needs.memory_mib * peak_tasks(service) > host.memory_mib)
    warn(out, "MEMORY", proposal.definition.family, fmt::format("while it deploys, {} tasks of {} MiB may want more than this machine's {} MiB", peak_tasks(service), needs.memory_mib, host.memory_mib),
         "lower maximumPercent");
}

void check_strategy(Control& control, const Proposal& proposal, Problems& out) {
  const auto& service = proposal.service;
  const auto& configuration = service.configuration;
  bool shifts = configuration.strategy != model::Strategy::Rolling;
  if (shifts && service.target.load_balancers.empty())
    block(out, "NO_LOAD_BALANCER", service.name, fmt::format("{} moves traffic, and the service has no load balancer", name_of(configuration.strategy)), "use ROLLING, or add loadBalancers");
  if (!shifts && service.desired_count > 0) {
    int most = peak_tasks(service), least = (service.desired_count * configuration.minimum_healthy_percent + 99) / 100;
    if (most <= service.desired_count && least >= service.desired_count)
      block(out, "BLOCKED", service.name, fmt::format("with {} tasks wanted, minimumHealthyPercent {} lets none stop and maximumPercent {} lets none more start", service.desired_count,
                                                      configuration.minimum_healthy_percent, configuration.maximum_percent), "raise maximumPercent or lower minimumHealthyPercent");
  }
  if (configuration.alarms.enable)
    for (const auto& name : configuration.alarms.names) {
      const auto* alarm = control.state().alarms.find(alarm_key(service.scope, name));
      if (!alarm && !configuration.alarms.ignore_poll_failure) block(out, "ALARM", name, "the deployment alarm does not exist", "make it, or take it out of deploymentConfiguration.alarms");
      if (alarm && alarm->state == "ALARM") block(out, "ALARM", name, "the alarm is in ALARM state: the deployment would fail at once", "wait until it is OK");
    }
  auto past = deployments_of(control.state(), service);
  if (!past.empty() && in_progress(past.back().status))
    warn(out, "IN_PROGRESS", past.back().id,
         service.controller == "CODE_DEPLOY" ? "a deployment is under way; this one would wait behind it" : "a deployment is under way; this one would take its place",
         "wait for it (`watari deployments " + service.name + "`)");
}

}  // namespace watari::control
