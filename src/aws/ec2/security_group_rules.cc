// Rules of security groups. Source:
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AuthorizeSecurityGroupIngress.html and its neighbours.
#include <algorithm>

#include "aws/ec2/common.h"
#include "aws/ec2/permissions.h"
#include "aws/gen/ec2/authorize_security_group_egress.h"
#include "aws/gen/ec2/authorize_security_group_ingress.h"
#include "aws/gen/ec2/describe_security_group_rules.h"
#include "aws/gen/ec2/revoke_security_group_egress.h"
#include "aws/gen/ec2/revoke_security_group_ingress.h"

namespace watari::aws::ec2 {

namespace {

using control::Direction;

// Ingress requests may write one permission flat.
template <class Request>
std::vector<IpPermission> permissions_in(const Request& request) {
  auto permissions = request.IpPermissions;
  if constexpr (requires { request.CidrIp; }) {
    if (request.CidrIp || request.IpProtocol) {
      IpPermission flat;
      flat.IpProtocol = request.IpProtocol;
      flat.FromPort = request.FromPort;
      flat.ToPort = request.ToPort;
      flat.IpRanges.push_back({.Description = {}, .CidrIp = request.CidrIp.value_or("")});
      permissions.push_back(flat);
    }
  }
  return permissions;
}

template <class Request>
Result<model::SecurityGroup> group_of(const Call& call, const control::State& state, const Request& request) {
  if constexpr (requires { request.GroupName; }) return find_group(call, state, request.GroupId, request.GroupName);
  else return control::find_security_group(state, call.scope, request.GroupId);
}

template <class Response, class Request>
Result<Response> authorize(Call& call, const Request& request, Direction direction) {
  TRY(auto* control, enter(call));
  auto& state = control->state();
  TRY(auto group, group_of(call, state, request));
  TRY(auto tags, tags_for("security-group-rule", request.TagSpecifications));
  TRY(auto rules, rules_of(call, state, group, permissions_in(request)));
  if (rules.empty()) return error("MissingParameter", "The request must contain the parameter ipPermissions");
  for (auto& rule : rules) rule.tags = tags;
  TRY(auto added, control->commit([&] { return control::authorize(state, call.scope, group.id, direction, rules); }));
  Response response;
  response.Return = true;
  for (const auto& rule : added) response.SecurityGroupRules.push_back(rule_to_wire(call, group, rule, direction == Direction::Egress));
  return response;
}

template <class Response, class Request>
Result<Response> revoke(Call& call, const Request& request, Direction direction) {
  TRY(auto* control, enter(call));
  auto& state = control->state();
  TRY(auto group, group_of(call, state, request));
  TRY(auto rules, rules_of(call, state, group, permissions_in(request)));
  for (const auto& id : request.SecurityGroupRuleIds) rules.emplace_back().id = id;
  if (rules.empty()) return error("MissingParameter", "The request must contain the parameter ipPermissions or securityGroupRuleIds");
  TRY(auto removed, control->commit([&] { return control::revoke(state, call.scope, group.id, direction, rules); }));
  Response response;
  response.Return = true;
  for (const auto& rule : removed) {
    auto wire = rule_to_wire(call, group, rule, direction == Direction::Egress);
    RevokedSecurityGroupRule out;
    out.SecurityGroupRuleId = wire.SecurityGroupRuleId;
    out.GroupId = wire.GroupId;
    out.IsEgress = wire.IsEgress;
    out.IpProtocol = wire.IpProtocol;
    out.FromPort = wire.FromPort;
    out.ToPort = wire.ToPort;
    out.CidrIpv4 = wire.CidrIpv4;
    out.CidrIpv6 = wire.CidrIpv6;
    out.Description = wire.Description;
    if (!rule.group.empty()) out.ReferencedGroupId = rule.group;
    response.RevokedSecurityGroupRules.push_back(out);
  }
  return response;
}

// A rule with its group, so that it can be selected and paged like any other resource.
struct Placed {
  std::string id;
  const model::SecurityGroup* group;
  const model::SecurityRule* rule;
  bool egress;
};

}  // namespace

Result<AuthorizeSecurityGroupIngressResponse> authorize_security_group_ingress(Call& call, const AuthorizeSecurityGroupIngressRequest& request) {
  return authorize<AuthorizeSecurityGroupIngressResponse>(call, request, Direction::Ingress);
}
Result<AuthorizeSecurityGroupEgressResponse> authorize_security_group_egress(Call& call, const AuthorizeSecurityGroupEgressRequest& request) {
  return authorize<AuthorizeSecurityGroupEgressResponse>(call, request, Direction::Egress);
}
Result<RevokeSecurityGroupIngressResponse> revoke_security_group_ingress(Call& call, const RevokeSecurityGroupIngressRequest& request) {
  return revoke<RevokeSecurityGroupIngressResponse>(call, request, Direction::Ingress);
}
Result<RevokeSecurityGroupEgressResponse> revoke_security_group_egress(Call& call, const RevokeSecurityGroupEgressRequest& request) {
  return revoke<RevokeSecurityGroupEgressResponse>(call, request, Direction::Egress);
}

Result<DescribeSecurityGroupRulesResponse> describe_security_group_rules(Call& call, const DescribeSecurityGroupRulesRequest& request) {
  TRY(auto* control, enter(call));
  std::map<std::string, Placed> all;
  control->state().security_groups.each(control::scope_prefix(call.scope), [&](const std::string&, const model::SecurityGroup& group) {
    for (const auto& rule : group.ingress) all.emplace(rule.id, Placed{rule.id, &group, &rule, false});
    for (const auto& rule : group.egress) all.emplace(rule.id, Placed{rule.id, &group, &rule, true});
  });
  const auto& ids = request.SecurityGroupRuleIds;
  for (const auto& id : ids)
    if (!all.contains(id)) return error("InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '{}' does not exist", id);
  std::vector<Placed> wanted;
  for (const auto& [id, placed] : all) {
    if (!ids.empty() && std::ranges::find(ids, id) == ids.end()) continue;
    TRY(bool pass, passes(request.Filters, {{"group-id", {placed.group->id}}, {"security-group-rule-id", {id}}}, placed.rule->tags));
    if (pass) wanted.push_back(placed);
  }
  TRY(auto page, page_of(call, std::move(wanted), request.NextToken, request.MaxResults));
  DescribeSecurityGroupRulesResponse response;
  response.NextToken = page.next_token;
  for (const auto& [id, group, rule, egress] : page.items) response.SecurityGroupRules.push_back(rule_to_wire(call, *group, *rule, egress));
  return response;
}

}  // namespace watari::aws::ec2
