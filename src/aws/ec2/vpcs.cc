// VPCs and their attributes. Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeVpcs.html and its neighbours.
#include "aws/ec2/common.h"
#include "aws/gen/ec2/create_vpc.h"
#include "aws/gen/ec2/delete_vpc.h"
#include "aws/gen/ec2/describe_vpc_attribute.h"
#include "aws/gen/ec2/describe_vpcs.h"
#include "aws/gen/ec2/modify_vpc_attribute.h"

namespace watari::aws::ec2 {

namespace {

Vpc to_wire(const model::Vpc& vpc) {
  Vpc out;
  out.VpcId = vpc.id;
  out.OwnerId = vpc.scope.account;
  out.State = "available";
  out.CidrBlock = vpc.cidr;
  out.InstanceTenancy = "default";
  out.IsDefault = vpc.is_default;
  out.DhcpOptionsId = "default";
  VpcCidrBlockAssociation association;
  association.AssociationId = "vpc-cidr-assoc-" + vpc.id.substr(4);
  association.CidrBlock = vpc.cidr;
  association.CidrBlockState = VpcCidrBlockState{.State = "associated"};
  out.CidrBlockAssociationSet.push_back(association);
  out.Tags = tags_to_wire(vpc.tags);
  return out;
}

Attributes attributes_of(const model::Vpc& vpc) {
  auto is_default = bool_text(vpc.is_default);
  return {{"vpc-id", {vpc.id}}, {"cidr", {vpc.cidr}}, {"cidr-block-association.cidr-block", {vpc.cidr}}, {"state", {"available"}},
          {"is-default", {is_default}}, {"isDefault", {is_default}}, {"owner-id", {vpc.scope.account}}, {"dhcp-options-id", {"default"}}};
}

}  // namespace

Result<DescribeVpcsResponse> describe_vpcs(Call& call, const DescribeVpcsRequest& request) {
  TRY(auto* control, enter(call));
  TRY(auto vpcs, select(call, control->state().vpcs, request.VpcIds, {"InvalidVpcID.NotFound", "vpc ID"}, request.Filters, attributes_of));
  TRY(auto page, page_of(call, std::move(vpcs), request.NextToken, request.MaxResults));
  DescribeVpcsResponse response;
  response.NextToken = page.next_token;
  for (const auto& vpc : page.items) response.Vpcs.push_back(to_wire(vpc));
  return response;
}

Result<CreateVpcResponse> create_vpc(Call& call, const CreateVpcRequest& request) {
  TRY(auto* control, enter(call));
  if (!request.CidrBlock) return error("MissingParameter", "The request must contain the parameter cidrBlock");
  TRY(auto tags, tags_for("vpc", request.TagSpecifications));
  TRY(auto vpc, control->commit([&]() -> Result<model::Vpc> {
    TRY(auto made, control::create_vpc(control->state(), call.scope, *request.CidrBlock));
    made.tags = tags;
    control->state().vpcs.put(control::network_key(call.scope, made.id), made);
    return made;
  }));
  CreateVpcResponse response;
  response.Vpc = to_wire(vpc);
  return response;
}

Result<DeleteVpcResponse> delete_vpc(Call& call, const DeleteVpcRequest& request) {
  TRY(auto* control, enter(call));
  TRY_VOID(control->commit([&] { return control::delete_vpc(control->state(), call.scope, request.VpcId); }));
  return DeleteVpcResponse{};
}

Result<DescribeVpcAttributeResponse> describe_vpc_attribute(Call& call, const DescribeVpcAttributeRequest& request) {
  TRY(auto* control, enter(call));
  TRY(auto vpc, control::find_vpc(control->state(), call.scope, request.VpcId));
  DescribeVpcAttributeResponse response;
  response.VpcId = vpc.id;
  if (request.Attribute == "enableDnsSupport") response.EnableDnsSupport = AttributeBooleanValue{.Value = vpc.dns_support};
  else if (request.Attribute == "enableDnsHostnames") response.EnableDnsHostnames = AttributeBooleanValue{.Value = vpc.dns_hostnames};
  else response.EnableNetworkAddressUsageMetrics = AttributeBooleanValue{.Value = false};
  return response;
}

Result<ModifyVpcAttributeResponse> modify_vpc_attribute(Call& call, const ModifyVpcAttributeRequest& request) {
  TRY(auto* control, enter(call));
  if (request.EnableDnsHostnames.has_value() == request.EnableDnsSupport.has_value())
    return error("InvalidParameterCombination", "Exactly one of enableDnsHostnames and enableDnsSupport must be given");
  TRY_VOID(control->commit([&]() -> Result<void> {
    TRY(auto vpc, control::find_vpc(control->state(), call.scope, request.VpcId));
    if (request.EnableDnsHostnames) vpc.dns_hostnames = request.EnableDnsHostnames->Value.value_or(false);
    if (request.EnableDnsSupport) vpc.dns_support = request.EnableDnsSupport->Value.value_or(false);
    control->state().vpcs.put(control::network_key(call.scope, vpc.id), vpc);
    return {};
  }));
  return ModifyVpcAttributeResponse{};
}

}  // namespace watari::aws::ec2
