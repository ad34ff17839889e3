// Network interfaces of tasks. Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeNetworkInterfaces.html
#include "aws/ec2/common.h"
#include "aws/ec2/zones.h"
#include "aws/gen/ec2/describe_network_interfaces.h"

namespace watari::aws::ec2 {

namespace {

NetworkInterface to_wire(const Call& call, const control::State& state, const model::NetworkInterface& one) {
  NetworkInterface out;
  out.NetworkInterfaceId = one.id;
  out.OwnerId = one.scope.account;
  out.Description = "task " + one.task;
  out.InterfaceType = "interface";
  out.Status = "in-use";
  out.VpcId = one.vpc;
  out.SubnetId = one.subnet;
  out.AvailabilityZone = one.zone;
  out.AvailabilityZoneId = zone_id(one.zone);
  out.MacAddress = one.mac;
  out.PrivateIpAddress = one.address;
  out.RequesterManaged = true;
  out.SourceDestCheck = true;
  NetworkInterfacePrivateIpAddress address;
  address.Primary = true;
  address.PrivateIpAddress = one.address;
  out.PrivateIpAddresses.push_back(address);
  NetworkInterfaceAttachment attachment;
  attachment.AttachmentId = "eni-attach-" + one.id.substr(4);
  attachment.AttachTime = one.created_at;
  attachment.DeviceIndex = 0;
  attachment.Status = "attached";
  attachment.DeleteOnTermination = true;
  out.Attachment = attachment;
  for (const auto& id : one.groups) {
    auto* group = state.security_groups.find(control::network_key(call.scope, id));
    GroupIdentifier identifier;
    identifier.GroupId = id;
    if (group) identifier.GroupName = group->name;
    out.Groups.push_back(identifier);
  }
  out.TagSet = tags_to_wire(one.tags);
  return out;
}

Attributes attributes_of(const model::NetworkInterface& one) {
  return {{"network-interface-id", {one.id}}, {"vpc-id", {one.vpc}}, {"subnet-id", {one.subnet}}, {"group-id", one.groups},
          {"availability-zone", {one.zone}}, {"mac-address", {one.mac}}, {"private-ip-address", {one.address}},
          {"addresses.private-ip-address", {one.address}}, {"status", {"in-use"}}, {"interface-type", {"interface"}},
          {"owner-id", {one.scope.account}}, {"description", {"task " + one.task}}, {"attachment.status", {"attached"}}};
}

}  // namespace

Result<DescribeNetworkInterfacesResponse> describe_network_interfaces(Call& call, const DescribeNetworkInterfacesRequest& request) {
  TRY(auto* control, enter(call));
  TRY(auto found, select(call, control->state().network_interfaces, request.NetworkInterfaceIds,
                         {"InvalidNetworkInterfaceID.NotFound", "networkInterface ID"}, request.Filters, attributes_of));
  TRY(auto page, page_of(call, std::move(found), request.NextToken, request.MaxResults));
  DescribeNetworkInterfacesResponse response;
  response.NextToken = page.next_token;
  for (const auto& one : page.items) response.NetworkInterfaces.push_back(to_wire(call, control->state(), one));
  return response;
}

}  // namespace watari::aws::ec2
