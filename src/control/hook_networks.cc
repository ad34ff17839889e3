#include "control/hook_networks.h"

#include <algorithm>

#include "control/network.h"
#include "model/cidr.h"

namespace watari::control {
namespace {

// As launch.cc says: tasks of a service without a namespace are in the one that is called as their cluster.
std::string namespace_of(const std::string& cluster, const model::ServiceRevision& revision) {
  return revision.names_namespace.empty() ? cluster : revision.names_namespace;
}

// A task that stands behind the name, healthy since longest; empty when there is none.
std::string address_of(const State& state, const model::Deployment& deployment, const std::string& vpc, const std::string& name) {
  auto space = namespace_of(deployment.cluster, deployment.target);
  std::optional<model::Task> oldest;
  state.tasks.each(scope_prefix(deployment.scope), [&](const std::string&, const model::Task& task) {
    if (task.service.empty() || task.vpc != vpc || task.desired_stopped || task.status.state != model::TaskState::Running || !task.healthy_at) return;
    if (oldest && *oldest->healthy_at <= *task.healthy_at) return;
    const auto* service = state.services.find(service_key(task.scope, task.cluster, task.service));
    if (!service || namespace_of(service->cluster, service->target) != space) return;
    if (std::ranges::count(service->target.names, name, &model::ServiceName::dns_name)) oldest = task;
  });
  return oldest ? oldest->address : "";
}

std::optional<model::Vpc> vpc_of(const State& state, const model::Deployment& deployment) {
  const auto& subnets = deployment.target.network.subnets;
  if (subnets.empty()) return std::nullopt;
  auto subnet = find_subnet(state, deployment.scope, subnets.front());
  if (!subnet) return std::nullopt;
  auto vpc = find_vpc(state, deployment.scope, subnet->vpc);
  return vpc ? std::optional(*vpc) : std::nullopt;
}

}  // namespace

std::optional<InsidePlace> place_inside(const State& state, const HookCall& call) {
  auto start = call.url.find("://");
  auto vpc = vpc_of(state, call.deployment);
  if (start == std::string::npos || !vpc) return std::nullopt;
  start += 3;
  auto host = call.url.substr(start, call.url.find_first_of(":/?", start) - start);
  if (auto address = model::parse_ipv4(host)) {
    auto range = model::parse_cidr(vpc->cidr);
    return range && range->contains(*address) ? std::optional(InsidePlace{*vpc, call.url}) : std::nullopt;
  }
  auto address = address_of(state, call.deployment, vpc->id, host);
  if (address.empty()) return std::nullopt;
  return InsidePlace{*vpc, call.url.substr(0, start) + address + call.url.substr(start + host.size())};
}

}  // namespace watari::control
