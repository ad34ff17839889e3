#include "aws/logs/filter.h"

#include <algorithm>
#include <cctype>
#include <memory>

#include "aws/error.h"
#include "base/strings.h"
#include "codec/json.h"

namespace watari::aws::logs {
namespace {

using codec::Json;

auto invalid(std::string_view why) { return error("InvalidParameterException", "Invalid filter pattern: {}", why); }

struct Terms {
  std::vector<std::string> all, none, any;

  bool match(std::string_view text) const {
    auto has = [&](const std::string& term) { return text.find(term) != std::string_view::npos; };
    if (!std::ranges::all_of(all, has) || std::ranges::any_of(none, has)) return false;
    return any.empty() || !all.empty() || std::ranges::any_of(any, has);  // beside required terms, ?terms decide nothing
  }
};

Result<Matcher> parse_terms(std::string_view pattern) {
  Terms terms;
  while (!(pattern = trim(pattern)).empty()) {
    auto* list = &terms.all;
    if (pattern.front() == '-' || pattern.front() == '?') {
      list = pattern.front() == '-' ? &terms.none : &terms.any;
      pattern.remove_prefix(1);
    }
    std::string term;
    if (pattern.starts_with('"')) {
      auto end = pattern.find('"', 1);
      while (end != std::string_view::npos && pattern[end - 1] == '\\') end = pattern.find('"', end + 1);
      if (end == std::string_view::npos) return invalid("a quotation mark is not closed");
      for (std::size_t i = 1; i < end; ++i)
        if (pattern[i] != '\\' || i + 1 == end) term += pattern[i];
        else term += pattern[++i];
      pattern.remove_prefix(end + 1);
    } else {
      term = pattern.substr(0, pattern.find_first_of(" \t"));
      pattern.remove_prefix(term.size());
    }
    if (term.empty()) return invalid("a term is empty");
    list->push_back(std::move(term));
  }
  return [terms = std::move(terms)](std::string_view text) { return terms.match(text); };
}

bool glob(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, star = std::string_view::npos, mark = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p, ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

using Condition = std::function<bool(const Json&)>;

// expression := and ("||" and)*;  and := one ("&&" one)*;  one := "(" expression ")" | selector comparison
class JsonParser {
 public:
  explicit JsonParser(std::string_view text) : rest_(text) {}

  Result<Condition> parse() {
    TRY(auto condition, any_of());
    if (!trim(rest_).empty()) return invalid(fmt::format("'{}' is not understood", trim(rest_)));
    return condition;
  }

 private:
  static constexpr int kMaxDepth = 32;

  bool take(std::string_view token) {
    rest_ = trim(rest_);
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }

  Result<Condition> any_of() {
    TRY(auto left, all_of());
    while (take("||")) {
      TRY(auto right, all_of());
      left = [left, right](const Json& json) { return left(json) || right(json); };
    }
    return left;
  }

  Result<Condition> all_of() {
    TRY(auto left, one());
    while (take("&&")) {
      TRY(auto right, one());
      left = [left, right](const Json& json) { return left(json) && right(json); };
    }
    return left;
  }

  Result<Condition> one() {
    if (!take("(")) return comparison();
    if (++depth_ > kMaxDepth) return invalid("it nests too deeply");
    TRY(auto inside, any_of());
    if (!take(")")) return invalid("a parenthesis is not closed");
    --depth_;
    return inside;
  }

  Result<Condition> comparison() {
    TRY(auto path, selector());
    if (take("NOT EXISTS")) return Condition([path](const Json& json) { return follow(json, path) == nullptr; });
    if (take("IS TRUE")) return is(path, Json(true));
    if (take("IS FALSE")) return is(path, Json(false));
    if (take("IS NULL")) return is(path, Json());
    for (std::string_view op : {"!=", ">=", "<=", "=", ">", "<"})
      if (take(op)) return compare(std::move(path), op);
    return invalid(fmt::format("expected a comparison at '{}'", trim(rest_)));
  }

  // $.a.b[0]['c d']
  Result<std::vector<std::string>> selector() {
    if (!take("$")) return invalid(fmt::format("expected a selector ($.name) at '{}'", trim(rest_)));
    std::vector<std::string> path;
    while (!rest_.empty() && (rest_.front() == '.' || rest_.front() == '[')) {
      bool bracket = rest_.front() == '[';
      rest_.remove_prefix(1);
      auto end = bracket ? rest_.find(']') : rest_.find_first_of(".[ \t=!<>)");
      if (bracket && end == std::string_view::npos) return invalid("a bracket is not closed");
      std::string name(rest_.substr(0, end));
      rest_.remove_prefix(std::min(rest_.size(), bracket ? end + 1 : name.size()));
      if (bracket && name.size() >= 2 && (name.front() == '\'' || name.front() == '"')) name = name.substr(1, name.size() - 2);
      if (name.empty()) return invalid("a selector has an empty name");
      path.push_back(std::move(name));
    }
    if (path.empty()) return invalid("a selector names no member");
    return path;
  }

  Result<Condition> compare(std::vector<std::string> path, std::string_view op) {
    TRY(auto value, literal());
    if (value.starts_with('%')) return invalid("regular expressions (%…%) are not supported by Watari; use terms or * in a value");
    auto number = parse_number<double>(value);
    if (op == "=" || op == "!=") {
      bool equal = op == "=";
      return Condition([path, value, number, equal](const Json& json) {
        const auto* found = follow(json, path);
        if (!found) return false;
        bool same = found->is_number() ? number && found->as_double() == *number : glob(value, found->is_string() ? found->as_string() : found->dump());
        return same == equal;
      });
    }
    if (!number) return invalid(fmt::format("{} needs a number, not '{}'", op, value));
    return Condition([path, number = *number, op = std::string(op)](const Json& json) {
      const auto* found = follow(json, path);
      if (!found || !found->is_number()) return false;
      auto actual = found->as_double();
      if (op == ">") return actual > number;
      if (op == "<") return actual < number;
      return op == ">=" ? actual >= number : actual <= number;
    });
  }

  Result<std::string> literal() {
    rest_ = trim(rest_);
    if (rest_.starts_with('"')) {
      auto end = rest_.find('"', 1);
      if (end == std::string_view::npos) return invalid("a quotation mark is not closed");
      std::string value(rest_.substr(1, end - 1));
      rest_.remove_prefix(end + 1);
      return value;
    }
    std::string value(rest_.substr(0, rest_.find_first_of(" \t&|)")));
    rest_.remove_prefix(value.size());
    if (value.empty()) return invalid("a comparison has no value");
    return value;
  }

  static Condition is(std::vector<std::string> path, Json value) {
    return [path = std::move(path), value = std::move(value)](const Json& json) {
      const auto* found = follow(json, path);
      return found && *found == value;
    };
  }

  static const Json* follow(const Json& json, const std::vector<std::string>& path) {
    const auto* at = &json;
    for (const auto& name : path) {
      auto index = parse_number<std::size_t>(name);
      if (at->is_array() && index && *index < at->as_array().size()) at = &at->as_array()[*index];
      else if (at->is_object() && at->has(name)) at = &(*at)[name];
      else return nullptr;
    }
    return at;
  }

  std::string_view rest_;
  int depth_ = 0;
};

Result<Matcher> parse_selectors(std::string_view pattern) {
  if (!pattern.ends_with('}')) return invalid("a brace is not closed");
  TRY(auto condition, JsonParser(pattern.substr(1, pattern.size() - 2)).parse());
  return [condition](std::string_view text) {
    if (!trim(text).starts_with('{')) return false;
    auto json = codec::parse_json(text);
    return json && condition(*json);
  };
}

}  // namespace

Result<Matcher> parse_filter(std::string_view pattern) {
  pattern = trim(pattern);
  if (pattern.empty()) return Matcher();
  if (pattern.starts_with('[')) return invalid("space-delimited patterns ([a, b]) are not supported by Watari; use terms or a JSON selector");
  if (pattern.starts_with('%')) return invalid("regular expressions (%…%) are not supported by Watari; use terms or a JSON selector");
  return pattern.starts_with('{') ? parse_selectors(pattern) : parse_terms(pattern);
}

}  // namespace watari::aws::logs
