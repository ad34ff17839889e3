#pragma once
// A build context: the files of a directory, without what .dockerignore names, as a tar in an unnamed temporary file.
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace watari::cli::up {

class Context {
 public:
  // `always` (Dockerfiles, relative to the directory) are in it whatever .dockerignore says. `ignore_file`, when it exists, holds the
  // rules instead of DIRECTORY/.dockerignore. The archive does not depend on who owns the files.
  static Result<Context> pack(const std::filesystem::path& directory, const std::vector<std::string>& always,
                              const std::filesystem::path& ignore_file = {});
  Context(Context&& other) noexcept;
  Context& operator=(Context&&) = delete;
  ~Context();

  const std::string& sha256() const { return sha256_; }
  std::int64_t size() const { return size_; }
  std::string next();  // the next piece; empty at the end

 private:
  Context() = default;
  int fd_ = -1;
  std::string sha256_;
  std::int64_t size_ = 0;
};

}  // namespace watari::cli::up
