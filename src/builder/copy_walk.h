#pragma once
// What a source of a COPY holds, file by file; shared by the files of COPY and ADD (copy.h) only. Blocking.
#include <sys/stat.h>

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "builder/copy.h"

namespace watari::builder {

// A file or directory below a source.
struct Item {
  std::string path;  // relative to the source; "" for a source that is a file
  std::filesystem::path from;
  struct stat info{};
};

// Everything that a source gives, directories before what is in them. A directory that is not wanted itself comes along with the first thing
// below it that is.
Result<std::vector<Item>> list_source(const Source& source, const StopSignal& stop);

Result<struct stat> look(const std::filesystem::path& path);  // lstat
Result<std::vector<std::string>> names_in(const std::filesystem::path& directory);  // in the order of their bytes

// Extended attributes; those that are copied are user.* and capabilities.
std::vector<std::string> all_attribute_names(const std::filesystem::path& path);
std::vector<std::string> attribute_names(const std::filesystem::path& path);
std::string attribute(const std::filesystem::path& path, const std::string& name);

// The context that holds the file, and the file's path in it.
std::optional<std::pair<const ContextIndex*, std::string>> place_in(const std::vector<Context>& contexts, const std::filesystem::path& path);

}  // namespace watari::builder
