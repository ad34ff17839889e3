// unpack_layer_tar(): what comes from outside is hostile until shown otherwise.
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include "base/strings.h"
#include "codec/tar.h"
#include "oci/files.h"
#include "oci/layer_tar.h"
#include "oci/xattrs.h"

namespace watari::oci {

using codec::TarEntry;
using Kind = TarEntry::Kind;

namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";

auto refuse(const std::string& path, std::string_view why) { return fail(Code::InvalidArgument, "layer entry {}: {}", path, why); }

// The parts of an archive path below the root; "/a//./b" is {"a", "b"}.
Result<std::vector<std::string>> parts_of(const std::string& path) {
  if (path.find('\0') != path.npos) return refuse(path.c_str(), "the name contains a zero byte");
  std::vector<std::string> parts;
  for (auto& part : split(path, '/')) {
    if (part == "..") return refuse(path, "the name leads out of the layer (\"..\")");
    if (part.size() > 255) return refuse(path, "a part of the name is longer than 255 bytes");
    if (!part.empty() && part != ".") parts.push_back(std::move(part));
  }
  if (path.size() > 8192 || parts.size() > 1000) return refuse(path.substr(0, 200), "the name is too long");
  return parts;
}

// openat2 that treats `root` as "/" for links on the way; the one call through which every path below goes.
// Source: https://man7.org/linux/man-pages/man2/openat2.2.html
int open_in_root(int root, const char* path, int flags) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(::syscall(SYS_openat2, root, path, &how, sizeof how));
}

bool is_whiteout(const struct stat& status) { return S_ISCHR(status.st_mode) && status.st_rdev == 0; }

class Unpacker {
 public:
  Unpacker(const codec::Source& source, const UnpackLimits& limits, FindFile find = {}) : tar_(source), limits_(limits), find_(std::move(find)) {}

