#include "builder/layers.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <fstream>
#include <system_error>

#include "base/digest.h"
#include "base/id.h"
#include "sys/fd.h"
#include "sys/mounts.h"

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

// What lies below everything is the same for most mounts and never written to: it is made once. On the disk of the layers, for files to have
// the numbers there that they have everywhere in the image.
Result<fs::path> skeleton_of(const MountedLayers::Options& options) {
  const auto kept = options.skeletons / sha256_hex(fmt::format("{}\n\n{}", fmt::join(options.directories, "\n"), fmt::join(options.files, "\n"))).substr(0, 32);
  std::error_code none;
  if (fs::is_directory(kept, none)) return kept;
  const auto made = options.skeletons / (".tmp-" + random_hex(12));
  fs::create_directories(made);
  for (const auto& directory : options.directories) fs::create_directories(made / fs::path(directory).relative_path());
  for (const auto& file : options.files) {
    auto path = made / fs::path(file).relative_path();
    fs::create_directories(path.parent_path());
    std::ofstream{path};
  }
  if (::rename(made.c_str(), kept.c_str()) == 0) return kept;
  const int problem = errno;
  fs::remove_all(made, none);
  if (fs::is_directory(kept, none)) return kept;  // somebody else made it meanwhile
  return fail(sys::system_error(problem, "make " + kept.string()));
}

}  // namespace

Result<MountedLayers> MountedLayers::mount(const Options& options) try {
  TRY_VOID(own_mounts());
  TRY(auto skeleton, skeleton_of(options));
  const auto& scratch = options.scratch;
  fs::create_directories(scratch);
  // A dozen names for a moment: in memory.
  TRY_VOID(sys::mount_tmpfs(scratch, "mode=0755,size=1m"));
  MountedLayers mounted(scratch);
  for (const char* name : {"root", "links", "empty"}) fs::create_directory(scratch / name);
  TRY_VOID(link_to(skeleton, scratch / "links" / "s"));
  TRY_VOID(mount_overlay(options, scratch / "links"));
  return mounted;
} catch (const fs::filesystem_error& e) {
  return fail(Code::Internal, "prepare a mount: {}", e.what());
}

MountedLayers::~MountedLayers() {
  if (scratch_.empty()) return;
  ::umount2(root().c_str(), MNT_DETACH);
  ::umount2(scratch_.c_str(), MNT_DETACH);
  std::error_code ignored;
  fs::remove_all(scratch_, ignored);
}

UnmountAtEnd::~UnmountAtEnd() {
  if (!target.empty()) ::umount2(target.c_str(), MNT_DETACH);
}

}  // namespace watari::builder
