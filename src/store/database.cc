#include "store/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stdexcept>
#include <unordered_map>

#include "store/migrations.h"

namespace watari::store {
namespace {

Code code_of(int sqlite) {
  switch (sqlite & 0xff) {
    case SQLITE_FULL: return Code::ResourceExhausted;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return Code::Corrupt;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_IOERR: return Code::Unavailable;
    default: return Code::Internal;
  }
}

std::string_view advice(Code code) {
  switch (code) {
    case Code::ResourceExhausted: return "; the disk is full: free space, nothing was changed";
    case Code::Corrupt: return "; the file is damaged: stop the server and restore it from a backup";
    case Code::Unavailable: return "; check that no other server uses it and that its directory can be written";
    default: return "";
  }
}

}  // namespace

struct Database::Connection {
  sqlite3* handle = nullptr;
  std::string path;
  std::unordered_map<std::string, sqlite3_stmt*> statements;

  ~Connection() {
    for (auto& [sql, statement] : statements) sqlite3_finalize(statement);
    sqlite3_close(handle);
  }

  auto error(std::string_view doing, int result) const {
    auto code = code_of(result);
    // A full disk shows up as an I/O error on some file systems.
    if (code == Code::Unavailable && sqlite3_system_errno(handle) == ENOSPC) code = Code::ResourceExhausted;
    return fail(code, "database {}: {}: {}{}", path, doing, sqlite3_errmsg(handle), advice(code));
  }

  Result<void> exec(const std::string& sql) {
    if (int result = sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, nullptr); result != SQLITE_OK)
      return error(sql.substr(0, 40), result);
    return {};
  }

  Result<sqlite3_stmt*> prepare(const std::string& sql) {
    if (auto found = statements.find(sql); found != statements.end()) {
      sqlite3_reset(found->second);
      sqlite3_clear_bindings(found->second);
      return found->second;
    }
    sqlite3_stmt* statement = nullptr;
    if (int result = sqlite3_prepare_v3(handle, sql.c_str(), -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
        result != SQLITE_OK)
      return error(sql.substr(0, 40), result);
    statements.emplace(sql, statement);
    return statement;
  }

  // Runs a statement without rows; parameters are text.
  Result<void> run(const std::string& sql, std::initializer_list<std::string_view> parameters) {
    TRY(auto* statement, prepare(sql));
    int index = 1;
    for (auto text : parameters)
      sqlite3_bind_text64(statement, index++, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
    int result = sqlite3_step(statement);
    sqlite3_reset(statement);
    if (result != SQLITE_DONE) return error("write", result);
    return {};
  }

  Result<int> version() {
    TRY(auto* statement, prepare("PRAGMA user_version"));
    int result = sqlite3_step(statement);
    if (result != SQLITE_ROW) return error("read the schema version", result);
    int value = sqlite3_column_int(statement, 0);
    sqlite3_reset(statement);
    return value;
  }

  Result<void> migrate() {
    TRY(int now, version());
    auto steps = migrations();
    if (now > static_cast<int>(steps.size()))
      return fail(Code::FailedPrecondition,
                  "database {}: schema version {} is newer than this program's {}; use the newer watari that wrote it", path,
                  now, steps.size());
    for (; now < static_cast<int>(steps.size()); ++now) {
      auto sql = "BEGIN IMMEDIATE;\n" + std::string(steps[now]) + ";\nPRAGMA user_version=" + std::to_string(now + 1) +
                 ";\nCOMMIT;";
      if (auto done = exec(sql); !done) {
        sqlite3_exec(handle, "ROLLBACK", nullptr, nullptr, nullptr);
        return fail(done.error().within("migration " + std::to_string(now + 1)));
      }
    }
    return {};
  }
};

Database::Database(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}
Database::~Database() = default;

Result<std::unique_ptr<Database>> Database::open(const std::string& path) {
  // Made here so that nobody else can ever read it; SQLite gives its -wal and -shm the same mode.
  if (int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600); fd >= 0) {
    ::fchmod(fd, 0600);
    ::close(fd);
  }
  auto connection = std::make_unique<Connection>();
  connection->path = path;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  if (int result = sqlite3_open_v2(path.c_str(), &connection->handle, flags, nullptr); result != SQLITE_OK)
    return connection->error("open", result);
  sqlite3_busy_timeout(connection->handle, 2000);
  TRY_VOID(connection->exec("PRAGMA journal_mode=WAL"));
  TRY_VOID(connection->exec("PRAGMA synchronous=FULL"));
  TRY_VOID(connection->exec("PRAGMA foreign_keys=ON"));
  TRY_VOID(connection->migrate());
  return std::unique_ptr<Database>(new Database(std::move(connection)));
}

void Database::load(const std::string& collection,
                    const std::function<Result<void>(std::string, std::string_view)>& each) {
  auto read = [&]() -> Result<void> {
    TRY(auto* statement, connection_->prepare("SELECT key, document FROM documents WHERE collection = ? ORDER BY key"));
    sqlite3_bind_text64(statement, 1, collection.data(), collection.size(), SQLITE_STATIC, SQLITE_UTF8);
    int result = SQLITE_ROW;
    auto text = [&](int column) {
      return std::string_view(reinterpret_cast<const char*>(sqlite3_column_text(statement, column)),
                              static_cast<std::size_t>(sqlite3_column_bytes(statement, column)));
    };
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
      std::string key(text(0));
      if (auto taken = each(key, text(1)); !taken) {
        sqlite3_reset(statement);
        return fail(taken.error().within("table " + collection + ", key " + key));
      }
    }
    sqlite3_reset(statement);
    if (result != SQLITE_DONE) return connection_->error("read table " + collection, result);
    return {};
  };
  if (auto done = read(); !done && !damage_) damage_ = done.error();
}

