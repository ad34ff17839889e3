#include "codec/ignore.h"

#include <algorithm>
#include <optional>
#include <ranges>
#include <span>
#include <tuple>
#include <utility>

#include "base/strings.h"
#include "codec/glob.h"

namespace watari::codec {
namespace {

using Parts = std::span<const std::string>;

bool part_matches(std::string_view pattern, std::string_view text) { return matches_pattern(pattern, text, false); }

// Whether the pattern matches the path or one of the directories above it. The newest "**" takes one directory more whenever the
// rest does not fit; a last one takes at least one name.
bool covers(Parts pattern, Parts path) {
  std::optional<std::pair<Parts, Parts>> any;  // what follows the newest "**", and the path that it has not taken
  if (path.empty()) return pattern.empty();
  while (!pattern.empty()) {
    if (pattern[0] == "**") {
      if (pattern.size() == 1) return !path.empty();
      pattern = pattern.subspan(1);
      any = {pattern, path};
    } else if (!path.empty() && part_matches(pattern[0], path[0])) {
      pattern = pattern.subspan(1);
      path = path.subspan(1);
    } else if (any && !any->second.empty()) {
      any->second = any->second.subspan(1);
      std::tie(pattern, path) = *any;
    } else {
      return false;
    }
  }
  return true;
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
    if (line.empty()) return fail(Code::InvalidArgument, "{}:{}: `!` brings back nothing; expected a pattern behind it", file, number);
    if (has_open_set(line)) return fail(Code::InvalidArgument, "{}:{}: `{}` has a [ without its ]; write \\[ for the character", file, number, line);
    bool outside = false;
    for (auto& part : parts_of(line)) {
      if (part != "..") rule.parts.push_back(std::move(part));
      else if (rule.parts.empty()) outside = true;
      else rule.parts.pop_back();
    }
    if (!outside && !rule.parts.empty()) rules.rules_.push_back(std::move(rule));
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
