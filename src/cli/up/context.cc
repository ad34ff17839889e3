#include "cli/up/context.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <utility>

#include "base/digest.h"
#include "codec/ignore.h"
#include "codec/tar.h"

namespace watari::cli::up {
namespace {

namespace fs = std::filesystem;

auto failed(const std::string& what) { return fail(Code::Unavailable, "{}: {}", what, std::strerror(errno)); }

// What people set on files; the system's own attributes stay at home, but for capabilities.
std::map<std::string, std::string> attributes_of(int file) {
  std::map<std::string, std::string> found;
  std::array<char, 4096> names;
  auto size = ::flistxattr(file, names.data(), names.size());
  for (ssize_t at = 0; at < size;) {
    std::string name(names.data() + at);
    at += static_cast<ssize_t>(name.size()) + 1;
    if (!name.starts_with("user.") && name != "security.capability") continue;
    std::string value(65536, '\0');
    auto length = ::fgetxattr(file, name.c_str(), value.data(), value.size());
    if (length < 0) continue;
    value.resize(static_cast<std::size_t>(length));
    found[name] = std::move(value);
  }
  return found;
}

class Packer {
 public:
  using OnFile = std::function<void(const std::string& digest, const fs::path& file, std::int64_t size)>;
  Packer(const fs::path& root, const std::vector<std::string>& always, codec::IgnoreRules rules, codec::Sink sink, OnFile on_file)
      : root_(root), always_(always), rules_(std::move(rules)), tar_(std::move(sink)), on_file_(std::move(on_file)) {}

  Result<void> pack() {
    TRY_VOID(directory(""));
    return tar_.finish();
  }

 private:
  bool wanted(const std::string& path) const { return std::ranges::find(always_, path) != always_.end(); }
  bool leads_to_wanted(const std::string& path) const {
    return std::ranges::any_of(always_, [&](const auto& file) { return file.starts_with(path + "/"); });
  }

  // In the order of names, so that the same files make the same archive.
  Result<void> directory(const std::string& path) {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(root_ / path, error)) names.push_back(entry.path().filename().string());
    if (error) return fail(Code::Unavailable, "read {}: {}", (root_ / path).string(), error.message());
    std::ranges::sort(names);
    for (const auto& name : names) TRY_VOID(entry(path.empty() ? name : path + "/" + name));
    return {};
  }

  Result<void> entry(const std::string& path) {
    auto file = root_ / path;
    struct stat info{};
    if (::lstat(file.c_str(), &info) != 0) return failed("read " + file.string());
    codec::TarEntry out{.path = path, .mode = static_cast<std::uint32_t>(info.st_mode & 07777), .mtime = info.st_mtime};
    bool ignored = rules_.ignores(path) && !wanted(path);
    if (S_ISDIR(info.st_mode)) {
      if (ignored && rules_.skips_directory(path) && !leads_to_wanted(path)) return {};
      out.kind = codec::TarEntry::Kind::Directory;
      if (!ignored) TRY_VOID(tar_.entry(out));
      return directory(path);
    }
    if (ignored) return {};
    if (S_ISLNK(info.st_mode)) {
      out.kind = codec::TarEntry::Kind::Symlink;
      std::error_code error;
      out.link = fs::read_symlink(file, error).string();
      if (error) return fail(Code::Unavailable, "read {}: {}", file.string(), error.message());
      return tar_.entry(out);
    }
    if (!S_ISREG(info.st_mode)) return {};  // sockets and devices have no place in a context
    if (info.st_nlink > 1) {
      auto [first, fresh] = names_.try_emplace({info.st_dev, info.st_ino}, path);
      if (!fresh) {
        out.kind = codec::TarEntry::Kind::HardLink;
        out.link = first->second;
        return tar_.entry(out);
      }
    }
    return contents(file, out);
  }

  Result<void> contents(const fs::path& file, codec::TarEntry& out) {
    int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return failed("read " + file.string());
    Sha256Stream hash;
    std::int64_t size = 0;
    ssize_t count = 0;
    while ((count = ::read(fd, piece_.data(), piece_.size())) > 0) {
      hash.update({piece_.data(), static_cast<std::size_t>(count)});
      size += count;
    }
    out.xattrs = attributes_of(fd);
    ::close(fd);
    if (count < 0) return failed("read " + file.string());
    auto digest = hex(hash.finish());
    out.size = static_cast<std::int64_t>(digest.size());
    TRY_VOID(tar_.entry(out));
    on_file_(digest, file, size);
    return tar_.data(digest);
  }

