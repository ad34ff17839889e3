#pragma once
// Shared volumes: directories below ROOT/volumes/<scope>/ that outlive tasks. Tasks make them when they start; somebody who no longer
// wants the data removes them. Plain functions on the file system; any thread.
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace watari::engine {

// Where the volume lies: `data` is what tasks see, `ready` says that it was filled from the image once.
std::filesystem::path shared_volume(const std::filesystem::path& root, const std::string& scope, const std::string& name);

// By name.
std::vector<std::string> shared_volumes(const std::filesystem::path& root, const std::string& scope);

// Bytes of its files. Reads all of its directories.
std::int64_t size_of_volume(const std::filesystem::path& volume);

// Puts the volume aside, in one step: a task that starts now finds none and begins with an empty one. NotFound.
Result<void> set_volume_aside(const std::filesystem::path& root, const std::string& scope, const std::string& name);

// Erases what was put aside, also by a process that was killed before it had erased it.
Result<void> erase_volumes_aside(const std::filesystem::path& root);

}  // namespace watari::engine
