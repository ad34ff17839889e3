#include "watari/runtime_copies.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>

#include "sys/fd.h"
#include "sys/files.h"

namespace watari {
namespace {

constexpr std::time_t kDead = 60;  // seconds; a copy is needed for milliseconds

void sweep(const std::string& directory) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    struct stat info{};
    const auto& path = entry->path().native();
    if (::lstat(path.c_str(), &info) == 0 && info.st_mtime < std::time(nullptr) - kDead) ::unlink(path.c_str());
  }
}

}  // namespace

Result<void> keep_runtime_copies_in(const std::string& directory) {
  TRY_VOID(sys::make_directories(directory, 0711));
  sweep(directory);
  if (::setenv("_LIBCONTAINER_STATEDIR", directory.c_str(), 1) != 0) return sys::fail_errno("set _LIBCONTAINER_STATEDIR");
  return {};
}

}  // namespace watari
