#include "aws/elbv2/wire.h"

#include <algorithm>

#include "base/strings.h"

namespace watari::aws::elbv2 {

namespace {

std::optional<std::string> text(const std::string& value) { return value.empty() ? std::nullopt : std::optional(value); }

}  // namespace

LoadBalancer to_wire(Call& call, const model::LoadBalancer& balancer) {
  LoadBalancer out{.LoadBalancerArn = balancer.arn,
                   .DNSName = balancer.dns_name,
                   .CanonicalHostedZoneId = "Z35SXDOTRQ7X7K",
                   .CreatedTime = balancer.created_at,
                   .LoadBalancerName = balancer.name,
                   .Scheme = balancer.scheme,
                   .VpcId = balancer.vpc,
                   .State = LoadBalancerState{.Code = "active"},
                   .Type = balancer.type};
  for (const auto& id : balancer.subnets) {
    auto subnet = state_of(call).subnets.get(control::network_key(balancer.scope, id));
    out.AvailabilityZones.push_back({.ZoneName = subnet ? subnet->zone : "", .SubnetId = id});
  }
  out.SecurityGroups = balancer.security_groups;
  out.IpAddressType = "ipv4";
  return out;
}

TargetGroup to_wire(Call& call, const model::TargetGroup& group) {
  const auto& check = group.health_check;
  TargetGroup out{.TargetGroupArn = group.arn,
                  .TargetGroupName = group.name,
                  .Protocol = group.protocol,
                  .Port = group.port,
                  .VpcId = group.vpc,
                  .HealthCheckProtocol = check.protocol,
                  .HealthCheckPort = check.port,
                  .HealthCheckEnabled = check.enabled,
                  .HealthCheckIntervalSeconds = static_cast<int>(check.interval.count()),
                  .HealthCheckTimeoutSeconds = static_cast<int>(check.timeout.count()),
                  .HealthyThresholdCount = check.healthy_threshold,
                  .UnhealthyThresholdCount = check.unhealthy_threshold,
                  };
  if (check.protocol != "TCP") {
    out.HealthCheckPath = check.path;
    out.Matcher = group.protocol_version == "GRPC" ? Matcher{.GrpcCode = check.matcher} : Matcher{.HttpCode = check.matcher};
  }
  out.LoadBalancerArns = control::load_balancers_of(state_of(call), group.arn);
  out.TargetType = group.target_type;
  if (group.protocol == "HTTP" || group.protocol == "HTTPS") out.ProtocolVersion = group.protocol_version;
  out.IpAddressType = "ipv4";
  return out;
}

Listener to_wire(Call& call, const model::Listener& listener) {
  Listener out{.ListenerArn = listener.arn, .LoadBalancerArn = listener.load_balancer, .Port = listener.port, .Protocol = listener.protocol};
  if (auto rules = control::rules_of(state_of(call), listener.arn); !rules.empty())
    out.DefaultActions.push_back(to_wire(rules.back().action));
  if (!listener.certificates.empty()) out.Certificates.push_back({.CertificateArn = listener.certificates.front()});
  out.SslPolicy = text(listener.ssl_policy);
  if (listener.protocol == "HTTPS") out.MutualAuthentication = MutualAuthenticationAttributes{.Mode = "off"};
  return out;
}

Action to_wire(const model::Action& action) {
  Action out{.Type = std::string(name_of(action.type))};
  switch (action.type) {
    case model::ActionType::Forward: {
      if (action.forward.size() == 1) out.TargetGroupArn = action.forward.front().target_group;
      ForwardActionConfig forward;
      for (const auto& share : action.forward) forward.TargetGroups.push_back({.TargetGroupArn = share.target_group, .Weight = share.weight});
      forward.TargetGroupStickinessConfig = TargetGroupStickinessConfig{.Enabled = action.sticky};
      if (action.sticky) forward.TargetGroupStickinessConfig->DurationSeconds = static_cast<int>(action.sticky_duration.count());
      out.ForwardConfig = std::move(forward);
      break;
    }
    case model::ActionType::FixedResponse:
      out.FixedResponseConfig =
          FixedResponseActionConfig{.MessageBody = text(action.body), .StatusCode = action.status_code, .ContentType = text(action.content_type)};
      break;
    case model::ActionType::Redirect:
      out.RedirectConfig = RedirectActionConfig{.Protocol = action.protocol, .Port = action.port, .Host = action.host, .Path = action.path,
                                                .Query = action.query, .StatusCode = action.status_code};
      break;
  }
  return out;
}

Rule to_wire(const model::Rule& rule) {
  Rule out{.RuleArn = rule.arn, .Priority = rule.priority == 0 ? "default" : std::to_string(rule.priority)};
  for (const auto& condition : rule.conditions) {
    RuleCondition wire{.Field = condition.field};
    const auto& values = condition.values;
    if (condition.field == "host-header") {
      wire.Values = values;
      wire.HostHeaderConfig = HostHeaderConditionConfig{.Values = values};
    } else if (condition.field == "path-pattern") {
      wire.Values = values;
      wire.PathPatternConfig = PathPatternConditionConfig{.Values = values};
    } else if (condition.field == "http-header") {
      wire.HttpHeaderConfig = HttpHeaderConditionConfig{.HttpHeaderName = condition.name, .Values = values};
    } else if (condition.field == "http-request-method") {
      wire.HttpRequestMethodConfig = HttpRequestMethodConditionConfig{.Values = values};
    } else if (condition.field == "source-ip") {
      wire.SourceIpConfig = SourceIpConditionConfig{.Values = values};
    } else {
      QueryStringConditionConfig query;
      for (const auto& value : values) {
        auto equals = value.find('=');
        if (equals == std::string::npos) query.Values.push_back({.Value = value});
        else query.Values.push_back({.Key = value.substr(0, equals), .Value = value.substr(equals + 1)});
      }
      wire.QueryStringConfig = std::move(query);
    }
    out.Conditions.push_back(std::move(wire));
  }
  out.Actions.push_back(to_wire(rule.action));
  out.IsDefault = rule.priority == 0;
  return out;
}

Result<std::vector<model::Tag>> tags_from_wire(const std::vector<Tag>& tags) {
  std::vector<model::Tag> out;
  for (const auto& tag : tags) {
    if (tag.Key.starts_with("aws:"))
      return error(kInvalid, "Tag key '{}' begins with the reserved prefix 'aws:'", tag.Key);
    if (std::ranges::find(out, tag.Key, &model::Tag::key) != out.end())
      return error("DuplicateTagKeys", "A tag key was specified more than once: '{}'", tag.Key);
    out.push_back(tag_from_wire(tag));
  }
  if (out.size() > kMaxTags) return error("TooManyTags", "A resource can have at most {} tags", kMaxTags);
  return out;
}

Result<model::LoadBalancer> find_load_balancer(Call& call, const std::string& arn) {
  auto found = state_of(call).load_balancers.get(arn);
  if (!found || found->scope != call.scope) return error("LoadBalancerNotFound", "Load balancers '[{}]' not found", arn);
  return *found;
}

Result<model::TargetGroup> find_target_group(Call& call, const std::string& arn) {
  auto found = state_of(call).target_groups.get(arn);
  if (!found || found->scope != call.scope) return error("TargetGroupNotFound", "Target groups '{}' not found", arn);
  return *found;
}

Result<model::Listener> find_listener(Call& call, const std::string& arn) {
  auto found = state_of(call).listeners.get(arn);
  if (!found || found->scope != call.scope) return error("ListenerNotFound", "One or more listeners not found");
  return *found;
}

Result<model::Rule> find_rule(Call& call, const std::string& arn) {
  auto found = state_of(call).rules.get(arn);
  if (!found || !find_listener(call, found->listener)) return error("RuleNotFound", "One or more rules not found");
  return *found;
}

Result<void> check_name(std::string_view kind, const std::string& name) {
  auto fine = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-'; };
  if (name.size() > 32) return error(kInvalid, "{} name '{}' cannot be longer than '32' characters", kind, name);
  if (name.empty() || !std::ranges::all_of(name, fine))
    return error(kInvalid, "{} name '{}' can only contain characters that are alphanumeric characters and hyphens(-)", kind, name);
  if (name.starts_with('-') || name.ends_with('-')) return error(kInvalid, "{} name '{}' cannot begin or end with a hyphen", kind, name);
  if (kind == "Load balancer" && name.starts_with("internal-"))
    return error(kInvalid, "Load balancer name '{}' cannot begin with 'internal-'", name);
  return {};
}

}  // namespace watari::aws::elbv2
