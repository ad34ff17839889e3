#pragma once
// Load balancers, listeners, rules, target groups, targets (Elastic Load Balancing v2).
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fields.h"
#include "model/scope.h"

namespace watari::model {

struct LoadBalancer {
  Scope scope;
  std::string arn, name;
  std::string dns_name;  // <name>-<id>.<region>.elb.localhost
  std::string type = "application";
  std::string scheme = "internet-facing";
  std::string vpc;
  std::vector<std::string> subnets, security_groups;
  std::vector<Tag> attributes;  // idle_timeout.timeout_seconds …
  std::vector<Tag> tags;
  Time created_at{};
  WATARI_FIELDS(LoadBalancer, scope, arn, name, dns_name, type, scheme, vpc, subnets, security_groups, attributes, tags,
                created_at)
};

struct TargetHealthCheck {
  bool enabled = true;
  std::string protocol = "HTTP";      // HTTP | HTTPS | TCP
  std::string port = "traffic-port";  // or a number
  std::string path = "/";
  std::string matcher = "200";        // "200", "200-299", "200,202"; of a GRPC target group its status codes: "12", "0-99"
  Seconds interval{30}, timeout{5};
  int healthy_threshold = 5, unhealthy_threshold = 2;
  WATARI_FIELDS(TargetHealthCheck, enabled, protocol, port, path, matcher, interval, timeout, healthy_threshold,
                unhealthy_threshold)
};

struct TargetGroup {
  Scope scope;
  std::string arn, name;
  std::string protocol = "HTTP";  // HTTP | HTTPS (not verified, as with ALB) | TCP | TLS
  std::string protocol_version = "HTTP1";  // HTTP1 | HTTP2 | GRPC; of HTTP and HTTPS
  int port = 80;
  std::string vpc;
  std::string target_type = "ip";  // ip | instance (an address or a name of a machine that the user registers)
  TargetHealthCheck health_check;
  Seconds deregistration_delay{300};
  std::vector<Tag> attributes;  // the others, as given
  std::vector<Tag> tags;
  Time created_at{};
  WATARI_FIELDS(TargetGroup, scope, arn, name, protocol, protocol_version, port, vpc, target_type, health_check, deregistration_delay,
                attributes, tags, created_at)
};

struct Target {
  std::string target_group;  // ARN
  std::string address;
  int port = 0;
  std::optional<Time> draining_until;  // deregistered: no new requests; gone at that time or when idle
  Time registered_at{};
  WATARI_FIELDS(Target, target_group, address, port, draining_until, registered_at)
};

struct WeightedTargetGroup {
  std::string target_group;  // ARN
  int weight = 1;            // 0..999
  WATARI_FIELDS(WeightedTargetGroup, target_group, weight)
};

enum class ActionType { Forward, FixedResponse, Redirect };
WATARI_ENUM(ActionType, {ActionType::Forward, "forward"}, {ActionType::FixedResponse, "fixed-response"},
            {ActionType::Redirect, "redirect"})

struct Action {
  ActionType type = ActionType::Forward;
  std::vector<WeightedTargetGroup> forward;
  bool sticky = false;  // a client stays with the target group that it was sent to (cookie AWSALBTG)
  Seconds sticky_duration{0};
  std::string status_code, content_type, body;             // fixed response (status_code also of redirect: HTTP_301)
  std::string protocol, host, port, path, query;           // redirect, with #{placeholders}
  WATARI_FIELDS(Action, type, forward, sticky, sticky_duration, status_code, content_type, body, protocol, host, port, path, query)
};

struct Condition {
  std::string field;                // host-header | path-pattern | http-request-method | http-header | query-string | source-ip
  std::string name;                 // of http-header
  std::vector<std::string> values;  // "*" and "?" are wildcards; query-string: "key=value" or "value"
  WATARI_FIELDS(Condition, field, name, values)
};

struct Rule {
  std::string arn, listener;
  int priority = 0;  // 1..50000; 0 is the default rule, evaluated last
  std::vector<Condition> conditions;
  Action action;
  std::vector<Tag> tags;
  WATARI_FIELDS(Rule, arn, listener, priority, conditions, action, tags)
};

struct Listener {
  Scope scope;
  std::string arn, load_balancer;  // ARNs
  std::string protocol = "HTTP";  // HTTP | HTTPS | TCP | TLS
  int port = 80;
  std::vector<std::string> certificates;  // ARNs; the first one answers clients that name no host, or an unknown one
  std::string ssl_policy;
  std::vector<Tag> attributes;
  std::vector<Tag> tags;
  WATARI_FIELDS(Listener, scope, arn, load_balancer, protocol, port, certificates, ssl_policy, attributes, tags)
};

// DescribeTargetHealth's states.
enum class TargetState { Initial, Healthy, Unhealthy, Unused, Draining, Unavailable };
WATARI_ENUM(TargetState, {TargetState::Initial, "initial"}, {TargetState::Healthy, "healthy"},
            {TargetState::Unhealthy, "unhealthy"}, {TargetState::Unused, "unused"}, {TargetState::Draining, "draining"},
            {TargetState::Unavailable, "unavailable"})

struct TargetHealth {
  std::string target_group, address;
  int port = 0;
  TargetState state = TargetState::Initial;
  std::string reason;       // Elb.RegistrationInProgress, Target.FailedHealthChecks, Target.Timeout, …
  std::string description;  // the last probe in words: "HTTP status 503 after 4 ms: <first bytes of the body>"
  int in_flight = 0;        // requests being served now
  WATARI_FIELDS(TargetHealth, target_group, address, port, state, reason, description, in_flight)
};

}  // namespace watari::model