  Result<void> run(const std::filesystem::path& directory) {
    root_ = Fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root_) return fail(os_error("open", directory));
    while (true) {
      TRY(auto entry, tar_.next());
      if (!entry) break;
      if (++entries_ > limits_.max_entries) return fail(Code::ResourceExhausted, "the layer has more than {} entries", limits_.max_entries);
      bytes_ += entry->size;
      if (bytes_ > limits_.max_bytes) return fail(Code::ResourceExhausted, "the layer is larger than {} bytes", limits_.max_bytes);
      TRY_VOID(unpack(*entry));
    }
    return finish_directories();
  }

 private:
  Result<void> unpack(const TarEntry& entry) {
    TRY(auto parts, parts_of(entry.path));
    if (entry.uid > 0xfffffffe || entry.gid > 0xfffffffe) return refuse(entry.path, "the owner is no 32-bit number");
    if (parts.empty()) {
      if (entry.kind != Kind::Directory) return refuse(entry.path, "the root can only be a directory");
      return {};  // layers here have the root 0755 root:root
    }
    const std::string name = std::move(parts.back());
    parts.pop_back();
    for (const auto& part : parts)
      if (part.starts_with(kWhiteout)) return refuse(entry.path, "a whiteout is no directory");
    TRY(int parent, parent_directory(join(parts, "/")));
    if (name == kOpaque) return mark_opaque(parent, entry.path);
    if (name.starts_with(".wh..wh.")) return {};  // bookkeeping of aufs
    if (name.starts_with(kWhiteout)) return whiteout(parent, name.substr(kWhiteout.size()), entry.path);
    return create(parent, name, entry);
  }

  // Of the entry's path without its last part. Owned by this; valid until the next call.
  Result<int> parent_directory(const std::string& path) {
    if (path.empty()) return root_.get();
    if (cached_ && cached_path_ == path) return cached_.get();
    Fd fd(open_in_root(root_.get(), path.c_str(), O_RDONLY | O_DIRECTORY));
    if (!fd) {
      // Archives may leave parents out. What is there and is no directory stays and makes the entry fail.
      std::string so_far;
      for (const auto& part : split(path, '/')) {
        TRY(int above, parent_directory(so_far));
        const bool made = ::mkdirat(above, part.c_str(), 0755) == 0;
        if (!made && errno != EEXIST) return fail(os_error("mkdir", path));
        so_far += (so_far.empty() ? "" : "/") + part;
        if (made) directories_.emplace_back(so_far, 0);
        Fd next(open_in_root(root_.get(), so_far.c_str(), O_RDONLY | O_DIRECTORY));
        if (!next) return refuse(path, "a parent is not a directory");
        cached_ = std::move(next);
        cached_path_ = so_far;
      }
      return cached_.get();
    }
    cached_ = std::move(fd);
    cached_path_ = path;
    return cached_.get();
  }

  Result<void> mark_opaque(int directory, const std::string& path) {
    if (directory == root_.get()) return refuse(path, "the root cannot be opaque");
    if (::fsetxattr(directory, kOverlayOpaque, "y", 1, 0) != 0) return fail(os_error("setxattr", path));
    return {};
  }

  // A name that is both deleted and present in one layer: the deletion means the layers below.
  Result<void> whiteout(int parent, const std::string& name, const std::string& path) {
    if (name.empty() || name == "." || name == "..") return refuse(path, "the whiteout names nothing");
    struct stat status{};
    if (::fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
      if (!S_ISDIR(status.st_mode)) return {};
      Fd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!fd) return fail(os_error("open", path));
      return mark_opaque(fd.get(), path);
    }
    if (::mknodat(parent, name.c_str(), S_IFCHR, 0) != 0) return fail(os_error("mknod", path));
    return {};
  }

  Result<void> create(int parent, const std::string& name, const TarEntry& entry) {
    switch (entry.kind) {
      case Kind::Directory: return directory(parent, name, entry);
      case Kind::File: return file(parent, name, entry);
      case Kind::HardLink: return hard_link(parent, name, entry);
      case Kind::Symlink:
        if (entry.link.empty() || entry.link.find('\0') != entry.link.npos) return refuse(entry.path, "the link has no usable target");
        return node(parent, name, entry, [&] { return ::symlinkat(entry.link.c_str(), parent, name.c_str()); });
      case Kind::Fifo: return node(parent, name, entry, [&] { return ::mkfifoat(parent, name.c_str(), 0600); });
      case Kind::CharDevice:
      case Kind::BlockDevice: {
        const auto type = entry.kind == Kind::CharDevice ? S_IFCHR : S_IFBLK;
        const auto device = makedev(entry.device_major, entry.device_minor);
        return node(parent, name, entry, [&] { return ::mknodat(parent, name.c_str(), type | 0600, device); });
      }
    }
    return refuse(entry.path, "unknown kind");
  }

  Result<void> directory(int parent, const std::string& name, const TarEntry& entry) {
    bool was_deleted = false;
    if (::mkdirat(parent, name.c_str(), 0700) != 0) {
      struct stat status{};
      if (errno != EEXIST || ::fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return fail(os_error("mkdir", entry.path));
      if (!S_ISDIR(status.st_mode)) {
        was_deleted = is_whiteout(status);
        TRY_VOID(remove_existing(parent, name, entry.path));
        if (::mkdirat(parent, name.c_str(), 0700) != 0) return fail(os_error("mkdir", entry.path));
      }
    }
    Fd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return fail(os_error("open", entry.path));
    if (was_deleted) TRY_VOID(mark_opaque(fd.get(), entry.path));
    TRY_VOID(set_owner_and_mode(fd.get(), entry));
    directories_.emplace_back(entry.path, entry.mtime);
    return {};
  }

  Result<void> file(int parent, const std::string& name, const TarEntry& entry) {
    if (find_) return found_file(parent, name, entry);
    TRY(auto fd, create_file(parent, name, entry.path));
    TRY_VOID(contents(fd.get(), entry));
    return finish_file(fd.get(), entry);
  }

  Result<Fd> create_file(int parent, const std::string& name, const std::string& path) {
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    Fd fd(::openat(parent, name.c_str(), flags, 0600));
    if (!fd && errno == EEXIST) {
      TRY_VOID(remove_existing(parent, name, path));
      fd = Fd(::openat(parent, name.c_str(), flags, 0600));
    }
    if (!fd) return fail(os_error("create", path));
    return fd;
  }

  Result<void> finish_file(int fd, const TarEntry& entry) {
    TRY_VOID(set_owner_and_mode(fd, entry));
    const timespec times[2] = {{entry.mtime, 0}, {entry.mtime, 0}};
    if (::futimens(fd, times) != 0) return fail(os_error("utimens", entry.path));
    return {};
  }

  // One whose content the archive only names.
  Result<void> found_file(int parent, const std::string& name, const TarEntry& entry) {
    std::array<char, 128> text;
    std::size_t length = 0;
    for (std::size_t count = 1; count > 0 && length < text.size(); length += count) {
      TRY(count, tar_.read(std::span(text).subspan(length)));
    }
    TRY(auto found, find_(entry, std::string(text.data(), length)));
    if (found.how == FoundFile::How::Stay) return {};
    const auto place = [&] {
      return found.how == FoundFile::How::Link ? ::linkat(AT_FDCWD, found.path.c_str(), parent, name.c_str(), 0)
                                               : ::renameat2(AT_FDCWD, found.path.c_str(), parent, name.c_str(), RENAME_NOREPLACE);
    };
    if (found.how != FoundFile::How::Copy) {
      int status = place();
      if (status != 0 && errno == EEXIST) {
        TRY_VOID(remove_existing(parent, name, entry.path));
        status = place();
      }
      // A file has at most 65,000 names on ext4: then its bytes are copied.
      if (status == 0 && found.how == FoundFile::How::Link) return {};
      if (status != 0 && errno != EMLINK) return fail(os_error("place", entry.path));
      if (status == 0) {
        Fd moved(::openat(parent, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
        if (!moved) return fail(os_error("open", entry.path));
        return finish_file(moved.get(), entry);
      }
    }
    Fd in(::open(found.path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!in) return fail(os_error("open", found.path));
    TRY(auto out, create_file(parent, name, entry.path));
    for (ssize_t count; (count = ::read(in.get(), buffer_.data(), buffer_.size())) != 0;) {
      if (count < 0) return fail(os_error("read", found.path));
      TRY_VOID(write_all(out.get(), {buffer_.data(), static_cast<std::size_t>(count)}, entry.path));
    }
    return finish_file(out.get(), entry);
  }

  // Blocks of zeros become holes.
  Result<void> contents(int fd, const TarEntry& entry) {
    constexpr std::size_t kHole = 64 * 1024;
    std::int64_t offset = 0;
    bool hole_at_end = false;
    while (true) {
      std::size_t filled = 0;
      while (filled < buffer_.size()) {
        TRY(auto count, tar_.read(std::span(buffer_).subspan(filled)));
        if (count == 0) break;
        filled += count;
      }
      if (filled == 0) break;
      const std::string_view piece(buffer_.data(), filled);
      hole_at_end = filled >= kHole && piece.front() == '\0' && piece.find_first_not_of('\0') == piece.npos;
      if (!hole_at_end) {
        if (::lseek(fd, offset, SEEK_SET) < 0) return fail(os_error("seek", entry.path));
        TRY_VOID(write_all(fd, piece, entry.path));
      }
      offset += static_cast<std::int64_t>(filled);
    }
    if (hole_at_end && ::ftruncate(fd, offset) != 0) return fail(os_error("truncate", entry.path));
    return {};
  }

  Result<void> hard_link(int parent, const std::string& name, const TarEntry& entry) {
    TRY(auto parts, parts_of(entry.link));
    if (parts.empty()) return refuse(entry.path, "the hard link has no target");
    const std::string last = std::move(parts.back());
    parts.pop_back();
    const std::string above = parts.empty() ? "." : join(parts, "/");
    Fd target(open_in_root(root_.get(), above.c_str(), O_RDONLY | O_DIRECTORY));
    struct stat status{};
    if (!target || ::fstatat(target.get(), last.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
      return refuse(entry.path, "the target of the hard link, " + entry.link + ", is not in the layer");
    if (S_ISDIR(status.st_mode)) return refuse(entry.path, "hard link to a directory");
    struct stat existing{};
    if (::fstatat(parent, name.c_str(), &existing, AT_SYMLINK_NOFOLLOW) == 0) {
      if (existing.st_ino == status.st_ino && existing.st_dev == status.st_dev) return {};
      TRY_VOID(remove_existing(parent, name, entry.path));
    }
    if (::linkat(target.get(), last.c_str(), parent, name.c_str(), 0) != 0) return fail(os_error("link", entry.path));
    return {};
  }

  template <class Make>
  Result<void> node(int parent, const std::string& name, const TarEntry& entry, Make make) {
    if (make() != 0) {
      if (errno != EEXIST) return fail(os_error("create", entry.path));
      TRY_VOID(remove_existing(parent, name, entry.path));
      if (make() != 0) return fail(os_error("create", entry.path));
    }
    if (::fchownat(parent, name.c_str(), static_cast<uid_t>(entry.uid), static_cast<gid_t>(entry.gid), AT_SYMLINK_NOFOLLOW) != 0)
      return fail(os_error("chown", entry.path));
    if (entry.kind != Kind::Symlink && ::fchmodat(parent, name.c_str(), entry.mode, 0) != 0) return fail(os_error("chmod", entry.path));
    const std::string path = fmt::format("/proc/self/fd/{}/{}", parent, name);
    for (const auto& [key, value] : accepted(entry.xattrs))
      if (::lsetxattr(path.c_str(), key.c_str(), value.data(), value.size(), 0) != 0 && errno != ENOTSUP && errno != EPERM)
        return fail(os_error("setxattr " + key, entry.path));
    const timespec times[2] = {{entry.mtime, 0}, {entry.mtime, 0}};
    if (::utimensat(parent, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) return fail(os_error("utimens", entry.path));
    return {};
  }

  // Owner first: changing it clears set-user-id bits and file capabilities.
  Result<void> set_owner_and_mode(int fd, const TarEntry& entry) {
    if (::fchown(fd, static_cast<uid_t>(entry.uid), static_cast<gid_t>(entry.gid)) != 0) return fail(os_error("chown", entry.path));
    if (::fchmod(fd, entry.mode) != 0) return fail(os_error("chmod", entry.path));
    for (const auto& [key, value] : accepted(entry.xattrs))
      if (::fsetxattr(fd, key.c_str(), value.data(), value.size(), 0) != 0 && errno != ENOTSUP) return fail(os_error("setxattr " + key, entry.path));
    return {};
  }

  // An archive must not speak to the overlay or to the host's SELinux.
  static Xattrs accepted(Xattrs xattrs) {
    std::erase_if(xattrs, [](const auto& item) {
      return item.first.starts_with("trusted.overlay.") || item.first.starts_with("user.overlay.") || item.first == "security.selinux";
    });
    return xattrs;
  }

  // A later entry replaces an earlier one of the same name.
  Result<void> remove_existing(int parent, const std::string& name, const std::string& path) {
    cached_path_.clear();  // it may lead through what goes away; `parent` itself stays open
    if (::unlinkat(parent, name.c_str(), 0) == 0) return {};
    if (errno != EISDIR && errno != EPERM) return fail(os_error("unlink", path));
    remove_tree(fmt::format("/proc/self/fd/{}/{}", parent, name));
    return {};
  }

  // Their times last: whatever was put into them changed them.
  Result<void> finish_directories() {
    for (const auto& [path, mtime] : directories_) {
      Fd fd(open_in_root(root_.get(), path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      if (!fd) continue;  // a later entry replaced it
      const timespec times[2] = {{mtime, 0}, {mtime, 0}};
      if (::futimens(fd.get(), times) != 0) return fail(os_error("utimens", path));
    }
    return {};
  }

  codec::TarReader tar_;
  UnpackLimits limits_;
  FindFile find_;  // of an index
  Fd root_, cached_;
  std::string cached_path_;
  std::vector<std::pair<std::string, std::int64_t>> directories_;
  std::vector<char> buffer_ = std::vector<char>(256 * 1024);
  std::int64_t entries_ = 0, bytes_ = 0;
};

}  // namespace

Result<void> unpack_index_tar(const codec::Source& tar, const std::filesystem::path& directory, const FindFile& find, const UnpackLimits& limits) {
  return Unpacker(tar, limits, find).run(directory);
}

Result<void> unpack_layer_tar(const codec::Source& tar, const std::filesystem::path& directory, const UnpackLimits& limits) {
  TRY_VOID(Unpacker(tar, limits).run(directory));
  // What follows the end mark belongs to the digest of the stream: read it all.
  std::array<char, 16384> rest;
  while (true) {
    TRY(auto count, tar(rest));
    if (count == 0) return {};
  }
}

}  // namespace watari::oci
