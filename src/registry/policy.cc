#include "registry/policy.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "base/strings.h"
#include "codec/json.h"

namespace watari::registry {

using codec::Json;

namespace {

template <class... Args>
auto wrong(fmt::format_string<Args...> format, Args&&... args) {
  return fail(Code::InvalidArgument, "Invalid parameter at 'PolicyText': {}", fmt::format(format, std::forward<Args>(args)...));
}

// A string or a list of strings.
std::vector<std::string> values(const Json& json) {
  if (json.is_string()) return {json.as_string()};
  std::vector<std::string> out;
  for (const auto& item : json.as_array()) out.push_back(item.is_bool() ? (item.as_bool() ? "true" : "false") : item.as_string());
  if (json.is_bool()) out.emplace_back(json.as_bool() ? "true" : "false");
  return out;
}

std::vector<Json> statements(const Json& policy) {
  const Json& all = policy["Statement"];
  return all.is_object() ? std::vector<Json>{all} : all.as_array();
}

bool action_matches(const Json& patterns, const std::string& action) {
  return std::ranges::any_of(values(patterns), [&](const auto& pattern) { return wildcard_match(to_lower(pattern), to_lower(action)); });
}

// "arn:aws:sts::123456789012:assumed-role/deploy/session" -> "deploy"; empty for everybody else.
std::string role_of(const PolicyRequest& request) {
  const auto prefix = "arn:aws:sts::" + request.account + ":assumed-role/";
  if (!request.principal.starts_with(prefix)) return {};
  const auto rest = request.principal.substr(prefix.size());
  return rest.substr(0, rest.find('/'));
}

// A role is named by its ARN, whose path a session's ARN does not tell; its sessions may be named, too.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
bool principal_matches(const Json& principal, const PolicyRequest& request) {
  const auto names = principal.is_string() ? values(principal) : values(principal["AWS"]);
  const auto account = "arn:aws:iam::" + request.account;
  const auto role = role_of(request);
  return std::ranges::any_of(names, [&](const auto& name) {
    const bool its_role = !role.empty() && name.starts_with(account + ":role/") && name.ends_with("/" + role);
    return name == "*" || name == request.principal || name == request.account || name == account + ":root" || its_role;
  });
}

// The keys that are known of every request.
std::optional<std::string> condition_key(const std::string& key, const PolicyRequest& request) {
  const auto name = to_lower(key);
  // Of a session the role's. Source: …/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn
  if (name == "aws:principalarn") return role_of(request).empty() ? request.principal : fmt::format("arn:aws:iam::{}:role/{}", request.account, role_of(request));
  if (name == "aws:principalaccount") return request.account;
  if (name == "aws:securetransport") return request.secure ? "true" : "false";
  return std::nullopt;
}

struct Operator {
  bool negated = false, wildcards = false;
};

std::optional<Operator> condition_operator(const std::string& name) {
  static constexpr std::pair<std::string_view, Operator> kKnown[] = {
      {"StringEquals", {}},          {"StringNotEquals", {true, false}}, {"StringLike", {false, true}}, {"StringNotLike", {true, true}},
      {"ArnEquals", {false, true}},  {"ArnNotEquals", {true, true}},     {"ArnLike", {false, true}},    {"ArnNotLike", {true, true}},
      {"Bool", {}},
  };
  for (const auto& [known, meaning] : kKnown)
    if (known == name) return meaning;
  return std::nullopt;
}

// All conditions hold; each by one of its values.
bool conditions_hold(const Json& conditions, const PolicyRequest& request) {
  for (const auto& [name, keys] : conditions.as_object()) {
    const auto how = condition_operator(name).value_or(Operator{});
    for (const auto& [key, wanted] : keys.as_object()) {
      const auto actual = condition_key(key, request).value_or("");
      const bool found = std::ranges::any_of(values(wanted), [&](const auto& value) { return how.wildcards ? wildcard_match(value, actual) : value == actual; });
      if (found == how.negated) return false;
    }
  }
  return true;
}

Result<void> check_conditions(const Json& conditions) {
  for (const auto& [name, keys] : conditions.as_object()) {
    if (!condition_operator(name)) return wrong("the condition operator {} is not supported in a Deny statement; use one of StringEquals, StringLike, ArnLike, their negations, Bool", name);
    for (const auto& [key, wanted] : keys.as_object())
      if (!condition_key(key, {})) return wrong("the condition key {} is not supported in a Deny statement; aws:PrincipalArn, aws:PrincipalAccount and aws:SecureTransport are", key);
  }
  return {};
}

Result<void> check_statement(const Json& statement) {
  if (!statement.is_object()) return wrong("a statement is no object");
  for (const auto& [name, value] : statement.as_object()) {
    static constexpr std::string_view kKnown[] = {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Condition"};
    if (std::ranges::find(kKnown, name) == std::end(kKnown)) return wrong("a statement of a repository policy has no member '{}'", name);
  }
  const auto& effect = statement["Effect"].as_string();
  if (effect != "Allow" && effect != "Deny") return wrong("Effect must be Allow or Deny");
  if (statement.has("Principal") == statement.has("NotPrincipal")) return wrong("a statement needs either Principal or NotPrincipal");
  if (statement.has("Action") == statement.has("NotAction")) return wrong("a statement needs either Action or NotAction");
  const auto actions = values(statement[statement.has("Action") ? "Action" : "NotAction"]);
  if (actions.empty()) return wrong("a statement names no action");
  for (const auto& action : actions)
    if (action != "*" && !to_lower(action).starts_with("ecr:")) return wrong("'{}' is no action of ECR", action);
  return effect == "Deny" ? check_conditions(statement["Condition"]) : Result<void>{};
}

}  // namespace

Result<void> check_policy(std::string_view text) {
  auto json = codec::parse_json(text);
  if (!json || !json->is_object()) return wrong("it is no JSON object");
  const auto& version = (*json)["Version"].as_string();
  if (json->has("Version") && version != "2012-10-17" && version != "2008-10-17") return wrong("Version must be 2012-10-17 or 2008-10-17");
  const auto all = statements(*json);
  if (all.empty()) return wrong("it has no Statement");
  for (const auto& statement : all) TRY_VOID(check_statement(statement));
  return {};
}

bool denies(std::string_view policy, const PolicyRequest& request) {
  if (policy.empty()) return false;
  auto json = codec::parse_json(policy);
  if (!json) return true;
  return std::ranges::any_of(statements(*json), [&](const Json& statement) {
    if (statement["Effect"].as_string() != "Deny") return false;
    const bool action = statement.has("Action") ? action_matches(statement["Action"], request.action) : !action_matches(statement["NotAction"], request.action);
    const bool principal = statement.has("Principal") ? principal_matches(statement["Principal"], request) : !principal_matches(statement["NotPrincipal"], request);
    return action && principal && conditions_hold(statement["Condition"], request);
  });
}

}  // namespace watari::registry
