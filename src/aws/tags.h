#pragma once
// Tags, whichever way a service spells them (Key/Value or key/value, with or without std::optional): read, shown, merged, removed.
// Which keys a service refuses, and by which name, stays with the service.
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "aws/error.h"
#include "model/scope.h"

namespace watari::aws {

constexpr std::size_t kMaxTags = 50;  // of any resource

template <class Wire>
model::Tag tag_from_wire(const Wire& tag) {
  auto text = [](const auto& value) { return std::optional<std::string>(value).value_or(""); };
  if constexpr (requires { tag.Key; }) return {text(tag.Key), text(tag.Value)};
  else return {text(tag.key), text(tag.value)};
}

// For a member of a response: `response.Tags = to_wire_tags<Tag>(vpc.tags)`.
template <class Wire>
std::vector<Wire> to_wire_tags(const std::vector<model::Tag>& tags) {
  std::vector<Wire> out;
  for (const auto& tag : tags) {
    if constexpr (requires(Wire wire) { wire.Key; }) out.push_back({.Key = tag.key, .Value = tag.value});
    else out.push_back({.key = tag.key, .value = tag.value});
  }
  return out;
}

// A tag whose key is there already replaces its value, in its place. `error_name`: how the service calls more than kMaxTags.
template <class Wire>
Result<void> merge_tags(std::vector<model::Tag>& onto, const std::vector<Wire>& added, std::string_view error_name) {
  for (const auto& wire : added) {
    auto tag = tag_from_wire(wire);
    auto old = std::ranges::find(onto, tag.key, &model::Tag::key);
    if (old == onto.end()) onto.push_back(std::move(tag));
    else old->value = std::move(tag.value);
  }
  if (onto.size() <= kMaxTags) return {};
  return error(std::string(error_name), "A resource can have at most {} tags; it would have {}.", kMaxTags, onto.size());
}

inline Result<void> remove_tags(std::vector<model::Tag>& from, const std::vector<std::string>& keys) {
  std::erase_if(from, [&](const model::Tag& tag) { return std::ranges::find(keys, tag.key) != keys.end(); });
  return {};
}

}  // namespace watari::aws
