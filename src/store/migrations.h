#pragma once
// The schema's history, embedded at build time: the n-th text brings a database from version n to n + 1.
#include <span>
#include <string_view>

namespace watari::store {

std::span<const std::string_view> migrations();

}  // namespace watari::store