  const fs::path& root_;
  std::map<std::pair<dev_t, ino_t>, std::string> names_;  // of files with several
  const std::vector<std::string>& always_;
  codec::IgnoreRules rules_;
  codec::TarWriter tar_;
  OnFile on_file_;
  std::vector<char> piece_ = std::vector<char>(256 * 1024);
};

}  // namespace

Result<Context> Context::pack(const fs::path& directory, const std::vector<std::string>& always, const fs::path& own_rules) {
  // A single Dockerfile may have rules of its own, which go before the common ones.
  auto ignore_file = directory / ".dockerignore";
  if (always.size() == 1 && fs::exists(directory / (always[0] + ".dockerignore"))) ignore_file = directory / (always[0] + ".dockerignore");
  std::error_code none;
  if (!own_rules.empty() && fs::is_regular_file(own_rules, none)) ignore_file = own_rules;
  std::ifstream in(ignore_file, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  TRY(auto rules, codec::IgnoreRules::parse(text, ignore_file.string()));
  Context context;
  auto sink = [&](std::string_view bytes) -> Result<void> {
    context.index_ += bytes;
    return {};
  };
  auto on_file = [&](const std::string& digest, const fs::path& file, std::int64_t size) { context.files_.try_emplace(digest, file, size); };
  TRY_VOID(Packer(directory, always, std::move(rules), sink, on_file).pack());
  context.sha256_ = sha256_hex(context.index_);
  return context;
}

Result<ContextContent> Context::content(const std::vector<std::string>& digests) const {
  std::vector<ContextContent::File> files;
  for (const auto& digest : digests) {
    auto found = files_.find(digest);
    if (found == files_.end()) return fail(Code::Internal, "the server asks for {}, which is no content of this build context", digest);
    files.push_back({found->second.first, digest, found->second.second});
  }
  return ContextContent(std::move(files));
}

ContextContent::ContextContent(ContextContent&& other) noexcept
    : files_(std::move(other.files_)), at_(other.at_), fd_(std::exchange(other.fd_, -1)), left_(other.left_), ended_(other.ended_) {}

ContextContent::~ContextContent() {
  if (fd_ >= 0) ::close(fd_);
}

namespace {
constexpr std::int64_t kBlock = 512;
std::int64_t padding_of(std::int64_t size) { return (kBlock - size % kBlock) % kBlock; }
}  // namespace

// A header and the padded bytes of each, and two blocks at the end: names are short and no size needs more than the header has room for.
std::int64_t ContextContent::size() const {
  std::int64_t total = 2 * kBlock;
  for (const auto& file : files_) total += kBlock + file.size + padding_of(file.size);
  return total;
}

std::string ContextContent::next() {
  constexpr std::size_t kPiece = 256 * 1024;
  std::string out;
  codec::TarWriter tar([&](std::string_view bytes) -> Result<void> {
    out += bytes;
    return {};
  });
  while (out.size() < kPiece && !ended_) {
    if (left_ > 0) {
      auto before = out.size();
      auto wanted = static_cast<std::size_t>(std::min<std::int64_t>(left_, kPiece));
      out.resize(before + wanted);
      auto count = fd_ < 0 ? 0 : ::read(fd_, out.data() + before, wanted);
      if (count <= 0) std::fill(out.begin() + static_cast<std::ptrdiff_t>(before), out.end(), '\0');
      else out.resize(before + static_cast<std::size_t>(count));
      left_ -= static_cast<std::int64_t>(out.size() - before);
      if (left_ == 0) out.append(static_cast<std::size_t>(padding_of(files_[at_ - 1].size)), '\0');
    } else if (at_ < files_.size()) {
      const auto& file = files_[at_++];
      if (fd_ >= 0) ::close(fd_);
      fd_ = ::open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
      (void)tar.entry({.path = file.digest, .size = file.size});
      left_ = file.size;
    } else {
      out.append(2 * kBlock, '\0');
      ended_ = true;
    }
  }
  return out;
}

}  // namespace watari::cli::up