void Database::write(const std::string& collection, const std::string& key, Document document,
                     std::function<void()> undo) {
  undo_.push_back(std::move(undo));
  if (depth_ == 0) {
    undo_to(0);
    throw std::logic_error("write to table " + collection + " outside a transaction");
  }
  pending_.insert_or_assign({collection, key}, std::move(document));
}

void Database::undo_to(std::size_t mark) {
  while (undo_.size() > mark) {
    undo_.back()();
    undo_.pop_back();
  }
}

Result<void> Database::flush() {
  if (damage_) return fail(*damage_);
  TRY_VOID(connection_->exec("BEGIN IMMEDIATE"));
  auto write_all = [&]() -> Result<void> {
    for (const auto& [id, document] : pending_) {
      if (auto text = document())
        TRY_VOID(connection_->run("INSERT INTO documents(collection, key, document) VALUES(?, ?, ?) "
                                  "ON CONFLICT(collection, key) DO UPDATE SET document = excluded.document",
                                  {id.first, id.second, *text}));
      else
        TRY_VOID(connection_->run("DELETE FROM documents WHERE collection = ? AND key = ?", {id.first, id.second}));
    }
    return connection_->exec("COMMIT");
  };
  auto done = write_all();
  if (!done) sqlite3_exec(connection_->handle, "ROLLBACK", nullptr, nullptr, nullptr);
  return done;
}

Transaction::Transaction(Database& database) : database_(database), mark_(database.undo_.size()) { ++database_.depth_; }

Transaction::~Transaction() {
  if (!open_) return;
  database_.undo_to(mark_);
  if (--database_.depth_ == 0) database_.pending_.clear();
}

Result<void> Transaction::commit() {
  if (database_.depth_ > 1) {
    open_ = false;
    --database_.depth_;
    return {};
  }
  if (database_.pending_.empty()) return {};
  if (auto done = database_.flush(); !done) {
    database_.undo_to(mark_);
    database_.pending_.clear();
    return done;
  }
  open_ = false;
  database_.depth_ = 0;
  database_.pending_.clear();
  database_.undo_.clear();
  if (database_.on_change_) database_.on_change_();
  return {};
}

}  // namespace watari::store
