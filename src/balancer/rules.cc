// Rules' conditions and redirects in HAProxy's words.
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-rules.html and rule-condition-types.html
#include <cctype>

#include "balancer/compile.h"
#include "base/strings.h"

namespace watari::balancer {

namespace {

// Everything but plain letters as \xHH: safe inside HAProxy's strong quotes and inside a regular expression.
void append_escaped(std::string& out, char c) {
  if (std::isalnum(static_cast<unsigned char>(c)) || c == '/' || c == '_' || c == '-' || c == '=' || c == '&')
    out += c;
  else
    out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
}

std::string any_of(const std::vector<std::string>& regexes) {
  std::string out;
  for (const auto& regex : regexes) out += " '" + regex + "'";
  return out;
}

std::vector<std::string> whole(const std::vector<std::string>& patterns, bool escapes = false) {
  std::vector<std::string> out;
  for (const auto& pattern : patterns) out.push_back("^" + wildcard_regex(pattern, ".", escapes) + "$");
  return out;
}

// "key=value", or "value" of any key; keys and values are compared as they came, without decoding.
std::string query_regex(const std::string& value) {
  auto equals = value.find('=');
  if (equals == std::string::npos) return "(^|&)([^&=]*=)?" + wildcard_regex(value, "[^&]", true) + "(&|$)";
  return "(^|&)" + wildcard_regex(value.substr(0, equals), "[^&=]", true) + "=" + wildcard_regex(value.substr(equals + 1), "[^&]", true) +
         "(&|$)";
}

std::string one_condition(const model::Condition& condition) {
  const auto& field = condition.field;
  if (field == "host-header") return "{ var(txn.host) -i -m reg" + any_of(whole(condition.values)) + " }";
  if (field == "path-pattern") return "{ path -m reg" + any_of(whole(condition.values)) + " }";
  if (field == "http-request-method") return "{ method -m reg" + any_of(whole(condition.values)) + " }";
  if (field == "http-header") return "{ req.fhdr(" + condition.name + ") -i -m reg" + any_of(whole(condition.values, true)) + " }";
  if (field == "source-ip") return "{ src -- " + join(condition.values, " ") + " }";
  if (field == "query-string") {
    std::vector<std::string> regexes;
    for (const auto& value : condition.values) regexes.push_back(query_regex(value));
    return "{ query -i -m reg" + any_of(regexes) + " }";
  }
  return "{ always_false }";  // a condition nobody understands never matches
}

std::string replace_all(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) text.replace(at, from.size(), to);
  return text;
}

// Literal text inside a log-format string in double quotes.
std::string literal(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '%')
      out += "%%";
    else if (std::isalnum(static_cast<unsigned char>(c)) || std::string_view("/_-=&.:?#{},;+~()!*@").contains(c))
      out += c == '#' ? std::string("\\#") : std::string(1, c);
    else if (static_cast<unsigned char>(c) > ' ' && c != 127)
      out += fmt::format("%%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace

std::string wildcard_regex(const std::string& pattern, const std::string& any, bool escapes) {
  std::string out;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    char c = pattern[i];
    bool escaped = escapes && c == '\\' && i + 1 < pattern.size() && std::string_view("*?\\").contains(pattern[i + 1]);
    if (escaped)
      append_escaped(out, pattern[++i]);
    else if (c == '*' && i > 0 && out.ends_with(any + "*"))  // "**" is "*"; a row of them would try every way to share the text among them
      continue;
    else if (c == '*')
      out += any + "*";
    else if (c == '?')
      out += any;
    else
      append_escaped(out, c);
  }
  return out;
}

std::string condition_text(const std::vector<model::Condition>& conditions) {
  std::string out;
  for (const auto& condition : conditions) out += (out.empty() ? "" : " ") + one_condition(condition);
  return out;
}

std::string location_format(const model::Action& action, const std::string& protocol) {
  auto or_else = [](const std::string& value, const char* otherwise) { return value.empty() ? std::string(otherwise) : value; };
  auto fill = [&](const std::string& text) {
    auto out = literal(text);
    out = replace_all(out, "\\#{protocol}", protocol);
    out = replace_all(out, "\\#{host}", "%[var(txn.host)]");
    out = replace_all(out, "\\#{port}", "%[dst_port]");
    out = replace_all(out, "/\\#{path}", "%[path]");  // HAProxy's path begins with the slash, AWS's does not
    out = replace_all(out, "\\#{path}", "%[path,bytes(1)]");
    return replace_all(out, "\\#{query}", "%[query]");
  };
  auto location = to_lower(fill(or_else(action.protocol, "#{protocol}"))) + "://" + fill(or_else(action.host, "#{host}")) + ":" +
                  fill(or_else(action.port, "#{port}")) + fill(or_else(action.path, "/#{path}"));
  auto query = or_else(action.query, "#{query}");
  if (query == "#{query}") return location + "%[var(txn.query)]";  // "?…", or nothing
  return location + "?" + fill(query);
}

}  // namespace watari::balancer
