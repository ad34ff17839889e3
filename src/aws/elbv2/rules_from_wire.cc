// Actions and conditions as clients write them: checked here, so that what is stored can be compiled for HAProxy.
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RuleCondition.html and API_Action.html
#include <arpa/inet.h>

#include <algorithm>
#include <set>

#include "aws/elbv2/wire.h"
#include "base/strings.h"
#include "model/cidr.h"

namespace watari::aws::elbv2 {

namespace {

constexpr const char* kBadAction = "InvalidLoadBalancerAction";

Result<model::Action> forward_from_wire(const Action& in) {
  model::Action out;
  if (in.ForwardConfig && !in.ForwardConfig->TargetGroups.empty()) {
    bool several = in.ForwardConfig->TargetGroups.size() > 1;
    for (const auto& group : in.ForwardConfig->TargetGroups) {
      int weight = group.Weight.value_or(1);
      if (weight < 0 || weight > 999) return error(kInvalid, "Target group weight '{}' must be between '0' and '999' inclusive", weight);
      if (!group.TargetGroupArn) return error(kInvalid, "A target group ARN must be specified");
      if (several && !group.Weight) return error(kInvalid, "Weight must be specified for all target groups");
      for (const auto& other : out.forward)
        if (other.target_group == *group.TargetGroupArn)
          return error(kInvalid, "Target group '{}' is named more than once in one action", *group.TargetGroupArn);
      out.forward.push_back({*group.TargetGroupArn, weight});
    }
    if (out.forward.size() > 5) return error("TooManyTargetGroups", "An action can forward to at most 5 target groups");
    if (in.TargetGroupArn && (several || *in.TargetGroupArn != out.forward.front().target_group))
      return error(kInvalid, "TargetGroupArn '{}' and ForwardConfig name different target groups", *in.TargetGroupArn);
  } else if (in.TargetGroupArn) {
    out.forward.push_back({*in.TargetGroupArn, 1});
  } else {
    return error(kInvalid, "A target group ARN must be specified for an action of type 'forward'");
  }
  // Terraform says "not sticky" with a duration; AWS takes 1 second to 7 days.
  if (in.ForwardConfig && in.ForwardConfig->TargetGroupStickinessConfig) {
    const auto& sticky = *in.ForwardConfig->TargetGroupStickinessConfig;
    out.sticky = sticky.Enabled.value_or(false);
    auto seconds = sticky.DurationSeconds.value_or(out.sticky ? 0 : 3600);
    if (seconds < 1 || seconds > 604800) return error(kInvalid, "Target group stickiness duration must be between '1' and '604800' seconds inclusive");
    out.sticky_duration = out.sticky ? Seconds(seconds) : Seconds(0);
  }
  return out;
}

Result<model::Action> fixed_from_wire(const Action& in) {
  if (!in.FixedResponseConfig) return error(kInvalid, "FixedResponseConfig must be specified for an action of type 'fixed-response'");
  const auto& fixed = *in.FixedResponseConfig;
  model::Action out{.type = model::ActionType::FixedResponse, .status_code = fixed.StatusCode,
                    .content_type = fixed.ContentType.value_or(""), .body = fixed.MessageBody.value_or("")};
  auto code = parse_number<int>(fixed.StatusCode);
  if (!code || *code < 200 || *code > 599 || (*code >= 300 && *code < 400))
    return error(kInvalid, "Status code '{}' must be in one of the ranges 2XX, 4XX, 5XX", fixed.StatusCode);
  static const std::set<std::string> kTypes = {"", "text/plain", "text/css", "text/html", "application/javascript", "application/json"};
  if (!kTypes.contains(out.content_type))
    return error(kInvalid, "Content type '{}' must be one of 'text/plain,text/css,text/html,application/javascript,application/json'", out.content_type);
  if (out.body.size() > 1024) return error(kInvalid, "The message body cannot be longer than '1024' characters");
  return out;
}

bool printable(const std::string& value) {
  return std::ranges::all_of(value, [](char c) { return c > ' ' && c < 127; });
}

Result<model::Action> redirect_from_wire(const Action& in) {
  if (!in.RedirectConfig) return error(kInvalid, "RedirectConfig must be specified for an action of type 'redirect'");
  const auto& to = *in.RedirectConfig;
  model::Action out{.type = model::ActionType::Redirect, .status_code = to.StatusCode,
                    .protocol = to.Protocol.value_or("#{protocol}"), .host = to.Host.value_or("#{host}"),
                    .port = to.Port.value_or("#{port}"), .path = to.Path.value_or("/#{path}"), .query = to.Query.value_or("#{query}")};
  if (out.protocol != "HTTP" && out.protocol != "HTTPS" && out.protocol != "#{protocol}")
    return error(kInvalid, "Redirect protocol '{}' must be one of 'HTTP,HTTPS,#{{protocol}}'", out.protocol);
  if (out.port != "#{port}") {
    auto port = parse_number<int>(out.port);
    if (!port || *port < 1 || *port > 65535) return error(kInvalid, "Redirect port '{}' must be a number from 1 to 65535 or #{{port}}", out.port);
  }
  for (const auto& [what, text] : {std::pair("host", &out.host), {"path", &out.path}, {"query", &out.query}})
    if (text->size() > 128 || !printable(*text))
      return error(kInvalid, "Redirect {} '{}' must have at most 128 printable ASCII characters; write others percent-encoded", what, *text);
  if (out.host.empty()) return error(kInvalid, "Redirect host cannot be empty");
  if (!out.path.starts_with("/")) return error(kInvalid, "Redirect path '{}' must begin with '/'", out.path);
  if (out.protocol == "#{protocol}" && out.host == "#{host}" && out.port == "#{port}" && out.path == "/#{path}" && out.query == "#{query}")
    return error(kBadAction, "The redirect would lead to itself: change at least one of protocol, host, port, path and query");
  return out;
}

// "10.0.0.0/8", "2001:db8::/32". HAProxy is to take each of them: one that it refuses would keep every other change from it.
bool is_range(const std::string& text) {
  auto slash = text.find('/');
  auto bits = slash == std::string::npos ? std::nullopt : parse_number<int>(text.substr(slash + 1));
  in6_addr address{};
  return model::parse_cidr(text).has_value() || (bits && *bits >= 0 && *bits <= 128 && ::inet_pton(AF_INET6, text.substr(0, slash).c_str(), &address) == 1);
}

Result<void> check_values(const model::Condition& condition) {
  const auto& [field, name, values] = condition;
  if (values.empty()) return error(kInvalid, "A condition value must be specified for the field '{}'", field);
  for (const auto& value : values) {
    if (value.empty()) return error(kInvalid, "Condition value for '{}' cannot be empty", field);
    if (value.size() > 128) return error(kInvalid, "Condition value '{}' contains more than '128' characters", value);
    if (field == "source-ip") {
      if (!is_range(value))
        return error(kInvalid, "The source IP '{}' is not a range in CIDR format, such as 10.0.0.0/8", value);
    } else if (field == "http-request-method") {
      auto fine = [](char c) { return std::isupper(static_cast<unsigned char>(c)) || c == '-' || c == '_'; };
      if (value.size() > 40 || !std::ranges::all_of(value, fine))
        return error(kInvalid, "The HTTP method '{}' can only contain A-Z, hyphen and underscore", value);
    } else if (field == "path-pattern" && !printable(value)) {
      return error(kInvalid, "The path pattern '{}' contains characters that a path cannot have", value);
    } else if (field == "host-header" && !printable(value)) {
      return error(kInvalid, "The host header value '{}' contains characters that a host cannot have", value);
    }
  }
  if (field == "http-header") {
    auto fine = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_'; };
    if (name.empty() || name.size() > 40 || !std::ranges::all_of(name, fine))
      return error(kInvalid, "The header name '{}' must have 1 to 40 letters, digits, hyphens and underscores", name);
    if (to_lower(name) == "host") return error(kInvalid, "Use a condition of the field 'host-header' for the Host header");
  }
  return {};
}

}  // namespace

Result<model::Action> action_from_wire(const std::vector<Action>& actions) {
  if (actions.size() != 1) return error(kBadAction, "Exactly one action is supported, of type forward, fixed-response or redirect; {} were given", actions.size());
  const auto& action = actions.front();
  if (action.Type == "forward") return forward_from_wire(action);
  if (action.Type == "fixed-response") return fixed_from_wire(action);
  return redirect_from_wire(action);
}

Result<std::vector<model::Condition>> conditions_from_wire(const std::vector<RuleCondition>& conditions) {
  std::vector<model::Condition> out;
  std::size_t values = 0;
  for (const auto& in : conditions) {
    model::Condition condition{.field = in.Field.value_or("")};
    const auto& field = condition.field;
    auto take = [&](const auto& config) { condition.values = config && !config->Values.empty() ? config->Values : in.Values; };
    if (field == "host-header") take(in.HostHeaderConfig);
    else if (field == "path-pattern") take(in.PathPatternConfig);
    else if (field == "http-request-method") take(in.HttpRequestMethodConfig);
    else if (field == "source-ip") take(in.SourceIpConfig);
    else if (field == "http-header") {
      take(in.HttpHeaderConfig);
      if (in.HttpHeaderConfig) condition.name = in.HttpHeaderConfig->HttpHeaderName.value_or("");
    } else if (field == "query-string") {
      if (in.QueryStringConfig)
        for (const auto& pair : in.QueryStringConfig->Values)
          condition.values.push_back(pair.Key && !pair.Key->empty() ? *pair.Key + "=" + pair.Value.value_or("") : pair.Value.value_or(""));
    } else {
      return error(kInvalid, "Condition field '{}' must be one of '[path-pattern, host-header, http-header, http-request-method, query-string, source-ip]'", field);
    }
    TRY_VOID(check_values(condition));
    for (const auto& other : out)
      if (other.field == field && (field == "host-header" || field == "path-pattern" || field == "http-request-method" || field == "source-ip"))
        return error(kInvalid, "A rule can have at most one condition of the field '{}'", field);
    values += condition.values.size();
    out.push_back(std::move(condition));
  }
  if (values > 5) return error(kInvalid, "A rule can have at most '5' condition values");
  return out;
}

}  // namespace watari::aws::elbv2
