#pragma once
// One kind of document by key: Table<model::Task> tasks(database, "tasks"). T needs WATARI_FIELDS.
// A new table needs no migration: its constructor reads what is stored under its name (nothing, the first time). All
// documents stay in memory, ordered by key; a write outside a Transaction is a bug and throws std::logic_error.
// Thread: the control loop only.
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "codec/reflect.h"
#include "store/database.h"

namespace watari::store {

template <class T>
class Table {
 public:
  using Entry = std::pair<std::string, T>;

  // Problems go to database.damage(), with the table and key.
  Table(Database& database, std::string name) : database_(database), name_(std::move(name)) {
    database_.load(name_, [this](std::string key, std::string_view text) -> Result<void> {
      TRY(auto json, codec::parse_json(text));
      TRY(auto value, codec::from_json<T>(json));
      documents_.insert_or_assign(std::move(key), std::move(value));
      return {};
    });
  }
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  void put(const std::string& key, T value) {
    std::optional<T> old;
    if (auto found = documents_.find(key); found != documents_.end()) old = std::move(found->second);
    documents_.insert_or_assign(key, std::move(value));
    record(key, std::move(old));
  }

  void erase(const std::string& key) {
    auto found = documents_.find(key);
    if (found == documents_.end()) return;
    std::optional<T> old = std::move(found->second);
    documents_.erase(found);
    record(key, std::move(old));
  }

  std::optional<T> get(const std::string& key) const {
    auto found = find(key);
    return found ? std::optional<T>(*found) : std::nullopt;
  }

  // Without a copy; valid until the next write to this table or the end of the transaction.
  const T* find(const std::string& key) const {
    auto found = documents_.find(key);
    return found == documents_.end() ? nullptr : &found->second;
  }
  bool has(const std::string& key) const { return documents_.contains(key); }

  // Copies, ordered by key (bytes): those that start with `prefix` and come after `after`, at most `limit`.
  std::vector<Entry> list(const std::string& prefix = "", const std::string& after = "",
                          std::size_t limit = std::numeric_limits<std::size_t>::max()) const {
    std::vector<Entry> out;
    auto at = after < prefix ? documents_.lower_bound(prefix) : documents_.upper_bound(after);
    for (; at != documents_.end() && at->first.starts_with(prefix) && out.size() < limit; ++at) out.push_back(*at);
    return out;
  }

  // Without copies; `visit(key, value)` must not write to this table.
  template <class Visit>
  void each(const std::string& prefix, Visit&& visit) const {
    for (auto at = documents_.lower_bound(prefix); at != documents_.end() && at->first.starts_with(prefix); ++at)
      visit(at->first, at->second);
  }

  std::size_t size() const { return documents_.size(); }
  // Grows with every write (and with writes taken back): whoever remembers it knows whether to look again.
  std::uint64_t version() const { return version_; }

 private:
  void record(const std::string& key, std::optional<T> old) {
    ++version_;
    database_.write(
        name_, key,
        [this, key]() -> std::optional<std::string> {
          auto found = find(key);
          return found ? std::optional(codec::to_json(*found).dump()) : std::nullopt;
        },
        // std::function wants copyable captures, and so does T.
        [this, key, old = std::move(old)]() mutable {
          ++version_;
          if (old) documents_.insert_or_assign(key, std::move(*old));
          else documents_.erase(key);
        });
  }

  Database& database_;
  std::string name_;
  std::map<std::string, T> documents_;
  std::uint64_t version_ = 0;
};

}  // namespace watari::store
