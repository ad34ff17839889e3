#include "codec/glob.h"

#include <optional>
#include <tuple>
#include <utility>

namespace watari::codec {
namespace {

// [abc], [a-z] or [^x] at `pattern`; moves `pattern` behind it. A bracket without its end matches itself.
bool matches_set(std::string_view& pattern, char c) {
  auto end = pattern.find(']', pattern.size() > 2 && pattern[1] == '^' ? 3 : 2);
  if (end == std::string_view::npos) {
    pattern.remove_prefix(1);
    return c == '[';
  }
  auto set = pattern.substr(1, end - 1);
  pattern.remove_prefix(end + 1);
  bool negated = set[0] == '^';
  if (negated) set.remove_prefix(1);
  bool found = false;
  for (std::size_t i = 0; i < set.size(); ++i) {
    if (i + 2 < set.size() && set[i + 1] == '-') {
      found = found || (set[i] <= c && c <= set[i + 2]);
      i += 2;
    } else {
      found = found || set[i] == c;
    }
  }
  return found != negated;
}

// Whether one character matches what stands first in `pattern`, which moves behind it. Not for '*'.
bool matches_one(std::string_view& pattern, char c, bool path) {
  char p = pattern[0];
  if (p == '[') return matches_set(pattern, c) && !(path && c == '/');
  if (p == '\\' && pattern.size() > 1) {
    pattern.remove_prefix(1);
    p = pattern[0];
  } else if (p == '?' && !(path && c == '/')) {
    p = c;
  }
  pattern.remove_prefix(1);
  return p == c;
}

}  // namespace

// The newest '*' takes one character more whenever the rest does not fit: no pattern takes longer than pattern times text.
bool matches_pattern(std::string_view pattern, std::string_view text, bool path) {
  std::optional<std::pair<std::string_view, std::string_view>> star;  // what follows it, and the text that it has not taken
  while (true) {
    if (pattern.starts_with('*')) {
      pattern.remove_prefix(1);
      star = {pattern, text};
      continue;
    }
    if (pattern.empty() && text.empty()) return true;
    if (!pattern.empty() && !text.empty() && matches_one(pattern, text[0], path)) {
      text.remove_prefix(1);
      continue;
    }
    if (!star || star->second.empty() || (path && star->second[0] == '/')) return false;
    star->second.remove_prefix(1);
    std::tie(pattern, text) = *star;
  }
}

}  // namespace watari::codec
