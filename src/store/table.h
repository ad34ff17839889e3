#pragma once
// One kind of document by key: Table<model::Task> tasks(database, "tasks"). T needs WATARI_FIELDS, and one file that makes the code of
// Table<T>: it includes store/table_code.h and says `template class store::Table<T>;`. All others only call it: reading and writing the
// documents of thirty types, made anew in a hundred files, was a good part of each build.
// A new table needs no migration: its constructor reads what is stored under its name (nothing, the first time). All
// documents stay in memory, ordered by key; a write outside a Transaction is a bug and throws std::logic_error.
// rows() is the whole table as a value, for other threads and for whoever asks later what has changed (base/shared_map.h).
// Thread: the control loop only.
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/shared_map.h"
#include "store/database.h"

namespace watari::store {

template <class T>
class Table {
 public:
  using Entry = std::pair<std::string, T>;

  // Problems go to database.damage(), with the table and key.
  Table(Database& database, std::string name);
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  void put(const std::string& key, T value);
  void erase(const std::string& key);
  std::optional<T> get(const std::string& key) const;

  // Without a copy; valid until the next write to this table or the end of the transaction.
  const T* find(const std::string& key) const { return documents_.find(key); }
  bool has(const std::string& key) const { return documents_.contains(key); }

  // Copies, ordered by key (bytes): those that start with `prefix` and come after `after`, at most `limit`.
  std::vector<Entry> list(const std::string& prefix = "", const std::string& after = "",
                          std::size_t limit = std::numeric_limits<std::size_t>::max()) const;

  // Without copies; `visit(key, value)` must not write to this table.
  template <class Visit>
  void each(const std::string& prefix, Visit&& visit) const {
    for (auto at = documents_.from(prefix); at != documents_.end() && at->first.starts_with(prefix); ++at)
      visit(at->first, at->second);
  }

  // All of it, as it is now, for the price of a pointer; later writes to the table are not in it.
  const SharedMap<T>& rows() const { return documents_; }
  std::size_t size() const { return documents_.size(); }
  // Grows with every write (and with writes taken back): whoever remembers it knows whether to look again.
  std::uint64_t version() const { return version_; }

 private:
  void record(const std::string& key, SharedMap<T> before);

  Database& database_;
  std::string name_;
  SharedMap<T> documents_;
  std::uint64_t version_ = 0;
};

}  // namespace watari::store
