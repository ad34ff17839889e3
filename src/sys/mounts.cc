#include "sys/mounts.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>

#include "base/strings.h"
#include "sys/files.h"

namespace watari::sys {
namespace {

int open_tree(const char* path, unsigned flags) { return static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, path, flags)); }

// /proc/self/mounts writes blanks and backslashes as \040 and the like.
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 3 >= text.size()) {
      out += text[i];
      continue;
    }
    out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
    i += 3;
  }
  return out;
}

Result<void> set_attributes(const Fd& tree, const std::string& source, const BindOptions& options) {
  mount_attr attributes{};
  if (options.read_only) attributes.attr_set |= MOUNT_ATTR_RDONLY;
  if (options.no_suid) attributes.attr_set |= MOUNT_ATTR_NOSUID;
  if (options.no_dev) attributes.attr_set |= MOUNT_ATTR_NODEV;
  if (options.id_mapping) {
    attributes.attr_set |= MOUNT_ATTR_IDMAP;
    attributes.userns_fd = static_cast<std::uint64_t>(options.id_mapping->get());
  }
  if (!attributes.attr_set) return {};
  unsigned flags = AT_EMPTY_PATH | (options.recursive ? AT_RECURSIVE : 0U);
  if (::syscall(SYS_mount_setattr, tree.get(), "", flags, &attributes, sizeof attributes) == 0) return {};
  if (errno == EINVAL && options.id_mapping)
    return fail(Code::FailedPrecondition,
                "the file system of {} cannot shift owner ids (idmapped mounts); use ext4, xfs, btrfs or tmpfs", source);
  return fail_errno("set mount attributes of " + source);
}

}  // namespace

Result<void> enter_private_mounts() {
  if (::unshare(CLONE_NEWNS) != 0) return fail_errno("make a mount namespace");
  if (::mount(nullptr, "/", nullptr, MS_SLAVE | MS_REC, nullptr) != 0) return fail_errno("separate the mounts from the host's");
  return {};
}

Result<Fd> make_id_mapping(std::uint32_t first, std::uint32_t count) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe");
  Fd read_end(ends[0]), write_end(ends[1]);
  // The raw call: nothing but a read happens in the child, which shares no memory with us.
  auto pid = static_cast<pid_t>(::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
  if (pid < 0) return fail_errno("make a user namespace");
  if (pid == 0) {
    ::close(ends[1]);
    char byte;
    (void)!::read(ends[0], &byte, 1);
    ::_exit(0);
  }
  auto base = "/proc/" + std::to_string(pid);
  auto map = "0 " + std::to_string(first) + " " + std::to_string(count) + "\n";
  auto made = [&]() -> Result<Fd> {
    TRY_VOID(write_file(base + "/uid_map", map));
    TRY_VOID(write_file(base + "/gid_map", map));
    Fd space(::open((base + "/ns/user").c_str(), O_RDONLY | O_CLOEXEC));
    if (!space) return fail_errno("open the user namespace");
    return space;
  }();
  write_end.reset();
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return made;
}

Result<void> bind_mount(const std::string& source, const std::string& target, const BindOptions& options) {
  Fd tree(open_tree(source.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (options.recursive ? AT_RECURSIVE : 0U)));
  if (!tree) return fail_errno("mount " + source);
  TRY_VOID(set_attributes(tree, source, options));
  if (::syscall(SYS_move_mount, tree.get(), "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return fail_errno("mount " + source + " on " + target);
  return {};
}

Result<void> mount_overlay(const Overlay& overlay) {
  std::string options = "lowerdir=";
  for (auto it = overlay.lower.rbegin(); it != overlay.lower.rend(); ++it)
    options += (it == overlay.lower.rbegin() ? "" : ":") + *it;
  // No journal of redirects to trust, and a crash needs no fsync of the upper directory: the task is gone then anyway.
  if (!overlay.upper.empty()) options += ",upperdir=" + overlay.upper + ",workdir=" + overlay.work + ",volatile";
  if (options.size() > 4000) return fail(Code::ResourceExhausted, "{} image layers are too many to mount", overlay.lower.size());
  Fd before(::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (::chdir(overlay.directory.c_str()) != 0) return fail_errno("enter " + overlay.directory);
  int mounted = ::mount("overlay", overlay.target.c_str(), "overlay", 0, options.c_str());
  int error = errno;
  if (before) (void)!::fchdir(before.get());
  if (mounted != 0) return fail(system_error(error, "mount overlay on " + overlay.target + " (" + options + ")"));
  return {};
}

Result<void> mount_tmpfs(const std::string& target, const std::string& options) {
  if (::mount("tmpfs", target.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) != 0)
    return fail_errno("mount tmpfs on " + target);
  return {};
}

Result<void> unmount(const std::string& target) {
  if (::umount2(target.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno == EINVAL || errno == ENOENT) return {};
  return fail_errno("unmount " + target);
}

Result<bool> is_mount_point(const std::string& path) {
  TRY(auto mounts, list_mounts());
  return std::ranges::any_of(mounts, [&](const auto& mount) { return mount.target == path; });
}

Result<std::vector<MountEntry>> list_mounts() {
  TRY(auto text, read_file("/proc/self/mounts"));
  std::vector<MountEntry> out;
  for (const auto& line : split(text, '\n')) {
    auto words = split(line, ' ');
    if (words.size() >= 4) out.push_back({unescape(words[1]), words[2], words[3]});
  }
  return out;
}

}  // namespace watari::sys
