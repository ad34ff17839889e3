// Regions, availability zones, account attributes. Any region name works here; DescribeRegions lists those that every AWS account has.
#include "aws/ec2/zones.h"

#include <algorithm>

#include "aws/ec2/common.h"
#include "aws/gen/ec2/describe_account_attributes.h"
#include "aws/gen/ec2/describe_availability_zones.h"
#include "aws/gen/ec2/describe_regions.h"
#include "base/strings.h"

namespace watari::aws::ec2 {

std::string zone_id(const std::string& zone) {
  auto parts = split(zone, '-');  // us, east, 1a
  if (parts.size() < 3 || parts.back().empty()) return zone;
  std::string id = parts[0];
  for (std::size_t i = 1; i + 1 < parts.size(); ++i) {
    auto direction = parts[i];  // northeast -> ne
    for (auto word : {"north", "south", "east", "west", "central", "gov"})
      if (direction.contains(word)) id += word[0];
  }
  auto letter = parts.back().back();
  return id + parts.back().substr(0, parts.back().size() - 1) + "-az" + std::to_string(letter - 'a' + 1);
}

Result<DescribeAvailabilityZonesResponse> describe_availability_zones(Call& call, const DescribeAvailabilityZonesRequest& request) {
  DescribeAvailabilityZonesResponse response;
  auto zones = control::zones_of(call.scope.region);
  for (const auto& name : request.ZoneNames)
    if (std::ranges::find(zones, name) == zones.end()) return error("InvalidParameterValue", "Invalid availability zone: [{}]", name);
  for (const auto& zone : zones) {
    auto id = zone_id(zone);
    if (!request.ZoneNames.empty() && std::ranges::find(request.ZoneNames, zone) == request.ZoneNames.end()) continue;
    if (!request.ZoneIds.empty() && std::ranges::find(request.ZoneIds, id) == request.ZoneIds.end()) continue;
    Attributes attributes{{"zone-name", {zone}}, {"zone-id", {id}}, {"region-name", {call.scope.region}}, {"state", {"available"}},
                          {"zone-type", {"availability-zone"}}, {"opt-in-status", {"opt-in-not-required"}}, {"group-name", {call.scope.region}}};
    TRY(bool wanted, passes(request.Filters, attributes, {}));
    if (!wanted) continue;
    AvailabilityZone out;
    out.ZoneName = zone;
    out.ZoneId = id;
    out.RegionName = call.scope.region;
    out.GroupName = call.scope.region;
    out.NetworkBorderGroup = call.scope.region;
    out.ZoneType = "availability-zone";
    out.OptInStatus = "opt-in-not-required";
    out.State = "available";
    response.AvailabilityZones.push_back(out);
  }
  return response;
}

Result<DescribeRegionsResponse> describe_regions(Call& call, const DescribeRegionsRequest& request) {
  std::vector<std::string> regions{"ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1", "ap-southeast-2",
                                   "ca-central-1", "eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3", "sa-east-1",
                                   "us-east-1", "us-east-2", "us-west-1", "us-west-2"};
  if (std::ranges::find(regions, call.scope.region) == regions.end()) regions.push_back(call.scope.region);
  DescribeRegionsResponse response;
  for (const auto& name : request.RegionNames)
    if (std::ranges::find(regions, name) == regions.end()) return error("InvalidParameterValue", "Invalid region name: {}", name);
  for (const auto& name : regions) {
    if (!request.RegionNames.empty() && std::ranges::find(request.RegionNames, name) == request.RegionNames.end()) continue;
    auto endpoint = "ec2." + name + ".amazonaws.com";
    TRY(bool wanted, passes(request.Filters, {{"region-name", {name}}, {"endpoint", {endpoint}}, {"opt-in-status", {"opt-in-not-required"}}}, {}));
    if (!wanted) continue;
    Region out;
    out.RegionName = name;
    out.Endpoint = endpoint;
    out.OptInStatus = "opt-in-not-required";
    response.Regions.push_back(out);
  }
  return response;
}

Result<DescribeAccountAttributesResponse> describe_account_attributes(Call& call, const DescribeAccountAttributesRequest& request) {
  TRY(auto* control, enter(call));
  auto vpc = control::default_vpc(control->state(), call.scope);
  DescribeAccountAttributesResponse response;
  auto add = [&](const char* name, const std::string& value) {
    if (!request.AttributeNames.empty() && std::ranges::find(request.AttributeNames, name) == request.AttributeNames.end()) return;
    AccountAttribute attribute;
    attribute.AttributeName = name;
    attribute.AttributeValues.push_back({.AttributeValue = value});
    response.AccountAttributes.push_back(attribute);
  };
  add("supported-platforms", "VPC");
  add("default-vpc", vpc ? vpc->id : "none");
  return response;
}

}  // namespace watari::aws::ec2
