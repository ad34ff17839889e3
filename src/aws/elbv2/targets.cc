#include <algorithm>

#include "aws/elbv2/wire.h"
#include "aws/gen/elbv2/deregister_targets.h"
#include "aws/gen/elbv2/describe_target_health.h"
#include "aws/gen/elbv2/register_targets.h"

namespace watari::aws::elbv2 {

namespace {

Result<std::vector<control::TargetAddress>> addresses(const model::TargetGroup& group, const std::vector<TargetDescription>& targets) {
  std::vector<control::TargetAddress> out;
  for (const auto& target : targets) {
    if (target.Id.starts_with("i-"))
      return error("InvalidTarget", "The target '{}' is the id of an EC2 instance, and Watari has none; register the machine's IPv4 address in '{}'", target.Id,
                   group.name);
    out.push_back({target.Id, target.Port.value_or(group.port)});
  }
  if (out.empty()) return error(kInvalid, "At least one target must be specified");
  return out;
}

// AWS's text, then what the last probe saw.
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html (reason codes)
std::string describe(const model::TargetHealth& health) {
  std::string text;
  if (health.reason == "Target.ResponseCodeMismatch") {
    std::string code;  // "HTTP status 503 after 4 ms": of a gRPC answer it is not known
    constexpr std::string_view kStatus = "HTTP status ";
    if (health.description.starts_with(kStatus)) code = health.description.substr(kStatus.size(), 3);
    text = code.empty() ? "Health checks failed with a code that the matcher does not have" : "Health checks failed with these codes: [" + code + "]";
  } else if (health.reason == "Target.Timeout") {
    text = "Request timed out";
  } else if (health.reason == "Target.FailedHealthChecks") {
    text = "Health checks failed";
  } else if (health.reason == "Elb.InitialHealthChecking") {
    text = "Initial health checks in progress";
  } else if (health.reason == "Elb.RegistrationInProgress") {
    return "Target registration is in progress";
  } else if (health.reason == "Target.DeregistrationInProgress") {
    return "Target deregistration is in progress";
  } else {
    return health.description;
  }
  return health.description.empty() ? text : text + " (last probe: " + health.description + ")";
}

TargetHealthDescription to_wire(const model::TargetGroup& group, const model::TargetHealth& health) {
  TargetHealthDescription out;
  out.Target = TargetDescription{.Id = health.address, .Port = health.port};
  out.HealthCheckPort = group.health_check.port == "traffic-port" ? std::to_string(health.port) : group.health_check.port;
  TargetHealth wire{.State = std::string(name_of(health.state))};
  if (health.state != model::TargetState::Healthy) {
    // Mismatch and timeout are words of application load balancers only.
    bool network = group.protocol == "TCP" || group.protocol == "TLS";
    wire.Reason = network && health.state == model::TargetState::Unhealthy ? "Target.FailedHealthChecks" : health.reason;
    wire.Description = describe(health);
  }
  out.TargetHealth = std::move(wire);
  return out;
}

}  // namespace

Result<RegisterTargetsResponse> register_targets(Call& call, const RegisterTargetsRequest& request) {
  TRY(auto group, find_target_group(call, request.TargetGroupArn));
  TRY(auto targets, addresses(group, request.Targets));
  TRY_VOID(control::register_targets(*call.platform.control, group.arn, targets));
  return RegisterTargetsResponse{};
}

Result<DeregisterTargetsResponse> deregister_targets(Call& call, const DeregisterTargetsRequest& request) {
  TRY(auto group, find_target_group(call, request.TargetGroupArn));
  TRY(auto targets, addresses(group, request.Targets));
  TRY_VOID(control::deregister_targets(*call.platform.control, group.arn, targets));
  return DeregisterTargetsResponse{};
}

Result<DescribeTargetHealthResponse> describe_target_health(Call& call, const DescribeTargetHealthRequest& request) {
  TRY(auto group, find_target_group(call, request.TargetGroupArn));
  auto known = call.platform.control->target_health(group.arn);
  bool used = !control::load_balancers_of(state_of(call), group.arn).empty();
  std::vector<model::TargetHealth> all;
  state_of(call).targets.each(group.arn + "/", [&](const std::string&, const model::Target& target) {
    model::TargetHealth health{.target_group = group.arn, .address = target.address, .port = target.port};
    auto seen = std::ranges::find_if(known, [&](const auto& entry) { return entry.address == target.address && entry.port == target.port; });
    if (seen != known.end()) health = *seen;
    else health.reason = "Elb.RegistrationInProgress";
    if (target.draining_until) {
      health.state = model::TargetState::Draining;
      health.reason = "Target.DeregistrationInProgress";
    } else if (!used) {
      health.state = model::TargetState::Unused;
      health.reason = "Target.NotInUse";
      health.description = "Target group is not configured to receive traffic from the load balancer";
    }
    all.push_back(std::move(health));
  });
  DescribeTargetHealthResponse response;
  if (request.Targets.empty()) {
    for (const auto& health : all) response.TargetHealthDescriptions.push_back(to_wire(group, health));
    return response;
  }
  TRY(auto wanted, addresses(group, request.Targets));
  for (const auto& target : wanted) {
    auto found = std::ranges::find_if(all, [&](const auto& health) { return health.address == target.address && health.port == target.port; });
    if (found != all.end()) response.TargetHealthDescriptions.push_back(to_wire(group, *found));
    else
      response.TargetHealthDescriptions.push_back(to_wire(
          group, {.target_group = group.arn, .address = target.address, .port = target.port, .state = model::TargetState::Unused,
                  .reason = "Target.NotRegistered", .description = "Target is not registered to the target group"}));
  }
  return response;
}

}  // namespace watari::aws::elbv2
