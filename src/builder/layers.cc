#include "builder/layers.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <fstream>
#include <system_error>

#include "sys/fd.h"

namespace watari::builder {

namespace fs = std::filesystem;

Result<void> own_mounts() {
  thread_local bool owned = false;
  if (std::exchange(owned, true)) return {};
  if (::unshare(CLONE_NEWNS) != 0) return sys::fail_errno("make a mount namespace (building needs root)");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return sys::fail_errno("make mounts private");
  return {};
}

namespace {

Result<void> link_to(const fs::path& target, const fs::path& link) {
  if (::symlink(target.c_str(), link.c_str()) != 0) return sys::fail_errno("link " + link.string());
  return {};
}

// The kernel takes one page of mount options: short relative names leave room for 500 layers, and need no escaping of , and :
Result<void> mount_overlay(const MountedLayers::Options& options, const fs::path& links) {
  std::string lower;
  for (std::size_t i = options.lower.size(); i-- > 0;) {
    TRY_VOID(link_to(options.lower[i], links / std::to_string(i)));
    lower += std::to_string(i) + ":";
  }
  auto data = "lowerdir=" + lower + "s";
  // "volatile": nothing is flushed while a step runs; the store flushes what becomes a layer.
  if (!options.upper.empty()) {
    TRY_VOID(link_to(options.upper, links / "u"));
    TRY_VOID(link_to(options.work, links / "w"));
    data += ",upperdir=u,workdir=w,volatile";
  } else if (options.lower.empty()) {
    TRY_VOID(link_to(links.parent_path() / "empty", links / "e"));
    data += ":e";
  }
  data += ",index=off,metacopy=off,redirect_dir=off";
  if (::chdir(links.c_str()) != 0) return sys::fail_errno("enter " + links.string());
  int status = ::mount("overlay", "../root", "overlay", MS_NODEV, data.c_str());
  int problem = errno;
  (void)!::chdir("/");
  if (status != 0) return fail(sys::system_error(problem, "mount an overlay of " + std::to_string(options.lower.size()) + " layers"));
  return {};
}

}  // namespace

Result<MountedLayers> MountedLayers::mount(const Options& options) try {
  TRY_VOID(own_mounts());
  const auto& scratch = options.scratch;
  auto skeleton = scratch / "skeleton";
  for (const auto& directory : {scratch / "root", scratch / "links", scratch / "empty", skeleton}) fs::create_directories(directory);
  for (const auto& directory : options.directories) fs::create_directories(skeleton / fs::path(directory).relative_path());
  for (const auto& file : options.files) {
    auto path = skeleton / fs::path(file).relative_path();
    fs::create_directories(path.parent_path());
    std::ofstream{path};
  }
  TRY_VOID(link_to(skeleton, scratch / "links" / "s"));
  TRY_VOID(mount_overlay(options, scratch / "links"));
  return MountedLayers(scratch);
} catch (const fs::filesystem_error& e) {
  return fail(Code::Internal, "prepare a mount: {}", e.what());
}

MountedLayers::~MountedLayers() {
  if (scratch_.empty()) return;
  ::umount2(root().c_str(), MNT_DETACH);
  std::error_code ignored;
  fs::remove_all(scratch_, ignored);
}

UnmountAtEnd::~UnmountAtEnd() {
  if (!target.empty()) ::umount2(target.c_str(), MNT_DETACH);
}

}  // namespace watari::builder
