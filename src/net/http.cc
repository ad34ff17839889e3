#include "net/http.h"

#include <strings.h>

#include <algorithm>

namespace watari::net {
namespace {

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

void Headers::set(std::string_view name, std::string value) {
  std::erase_if(items_, [&](const auto& item) { return same_name(item.first, name); });
  items_.emplace_back(std::string(name), std::move(value));
}

std::optional<std::string_view> Headers::find(std::string_view name) const {
  auto found = std::find_if(items_.begin(), items_.end(), [&](const auto& item) { return same_name(item.first, name); });
  if (found == items_.end()) return std::nullopt;
  return std::string_view(found->second);
}

}  // namespace watari::net
