#pragma once
// The state's file: one SQLite database (WAL, synchronous=FULL), one connection, written by one thread.
//
// Writes are collected in memory by a Transaction and reach SQLite together in commit(); what commit() has accepted survives
// SIGKILL and power loss. Tables (store/table.h) keep their documents in memory as well, so reads cannot fail; a transaction
// that is not committed puts them back as they were.
//
// Owner: control. Thread: the control loop only (or, before the loop runs, the thread that opens it).
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace watari::store {

class Database {
 public:
  // Opens or creates the file (mode 0600) and migrates it forward. Errors: Corrupt when it is not a database or damaged,
  // FailedPrecondition when a newer Watari wrote it, Unavailable when it cannot be opened or another process holds it.
  static Result<std::unique_ptr<Database>> open(const std::string& path);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // The first thing that went wrong while tables were loaded. Check it once all tables exist; commits fail with it.
  const std::optional<Error>& damage() const { return damage_; }

  // Called after each outermost commit that wrote something.
  void on_change(std::function<void()> callback) { on_change_ = std::move(callback); }

  // For Table.
  void load(const std::string& collection, const std::function<Result<void>(std::string key, std::string_view document)>& each);
  // `document` is asked at commit for the value as it is then; none means it is to be deleted. `undo` takes this write back.
  using Document = std::function<std::optional<std::string>()>;
  void write(const std::string& collection, const std::string& key, Document document, std::function<void()> undo);

 private:
  friend class Transaction;
  struct Connection;
  explicit Database(std::unique_ptr<Connection> connection);
  Result<void> flush();
  void undo_to(std::size_t mark);

  std::unique_ptr<Connection> connection_;
  std::map<std::pair<std::string, std::string>, Document> pending_;
  std::vector<std::function<void()>> undo_;
  int depth_ = 0;
  std::optional<Error> damage_;
  std::function<void()> on_change_;
};

// Everything written while it lives becomes durable together in commit(), or never happened when it is destroyed without.
// Transactions nest: an inner one that is not committed takes back only its own writes; the outermost commit writes the file.
class Transaction {
 public:
  explicit Transaction(Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  // ResourceExhausted when the disk is full, Corrupt when the file is damaged, Unavailable on I/O errors. Nothing of the
  // transaction is kept then, neither in the file nor in the tables.
  Result<void> commit();

 private:
  Database& database_;
  std::size_t mark_;
  bool open_ = true;
};

}  // namespace watari::store
