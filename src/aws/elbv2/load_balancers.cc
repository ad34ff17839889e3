#include <algorithm>

#include "aws/elbv2/wire.h"
#include "aws/gen/elbv2/create_load_balancer.h"
#include "aws/gen/elbv2/delete_load_balancer.h"
#include "aws/gen/elbv2/describe_account_limits.h"
#include "aws/gen/elbv2/describe_capacity_reservation.h"
#include "aws/gen/elbv2/describe_load_balancer_attributes.h"
#include "aws/gen/elbv2/describe_load_balancers.h"
#include "aws/gen/elbv2/modify_load_balancer_attributes.h"
#include "aws/gen/elbv2/set_ip_address_type.h"
#include "aws/gen/elbv2/set_security_groups.h"
#include "aws/gen/elbv2/set_subnets.h"
#include "control/network.h"

namespace watari::aws::elbv2 {

namespace {

// Subnets and SubnetMappings are two ways to say the same.
Result<std::vector<std::string>> subnets_of(const std::vector<std::string>& subnets, const std::vector<SubnetMapping>& mappings) {
  auto out = subnets;
  for (const auto& mapping : mappings) out.push_back(mapping.SubnetId.value_or(""));
  if (!subnets.empty() && !mappings.empty()) return error(kInvalid, "Subnets and SubnetMappings cannot both be specified");
  return out;
}

// Checks that they exist and lie in one VPC and, unless one is enough, in two zones at least; returns the VPC.
Result<std::string> check_subnets(Call& call, const std::vector<std::string>& subnets, bool one_is_enough) {
  std::string vpc;
  std::vector<std::string> zones;
  if (subnets.empty() && one_is_enough) return error(kInvalid, "At least one subnet must be specified");
  if (subnets.empty()) return error(kInvalid, "At least two subnets in two different Availability Zones must be specified");
  for (const auto& id : subnets) {
    auto subnet = control::find_subnet(state_of(call), call.scope, id);
    if (!subnet) return error("SubnetNotFound", "The subnet ID '{}' does not exist", id);
    if (!vpc.empty() && subnet->vpc != vpc)
      return error("InvalidConfigurationRequest", "All subnets must belong to the same VPC: '{}', '{}'", vpc, subnet->vpc);
    vpc = subnet->vpc;
    if (std::ranges::find(zones, subnet->zone) != zones.end())
      return error("InvalidConfigurationRequest", "A load balancer cannot be attached to multiple subnets in the same Availability Zone");
    zones.push_back(subnet->zone);
  }
  if (zones.size() < 2 && !one_is_enough)
    return error(kInvalid, "At least two subnets in two different Availability Zones must be specified");
  return vpc;
}

Result<void> check_groups(Call& call, const std::vector<std::string>& groups, const std::string& vpc) {
  for (const auto& id : groups) {
    auto group = control::find_security_group(state_of(call), call.scope, id);
    if (!group) return error("InvalidSecurityGroup", "The security group '{}' does not exist", id);
    if (group->vpc != vpc) return error("InvalidConfigurationRequest", "The security group '{}' does not belong to the VPC '{}'", id, vpc);
  }
  return {};
}

template <class Change>
Result<model::LoadBalancer> change(Call& call, const std::string& arn, Change&& change_it) {
  return call.platform.control->commit([&]() -> Result<model::LoadBalancer> {
    TRY(auto balancer, find_load_balancer(call, arn));
    TRY_VOID(change_it(balancer));
    state_of(call).load_balancers.put(arn, balancer);
    return balancer;
  });
}

}  // namespace

Result<CreateLoadBalancerResponse> create_load_balancer(Call& call, const CreateLoadBalancerRequest& request) {
  auto& control = *call.platform.control;
  TRY_VOID(check_name("Load balancer", request.Name));
  TRY_VOID(control::ensure_default_network(control.database(), control.state(), call.scope));
  model::LoadBalancer balancer{.scope = call.scope, .name = request.Name, .type = request.Type.value_or("application"),
                              .scheme = request.Scheme.value_or("internet-facing")};
  bool network = balancer.type == "network";
  TRY(balancer.subnets, subnets_of(request.Subnets, request.SubnetMappings));
  TRY(balancer.vpc, check_subnets(call, balancer.subnets, network));
  balancer.security_groups = request.SecurityGroups;
  if (balancer.security_groups.empty() && !network) {
    TRY(auto group, control::default_security_group(control.state(), call.scope, balancer.vpc));
    balancer.security_groups.push_back(group.id);
  }
  TRY_VOID(check_groups(call, balancer.security_groups, balancer.vpc));
  TRY(balancer.tags, tags_from_wire(request.Tags));
  TRY(auto made, control::create_load_balancer(control, std::move(balancer)));
  CreateLoadBalancerResponse response;
  response.LoadBalancers.push_back(to_wire(call, made));
  return response;
}

Result<DescribeLoadBalancersResponse> describe_load_balancers(Call& call, const DescribeLoadBalancersRequest& request) {
  if (!request.LoadBalancerArns.empty() && !request.Names.empty())
    return error(kInvalid, "Load balancer names and load balancer ARNs cannot be specified at the same time");
  auto found = matching(state_of(call).load_balancers, "", [&](const model::LoadBalancer& balancer) {
    return balancer.scope == call.scope && among(request.LoadBalancerArns, balancer.arn) && among(request.Names, balancer.name);
  });
  auto missing = first_missing(request.LoadBalancerArns, found, &model::LoadBalancer::arn);
  if (!missing) missing = first_missing(request.Names, found, &model::LoadBalancer::name);
  if (missing) return error("LoadBalancerNotFound", "Load balancers '[{}]' not found", *missing);
  TRY(auto page, paginate(call, std::move(found), request.Marker, page_size(request.PageSize, 400, 400),
                          &model::LoadBalancer::arn, kInvalid));
  DescribeLoadBalancersResponse response{.NextMarker = std::move(page.next_token)};
  for (const auto& balancer : page.items) response.LoadBalancers.push_back(to_wire(call, balancer));
  return response;
}

Result<DeleteLoadBalancerResponse> delete_load_balancer(Call& call, const DeleteLoadBalancerRequest& request) {
  // AWS answers success for one that does not exist.
  if (find_load_balancer(call, request.LoadBalancerArn)) TRY_VOID(control::delete_load_balancer(*call.platform.control, request.LoadBalancerArn));
  return DeleteLoadBalancerResponse{};
}

Result<DescribeLoadBalancerAttributesResponse> describe_load_balancer_attributes(Call& call, const DescribeLoadBalancerAttributesRequest& request) {
  TRY(auto balancer, find_load_balancer(call, request.LoadBalancerArn));
  return DescribeLoadBalancerAttributesResponse{.Attributes = to_wire_tags<LoadBalancerAttribute>(all_attributes(load_balancer_attributes(balancer), balancer.attributes))};
}

Result<ModifyLoadBalancerAttributesResponse> modify_load_balancer_attributes(Call& call, const ModifyLoadBalancerAttributesRequest& request) {
  TRY(auto balancer, change(call, request.LoadBalancerArn, [&](model::LoadBalancer& changed) -> Result<void> {
    for (const auto& attribute : request.Attributes)
      TRY_VOID(set_attribute(load_balancer_attributes(changed), changed.attributes, attribute.Key.value_or(""), attribute.Value.value_or("")));
    auto value = [&](std::string_view key) {
      auto found = std::ranges::find(changed.attributes, key, &model::Tag::key);
      return found == changed.attributes.end() ? std::string() : found->value;
    };
    if (value("access_logs.s3.enabled") == "true" && value("access_logs.s3.bucket") != "watari-logs")
      return error(kInvalid, "Watari has no S3 to write access logs to; give 'access_logs.s3.bucket' the value 'watari-logs', and they go to the log group "
                             "/watari/elb/{}", changed.name);
    return {};
  }));
  return ModifyLoadBalancerAttributesResponse{.Attributes = to_wire_tags<LoadBalancerAttribute>(all_attributes(load_balancer_attributes(balancer), balancer.attributes))};
}

Result<SetSecurityGroupsResponse> set_security_groups(Call& call, const SetSecurityGroupsRequest& request) {
  TRY(auto balancer, change(call, request.LoadBalancerArn, [&](model::LoadBalancer& changed) -> Result<void> {
    TRY_VOID(check_groups(call, request.SecurityGroups, changed.vpc));
    changed.security_groups = request.SecurityGroups;
    return {};
  }));
  return SetSecurityGroupsResponse{.SecurityGroupIds = balancer.security_groups};
}

Result<SetSubnetsResponse> set_subnets(Call& call, const SetSubnetsRequest& request) {
  TRY(auto balancer, change(call, request.LoadBalancerArn, [&](model::LoadBalancer& changed) -> Result<void> {
    TRY(auto subnets, subnets_of(request.Subnets, request.SubnetMappings));
    TRY(auto vpc, check_subnets(call, subnets, changed.type == "network"));
    if (vpc != changed.vpc) return error("InvalidConfigurationRequest", "The subnets must be in the load balancer's VPC '{}'", changed.vpc);
    changed.subnets = std::move(subnets);
    return {};
  }));
  return SetSubnetsResponse{.AvailabilityZones = to_wire(call, balancer).AvailabilityZones, .IpAddressType = "ipv4"};
}

Result<SetIpAddressTypeResponse> set_ip_address_type(Call& call, const SetIpAddressTypeRequest& request) {
  TRY_VOID(find_load_balancer(call, request.LoadBalancerArn));
  return SetIpAddressTypeResponse{.IpAddressType = "ipv4"};
}

// There is nothing to reserve on one machine; Terraform asks.
Result<DescribeCapacityReservationResponse> describe_capacity_reservation(Call& call, const DescribeCapacityReservationRequest& request) {
  TRY_VOID(find_load_balancer(call, request.LoadBalancerArn));
  return DescribeCapacityReservationResponse{};
}

Result<DescribeAccountLimitsResponse> describe_account_limits(Call&, const DescribeAccountLimitsRequest&) {
  DescribeAccountLimitsResponse response;
  for (const auto& [name, most] : std::initializer_list<std::pair<const char*, const char*>>{
           {"condition-values-per-alb-rule", "5"}, {"targets-per-target-group", "1000"}, {"target-groups-per-action-on-application-load-balancer", "5"}})
    response.Limits.push_back({.Name = name, .Max = most});
  return response;
}

}  // namespace watari::aws::elbv2
