#pragma once
// Between ELBv2's shapes and the domain, and the look-ups and checks that its handlers share.
#include <optional>
#include <string>
#include <vector>

#include "aws/call.h"
#include "aws/gen/elbv2/shape/Action.h"
#include "aws/gen/elbv2/shape/Listener.h"
#include "aws/gen/elbv2/shape/LoadBalancer.h"
#include "aws/gen/elbv2/shape/Rule.h"
#include "aws/gen/elbv2/shape/Tag.h"
#include "aws/gen/elbv2/shape/TargetGroup.h"
#include "aws/page.h"
#include "aws/tags.h"
#include "control/balancing.h"

namespace watari::aws::elbv2 {

constexpr const char* kInvalid = "ValidationError";

inline control::State& state_of(Call& call) { return call.platform.control->state(); }

LoadBalancer to_wire(Call& call, const model::LoadBalancer& balancer);
TargetGroup to_wire(Call& call, const model::TargetGroup& group);
Listener to_wire(Call& call, const model::Listener& listener);
Rule to_wire(const model::Rule& rule);
Action to_wire(const model::Action& action);

// One action that decides: forward, fixed-response or redirect. ValidationError, InvalidLoadBalancerAction.
Result<model::Action> action_from_wire(const std::vector<Action>& actions);
Result<std::vector<model::Condition>> conditions_from_wire(const std::vector<RuleCondition>& conditions);
Result<std::vector<model::Tag>> tags_from_wire(const std::vector<Tag>& tags);

// Of the call's account and region only.
Result<model::LoadBalancer> find_load_balancer(Call& call, const std::string& arn);
Result<model::TargetGroup> find_target_group(Call& call, const std::string& arn);
Result<model::Listener> find_listener(Call& call, const std::string& arn);
Result<model::Rule> find_rule(Call& call, const std::string& arn);

// 1 to 32 letters, digits and hyphens, no hyphen at either end.
Result<void> check_name(std::string_view kind, const std::string& name);

// Attributes of load balancers and target groups: which there are, what they are by default, what may be set.
struct AttributeRule {
  std::string_view key, otherwise;
  // "" : only the default; "a|b": one of these; "1-4000": a number in the range.
  std::string_view accepted;
};
std::span<const AttributeRule> load_balancer_attributes(const model::LoadBalancer& balancer);
std::span<const AttributeRule> target_group_attributes(const model::TargetGroup& group);
// Takes the changes into `attributes`; ValidationError names what is unknown, malformed or not supported.
Result<void> set_attribute(std::span<const AttributeRule> rules, std::vector<model::Tag>& attributes, const std::string& key,
                           const std::string& value);
Result<void> check_target_group_attributes(const model::TargetGroup& group);
std::vector<model::Tag> all_attributes(std::span<const AttributeRule> rules, const std::vector<model::Tag>& attributes);

}  // namespace watari::aws::elbv2
