// Attributes of load balancers and target groups. What is not acted upon is accepted at its default only.
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancerAttribute.html, API_TargetGroupAttribute.html
#include <algorithm>

#include "aws/elbv2/wire.h"
#include "base/strings.h"

namespace watari::aws::elbv2 {

std::span<const AttributeRule> load_balancer_attributes(const model::LoadBalancer& balancer) {
  static constexpr AttributeRule kNetwork[] = {
      {"access_logs.s3.enabled", "false", ""},
      {"access_logs.s3.bucket", "", ""},
      {"access_logs.s3.prefix", "", ""},
      {"deletion_protection.enabled", "false", "true|false"},
      {"dns_record.client_routing_policy", "any_availability_zone", ""},
      {"ipv6.deny_all_igw_traffic", "false", ""},
      {"load_balancing.cross_zone.enabled", "false", "true|false"},  // all zones are one machine
      {"secondary_ips.auto_assigned.per_subnet", "0", ""},
      {"zonal_shift.config.enabled", "false", ""},
  };
  if (balancer.type == "network") return kNetwork;
  static constexpr AttributeRule kRules[] = {
      // There is no S3: the bucket "watari-logs" stands for the log group /watari/elb/<name>.
      {"access_logs.s3.enabled", "false", "true|false"},
      {"access_logs.s3.bucket", "", "watari-logs"},
      {"access_logs.s3.prefix", "", ""},
      {"client_keep_alive.seconds", "3600", ""},
      {"connection_logs.s3.enabled", "false", ""},
      {"connection_logs.s3.bucket", "", ""},
      {"connection_logs.s3.prefix", "", ""},
      {"deletion_protection.enabled", "false", "true|false"},
      {"health_check_logs.s3.enabled", "false", ""},
      {"health_check_logs.s3.bucket", "", ""},
      {"health_check_logs.s3.prefix", "", ""},
      {"idle_timeout.timeout_seconds", "60", "1-4000"},
      {"ipv6.deny_all_igw_traffic", "false", ""},
      {"load_balancing.cross_zone.enabled", "true", ""},
      {"routing.http.desync_mitigation_mode", "defensive", ""},
      {"routing.http.drop_invalid_header_fields.enabled", "false", "true|false"},
      // The Host header reaches targets as it came, either way.
      {"routing.http.preserve_host_header.enabled", "false", "true|false"},
      {"routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false", "true|false"},
      {"routing.http.xff_client_port.enabled", "false", "true|false"},
      {"routing.http.xff_header_processing.mode", "append", "append|preserve|remove"},
      {"routing.http2.enabled", "true", "true|false"},
      {"waf.fail_open.enabled", "false", ""},
      {"zonal_shift.config.enabled", "false", ""},
  };
  return kRules;
}

std::span<const AttributeRule> target_group_attributes(const model::TargetGroup& group) {
  static constexpr AttributeRule kNetwork[] = {
      {"deregistration_delay.connection_termination.enabled", "false", "true|false"},
      {"deregistration_delay.timeout_seconds", "300", "0-3600"},
      {"load_balancing.cross_zone.enabled", "use_load_balancer_configuration", "use_load_balancer_configuration|true|false"},
      // Targets see the load balancer's address; proxy_protocol_v2 tells them the client's.
      {"preserve_client_ip.enabled", "false", ""},
      {"proxy_protocol_v2.enabled", "false", "true|false"},
      {"stickiness.enabled", "false", "true|false"},
      {"stickiness.type", "source_ip", ""},
      {"target_failover.on_deregistration", "no_rebalance", ""},
      {"target_failover.on_unhealthy", "no_rebalance", ""},
      {"target_group_health.dns_failover.minimum_healthy_targets.count", "1", ""},
      {"target_group_health.dns_failover.minimum_healthy_targets.percentage", "off", ""},
      {"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1", ""},
      {"target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage", "off", ""},
      {"target_health_state.unhealthy.connection_termination.enabled", "true", ""},
      {"target_health_state.unhealthy.draining_interval_seconds", "0", ""},
  };
  if (group.protocol == "TCP" || group.protocol == "TLS") return kNetwork;
  static constexpr AttributeRule kRules[] = {
      {"deregistration_delay.timeout_seconds", "300", "0-3600"},
      {"load_balancing.algorithm.anomaly_mitigation", "off", ""},
      {"load_balancing.algorithm.type", "round_robin", "round_robin|least_outstanding_requests|weighted_random"},
      {"load_balancing.cross_zone.enabled", "use_load_balancer_configuration", "use_load_balancer_configuration|true"},
      {"slow_start.duration_seconds", "0", "0-900"},
      {"stickiness.app_cookie.cookie_name", "", "*"},
      {"stickiness.app_cookie.duration_seconds", "86400", "1-604800"},
      {"stickiness.enabled", "false", "true|false"},
      {"stickiness.lb_cookie.duration_seconds", "86400", "1-604800"},
      {"stickiness.type", "lb_cookie", "lb_cookie|app_cookie"},
      {"target_group_health.dns_failover.minimum_healthy_targets.count", "1", ""},
      {"target_group_health.dns_failover.minimum_healthy_targets.percentage", "off", ""},
      {"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1", ""},
      {"target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage", "off", ""},
  };
  return kRules;
}

Result<void> set_attribute(std::span<const AttributeRule> rules, std::vector<model::Tag>& attributes, const std::string& key,
                           const std::string& value) {
  auto rule = std::ranges::find(rules, key, &AttributeRule::key);
  if (rule == rules.end()) return error(kInvalid, "Key '{}' not recognized", key);
  auto store = [&]() -> Result<void> {
    auto found = std::ranges::find(attributes, key, &model::Tag::key);
    if (found == attributes.end()) attributes.push_back({key, value});
    else found->value = value;
    return {};
  };
  if (value == rule->otherwise) return store();
  if (rule->accepted == "*") {  // a cookie's name
    auto fine = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.'; };
    if (value.size() > 256 || !std::ranges::all_of(value, fine) || value.starts_with("AWSALB"))
      return error(kInvalid, "'{}' must be a cookie name of letters, digits, '-', '_' and '.' that does not begin with AWSALB, but is '{}'", key, value);
    return store();
  }
  if (rule->accepted.empty())
    return error(kInvalid, "Attribute '{}' with the value '{}' is not supported by Watari; leave it at '{}'", key, value, rule->otherwise);
  if (std::isdigit(static_cast<unsigned char>(rule->accepted.front()))) {
    auto range = split(rule->accepted, '-');
    auto number = parse_number<int>(value);
    if (!number || *number < parse_number<int>(range[0]) || *number > parse_number<int>(range[1]) ||
        (key == "slow_start.duration_seconds" && *number != 0 && *number < 30))
      return error(kInvalid, "'{}' must be a number between {} and {}, but is '{}'", key,
                   key == "slow_start.duration_seconds" ? "30 (or 0)" : range[0], range[1], value);
    return store();
  }
  auto choices = split(rule->accepted, '|');
  if (std::ranges::find(choices, value) == choices.end())
    return error(kInvalid, "'{}' must be one of '{}', but is '{}'", key, join(choices, ","), value);
  return store();
}

// What each attribute alone does not show.
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html
Result<void> check_target_group_attributes(const model::TargetGroup& group) {
  auto value = [&](std::string_view key, std::string_view otherwise) {
    auto found = std::ranges::find(group.attributes, key, &model::Tag::key);
    return found == group.attributes.end() ? std::string(otherwise) : found->value;
  };
  bool sticky = value("stickiness.enabled", "false") == "true";
  if (sticky && value("stickiness.type", "") == "app_cookie" && value("stickiness.app_cookie.cookie_name", "").empty())
    return error(kInvalid, "'stickiness.app_cookie.cookie_name' must be given for the stickiness type 'app_cookie'");
  auto algorithm = value("load_balancing.algorithm.type", "round_robin");
  if (value("slow_start.duration_seconds", "0") != "0" && algorithm != "round_robin")
    return error("InvalidConfigurationRequest", "Slow start is for the algorithm 'round_robin' only; this target group has '{}'", algorithm);
  return {};
}

std::vector<model::Tag> all_attributes(std::span<const AttributeRule> rules, const std::vector<model::Tag>& attributes) {
  std::vector<model::Tag> out;
  for (const auto& rule : rules) {
    auto found = std::ranges::find(attributes, rule.key, &model::Tag::key);
    out.push_back({std::string(rule.key), found == attributes.end() ? std::string(rule.otherwise) : found->value});
  }
  return out;
}

}  // namespace watari::aws::elbv2
