#include "sys/files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdio>
#include <filesystem>

#include "sys/fd.h"

namespace watari::sys {
namespace {

Result<void> write_all(const Fd& fd, std::string_view content, const std::string& path) {
  // One write even for empty content: kernel files act on the call.
  do {
    auto n = ::write(fd.get(), content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("write " + path);
    content.remove_prefix(static_cast<std::size_t>(n));
  } while (!content.empty());
  return {};
}

}  // namespace

Result<std::string> read_file(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno("open " + path);
  std::string content;
  char buffer[16384];
  for (;;) {
    auto n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("read " + path);
    if (n == 0) return content;
    content.append(buffer, static_cast<std::size_t>(n));
  }
}

Result<void> write_file(const std::string& path, std::string_view content, unsigned mode) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (!fd) return fail_errno("open " + path);
  return write_all(fd, content, path);
}

Result<void> replace_file(const std::string& path, std::string_view content, unsigned mode, bool durable) {
  auto temporary = path + ".new";
  const auto write = [&]() -> Result<void> {
    Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
    if (!fd) return fail_errno("open " + temporary);
    TRY_VOID(write_all(fd, content, temporary));
    return durable && ::fsync(fd.get()) != 0 ? fail_errno("fsync " + temporary) : Result<void>();
  };
  if (auto written = write(); !written) {
    ::unlink(temporary.c_str());  // half a file takes space where there is none
    return written;
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) return fail_errno("rename " + temporary);
  if (!durable) return {};
  Fd directory(::open(std::filesystem::path(path).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || ::fsync(directory.get()) != 0) return fail_errno("fsync the directory of " + path);
  return {};
}

Result<void> rewrite_in_place(const std::string& path, std::string_view content) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  if (!fd) return fail_errno("open " + path);
  TRY_VOID(write_all(fd, content, path));
  if (::ftruncate(fd.get(), static_cast<off_t>(content.size())) != 0) return fail_errno("truncate " + path);
  return {};
}

Result<void> make_directories(const std::string& path, unsigned mode) {
  if (::mkdir(path.c_str(), mode) == 0) {
    // Whatever the umask says: containers must be able to pass through.
    if (::chmod(path.c_str(), mode) != 0) return fail_errno("chmod " + path);
    return {};
  }
  if (errno == EEXIST) return {};
  auto parent = std::filesystem::path(path).parent_path().string();
  if (errno != ENOENT || parent.empty() || parent == path) return fail_errno("mkdir " + path);
  TRY_VOID(make_directories(parent, mode));
  return make_directories(path, mode);
}

Result<void> remove_tree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) return fail(system_error(error.value(), "remove " + path));
  return {};
}

}  // namespace watari::sys
