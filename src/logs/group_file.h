#pragma once
// The file `group` of a log group: what it has besides its streams. Format: docs/formats/log-group.md
#include <map>
#include <optional>
#include <string>

#include "base/result.h"

namespace watari::logs {

struct GroupFile {
  std::optional<int> retention_days;
  std::map<std::string, std::string> tags;
};

// `folder` is the group's. No file is an empty one; lines of newer versions are skipped.
GroupFile read_group_file(const std::string& folder);
Result<void> write_group_file(const std::string& folder, const GroupFile& file);

}  // namespace watari::logs
