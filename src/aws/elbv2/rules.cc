#include <algorithm>

#include "aws/elbv2/wire.h"
#include "aws/gen/elbv2/create_rule.h"
#include "aws/gen/elbv2/delete_rule.h"
#include "aws/gen/elbv2/describe_rules.h"
#include "aws/gen/elbv2/modify_rule.h"
#include "aws/gen/elbv2/set_rule_priorities.h"

namespace watari::aws::elbv2 {

Result<CreateRuleResponse> create_rule(Call& call, const CreateRuleRequest& request) {
  TRY(auto listener, find_listener(call, request.ListenerArn));
  model::Rule rule{.listener = listener.arn, .priority = request.Priority};
  if (request.Conditions.empty()) return error(kInvalid, "At least one condition must be specified");
  TRY(rule.conditions, conditions_from_wire(request.Conditions));
  TRY(rule.action, action_from_wire(request.Actions));
  TRY(rule.tags, tags_from_wire(request.Tags));
  TRY(auto made, control::create_rule(*call.platform.control, std::move(rule)));
  CreateRuleResponse response;
  response.Rules.push_back(to_wire(made));
  return response;
}

Result<DescribeRulesResponse> describe_rules(Call& call, const DescribeRulesRequest& request) {
  std::vector<model::Rule> found;
  if (request.ListenerArn.has_value() != request.RuleArns.empty())
    return error(kInvalid, "Either a listener ARN or rule ARNs must be specified, not both");
  if (request.ListenerArn) {
    TRY(auto listener, find_listener(call, *request.ListenerArn));
    found = control::rules_of(state_of(call), listener.arn);
  }
  for (const auto& arn : request.RuleArns) {
    TRY(auto rule, find_rule(call, arn));
    found.push_back(rule);
  }
  auto key = [](const model::Rule& rule) { return fmt::format("{:05} {}", rule.priority == 0 ? 99999 : rule.priority, rule.arn); };
  std::ranges::sort(found, {}, key);
  TRY(auto page, paginate(call, std::move(found), request.Marker, page_size(request.PageSize, 400, 400), key, kInvalid));
  DescribeRulesResponse response{.NextMarker = std::move(page.next_token)};
  for (const auto& rule : page.items) response.Rules.push_back(to_wire(rule));
  return response;
}

Result<ModifyRuleResponse> modify_rule(Call& call, const ModifyRuleRequest& request) {
  TRY(auto rule, find_rule(call, request.RuleArn));
  std::optional<std::vector<model::Condition>> conditions;
  std::optional<model::Action> action;
  if (!request.Conditions.empty()) {
    TRY(conditions, conditions_from_wire(request.Conditions));
  }
  if (!request.Actions.empty()) {
    TRY(action, action_from_wire(request.Actions));
  }
  TRY(auto changed, control::modify_rule(*call.platform.control, rule.arn, conditions, action));
  ModifyRuleResponse response;
  response.Rules.push_back(to_wire(changed));
  return response;
}

Result<DeleteRuleResponse> delete_rule(Call& call, const DeleteRuleRequest& request) {
  TRY(auto rule, find_rule(call, request.RuleArn));
  TRY_VOID(control::delete_rule(*call.platform.control, rule.arn));
  return DeleteRuleResponse{};
}

Result<SetRulePrioritiesResponse> set_rule_priorities(Call& call, const SetRulePrioritiesRequest& request) {
  std::vector<std::pair<std::string, int>> priorities;
  for (const auto& pair : request.RulePriorities) {
    if (!pair.RuleArn || !pair.Priority) return error(kInvalid, "A rule ARN and a priority must be specified");
    TRY(auto rule, find_rule(call, *pair.RuleArn));
    priorities.emplace_back(rule.arn, *pair.Priority);
  }
  TRY(auto rules, control::set_rule_priorities(*call.platform.control, priorities));
  SetRulePrioritiesResponse response;
  for (const auto& rule : rules) response.Rules.push_back(to_wire(rule));
  return response;
}

}  // namespace watari::aws::elbv2
