#include "registry/range.h"

#include <algorithm>
#include <vector>

#include "base/strings.h"

namespace watari::registry {

namespace {

constexpr std::size_t kMaxParts = 64;  // nobody means more

// Digits only; what does not fit is beyond the end of everything.
std::optional<std::int64_t> position(std::string_view text) {
  if (text.empty() || text.find_first_not_of("0123456789") != text.npos) return std::nullopt;
  return parse_number<std::int64_t>(text).value_or(INT64_MAX);
}

// Nothing: malformed. A part that begins behind the end has first > last.
std::optional<Range> parse_part(std::string_view text, std::int64_t size) {
  const auto dash = text.find('-');
  if (dash == text.npos) return std::nullopt;
  const auto first = position(text.substr(0, dash)), last = position(text.substr(dash + 1));
  if (dash == 0) return last ? std::optional(Range{size - std::min(size, *last), *last == 0 ? -1 : size - 1}) : std::nullopt;
  if (!first || (!last && dash + 1 != text.size()) || (last && *last < *first)) return std::nullopt;
  return Range{*first, std::min(last.value_or(size - 1), size - 1)};
}

}  // namespace

Selection select_range(std::string_view header, std::int64_t size) {
  const Selection whole{RangeKind::Whole, {0, size - 1}};
  const auto equals = header.find('=');
  if (equals == header.npos || to_lower(trim(header.substr(0, equals))) != "bytes") return whole;
  const auto items = split(header.substr(equals + 1), ',');
  if (items.size() > kMaxParts) return whole;
  std::vector<Range> parts;
  for (const auto& item : items) {
    if (trim(item).empty()) continue;  // lists may have empty members
    auto part = parse_part(trim(item), size);
    if (!part) return whole;
    parts.push_back(*part);
  }
  if (parts.empty()) return whole;
  std::erase_if(parts, [](const Range& part) { return part.first > part.last; });
  if (parts.empty()) return {RangeKind::Unsatisfiable, {}};
  std::ranges::sort(parts, {}, &Range::first);
  Range joined = parts.front();
  for (const auto& part : parts) {
    if (part.first > joined.last + 1) return whole;
    joined.last = std::max(joined.last, part.last);
  }
  return {RangeKind::Part, joined};
}

}  // namespace watari::registry
