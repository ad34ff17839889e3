#pragma once
// RUN --mount=…: what a step sees besides its root. Pure.
// Source: https://docs.docker.com/reference/dockerfile/#run---mount
#include <string>
#include <vector>

#include "builder/dockerfile.h"

namespace watari::builder {

struct RunMount {
  enum class Type { Bind, Cache, Tmpfs };
  Type type = Type::Bind;
  std::string target;        // absolute, or relative to the working directory
  std::string source = "/";  // of bind and cache, in what `from` names
  std::string from;          // a stage or an image; empty is the context (bind) or an empty directory (cache)
  std::string id;            // of a cache; its target when not given
  bool read_only = true;
  bool locked = false;       // sharing=locked or private: one step at a time uses the cache
  std::uint32_t mode = 0755, uid = 0, gid = 0;  // of a new cache
};

// InvalidArgument names the option; secret and ssh mounts are refused by name.
Result<std::vector<RunMount>> run_mounts_of(const Instruction& run);

}  // namespace watari::builder
