#include "control/hook_networks.h"

#include "control/network.h"
#include "model/cidr.h"

namespace watari::control {

std::optional<model::Vpc> vpc_to_call_from(const State& state, const HookCall& call) {
  auto start = call.url.find("://");
  if (start == std::string::npos) return std::nullopt;
  auto host = call.url.substr(start + 3);
  host = host.substr(0, host.find_first_of(":/?"));
  auto address = model::parse_ipv4(host);
  const auto& subnets = call.deployment.target.network.subnets;
  if (!address || subnets.empty()) return std::nullopt;
  auto subnet = find_subnet(state, call.deployment.scope, subnets.front());
  if (!subnet) return std::nullopt;
  auto vpc = find_vpc(state, call.deployment.scope, subnet->vpc);
  if (!vpc) return std::nullopt;
  auto range = model::parse_cidr(vpc->cidr);
  return range && range->contains(*address) ? std::optional(*vpc) : std::nullopt;
}

}  // namespace watari::control
