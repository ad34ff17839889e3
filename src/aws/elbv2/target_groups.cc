#include <algorithm>

#include "aws/elbv2/wire.h"
#include "aws/gen/elbv2/create_target_group.h"
#include "aws/gen/elbv2/delete_target_group.h"
#include "aws/gen/elbv2/describe_target_group_attributes.h"
#include "aws/gen/elbv2/describe_target_groups.h"
#include "aws/gen/elbv2/modify_target_group.h"
#include "aws/gen/elbv2/modify_target_group_attributes.h"
#include "base/strings.h"
#include "control/network.h"

namespace watari::aws::elbv2 {

namespace {

bool is_matcher(const std::string& text, int lowest, int highest) {
  for (const auto& part : split(text, ',')) {
    auto ends = split(part, '-');
    if (ends.empty() || ends.size() > 2) return false;
    for (const auto& end : ends) {
      auto code = parse_number<int>(end);
      if (!code || *code < lowest || *code > highest) return false;
    }
    if (ends.size() == 2 && parse_number<int>(ends[0]) > parse_number<int>(ends[1])) return false;
  }
  return true;
}

bool is_network(const model::TargetGroup& group) { return group.protocol == "TCP" || group.protocol == "TLS"; }

// What AWS takes when the request says nothing, by the group's protocol.
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateTargetGroup.html
void default_health_check(model::TargetGroup& group) {
  auto& check = group.health_check;
  if (is_network(group)) check.protocol = "TCP", check.matcher = "200-399", check.timeout = Seconds(10);
  if (group.protocol_version == "GRPC") check.path = "/AWS.ALB/healthcheck", check.matcher = "12";
}

// Takes what a create or modify request says about the health check.
template <class Request>
Result<void> change_health_check(model::TargetGroup& group, const Request& request) {
  auto& check = group.health_check;
  bool network = is_network(group), grpc = group.protocol_version == "GRPC";
  if (request.HealthCheckProtocol) check.protocol = *request.HealthCheckProtocol;
  if (check.protocol == "TCP" && !network) return error(kInvalid, "Health check protocol 'TCP' is not supported for target groups with the protocol '{}'", group.protocol);
  if (check.protocol == "TCP" && (request.HealthCheckPath || (request.Matcher && request.Matcher->HttpCode)))
    return error(kInvalid, "Health check path and matcher are not supported for health checks with the protocol 'TCP'");
  if (request.HealthCheckPort) check.port = *request.HealthCheckPort;
  if (request.HealthCheckPath) check.path = *request.HealthCheckPath;
  if (request.HealthCheckIntervalSeconds) check.interval = Seconds(*request.HealthCheckIntervalSeconds);
  if (request.HealthCheckTimeoutSeconds) check.timeout = Seconds(*request.HealthCheckTimeoutSeconds);
  if (request.HealthyThresholdCount) check.healthy_threshold = *request.HealthyThresholdCount;
  if (request.UnhealthyThresholdCount) check.unhealthy_threshold = *request.UnhealthyThresholdCount;
  if (request.Matcher && request.Matcher->HttpCode) check.matcher = *request.Matcher->HttpCode;
  if (request.Matcher && request.Matcher->GrpcCode) check.matcher = *request.Matcher->GrpcCode;
  if (request.Matcher && (grpc ? request.Matcher->HttpCode.has_value() : request.Matcher->GrpcCode.has_value()))
    return error(kInvalid, "A matcher of target groups with the protocol version '{}' has {}", group.protocol_version, grpc ? "GrpcCode" : "HttpCode");
  if (check.port != "traffic-port") {
    auto port = parse_number<int>(check.port);
    if (!port || *port < 1 || *port > 65535)
      return error(kInvalid, "Health check port '{}' must be 'traffic-port' or a number from 1 to 65535", check.port);
  }
  if (!check.path.starts_with("/") || std::ranges::any_of(check.path, [](char c) { return c <= ' ' || c >= 127; }))
    return error(kInvalid, "Health check path '{}' must begin with '/' and hold printable ASCII characters only", check.path);
  // AWS wants it smaller; with an interval of one second that would leave none.
  if (check.timeout > check.interval || (check.timeout == check.interval && check.interval > Seconds(1)))
    return error(kInvalid, "Health check timeout '{}' must be smaller than the interval '{}'", check.timeout.count(), check.interval.count());
  if (grpc && !is_matcher(check.matcher, 0, 99)) return error(kInvalid, "Health check matcher gRPC code '{}' must be within '0-99' inclusive", check.matcher);
  int highest = network ? 599 : 499;
  if (!grpc && !is_matcher(check.matcher, 200, highest))
    return error(kInvalid, "Health check matcher HTTP code '{}' must be within '200-{}' inclusive", check.matcher, highest);
  return {};
}

}  // namespace

Result<CreateTargetGroupResponse> create_target_group(Call& call, const CreateTargetGroupRequest& request) {
  auto& control = *call.platform.control;
  TRY_VOID(check_name("Target group", request.Name));
  TRY_VOID(control::ensure_default_network(control.database(), control.state(), call.scope));
  if (!request.Protocol) return error(kInvalid, "A protocol must be specified");
  if (!request.Port) return error(kInvalid, "A port must be specified");
  if (!request.VpcId) return error(kInvalid, "A VPC ID must be specified");
  if (!control::find_vpc(control.state(), call.scope, *request.VpcId)) return error(kInvalid, "The VPC ID '{}' is not found", *request.VpcId);
  model::TargetGroup group{.scope = call.scope, .name = request.Name, .protocol = *request.Protocol, .port = *request.Port, .vpc = *request.VpcId,
                           .target_type = request.TargetType.value_or("instance")};
  bool http = group.protocol == "HTTP" || group.protocol == "HTTPS";
  auto version = request.ProtocolVersion.value_or("");  // Terraform sends an empty one
  group.protocol_version = version.empty() ? "HTTP1" : version;
  if (group.protocol_version != "HTTP1" && group.protocol_version != "HTTP2" && group.protocol_version != "GRPC")
    return error(kInvalid, "Protocol version '{}' must be one of 'GRPC, HTTP1, HTTP2'", group.protocol_version);
  if (!http && !version.empty()) return error(kInvalid, "Protocol version is not supported for target groups with the protocol '{}'", group.protocol);
  default_health_check(group);
  TRY_VOID(change_health_check(group, request));
  TRY(group.tags, tags_from_wire(request.Tags));
  TRY(auto made, control::create_target_group(control, std::move(group)));
  CreateTargetGroupResponse response;
  response.TargetGroups.push_back(to_wire(call, made));
  return response;
}

Result<DescribeTargetGroupsResponse> describe_target_groups(Call& call, const DescribeTargetGroupsRequest& request) {
  if (request.LoadBalancerArn) TRY_VOID(find_load_balancer(call, *request.LoadBalancerArn));
  auto used = [&](const model::TargetGroup& group) {
    if (!request.LoadBalancerArn) return true;
    auto users = control::load_balancers_of(state_of(call), group.arn);
    return std::ranges::find(users, *request.LoadBalancerArn) != users.end();
  };
  auto found = matching(state_of(call).target_groups, "", [&](const model::TargetGroup& group) {
    return group.scope == call.scope && among(request.TargetGroupArns, group.arn) && among(request.Names, group.name) && used(group);
  });
  for (const auto& arn : request.TargetGroupArns)
    if (!find_target_group(call, arn)) return error("TargetGroupNotFound", "One or more target groups not found");
  if (first_missing(request.Names, found, &model::TargetGroup::name)) return error("TargetGroupNotFound", "One or more target groups not found");
  TRY(auto page, paginate(call, std::move(found), request.Marker, page_size(request.PageSize, 400, 400),
                          &model::TargetGroup::arn, kInvalid));
  DescribeTargetGroupsResponse response{.NextMarker = std::move(page.next_token)};
  for (const auto& group : page.items) response.TargetGroups.push_back(to_wire(call, group));
  return response;
}

Result<ModifyTargetGroupResponse> modify_target_group(Call& call, const ModifyTargetGroupRequest& request) {
  TRY(auto group, call.platform.control->commit([&]() -> Result<model::TargetGroup> {
    TRY(auto changed, find_target_group(call, request.TargetGroupArn));
    TRY_VOID(change_health_check(changed, request));
    state_of(call).target_groups.put(changed.arn, changed);
    return changed;
  }));
  ModifyTargetGroupResponse response;
  response.TargetGroups.push_back(to_wire(call, group));
  return response;
}

Result<DeleteTargetGroupResponse> delete_target_group(Call& call, const DeleteTargetGroupRequest& request) {
  if (find_target_group(call, request.TargetGroupArn)) TRY_VOID(control::delete_target_group(*call.platform.control, request.TargetGroupArn));
  return DeleteTargetGroupResponse{};
}

Result<DescribeTargetGroupAttributesResponse> describe_target_group_attributes(Call& call, const DescribeTargetGroupAttributesRequest& request) {
  TRY(auto group, find_target_group(call, request.TargetGroupArn));
  return DescribeTargetGroupAttributesResponse{.Attributes = to_wire_tags<TargetGroupAttribute>(all_attributes(target_group_attributes(group), group.attributes))};
}

Result<ModifyTargetGroupAttributesResponse> modify_target_group_attributes(Call& call, const ModifyTargetGroupAttributesRequest& request) {
  TRY(auto group, call.platform.control->commit([&]() -> Result<model::TargetGroup> {
    TRY(auto changed, find_target_group(call, request.TargetGroupArn));
    for (const auto& attribute : request.Attributes) {
      auto key = attribute.Key.value_or(""), value = attribute.Value.value_or("");
      TRY_VOID(set_attribute(target_group_attributes(changed), changed.attributes, key, value));
      if (key == "deregistration_delay.timeout_seconds") changed.deregistration_delay = Seconds(parse_number<int>(value).value_or(300));
    }
    TRY_VOID(check_target_group_attributes(changed));
    state_of(call).target_groups.put(changed.arn, changed);
    return changed;
  }));
  return ModifyTargetGroupAttributesResponse{.Attributes = to_wire_tags<TargetGroupAttribute>(all_attributes(target_group_attributes(group), group.attributes))};
}

}  // namespace watari::aws::elbv2
