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

Result<int> temporary_file() {
  const char* directory = std::getenv("TMPDIR");
  std::string name = std::string(directory && *directory ? directory : "/tmp") + "/watari-context-XXXXXX";
  int fd = ::mkostemp(name.data(), O_CLOEXEC);
  if (fd < 0) return failed("make a temporary file " + name);
  ::unlink(name.c_str());
  return fd;
}

// What people set on files; the system's own attributes stay at home, but for capabilities.
std::map<std::string, std::string> attributes_of(const fs::path& file) {
  std::map<std::string, std::string> found;
  std::array<char, 4096> names{};
  auto size = ::llistxattr(file.c_str(), names.data(), names.size());
  for (ssize_t at = 0; at < size;) {
    std::string name(names.data() + at);
    at += static_cast<ssize_t>(name.size()) + 1;
    if (!name.starts_with("user.") && name != "security.capability") continue;
    std::string value(65536, '\0');
    auto length = ::lgetxattr(file.c_str(), name.c_str(), value.data(), value.size());
    if (length < 0) continue;
    value.resize(static_cast<std::size_t>(length));
    found[name] = std::move(value);
  }
  return found;
}

class Packer {
 public:
  Packer(const fs::path& root, const std::vector<std::string>& always, codec::IgnoreRules rules, codec::Sink sink)
      : root_(root), always_(always), rules_(std::move(rules)), tar_(std::move(sink)) {}

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
    out.xattrs = attributes_of(file);
    out.size = info.st_size;
    TRY_VOID(tar_.entry(out));
    return contents(file, out.size);
  }

  Result<void> contents(const fs::path& file, std::int64_t left) {
    std::ifstream in(file, std::ios::binary);
    std::vector<char> piece(256 * 1024);
    while (left > 0) {
      in.read(piece.data(), std::min<std::int64_t>(left, static_cast<std::int64_t>(piece.size())));
      if (in.gcount() <= 0) return fail(Code::Unavailable, "{} cannot be read, or changed meanwhile", file.string());
      TRY_VOID(tar_.data({piece.data(), static_cast<std::size_t>(in.gcount())}));
      left -= in.gcount();
    }
    return {};
  }

  const fs::path& root_;
  std::map<std::pair<dev_t, ino_t>, std::string> names_;  // of files with several
  const std::vector<std::string>& always_;
  codec::IgnoreRules rules_;
  codec::TarWriter tar_;
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
  TRY(context.fd_, temporary_file());
  Sha256Stream hash;
  auto sink = [&](std::string_view bytes) -> Result<void> {
    hash.update(bytes);
    context.size_ += static_cast<std::int64_t>(bytes.size());
    while (!bytes.empty()) {
      auto written = ::write(context.fd_, bytes.data(), bytes.size());
      if (written < 0 && errno != EINTR) return failed("write the build context");
      if (written > 0) bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
  };
  TRY_VOID(Packer(directory, always, std::move(rules), sink).pack());
  context.sha256_ = hex(hash.finish());
  if (::lseek(context.fd_, 0, SEEK_SET) != 0) return failed("read the build context");
  return context;
}

Context::Context(Context&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), sha256_(std::move(other.sha256_)), size_(other.size_) {}

Context::~Context() {
  if (fd_ >= 0) ::close(fd_);
}

std::string Context::next() {
  std::string piece(256 * 1024, '\0');
  auto count = ::read(fd_, piece.data(), piece.size());
  piece.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return piece;
}

}  // namespace watari::cli::up
