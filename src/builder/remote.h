#pragma once
// ADD of what is not in the context: files by HTTP(S) and git repositories. Blocking; on a thread that has own_mounts().
// Source: https://docs.docker.com/reference/dockerfile/#adding-files-from-a-url, #adding-files-from-a-git-repository
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "builder/contained.h"
#include "builder/stop_signal.h"

namespace watari::builder {

struct GitSource {
  std::string url;     // what git understands
  std::string ref;     // branch, tag, commit or full name; empty: the default branch
  std::string subdirectory;
  std::string checksum;              // the beginning of the commit that it must be
  std::optional<bool> keep_git_dir;  // when the query says so
  bool submodules = true;
  std::string problem;               // with the query; empty when there is none
};

// "https://host/a.git#v1:docs", "git@host:a.git", "git://…", "ssh://git@host/a", and with the query "?branch=main&subdir=docs" (ref, tag, branch,
// subdir, commit, checksum, keep-git-dir, submodules); nullopt when it is not a repository.
// Source: https://docs.docker.com/build/concepts/context/#url-queries
std::optional<GitSource> parse_git_source(std::string_view word);
bool is_http_source(std::string_view word);  // and no repository

struct RemoteOptions {
  std::string checksum;  // "sha256:…" of the file, or the commit; empty: none
  bool keep_git_dir = false;
  Millis timeout{600'000};
};

// Downloads to `file` (0600, Last-Modified as its time) and returns "sha256:…". InvalidArgument when the checksum is another one.
Result<std::string> download(const std::string& url, const std::filesystem::path& file, const RemoteOptions& options, const StopSignal& stop);

// Checks the repository out into the empty `directory` and returns the commit.
Result<std::string> check_out(const GitSource& source, const std::filesystem::path& directory, const RemoteOptions& options,
                              const StopSignal& stop, const OnLine& on_line);

}  // namespace watari::builder
