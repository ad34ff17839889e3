#include "oci/layer_tar.h"

#include <dirent.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <map>
#include <vector>

#include "base/digest.h"
#include "codec/tar.h"
#include "oci/files.h"
#include "oci/xattrs.h"

namespace watari::oci {

using codec::TarEntry;
using Kind = TarEntry::Kind;

namespace {

constexpr int kMaxDepth = 1024;  // each level holds one descriptor
constexpr std::size_t kBuffer = 256 * 1024;

Result<std::vector<std::string>> sorted_names(int directory, const std::string& shown_as) {
  const int copy = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* stream = copy < 0 ? nullptr : ::fdopendir(copy);
  if (!stream) return fail(os_error("opendir", shown_as));
  std::vector<std::string> names;
  while (auto* entry = ::readdir(stream))
    if (std::string_view name = entry->d_name; name != "." && name != "..") names.emplace_back(name);
  ::closedir(stream);
  std::ranges::sort(names);
  return names;
}

// One walk over one directory; lives on the caller's stack.
class LayerWriter {
 public:
  explicit LayerWriter(const codec::Sink& sink) : tar_(gather(sink)) {}

  Result<void> write(const std::filesystem::path& root) {
    Fd fd(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return fail(os_error("open", root));
    TRY_VOID(children(fd.get(), "", 0));
    TRY_VOID(tar_.finish());
    return flush_();
  }
  std::int64_t size() const { return tar_.bytes_written(); }

 private:
  // Small files would otherwise mean three tiny pieces each.
  codec::Sink gather(const codec::Sink& sink) {
    flush_ = [this, sink]() -> Result<void> {
      auto result = gathered_.empty() ? Result<void>{} : sink(gathered_);
      gathered_.clear();
      return result;
    };
    return [this, sink](std::string_view bytes) -> Result<void> {
      if (gathered_.size() + bytes.size() > kBuffer) TRY_VOID(flush_());
      if (bytes.size() >= kBuffer) return sink(bytes);
      gathered_ += bytes;
      return {};
    };
  }

  Result<void> children(int directory, const std::string& prefix, int depth) {
    if (depth > kMaxDepth) return fail(Code::FailedPrecondition, "{} is nested more than {} directories deep", prefix, kMaxDepth);
    TRY(auto names, sorted_names(directory, prefix.empty() ? "/" : prefix));
    for (const auto& name : names) TRY_VOID(child(directory, prefix, name, depth));
    return {};
  }

  Result<void> child(int directory, const std::string& prefix, const std::string& name, int depth) {
    const std::string path = prefix + name;
    if (name.starts_with(".wh."))
      return fail(Code::FailedPrecondition, "{}: names that begin with .wh. mark deletions in image layers and cannot be files", path);
    struct stat status{};
    if (::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return fail(os_error("stat", path));
    TarEntry entry{.path = path, .mode = status.st_mode & 07777u, .uid = status.st_uid, .gid = status.st_gid, .mtime = status.st_mtim.tv_sec};
    if (S_ISCHR(status.st_mode) && status.st_rdev == 0)  // deleted; who deleted it and when is nobody's business
      return tar_.entry({.path = prefix + ".wh." + name, .mode = 0});
    if (S_ISSOCK(status.st_mode)) return {};
    if (!S_ISDIR(status.st_mode) && status.st_nlink > 1) {
      auto [first, is_new] = links_.try_emplace({status.st_dev, status.st_ino}, path);
      if (!is_new) {
        entry.kind = Kind::HardLink;
        entry.link = first->second;
        return tar_.entry(entry);
      }
    }
    if (S_ISDIR(status.st_mode)) return subdirectory(directory, name, std::move(entry), depth);
    if (S_ISREG(status.st_mode)) return file(directory, name, std::move(entry), status.st_size);
    return special(directory, name, std::move(entry), status);
  }

  Result<void> subdirectory(int parent, const std::string& name, TarEntry entry, int depth) {
    Fd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return fail(os_error("open", entry.path));
    TRY(auto xattrs, read_xattrs(fd.get(), entry.path));
    const bool opaque = xattrs.contains(kOverlayOpaque) && xattrs[kOverlayOpaque] == "y";
    TRY(entry.xattrs, plain(std::move(xattrs), entry.path));
    entry.kind = Kind::Directory;
    TRY_VOID(tar_.entry(entry));
    const std::string prefix = entry.path + "/";
    if (opaque) TRY_VOID(tar_.entry({.path = prefix + ".wh..wh..opq", .mode = 0}));
    return children(fd.get(), prefix, depth + 1);
  }

  Result<void> file(int parent, const std::string& name, TarEntry entry, std::int64_t size) {
    Fd fd(::openat(parent, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
    if (!fd) return fail(os_error("open", entry.path));
    TRY(auto xattrs, read_xattrs(fd.get(), entry.path));
    TRY(entry.xattrs, plain(std::move(xattrs), entry.path));
    entry.size = size;
    TRY_VOID(tar_.entry(entry));
    while (size > 0) {
      const auto wanted = std::min<std::size_t>(static_cast<std::size_t>(size), buffer_.size());
      const auto count = ::read(fd.get(), buffer_.data(), wanted);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return fail(os_error("read", entry.path));
      if (count == 0) return fail(Code::Conflict, "{} became shorter while it was read", entry.path);
      TRY_VOID(tar_.data({buffer_.data(), static_cast<std::size_t>(count)}));
      size -= count;
    }
    return {};
  }

  Result<void> special(int parent, const std::string& name, TarEntry entry, const struct stat& status) {
    if (S_ISLNK(status.st_mode)) {
      entry.kind = Kind::Symlink;
      entry.link.resize(4096);  // PATH_MAX
      const auto length = ::readlinkat(parent, name.c_str(), entry.link.data(), entry.link.size());
      if (length < 0) return fail(os_error("readlink", entry.path));
      entry.link.resize(static_cast<std::size_t>(length));
    } else {
      entry.kind = S_ISCHR(status.st_mode) ? Kind::CharDevice : S_ISBLK(status.st_mode) ? Kind::BlockDevice : Kind::Fifo;
      entry.device_major = major(status.st_rdev);
      entry.device_minor = minor(status.st_rdev);
    }
    TRY(auto xattrs, read_xattrs_of_path(fmt::format("/proc/self/fd/{}/{}", parent, name), entry.path));
    TRY(entry.xattrs, plain(std::move(xattrs), entry.path));
    return tar_.entry(entry);
  }

  // Without what belongs to the overlay or the host.
  static Result<Xattrs> plain(Xattrs xattrs, const std::string& path) {
    for (auto name : {"trusted.overlay.redirect", "trusted.overlay.metacopy"})
      if (xattrs.contains(name))
        return fail(Code::FailedPrecondition, "{} carries {}: mount the overlay with redirect_dir=off,metacopy=off to make layers of it", path, name);
    std::erase_if(xattrs, [](const auto& item) {
      return item.first.starts_with("trusted.overlay.") || item.first.starts_with("user.overlay.") || item.first == "security.selinux";
    });
    return xattrs;
  }

  std::string gathered_;
  std::function<Result<void>()> flush_;
  codec::TarWriter tar_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
  std::vector<char> buffer_ = std::vector<char>(kBuffer);
};

}  // namespace

Result<void> write_layer_tar(const std::filesystem::path& directory, const codec::Sink& sink) { return LayerWriter(sink).write(directory); }

Result<LayerSummary> summarize_layer(const std::filesystem::path& directory, const codec::Sink& also) {
  Sha256Stream hash;
  const codec::Sink sink = [&](std::string_view bytes) -> Result<void> {
    hash.update(bytes);
    return also ? also(bytes) : Result<void>();
  };
  LayerWriter writer(sink);
  TRY_VOID(writer.write(directory));
  return LayerSummary{"sha256:" + hex(hash.finish()), writer.size()};
}

}  // namespace watari::oci
