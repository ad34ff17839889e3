#pragma once
// File descriptors and the durable way to write a file; for this room only.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace watari::oci {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// Error of the last system call: "open /a/b: No such file or directory".
inline Error os_error(std::string_view call, const std::filesystem::path& path) {
  const int number = errno;
  const Code code = number == ENOENT                                          ? Code::NotFound
                    : number == ENOSPC || number == EDQUOT || number == EMFILE ? Code::ResourceExhausted
                                                                               : Code::Internal;
  return Error{code, fmt::format("{} {}: {}", call, path.string(), std::strerror(number))};
}

Result<void> write_all(int fd, std::string_view bytes, const std::filesystem::path& path);
Result<void> write_plainly(const std::filesystem::path& path, std::string_view bytes);  // a new or other content; not flushed
Result<std::string> read_file(const std::filesystem::path& path, std::size_t limit);
Result<void> make_directory(const std::filesystem::path& path);       // with parents, 0755
Result<void> sync_directory(const std::filesystem::path& directory);  // fsync, so that renames in it are durable
Result<void> sync_file_system(const std::filesystem::path& any_path);
// Writes `staging`, fsyncs it, renames it to `path` (same file system) and fsyncs that directory.
Result<void> write_durably(const std::filesystem::path& staging, const std::filesystem::path& path, std::string_view bytes);
struct Written {
  std::filesystem::path from, to;  // on one file system
};
// The same for several files that are written already, at the price of few journal commits: all are flushed at once, renamed in their order,
// and then their directories are flushed at once.
Result<void> publish_durably(const std::vector<Written>& files);
// Differs after every start of the machine: what was written under another one, and not flushed, may be lost or damaged.
const std::string& boot_id();
Time modified_at(const std::filesystem::path& path);  // the epoch when it is not there
// rm -rf that also copes with deep trees; what cannot be removed is logged.
void remove_tree(const std::filesystem::path& path);

}  // namespace watari::oci
