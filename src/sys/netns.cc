#include "sys/netns.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <memory>
#include <thread>

#include "base/strings.h"

namespace watari::sys {

namespace {

bool is_namespace(const std::string& path) {
  struct statfs info{};
  return ::statfs(path.c_str(), &info) == 0 && info.f_type == NSFS_MAGIC;
}

// The new namespace lives in a thread that unshares and ends; the bind mount is what keeps it.
Result<void> unshare_onto(const std::string& path) {
  Result<void> result;
  std::thread([&] {
    if (::unshare(CLONE_NEWNET) != 0) {
      result = fail_errno("make a network namespace (needs CAP_SYS_ADMIN)");
    } else if (::mount("/proc/thread-self/ns/net", path.c_str(), "", MS_BIND, nullptr) != 0) {
      result = fail_errno("mount the network namespace on " + path);
    }
  }).join();
  return result;
}

}  // namespace

std::string netns_path(const std::string& name) { return std::string(kNetnsDirectory) + "/" + name; }

Result<bool> create_netns(const std::string& name) {
  auto path = netns_path(name);
  if (is_namespace(path)) return false;
  if (::mkdir(kNetnsDirectory, 0755) != 0 && errno != EEXIST) return fail_errno(std::string("make ") + kNetnsDirectory);
  Fd file(::open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0));
  if (!file) return fail_errno("create " + path);
  TRY_VOID(unshare_onto(path));
  return true;
}

Result<void> remove_netns(const std::string& name) {
  auto path = netns_path(name);
  // A creation that raced with a crash may have mounted twice.
  while (is_namespace(path))
    if (::umount2(path.c_str(), MNT_DETACH) != 0) return fail_errno("unmount " + path);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("remove " + path);
  return {};
}

Result<Fd> open_netns(const std::string& name) {
  auto path = netns_path(name);
  if (!is_namespace(path)) return fail(Code::NotFound, "no network namespace {}", path);
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno("open " + path);
  return fd;
}

Result<std::vector<std::string>> list_netns(const std::string& prefix) {
  std::vector<std::string> names;
  std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(kNetnsDirectory), ::closedir);
  if (!directory) {
    if (errno == ENOENT) return names;
    return fail_errno(std::string("list ") + kNetnsDirectory);
  }
  while (auto* entry = ::readdir(directory.get()))
    if (std::string_view(entry->d_name).starts_with(prefix)) names.emplace_back(entry->d_name);
  std::ranges::sort(names);
  return names;
}

Result<void> run_in_netns(const Fd& netns, const std::function<Result<void>()>& work) {
  Result<void> result;
  std::thread([&] {
    if (::setns(netns.get(), CLONE_NEWNET) != 0)
      result = fail_errno("enter a network namespace (needs CAP_SYS_ADMIN)");
    else
      result = work();
  }).join();
  return result;
}

Result<void> write_sysctl(const std::string& key, const std::string& value) {
  auto path = "/proc/sys/" + key;
  Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file || ::write(file.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size()))
    return fail_errno("write " + value + " to " + path);
  return {};
}

Result<std::string> read_sysctl(const std::string& key) {
  auto path = "/proc/sys/" + key;
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char buffer[256];
  ssize_t got = file ? ::read(file.get(), buffer, sizeof buffer) : -1;
  if (got < 0) return fail_errno("read " + path);
  return std::string(trim(std::string_view(buffer, static_cast<std::size_t>(got))));
}

}  // namespace watari::sys
