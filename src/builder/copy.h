#pragma once
// COPY and ADD: finding the source files, telling what they hold, and copying them into a mounted root. Blocking; any thread.
// Source: https://docs.docker.com/reference/dockerfile/#copy; owners and existing directories as BuildKit does it.
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "builder/rooted.h"
#include "builder/stop_signal.h"
#include "codec/json.h"

namespace watari::builder {

// One source of a COPY, links resolved.
struct Source {
  std::filesystem::path path;  // on the host
  std::string name;            // what it is called in the destination directory
  bool directory = false;      // its contents are copied, not itself
};

// What the patterns (Go's filepath.Match, relative to `root`) name, in order. NotFound says which pattern has no file.
Result<std::vector<Source>> find_sources(const std::filesystem::path& root, const std::vector<std::string>& patterns);

// Every file below the sources with its mode and the digest of its bytes (or its link), never a time: {"a/b": "100644 <sha256>"}.
// With `owners` their uid:gid too.
Result<codec::Json> describe_sources(const std::vector<Source>& sources, bool owners, const StopSignal& stop);

struct CopyOptions {
  std::string destination;           // absolute in the image; a trailing slash makes it a directory
  std::optional<Owner> owner;        // nullopt keeps the source's
  std::optional<std::uint32_t> mode;
};
// Copies into the root mounted at `root`. InvalidArgument when several sources go to what is no directory.
Result<void> copy_sources(const std::vector<Source>& sources, const std::filesystem::path& root, const CopyOptions& options,
                          const StopSignal& stop);

}  // namespace watari::builder
