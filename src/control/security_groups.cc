// Security groups: making, deleting, and the rules in them.
#include <arpa/inet.h>

#include <algorithm>

#include "base/id.h"
#include "base/strings.h"
#include "control/network.h"
#include "model/cidr.h"

namespace watari::control {

namespace {

using model::SecurityGroup;
using model::SecurityRule;

template <class... Args>
auto fail_as(Code code, const char* reason, fmt::format_string<Args...> format, Args&&... args) {
  return fail(Error{code, fmt::format(format, std::forward<Args>(args)...), reason});
}

bool refers_to(const SecurityGroup& group, const std::string& id) {
  auto named = [&](const SecurityRule& rule) { return rule.group == id; };
  return std::ranges::any_of(group.ingress, named) || std::ranges::any_of(group.egress, named);
}

bool same(const SecurityRule& a, const SecurityRule& b) {
  return a.protocol == b.protocol && a.from_port == b.from_port && a.to_port == b.to_port && a.cidr == b.cidr && a.group == b.group;
}

// As AWS words it in InvalidPermission.Duplicate.
std::string words(const SecurityRule& rule) {
  auto upper = rule.protocol == "-1" ? "ALL" : rule.protocol;
  for (auto& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  auto ports = rule.protocol == "-1" ? std::string() : fmt::format(", from port: {}, to port: {}", rule.from_port, rule.to_port);
  return fmt::format("peer: {}, {}{}, ALLOW", rule.group.empty() ? rule.cidr : rule.group, upper, ports);
}

Result<void> normalise_protocol(SecurityRule& rule) {
  auto& protocol = rule.protocol;
  protocol = to_lower(protocol);
  static const std::map<std::string, std::string> names{{"6", "tcp"}, {"17", "udp"}, {"1", "icmp"}, {"58", "icmpv6"}, {"all", "-1"}};
  if (auto name = names.find(protocol); name != names.end()) protocol = name->second;
  if (protocol == "tcp" || protocol == "udp") {
    bool good = rule.from_port >= 0 && rule.to_port <= 65535 && rule.from_port <= rule.to_port;
    if (rule.from_port == -1 && rule.to_port == -1) {
      rule.from_port = 0;
      rule.to_port = 65535;
    } else if (!good) {
      return fail_as(Code::InvalidArgument, "InvalidParameterValue", "Invalid value for portRange. Must be 0-65535, from not above to; got {}-{}", rule.from_port, rule.to_port);
    }
    return {};
  }
  if (protocol == "icmp" || protocol == "icmpv6") {
    if (rule.from_port < -1 || rule.from_port > 255 || rule.to_port < -1 || rule.to_port > 255)
      return fail_as(Code::InvalidArgument, "InvalidParameterValue", "ICMP type {} and code {} must be -1 to 255", rule.from_port, rule.to_port);
    return {};
  }
  // All protocols, or one without ports.
  auto number = parse_number<int>(protocol);
  if (!number || *number < -1 || *number > 255)
    return fail_as(Code::InvalidArgument, "InvalidParameterValue", "Invalid value '{}' for IP protocol. Unknown protocol.", protocol);
  rule.from_port = rule.to_port = -1;
  return {};
}

Result<void> normalise_peer(const State& state, const SecurityGroup& owner, SecurityRule& rule) {
  if (!rule.group.empty()) {
    TRY(auto peer, find_security_group(state, owner.scope, rule.group));
    if (peer.vpc != owner.vpc)
      return fail_as(Code::InvalidArgument, "InvalidGroup.NotFound", "You have specified two resources that belong to different networks: {} and {}", owner.id, peer.id);
    return {};
  }
  if (auto slash = rule.cidr.find('/'); rule.cidr.contains(':') && slash != std::string::npos) {
    in6_addr address{};
    auto length = parse_number<int>(rule.cidr.substr(slash + 1));
    if (::inet_pton(AF_INET6, rule.cidr.substr(0, slash).c_str(), &address) == 1 && length && *length >= 0 && *length <= 128) return {};
    return fail_as(Code::InvalidArgument, "InvalidParameterValue", "CIDR block {} is malformed", rule.cidr);
  }
  auto cidr = model::parse_cidr(rule.cidr);
  if (!cidr) return fail_as(Code::InvalidArgument, "InvalidParameterValue", "CIDR block {} is malformed", rule.cidr);
  rule.cidr = cidr->text();
  return {};
}

Result<void> normalise(const State& state, const SecurityGroup& owner, SecurityRule& rule) {
  TRY_VOID(normalise_protocol(rule));
  return normalise_peer(state, owner, rule);
}

std::vector<SecurityRule>& side(SecurityGroup& group, Direction direction) {
  return direction == Direction::Ingress ? group.ingress : group.egress;
}

}  // namespace

Result<SecurityGroup> create_security_group(State& state, const model::Scope& scope, const std::string& vpc, const std::string& name,
                                            const std::string& description) {
  TRY_VOID(find_vpc(state, scope, vpc));
  if (name == "default" || name.starts_with("sg-"))
    return fail_as(Code::InvalidArgument, "InvalidParameterValue", "Invalid value '{}' for groupName. It is reserved.", name);
  bool taken = false;
  state.security_groups.each(scope_prefix(scope), [&](const std::string&, const SecurityGroup& other) {
    taken = taken || (other.vpc == vpc && other.name == name);
  });
  if (taken) return fail_as(Code::AlreadyExists, "InvalidGroup.Duplicate", "The security group '{}' already exists for VPC '{}'", name, vpc);
  SecurityGroup group{.scope = scope, .id = "sg-" + random_hex(17), .vpc = vpc, .name = name, .description = description,
                      .ingress = {}, .egress = {}, .tags = {}};
  SecurityRule outside;
  outside.id = "sgr-" + random_hex(17);
  outside.cidr = "0.0.0.0/0";
  group.egress = {outside};
  state.security_groups.put(network_key(scope, group.id), group);
  return group;
}

Result<void> delete_security_group(State& state, const model::Scope& scope, const std::string& id) {
  TRY(auto group, find_security_group(state, scope, id));
  if (group.name == "default")
    return fail_as(Code::FailedPrecondition, "CannotDelete", "the specified group: \"{}\" name: \"default\" cannot be deleted by a user", id);
  bool used = false;
  state.security_groups.each(scope_prefix(scope), [&](const std::string&, const SecurityGroup& other) {
    used = used || (other.id != id && refers_to(other, id));
  });
  state.network_interfaces.each(scope_prefix(scope), [&](const std::string&, const model::NetworkInterface& one) {
    used = used || std::ranges::count(one.groups, id) > 0;
  });
  state.load_balancers.each("", [&](const std::string&, const model::LoadBalancer& balancer) {
    used = used || (balancer.scope == scope && std::ranges::count(balancer.security_groups, id) > 0);
  });
  if (used) return fail_as(Code::FailedPrecondition, "DependencyViolation", "resource {} has a dependent object", id);
  state.security_groups.erase(network_key(scope, id));
  return {};
}

Result<std::vector<SecurityRule>> authorize(State& state, const model::Scope& scope, const std::string& id, Direction direction,
                                            std::vector<SecurityRule> rules) {
  TRY(auto group, find_security_group(state, scope, id));
  auto& present = side(group, direction);
  for (auto& rule : rules) {
    TRY_VOID(normalise(state, group, rule));
    if (std::ranges::any_of(present, [&](const auto& other) { return same(other, rule); }))
      return fail_as(Code::AlreadyExists, "InvalidPermission.Duplicate", "the specified rule \"{}\" already exists", words(rule));
    rule.id = "sgr-" + random_hex(17);
    present.push_back(rule);
  }
  state.security_groups.put(network_key(scope, id), group);
  return rules;
}

Result<std::vector<SecurityRule>> revoke(State& state, const model::Scope& scope, const std::string& id, Direction direction,
                                         const std::vector<SecurityRule>& rules) {
  TRY(auto group, find_security_group(state, scope, id));
  auto& present = side(group, direction);
  std::vector<SecurityRule> removed;
  for (auto rule : rules) {
    if (rule.id.empty()) TRY_VOID(normalise(state, group, rule));
    auto found = std::ranges::find_if(present, [&](const auto& other) { return rule.id.empty() ? same(other, rule) : other.id == rule.id; });
    if (found == present.end() && !rule.id.empty())
      return fail_as(Code::NotFound, "InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '{}' does not exist", rule.id);
    if (found == present.end())
      return fail_as(Code::NotFound, "InvalidPermission.NotFound", "The specified rule does not exist in this security group.");
    removed.push_back(*found);
    present.erase(found);
  }
  state.security_groups.put(network_key(scope, id), group);
  return removed;
}

}  // namespace watari::control
