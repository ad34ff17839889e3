#pragma once
// SQLite files of other programs, read only. They may be damaged or made to harm: the schema is not trusted, no other file is
// opened or written, and a query that takes too long ends. Blocking; any thread.
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace watari::store {

// Calls `each` with every value of a column of a table (not a view; both names are the caller's own). The file is read as it lies there.
// Corrupt when it is no such database; FailedPrecondition when a part of it is still in a write-ahead log beside it. `each` may have been
// called before either.
Result<void> read_column(const std::filesystem::path& file, const std::string& table, const std::string& column,
                         const std::function<void(std::string_view)>& each);

}  // namespace watari::store
