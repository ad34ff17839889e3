#include "aws/ec2/permissions.h"

#include <algorithm>

#include "aws/ec2/common.h"

namespace watari::aws::ec2 {

namespace {

bool has_ports(const model::SecurityRule& rule) {
  return rule.protocol == "tcp" || rule.protocol == "udp" || rule.protocol == "icmp" || rule.protocol == "icmpv6";
}

std::optional<std::string> unless_empty(const std::string& text) { return text.empty() ? std::nullopt : std::optional(text); }

IpPermission& permission_for(std::vector<IpPermission>& permissions, const model::SecurityRule& rule) {
  std::optional<int> from, to;
  if (has_ports(rule)) {
    from = rule.from_port;
    to = rule.to_port;
  }
  auto found = std::ranges::find_if(permissions, [&](const IpPermission& one) {
    return one.IpProtocol == rule.protocol && one.FromPort == from && one.ToPort == to;
  });
  if (found != permissions.end()) return *found;
  IpPermission made;
  made.IpProtocol = rule.protocol;
  made.FromPort = from;
  made.ToPort = to;
  return permissions.emplace_back(std::move(made));
}

Result<std::string> peer_group(const Call& call, const control::State& state, const model::SecurityGroup& owner, const UserIdGroupPair& pair) {
  if (pair.UserId && *pair.UserId != call.scope.account)
    return error("InvalidGroup.NotFound", "The security group of account '{}' does not exist here", *pair.UserId);
  if (pair.GroupId) return *pair.GroupId;
  std::string id;
  state.security_groups.each(control::scope_prefix(call.scope), [&](const std::string&, const model::SecurityGroup& group) {
    if (group.vpc == owner.vpc && group.name == pair.GroupName) id = group.id;
  });
  if (id.empty()) return error("InvalidGroup.NotFound", "The security group '{}' does not exist", pair.GroupName.value_or(""));
  return id;
}

}  // namespace

std::vector<IpPermission> permissions_of(const std::string& account, const std::vector<model::SecurityRule>& rules) {
  std::vector<IpPermission> permissions;
  for (const auto& rule : rules) {
    auto& permission = permission_for(permissions, rule);
    auto description = unless_empty(rule.description);
    if (!rule.group.empty()) {
      UserIdGroupPair pair;
      pair.GroupId = rule.group;
      pair.UserId = account;
      pair.Description = description;
      permission.UserIdGroupPairs.push_back(pair);
    } else if (rule.cidr.contains(':')) {
      permission.Ipv6Ranges.push_back({.Description = description, .CidrIpv6 = rule.cidr});
    } else {
      permission.IpRanges.push_back({.Description = description, .CidrIp = rule.cidr});
    }
  }
  return permissions;
}

SecurityGroupRule rule_to_wire(const Call& call, const model::SecurityGroup& group, const model::SecurityRule& rule, bool egress) {
  SecurityGroupRule out;
  out.SecurityGroupRuleId = rule.id;
  out.SecurityGroupRuleArn = arn(call, "security-group-rule/" + rule.id);
  out.GroupId = group.id;
  out.GroupOwnerId = group.scope.account;
  out.IsEgress = egress;
  out.IpProtocol = rule.protocol;
  out.FromPort = rule.from_port;
  out.ToPort = rule.to_port;
  out.Description = unless_empty(rule.description);
  if (!rule.group.empty()) {
    ReferencedSecurityGroup peer;
    peer.GroupId = rule.group;
    peer.UserId = group.scope.account;
    peer.VpcId = group.vpc;
    out.ReferencedGroupInfo = peer;
  } else if (rule.cidr.contains(':')) {
    out.CidrIpv6 = rule.cidr;
  } else {
    out.CidrIpv4 = rule.cidr;
  }
  out.Tags = tags_to_wire(rule.tags);
  return out;
}

Result<std::vector<model::SecurityRule>> rules_of(const Call& call, const control::State& state, const model::SecurityGroup& owner,
                                                  const std::vector<IpPermission>& permissions) {
  std::vector<model::SecurityRule> rules;
  for (const auto& permission : permissions) {
    if (!permission.IpProtocol) return error("MissingParameter", "The request must contain the parameter ipProtocol");
    model::SecurityRule rule;
    rule.protocol = *permission.IpProtocol;
    rule.from_port = permission.FromPort.value_or(-1);
    rule.to_port = permission.ToPort.value_or(-1);
    auto before = rules.size();
    auto add = [&](const std::string& cidr, const std::string& group, const std::optional<std::string>& description) {
      rule.cidr = cidr;
      rule.group = group;
      rule.description = description.value_or("");
      rules.push_back(rule);
    };
    for (const auto& range : permission.IpRanges) add(range.CidrIp.value_or(""), "", range.Description);
    for (const auto& range : permission.Ipv6Ranges) add(range.CidrIpv6.value_or(""), "", range.Description);
    for (const auto& pair : permission.UserIdGroupPairs) {
      TRY(auto peer, peer_group(call, state, owner, pair));
      add("", peer, pair.Description);
    }
    if (rules.size() == before)
      return error("InvalidParameterValue", "A permission names no peer; give ipRanges, ipv6Ranges or userIdGroupPairs");
  }
  return rules;
}

Result<model::SecurityGroup> find_group(const Call& call, const control::State& state, const std::optional<std::string>& id,
                                        const std::optional<std::string>& name) {
  if (id && !id->empty()) return control::find_security_group(state, call.scope, *id);
  if (!name || name->empty()) return error("MissingParameter", "The request must contain the parameter groupId or groupName");
  auto vpc = control::default_vpc(state, call.scope);
  std::optional<model::SecurityGroup> found;
  state.security_groups.each(control::scope_prefix(call.scope), [&](const std::string&, const model::SecurityGroup& group) {
    if (vpc && group.vpc == vpc->id && group.name == *name) found = group;
  });
  if (!found) return error("InvalidGroup.NotFound", "The security group '{}' does not exist in default VPC '{}'", *name, vpc ? vpc->id : "none");
  return *found;
}

}  // namespace watari::aws::ec2
