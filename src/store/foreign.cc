#include "store/foreign.h"

#include <sqlite3.h>

#include "base/strings.h"

namespace watari::store {

namespace {

constexpr int kMaxBlob = 64 << 20;        // bytes
constexpr int kStepsAtOnce = 1'000'000;   // of SQLite's machine
constexpr int kMostTimes = 1'000;

struct Handles {
  sqlite3* database = nullptr;
  sqlite3_stmt* statement = nullptr;
  int progress = 0;
  ~Handles() {
    sqlite3_finalize(statement);
    sqlite3_close(database);
  }
};

// Source: https://www.sqlite.org/security.html (untrusted database files)
void distrust(Handles& handles) {
  sqlite3_db_config(handles.database, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(handles.database, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handles.database, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
  sqlite3_db_config(handles.database, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_limit(handles.database, SQLITE_LIMIT_LENGTH, kMaxBlob);
  sqlite3_limit(handles.database, SQLITE_LIMIT_ATTACHED, 0);
  const auto count = [](void* times) { return ++*static_cast<int*>(times) > kMostTimes ? 1 : 0; };
  sqlite3_progress_handler(handles.database, kStepsAtOnce, count, &handles.progress);
}

// Every piece of the path, for a URI.
std::string uri_of(const std::filesystem::path& file) {
  std::string path;
  for (const auto& part : split(std::filesystem::absolute(file).string(), '/'))
    if (!part.empty()) path += "/" + percent_encode(part);
  return "file:" + path + "?mode=ro&immutable=1";
}

}  // namespace

Result<void> read_column(const std::filesystem::path& file, const std::string& table, const std::string& column,
                         const std::function<void(std::string_view)>& each) {
  std::error_code none;
  const auto log = std::filesystem::path(file) += "-wal";
  if (std::filesystem::exists(std::filesystem::symlink_status(log, none)) && std::filesystem::file_size(log, none) != 0)
    return fail(Code::FailedPrecondition, "{} has a write-ahead log beside it", file.string());
  Handles handles;
  const auto failed = [&] { return fail(Code::Corrupt, "read {}: {}", file.string(), sqlite3_errmsg(handles.database)); };
  if (sqlite3_open_v2(uri_of(file).c_str(), &handles.database, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_PRIVATECACHE, nullptr) != SQLITE_OK) return failed();
  distrust(handles);
  const auto query = fmt::format("SELECT \"{}\" FROM main.\"{}\"", column, table);
  if (sqlite3_prepare_v2(handles.database, query.c_str(), -1, &handles.statement, nullptr) != SQLITE_OK) return failed();
  int result = 0;
  while ((result = sqlite3_step(handles.statement)) == SQLITE_ROW) {
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(handles.statement, 0));
    if (bytes) each({bytes, static_cast<std::size_t>(sqlite3_column_bytes(handles.statement, 0))});
  }
  return result == SQLITE_DONE ? Result<void>() : failed();
}

}  // namespace watari::store
