#pragma once
// A build context: the files of a directory, without what .dockerignore names. Packed as its index, a tar with the SHA-256 of each regular
// file's bytes in place of the bytes; content is read again when the server asks for it.
#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace watari::cli::up {

// A tar of files named by their digests, piece by piece. A file that changed since it was packed is sent as it is now, cut or filled to
// its size: the server notices.
class ContextContent {
 public:
  struct File {
    std::filesystem::path path;
    std::string digest;
    std::int64_t size = 0;
  };
  explicit ContextContent(std::vector<File> files) : files_(std::move(files)) {}
  ContextContent(ContextContent&& other) noexcept;
  ContextContent& operator=(ContextContent&&) = delete;
  ~ContextContent();

  std::int64_t size() const;  // of the whole tar
  std::string next();         // the next piece; empty at the end

 private:
  std::vector<File> files_;
  std::size_t at_ = 0;
  int fd_ = -1;
  std::int64_t left_ = 0;  // of the file at hand
  bool ended_ = false;
};

struct ContextItem;

class Context {
 public:
  // `always` (Dockerfiles, relative to the directory) are in it whatever .dockerignore says. `ignore_file`, when it exists, holds the
  // rules instead of DIRECTORY/.dockerignore. The archive does not depend on who owns the files.
  static Result<Context> pack(const std::filesystem::path& directory, const std::vector<std::string>& always,
                              const std::filesystem::path& ignore_file = {});

  const std::string& sha256() const { return sha256_; }  // of the index
  // Made when asked for: the server knows most contexts by the digest.
  Result<std::string> index() const;
  // Internal when a digest is none of this context.
  Result<ContextContent> content(const std::vector<std::string>& digests) const;

 private:
  using Items = std::deque<ContextItem>;
  Context(std::filesystem::path root, std::shared_ptr<const Items> items, std::string sha256)
      : root_(std::move(root)), items_(std::move(items)), sha256_(std::move(sha256)) {}
  std::filesystem::path root_;
  std::shared_ptr<const Items> items_;
  std::string sha256_;
};

}  // namespace watari::cli::up
