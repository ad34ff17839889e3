// A directory as a build context.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <iterator>

#include "base/digest.h"
#include "cli/build_client.h"
#include "codec/ignore.h"
#include "codec/tar.h"

namespace watari::cli {
namespace {

namespace fs = std::filesystem;

auto fail_about(const fs::path& path) { return fail(Code::Unavailable, "{}: {}", path.string(), std::strerror(errno)); }

std::optional<std::string> read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string{std::istreambuf_iterator<char>(file), {}};
}

// <Dockerfile>.dockerignore goes before .dockerignore.
Result<codec::IgnoreRules> rules_for(const fs::path& directory, const std::string& dockerfile) {
  for (const std::string& name : {dockerfile + ".dockerignore", std::string(".dockerignore")})
    if (auto text = read(directory / name)) return codec::IgnoreRules::parse(*text, name);
  return codec::IgnoreRules();
}

class Packer {
 public:
  Packer(fs::path root, std::string dockerfile, codec::IgnoreRules rules, int fd)
      : root_(std::move(root)), dockerfile_(std::move(dockerfile)), rules_(std::move(rules)), fd_(fd),
        tar_([this](std::string_view bytes) { return put(bytes); }) {}

  Result<PackedContext> pack() {
    TRY_VOID(add_contents(""));
    TRY_VOID(tar_.finish());
    TRY_VOID(flush());
    return PackedContext{hex(hash_.finish()), tar_.bytes_written(), files_, fd_};
  }

 private:
  // Small writes are gathered: a file of the context is often smaller than its header.
  Result<void> put(std::string_view bytes) {
    hash_.update(bytes);
    buffer_ += bytes;
    return buffer_.size() < 256 * 1024 ? Result<void>{} : flush();
  }
  Result<void> flush() {
    for (std::string_view rest = buffer_; !rest.empty();) {
      auto count = ::write(fd_, rest.data(), rest.size());
      if (count < 0) return fail_about("write the build context to a temporary file");
      rest.remove_prefix(static_cast<std::size_t>(count));
    }
    buffer_.clear();
    return {};
  }

  // The Dockerfile always goes along: the server reads it.
  bool left_out(const std::string& name) const { return name != dockerfile_ && rules_.ignores(name); }
  bool skipped(const std::string& directory) const {
    return rules_.skips_directory(directory) && !dockerfile_.starts_with(directory + "/");
  }

  Result<void> add_contents(const std::string& directory) {
    std::vector<std::string> names;
    std::error_code problem;
    for (fs::directory_iterator it(root_ / directory, problem), end; !problem && it != end; it.increment(problem))
      names.push_back(it->path().filename());
    if (problem) return fail(Code::Unavailable, "{}: {}", (root_ / directory).string(), problem.message());
    std::ranges::sort(names);
    for (const auto& name : names) TRY_VOID(add(directory.empty() ? name : directory + "/" + name));
    return {};
  }

  Result<void> add(const std::string& name) {
    auto path = root_ / name;
    struct stat info{};
    if (::lstat(path.c_str(), &info) != 0) return fail_about(path);
    codec::TarEntry entry{.path = name, .mode = static_cast<std::uint32_t>(info.st_mode & 07777), .mtime = info.st_mtim.tv_sec};
    if (S_ISDIR(info.st_mode)) {
      if (skipped(name)) return {};
      entry.kind = codec::TarEntry::Kind::Directory;
      if (!left_out(name)) TRY_VOID(tar_.entry(entry));
      return add_contents(name);
    }
    if (left_out(name)) return {};
    if (S_ISLNK(info.st_mode)) {
      entry.kind = codec::TarEntry::Kind::Symlink;
      entry.link = fs::read_symlink(path);
      return tar_.entry(entry);
    }
    return S_ISREG(info.st_mode) ? add_file(path, std::move(entry)) : Result<void>{};
  }

  Result<void> add_file(const fs::path& path, codec::TarEntry entry) {
    int in = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat info{};
    if (in < 0 || ::fstat(in, &info) != 0) return fail_about(path);
    entry.size = info.st_size;
    ++files_;
    auto copied = tar_.entry(entry);
    std::array<char, 65536> piece{};
    for (auto left = entry.size; copied && left > 0;) {
      auto count = ::read(in, piece.data(), std::min<std::size_t>(piece.size(), static_cast<std::size_t>(left)));
      if (count <= 0) copied = fail(Code::Conflict, "{} changed while it was read; build again", path.string());
      else copied = tar_.data({piece.data(), static_cast<std::size_t>(count)});
      left -= count;
    }
    ::close(in);
    return copied;
  }

  fs::path root_;
  std::string dockerfile_;
  codec::IgnoreRules rules_;
  int fd_;
  Sha256Stream hash_;
  std::string buffer_;
  std::int64_t files_ = 0;
  codec::TarWriter tar_;
};

Result<int> temporary_file() {
  const char* directory = std::getenv("TMPDIR");
  auto pattern = std::string(directory && *directory ? directory : "/tmp") + "/watari-context-XXXXXX";
  int fd = ::mkostemp(pattern.data(), O_CLOEXEC);
  if (fd < 0) return fail_about(pattern);
  ::unlink(pattern.c_str());
  return fd;
}

}  // namespace

Result<PackedContext> pack_context(const fs::path& directory, const std::string& dockerfile) {
  std::error_code problem;
  if (!fs::is_directory(directory, problem)) return fail(Code::NotFound, "{} is no directory", directory.string());
  if (!fs::is_regular_file(directory / dockerfile, problem))
    return fail(Code::NotFound, "no {} in {}; name another with -f", dockerfile, directory.string());
  TRY(auto rules, rules_for(directory, dockerfile));
  TRY(int fd, temporary_file());
  auto packed = Packer(directory, dockerfile, std::move(rules), fd).pack();
  if (!packed) ::close(fd);
  return packed;
}

}  // namespace watari::cli
