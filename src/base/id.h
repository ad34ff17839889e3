#pragma once
// Strong ids: an Id<TaskTag> cannot be passed where an Id<ServiceTag> is wanted.
#include <compare>
#include <functional>
#include <string>
#include <utility>

namespace watari {

template <class Tag>
struct Id {
  std::string value;

  Id() = default;
  explicit Id(std::string text) : value(std::move(text)) {}
  bool empty() const { return value.empty(); }
  friend auto operator<=>(const Id&, const Id&) = default;
};

// Lower-case hexadecimal from the kernel's random source: what AWS puts at the end of task ids (32) and subnet ids (17).
std::string random_hex(std::size_t digits);

}  // namespace watari

template <class Tag>
struct std::hash<watari::Id<Tag>> {
  std::size_t operator()(const watari::Id<Tag>& id) const { return std::hash<std::string>{}(id.value); }
};
