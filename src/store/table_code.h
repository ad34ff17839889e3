#pragma once
// The code of store::Table, for the one file of each T that makes it (store/table.h).
#include <algorithm>

#include "codec/reflect.h"
#include "store/table.h"

namespace watari::store {

template <class T>
Table<T>::Table(Database& database, std::string name) : database_(database), name_(std::move(name)) {
  database_.load(name_, [this](std::string key, std::string_view text) -> Result<void> {
    TRY(auto json, codec::parse_json(text));
    TRY(auto value, codec::from_json<T>(json));
    documents_.put(key, std::move(value));
    return {};
  });
}

template <class T>
void Table<T>::put(const std::string& key, T value) {
  auto before = documents_;
  documents_.put(key, std::move(value));
  record(key, std::move(before));
}

template <class T>
void Table<T>::erase(const std::string& key) {
  if (!has(key)) return;
  auto before = documents_;
  documents_.erase(key);
  record(key, std::move(before));
}

template <class T>
std::optional<T> Table<T>::get(const std::string& key) const {
  auto found = find(key);
  return found ? std::optional<T>(*found) : std::nullopt;
}

template <class T>
std::vector<typename Table<T>::Entry> Table<T>::list(const std::string& prefix, const std::string& after, std::size_t limit) const {
  std::vector<Entry> out;
  auto at = documents_.from(std::max(prefix, after));
  if (at != documents_.end() && !after.empty() && at->first == after) ++at;
  for (; at != documents_.end() && at->first.starts_with(prefix) && out.size() < limit; ++at) out.push_back(*at);
  return out;
}

template <class T>
void Table<T>::record(const std::string& key, SharedMap<T> before) {
  ++version_;
  database_.write(
      name_, key,
      [this, key]() -> std::optional<std::string> {
        auto found = find(key);
        return found ? std::optional(codec::to_json(*found).dump()) : std::nullopt;
      },
      [this, before = std::move(before)] {
        ++version_;
        documents_ = before;
      });
}

}  // namespace watari::store
