#include "codec/ignore.h"

#include <algorithm>
#include <ranges>
#include <span>

#include "base/strings.h"

namespace watari::codec {
namespace {

using Parts = std::span<const std::string>;

// One path part against one pattern part: * ? [a-z] \x
bool part_matches(std::string_view pattern, std::string_view text) {
  while (!pattern.empty()) {
    char p = pattern[0];
    if (p == '*') {
      pattern.remove_prefix(1);
      for (std::size_t i = 0; i <= text.size(); ++i)
        if (part_matches(pattern, text.substr(i))) return true;
      return false;
    }
    if (text.empty()) return false;
    auto end = p == '[' ? pattern.find(']', 2) : std::string_view::npos;
    bool found = p == '?' || p == text[0];
    if (end != std::string_view::npos) {
      auto set = pattern.substr(1, end - 1);
      bool negated = set[0] == '^' || set[0] == '!';
      if (negated) set.remove_prefix(1);
      found = false;
      for (std::size_t i = 0; i < set.size(); ++i) {
        bool range = i + 2 < set.size() && set[i + 1] == '-';
        found = found || (range ? set[i] <= text[0] && text[0] <= set[i + 2] : set[i] == text[0]);
        if (range) i += 2;
      }
      found = found != negated;
      pattern.remove_prefix(end);
    } else if (p == '\\' && pattern.size() > 1) {
      pattern.remove_prefix(1);
      found = pattern[0] == text[0];
    }
    if (!found) return false;
    pattern.remove_prefix(1);
    text.remove_prefix(1);
  }
  return text.empty();
}

// Whether the pattern matches the path or one of the directories above it.
bool covers(Parts pattern, Parts path) {
  if (pattern.empty()) return true;
  if (pattern[0] == "**") {
    for (std::size_t i = 0; i <= path.size(); ++i)
      if (covers(pattern.subspan(1), path.subspan(i))) return pattern.size() > 1 || !path.empty();
    return false;
  }
  return !path.empty() && part_matches(pattern[0], path[0]) && covers(pattern.subspan(1), path.subspan(1));
}

// Whether the pattern could match something below the directory.
bool may_match_below(Parts pattern, Parts directory) {
  if (directory.empty()) return !pattern.empty();
  if (pattern.empty()) return false;
  if (pattern[0] == "**") return true;
  return part_matches(pattern[0], directory[0]) && may_match_below(pattern.subspan(1), directory.subspan(1));
}

std::vector<std::string> parts_of(std::string_view path) {
  auto parts = split(path, '/');
  std::erase_if(parts, [](const std::string& part) { return part.empty() || part == "."; });
  return parts;
}

}  // namespace

Result<IgnoreRules> IgnoreRules::parse(std::string_view text, const std::string& file) {
  IgnoreRules rules;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  int number = 0;
  for (const auto& raw : split(text, '\n')) {
    ++number;
    if (raw.starts_with('#')) continue;
    auto line = trim(raw);
    if (line.empty()) continue;
    Rule rule;
    rule.negated = line.starts_with('!');
    if (rule.negated) line = trim(line.substr(1));
    for (auto& part : parts_of(line)) {
      if (part != "..") {
        rule.parts.push_back(std::move(part));
      } else if (rule.parts.empty()) {
        return fail(Code::InvalidArgument, "{}:{}: `{}` leads out of the build context; write patterns relative to it", file, number, line);
      } else {
        rule.parts.pop_back();
      }
    }
    if (!rule.parts.empty()) rules.rules_.push_back(std::move(rule));
  }
  return rules;
}

bool IgnoreRules::ignores(std::string_view path) const {
  auto parts = parts_of(path);
  for (const auto& rule : std::views::reverse(rules_))
    if (covers(rule.parts, parts)) return !rule.negated;
  return false;
}

bool IgnoreRules::brings_back() const { return std::ranges::any_of(rules_, &Rule::negated); }

bool IgnoreRules::skips_directory(std::string_view path) const {
  if (!ignores(path)) return false;
  auto parts = parts_of(path);
  return std::ranges::none_of(rules_, [&](const Rule& rule) { return rule.negated && may_match_below(rule.parts, parts); });
}

}  // namespace watari::codec
