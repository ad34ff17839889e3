// Security groups. Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSecurityGroups.html and its neighbours.
#include "aws/ec2/common.h"
#include "aws/ec2/permissions.h"
#include "aws/gen/ec2/create_security_group.h"
#include "aws/gen/ec2/delete_security_group.h"
#include "aws/gen/ec2/describe_security_groups.h"

namespace watari::aws::ec2 {

namespace {

SecurityGroup to_wire(const Call& call, const model::SecurityGroup& group) {
  SecurityGroup out;
  out.GroupId = group.id;
  out.GroupName = group.name;
  out.Description = group.description;
  out.VpcId = group.vpc;
  out.OwnerId = group.scope.account;
  out.SecurityGroupArn = arn(call, "security-group/" + group.id);
  out.IpPermissions = permissions_of(group.scope.account, group.ingress);
  out.IpPermissionsEgress = permissions_of(group.scope.account, group.egress);
  out.Tags = tags_to_wire(group.tags);
  return out;
}

void add_rules(Attributes& attributes, const std::string& prefix, const std::vector<model::SecurityRule>& rules) {
  for (auto name : {"cidr", "from-port", "to-port", "protocol", "group-id"}) attributes[prefix + name];
  for (const auto& rule : rules) {
    if (!rule.cidr.empty()) attributes[prefix + "cidr"].push_back(rule.cidr);
    if (!rule.group.empty()) attributes[prefix + "group-id"].push_back(rule.group);
    attributes[prefix + "from-port"].push_back(std::to_string(rule.from_port));
    attributes[prefix + "to-port"].push_back(std::to_string(rule.to_port));
    attributes[prefix + "protocol"].push_back(rule.protocol);
  }
}

Attributes attributes_of(const model::SecurityGroup& group) {
  Attributes attributes{{"group-id", {group.id}}, {"group-name", {group.name}}, {"description", {group.description}},
                        {"vpc-id", {group.vpc}}, {"owner-id", {group.scope.account}}};
  add_rules(attributes, "ip-permission.", group.ingress);
  add_rules(attributes, "egress.ip-permission.", group.egress);
  return attributes;
}

}  // namespace

Result<DescribeSecurityGroupsResponse> describe_security_groups(Call& call, const DescribeSecurityGroupsRequest& request) {
  TRY(auto* control, enter(call));
  auto ids = request.GroupIds;
  for (const auto& name : request.GroupNames) {
    TRY(auto group, find_group(call, control->state(), std::nullopt, name));
    ids.push_back(group.id);
  }
  TRY(auto groups, select(call, control->state().security_groups, ids, {"InvalidGroup.NotFound", "security group"}, request.Filters, attributes_of));
  TRY(auto page, page_of(call, std::move(groups), request.NextToken, request.MaxResults));
  DescribeSecurityGroupsResponse response;
  response.NextToken = page.next_token;
  for (const auto& group : page.items) response.SecurityGroups.push_back(to_wire(call, group));
  return response;
}

Result<CreateSecurityGroupResponse> create_security_group(Call& call, const CreateSecurityGroupRequest& request) {
  TRY(auto* control, enter(call));
  TRY(auto tags, tags_for("security-group", request.TagSpecifications));
  auto vpc = request.VpcId.value_or("");
  if (vpc.empty()) {
    auto fallback = control::default_vpc(control->state(), call.scope);
    if (!fallback) return error("VPCIdNotSpecified", "No default VPC for this user");
    vpc = fallback->id;
  }
  if (request.GroupName.empty() || request.GroupName.size() > 255 || request.Description.empty() || request.Description.size() > 255)
    return error("InvalidParameterValue", "groupName and groupDescription must have 1 to 255 characters");
  TRY(auto group, control->commit([&]() -> Result<model::SecurityGroup> {
    TRY(auto made, control::create_security_group(control->state(), call.scope, vpc, request.GroupName, request.Description));
    made.tags = tags;
    control->state().security_groups.put(control::network_key(call.scope, made.id), made);
    return made;
  }));
  CreateSecurityGroupResponse response;
  response.GroupId = group.id;
  response.SecurityGroupArn = arn(call, "security-group/" + group.id);
  response.Tags = tags_to_wire(group.tags);
  return response;
}

Result<DeleteSecurityGroupResponse> delete_security_group(Call& call, const DeleteSecurityGroupRequest& request) {
  TRY(auto* control, enter(call));
  TRY(auto group, find_group(call, control->state(), request.GroupId, request.GroupName));
  TRY_VOID(control->commit([&] { return control::delete_security_group(control->state(), call.scope, group.id); }));
  DeleteSecurityGroupResponse response;
  response.Return = true;
  response.GroupId = group.id;
  return response;
}

}  // namespace watari::aws::ec2
