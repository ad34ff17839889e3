#pragma once
// RUN --mount=…: what a step sees besides its root. Pure.
// Source: https://docs.docker.com/reference/dockerfile/#run---mount
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "builder/dockerfile.h"

namespace watari::builder {

struct RunMount {
  enum class Type { Bind, Cache, Tmpfs, Secret, Ssh };
  enum class Sharing { Shared, Private, Locked };
  Type type = Type::Bind;
  std::string target;        // absolute, or relative to the working directory; empty only for secrets in the environment and ssh
  std::string source = "/";  // of bind and cache, in what `from` names
  std::string from;          // a stage, an image or a named context; empty is the context (bind) or an empty directory (cache)
  std::string id;            // of a cache (its target when not given), secret or ssh agent ("default")
  bool read_only = true;
  Sharing sharing = Sharing::Shared;
  bool required = false;                 // of a secret or ssh: the build fails without it
  std::optional<std::string> env;        // of a secret: the variable that gets its value
  std::optional<std::uint32_t> mode;     // of a cache, a secret or an ssh socket
  std::uint32_t uid = 0, gid = 0;
  bool owned = false;                    // uid or gid were given
  std::int64_t size = 0;                 // of a tmpfs, in bytes; 0 is the kernel's default
};

// `expand` is applied to every value but `from`. InvalidArgument names the option.
using ExpandWord = std::function<Result<std::string>(const std::string& word)>;
Result<std::vector<RunMount>> run_mounts_of(const Instruction& run, const ExpandWord& expand);
// The values of from= of all mounts, before any variable is known.
Result<std::vector<std::string>> mount_origins_of(const Instruction& run);

}  // namespace watari::builder
