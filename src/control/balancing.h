#pragma once
// Commands on load balancers, target groups, listeners, rules and targets. Each is one transaction (nested in the caller's when
// there is one); on error nothing has changed. Errors carry AWS's name in `reason`. Thread: the control loop.
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/control.h"

namespace watari::control {

// --- load balancers ------------------------------------------------------------------------------------------------------

// Scope, name, scheme, VPC, subnets, groups, tags are given; ARN, DNS name and time are made here. The same again with the same
// settings returns the one that exists; DuplicateLoadBalancerName otherwise.
Result<model::LoadBalancer> create_load_balancer(Control& control, model::LoadBalancer balancer);
// With its listeners and rules; fine when it does not exist. OperationNotPermitted while deletion protection is on.
Result<void> delete_load_balancer(Control& control, const std::string& arn);

// --- target groups -------------------------------------------------------------------------------------------------------

// As create_load_balancer; DuplicateTargetGroupName.
Result<model::TargetGroup> create_target_group(Control& control, model::TargetGroup group);
// With its targets; fine when it does not exist. ResourceInUse while a rule forwards to it.
Result<void> delete_target_group(Control& control, const std::string& arn);
// ARNs of the load balancers with a rule that forwards to the group (AWS allows one).
std::vector<std::string> load_balancers_of(const State& state, const std::string& target_group);

// --- listeners and rules ---------------------------------------------------------------------------------------------------

// The port is tried first: InvalidConfigurationRequest names who holds it. DuplicateListener.
Result<model::Listener> create_listener(Control& control, model::Listener listener, const model::Action& default_action);
struct ListenerChange {
  std::optional<int> port;
  std::optional<std::string> protocol, ssl_policy, certificate;  // certificate: the default one
  std::optional<model::Action> default_action;
};
Result<model::Listener> modify_listener(Control& control, const std::string& arn, const ListenerChange& change);
// Certificates beside the default one, chosen by the name that a client asks for (SNI). CertificateNotFound, TooManyCertificates;
// OperationNotPermitted for the default one.
Result<model::Listener> add_listener_certificates(Control& control, const std::string& arn, const std::vector<std::string>& certificates);
Result<void> remove_listener_certificates(Control& control, const std::string& arn, const std::vector<std::string>& certificates);
Result<void> delete_listener(Control& control, const std::string& arn);

// PriorityInUse. The ARN is made here.
Result<model::Rule> create_rule(Control& control, model::Rule rule);
// OperationNotPermitted for conditions of a default rule.
Result<model::Rule> modify_rule(Control& control, const std::string& arn, const std::optional<std::vector<model::Condition>>& conditions,
                                const std::optional<model::Action>& action);
Result<void> delete_rule(Control& control, const std::string& arn);
Result<std::vector<model::Rule>> set_rule_priorities(Control& control, const std::vector<std::pair<std::string, int>>& priorities);
// By priority, the default rule last.
std::vector<model::Rule> rules_of(const State& state, const std::string& listener);
std::vector<model::Listener> listeners_of(const State& state, const std::string& load_balancer);

// --- targets -------------------------------------------------------------------------------------------------------------

struct TargetAddress {
  std::string address;
  int port = 0;
};
// A target that is draining comes back. InvalidTarget outside the VPC's range.
Result<void> register_targets(Control& control, const std::string& target_group, const std::vector<TargetAddress>& targets);
// They drain for the group's deregistration delay. InvalidTarget when one is not registered.
Result<void> deregister_targets(Control& control, const std::string& target_group, const std::vector<TargetAddress>& targets);
// Removes those of the draining targets (by key) that have drained and that no task owns (those of tasks are removed by their service's
// plan). `fresh`: what the balancer said last is about the present state. Returns when to look again.
std::optional<Time> remove_drained_targets(Control& control, const std::set<std::string>& draining, bool fresh);

}  // namespace watari::control
