#pragma once
// (The name is a plural because <sys/mount.h> is the C library's.)
// Mounts: overlays on idmapped layers, binds, private namespaces. Needs CAP_SYS_ADMIN. Blocking, microseconds.
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace watari::sys {

// Puts the calling process (it must have one thread) into a mount namespace of its own: mounts made here are not seen outside and end
// with the last process in it; what the host unmounts goes away here too.
Result<void> enter_private_mounts();

// A user namespace in which ids 0…count-1 are first…first+count-1 outside; nobody lives in it. For idmapped mounts.
Result<Fd> make_id_mapping(std::uint32_t first, std::uint32_t count = 65536);

struct BindOptions {
  const Fd* id_mapping = nullptr;  // ids on disk appear shifted by it; nullptr: as they are
  bool read_only = false, no_suid = false, no_dev = false;
  bool recursive = false;
};
// Mounts `source` (directory or file) on `target`, which must exist and be of the same kind.
// FailedPrecondition when the file system of `source` cannot be idmapped (the message names it).
Result<void> bind_mount(const std::string& source, const std::string& target, const BindOptions& options = {});

// Overlay file system; all paths absolute, lowest layer first. Layers must be mounted with the id mapping already.
// `directory` is where the layers lie as 0, 1, 2…: relative names keep 127 layers within the kernel's one page of options.
struct Overlay {
  std::string directory;
  std::vector<std::string> lower;  // names relative to `directory`, lowest first
  std::string upper, work;         // empty: read-only
  std::string target;
};
Result<void> mount_overlay(const Overlay& overlay);

Result<void> mount_tmpfs(const std::string& target, const std::string& options);
// Lazily; fine when nothing is mounted there.
Result<void> unmount(const std::string& target);
Result<bool> is_mount_point(const std::string& path);

struct MountEntry {
  std::string target, type, options;
};
// Of the calling process's namespace (/proc/self/mounts), in the order they were made.
Result<std::vector<MountEntry>> list_mounts();

}  // namespace watari::sys
