#include "oci/files.h"

#include <algorithm>
#include <set>
#include <thread>

#include "base/log.h"
#include "base/strings.h"

namespace watari::oci {

namespace fs = std::filesystem;

Result<void> write_all(int fd, std::string_view bytes, const fs::path& path) {
  while (!bytes.empty()) {
    const auto count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(os_error("write", path));
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

Result<std::string> read_file(const fs::path& path, std::size_t limit) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0) return fail(os_error("open", path));
  if (static_cast<std::size_t>(status.st_size) > limit)
    return fail(Code::ResourceExhausted, "{} has {} bytes, more than the {} allowed here", path.string(), status.st_size, limit);
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t filled = 0;
  while (filled < text.size()) {
    const auto count = ::read(fd.get(), text.data() + filled, text.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(os_error("read", path));
    if (count == 0) break;
    filled += static_cast<std::size_t>(count);
  }
  text.resize(filled);
  return text;
}

Result<void> make_directory(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return fail(Code::Internal, "mkdir {}: {}", path.string(), error.message());
  return {};
}

Result<void> sync_directory(const fs::path& directory) {
  Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return fail(os_error("fsync", directory));
  return {};
}

Result<void> sync_file_system(const fs::path& any_path) {
  Fd fd(::open(any_path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd || ::syncfs(fd.get()) != 0) return fail(os_error("syncfs", any_path));
  return {};
}

Result<void> write_durably(const fs::path& staging, const fs::path& path, std::string_view bytes) {
  Fd fd(::open(staging.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!fd) return fail(os_error("create", staging));
  auto written = write_all(fd.get(), bytes, staging);
  if (written && ::fsync(fd.get()) != 0) written = fail(os_error("fsync", staging));
  if (written && ::rename(staging.c_str(), path.c_str()) != 0) written = fail(os_error("rename", path));
  if (!written) {
    ::unlink(staging.c_str());
    return written;
  }
  return sync_directory(path.parent_path());
}

Result<void> write_plainly(const fs::path& path, std::string_view bytes) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd) return fail(os_error("create", path));
  return write_all(fd.get(), bytes, path);
}


namespace {

// fsync of each on a thread of its own: the file system puts what waits at the same time into one commit.
Result<void> sync_all(const std::vector<fs::path>& paths) {
  std::vector<Result<void>> results(paths.size());
  const auto sync = [&](std::size_t i) {
    Fd fd(::open(paths[i].c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd || ::fsync(fd.get()) != 0) results[i] = fail(os_error("fsync", paths[i]));
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < paths.size(); ++i) threads.emplace_back(sync, i);
    if (!paths.empty()) sync(0);
  }
  for (auto& result : results)
    if (!result) return result;
  return {};
}

}  // namespace

Result<void> publish_durably(const std::vector<Written>& files) {
  constexpr std::size_t kAtOnce = 16;
  std::set<fs::path> directories;
  for (std::size_t begin = 0; begin < files.size(); begin += kAtOnce) {
    std::vector<fs::path> part;
    for (std::size_t i = begin; i < std::min(files.size(), begin + kAtOnce); ++i) part.push_back(files[i].from);
    TRY_VOID(sync_all(part));
  }
  for (const auto& file : files) {
    if (::rename(file.from.c_str(), file.to.c_str()) != 0) return fail(os_error("rename", file.to));
    directories.insert(file.to.parent_path());
  }
  return sync_all({directories.begin(), directories.end()});
}

const std::string& boot_id() {
  static const std::string id = [] {
    Fd fd(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
    std::string text(64, '\0');
    const auto count = fd ? ::read(fd.get(), text.data(), text.size()) : 0;
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    return std::string(trim(text));
  }();
  return id;
}

Time modified_at(const fs::path& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return {};
  return Time(Millis(std::int64_t{status.st_mtim.tv_sec} * 1000 + status.st_mtim.tv_nsec / 1'000'000));
}

void remove_tree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) log::warn("cannot remove {}: {}", path.string(), error.message());
}

}  // namespace watari::oci
