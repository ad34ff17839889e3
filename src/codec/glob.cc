#include "codec/glob.h"

#include <optional>
#include <tuple>
#include <utility>

namespace watari::codec {
namespace {

// The character that `text` (not empty) begins with, and its bytes. A byte that is no UTF-8 counts as a character.
struct Character {
  char32_t value;
  std::size_t bytes;
};
Character first_of(std::string_view text) {
  auto lead = static_cast<unsigned char>(text[0]);
  std::size_t bytes = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (bytes == 1 || text.size() < bytes) return {lead, 1};
  char32_t value = lead & (0xFFU >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) value = value << 6 | (static_cast<unsigned char>(text[i]) & 0x3FU);
  return {value, bytes};
}

Character take(std::string_view& text) {
  auto first = first_of(text);
  text.remove_prefix(first.bytes);
  return first;
}

// [abc], [a-z] or [^x] at `pattern`; moves `pattern` behind it. A bracket without its end matches itself.
bool matches_set(std::string_view& pattern, char32_t c) {
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
  while (!set.empty()) {
    auto from = take(set).value, to = from;
    if (set.size() > 1 && set[0] == '-') {
      set.remove_prefix(1);
      to = take(set).value;
    }
    found = found || (from <= c && c <= to);
  }
  return found != negated;
}

// Whether one character matches what stands first in `pattern`, which moves behind it. Not for '*'.
bool matches_one(std::string_view& pattern, char32_t c, bool path) {
  char p = pattern[0];
  if (p == '[') return matches_set(pattern, c) && !(path && c == '/');
  if (p == '?' && !(path && c == '/')) {
    pattern.remove_prefix(1);
    return true;
  }
  if (p == '\\' && pattern.size() > 1) pattern.remove_prefix(1);
  return take(pattern).value == c;
}

}  // namespace

bool has_open_set(std::string_view pattern) {
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '\\') ++i;
    else if (pattern[i] == '[' && (i = pattern.find(']', i + 2)) == std::string_view::npos) return true;
  }
  return false;
}

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
    if (!pattern.empty() && !text.empty())
      if (auto [c, bytes] = first_of(text); matches_one(pattern, c, path)) {
        text.remove_prefix(bytes);
        continue;
      }
    if (!star || star->second.empty() || (path && star->second[0] == '/')) return false;
    star->second.remove_prefix(1);
    std::tie(pattern, text) = *star;
  }
}

}  // namespace watari::codec
