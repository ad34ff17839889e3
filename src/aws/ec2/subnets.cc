// Subnets. Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSubnets.html and its neighbours.
#include "aws/ec2/common.h"
#include "aws/ec2/zones.h"
#include "aws/gen/ec2/create_subnet.h"
#include "aws/gen/ec2/delete_subnet.h"
#include "aws/gen/ec2/describe_subnets.h"
#include "aws/gen/ec2/modify_subnet_attribute.h"

namespace watari::aws::ec2 {

namespace {

Subnet to_wire(const Call& call, const control::State& state, const model::Subnet& subnet) {
  Subnet out;
  out.SubnetId = subnet.id;
  out.SubnetArn = arn(call, "subnet/" + subnet.id);
  out.OwnerId = subnet.scope.account;
  out.VpcId = subnet.vpc;
  out.State = "available";
  out.CidrBlock = subnet.cidr;
  out.AvailableIpAddressCount = static_cast<int>(control::free_addresses(state, subnet));
  out.AvailabilityZone = subnet.zone;
  out.AvailabilityZoneId = zone_id(subnet.zone);
  out.DefaultForAz = subnet.is_default;
  out.MapPublicIpOnLaunch = subnet.map_public_ip;
  out.AssignIpv6AddressOnCreation = false;
  out.MapCustomerOwnedIpOnLaunch = false;
  out.EnableDns64 = false;
  out.Ipv6Native = false;
  out.Tags = tags_to_wire(subnet.tags);
  return out;
}

Attributes attributes_of(const model::Subnet& subnet) {
  return {{"subnet-id", {subnet.id}}, {"vpc-id", {subnet.vpc}}, {"state", {"available"}}, {"owner-id", {subnet.scope.account}},
          {"cidr", {subnet.cidr}}, {"cidrBlock", {subnet.cidr}}, {"cidr-block", {subnet.cidr}},
          {"availability-zone", {subnet.zone}}, {"availabilityZone", {subnet.zone}}, {"availability-zone-id", {zone_id(subnet.zone)}},
          {"default-for-az", {bool_text(subnet.is_default)}}, {"defaultForAz", {bool_text(subnet.is_default)}},
          {"map-public-ip-on-launch", {bool_text(subnet.map_public_ip)}}};
}

Result<std::string> zone_of(const Call& call, const CreateSubnetRequest& request) {
  if (!request.AvailabilityZoneId) return request.AvailabilityZone.value_or("");
  for (const auto& zone : control::zones_of(call.scope.region))
    if (zone_id(zone) == *request.AvailabilityZoneId) return zone;
  return error("InvalidParameterValue", "Value ({}) for parameter availabilityZoneId is invalid.", *request.AvailabilityZoneId);
}

}  // namespace

Result<DescribeSubnetsResponse> describe_subnets(Call& call, const DescribeSubnetsRequest& request) {
  TRY(auto* control, enter(call));
  TRY(auto subnets, select(call, control->state().subnets, request.SubnetIds, {"InvalidSubnetID.NotFound", "subnet ID"}, request.Filters, attributes_of));
  TRY(auto page, page_of(call, std::move(subnets), request.NextToken, request.MaxResults));
  DescribeSubnetsResponse response;
  response.NextToken = page.next_token;
  for (const auto& subnet : page.items) response.Subnets.push_back(to_wire(call, control->state(), subnet));
  return response;
}

Result<CreateSubnetResponse> create_subnet(Call& call, const CreateSubnetRequest& request) {
  TRY(auto* control, enter(call));
  if (!request.CidrBlock) return error("MissingParameter", "The request must contain the parameter cidrBlock");
  TRY(auto tags, tags_for("subnet", request.TagSpecifications));
  TRY(auto zone, zone_of(call, request));
  TRY(auto subnet, control->commit([&]() -> Result<model::Subnet> {
    TRY(auto made, control::create_subnet(control->state(), call.scope, request.VpcId, *request.CidrBlock, zone));
    made.tags = tags;
    control->state().subnets.put(control::network_key(call.scope, made.id), made);
    return made;
  }));
  CreateSubnetResponse response;
  response.Subnet = to_wire(call, control->state(), subnet);
  return response;
}

Result<DeleteSubnetResponse> delete_subnet(Call& call, const DeleteSubnetRequest& request) {
  TRY(auto* control, enter(call));
  TRY_VOID(control->commit([&] { return control::delete_subnet(control->state(), call.scope, request.SubnetId); }));
  return DeleteSubnetResponse{};
}

Result<ModifySubnetAttributeResponse> modify_subnet_attribute(Call& call, const ModifySubnetAttributeRequest& request) {
  TRY(auto* control, enter(call));
  if (!request.MapPublicIpOnLaunch) return error("MissingParameter", "The request must contain the parameter mapPublicIpOnLaunch");
  TRY_VOID(control->commit([&]() -> Result<void> {
    TRY(auto subnet, control::find_subnet(control->state(), call.scope, request.SubnetId));
    subnet.map_public_ip = request.MapPublicIpOnLaunch->Value.value_or(false);
    control->state().subnets.put(control::network_key(call.scope, subnet.id), subnet);
    return {};
  }));
  return ModifySubnetAttributeResponse{};
}

}  // namespace watari::aws::ec2
