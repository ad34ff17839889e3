#include "builder/copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>

#include "base/digest.h"
#include "builder/expand.h"

namespace watari::builder {
namespace {

namespace fs = std::filesystem;

Result<struct stat> look(const fs::path& path) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) return sys::fail_errno("look at " + path.string());
  return info;
}

Result<std::vector<std::string>> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  std::error_code problem;
  for (fs::directory_iterator it(directory, problem), end; !problem && it != end; it.increment(problem))
    names.push_back(it->path().filename());
  if (problem) return fail(Code::Internal, "list {}: {}", directory.string(), problem.message());
  std::ranges::sort(names);
  return names;
}

bool has_wildcard(std::string_view text) { return text.find_first_of("*?[") != std::string_view::npos; }

std::string unescaped(std::string_view part) {
  std::string out;
  for (std::size_t i = 0; i < part.size(); ++i) {
    if (part[i] == '\\' && i + 1 < part.size()) ++i;
    out += part[i];
  }
  return out;
}

// Paths below `at` (relative to root) that match the pattern parts from `index` on.
Result<void> match_parts(const fs::path& root, const std::string& at, const std::vector<std::string>& parts, std::size_t index,
                         std::vector<std::string>& found) {
  if (index == parts.size()) {
    found.push_back(at);
    return {};
  }
  auto below = [&](const std::string& name) { return at.empty() ? name : at + "/" + name; };
  if (!has_wildcard(parts[index])) {
    auto next = below(unescaped(parts[index]));
    if (resolve_in_root(root, next)) return match_parts(root, next, parts, index + 1, found);
    return {};
  }
  auto real = resolve_in_root(root, at);
  if (!real || !fs::is_directory(root / *real)) return {};
  TRY(auto names, names_in(root / *real));
  for (const auto& name : names)
    if (matches_pattern(parts[index], name, true)) TRY_VOID(match_parts(root, below(name), parts, index + 1, found));
  return {};
}

Result<std::string> digest_of_file(const fs::path& path, const StopSignal& stop) {
  sys::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return sys::fail_errno("open " + path.string());
  Sha256Stream hash;
  std::array<char, 65536> buffer{};
  for (ssize_t count; (count = ::read(fd.get(), buffer.data(), buffer.size())) != 0;) {
    if (count < 0) return sys::fail_errno("read " + path.string());
    TRY_VOID(stop.check());
    hash.update({buffer.data(), static_cast<std::size_t>(count)});
  }
  return hex(hash.finish());
}

Result<void> describe(const fs::path& path, const std::string& name, bool owners, const StopSignal& stop, codec::Json::Object& out) {
  TRY(auto info, look(path));
  auto text = fmt::format("{:06o}", info.st_mode);
  if (owners) text += fmt::format(" {}:{}", info.st_uid, info.st_gid);
  if (S_ISREG(info.st_mode)) {
    TRY(auto digest, digest_of_file(path, stop));
    text += " " + digest;
  } else if (S_ISLNK(info.st_mode)) {
    text += " -> " + fs::read_symlink(path).string();
  } else if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) {
    text += fmt::format(" {}:{}", major(info.st_rdev), minor(info.st_rdev));
  }
  out.emplace_back(name, codec::Json(std::move(text)));
  if (!S_ISDIR(info.st_mode)) return {};
  TRY(auto names, names_in(path));
  for (const auto& each : names) TRY_VOID(describe(path / each, name == "." ? each : name + "/" + each, owners, stop, out));
  return {};
}

class Copier {
 public:
  Copier(const CopyOptions& options, const StopSignal& stop) : options_(options), stop_(stop) {}

  Result<void> copy(const fs::path& from, const fs::path& to) {
    TRY_VOID(stop_.check());
    TRY(auto info, look(from));
    if (S_ISDIR(info.st_mode)) return copy_directory(from, info, to);
    if (S_ISSOCK(info.st_mode)) return {};
    TRY_VOID(make_room(to));
    if (S_ISREG(info.st_mode)) {
      TRY_VOID(copy_bytes(from, to));
    } else if (S_ISLNK(info.st_mode)) {
      if (::symlink(fs::read_symlink(from).c_str(), to.c_str()) != 0) return sys::fail_errno("link " + to.string());
    } else if (::mknod(to.c_str(), info.st_mode, info.st_rdev) != 0) {
      return sys::fail_errno("make node " + to.string());
    }
    return copy_attributes(from, info, to);
  }

  Result<void> copy_contents(const fs::path& from, const fs::path& to) {
    TRY(auto names, names_in(from));
    for (const auto& name : names) TRY_VOID(copy(from / name, to / name));
    return {};
  }

  Result<void> copy_attributes(const fs::path& from, const struct stat& info, const fs::path& to) {
    auto owner = options_.owner.value_or(Owner{info.st_uid, info.st_gid});
    if (::lchown(to.c_str(), owner.uid, owner.gid) != 0) return sys::fail_errno("set owner of " + to.string());
    if (!S_ISLNK(info.st_mode) && ::chmod(to.c_str(), options_.mode.value_or(info.st_mode & 07777)) != 0)
      return sys::fail_errno("set mode of " + to.string());
    if (!options_.owner) copy_capabilities(from, to);
    std::array<timespec, 2> times{info.st_mtim, info.st_mtim};
    ::utimensat(AT_FDCWD, to.c_str(), times.data(), AT_SYMLINK_NOFOLLOW);
    return {};
  }

 private:
  Result<void> copy_directory(const fs::path& from, const struct stat& info, const fs::path& to) {
    struct stat there{};
    bool exists = ::lstat(to.c_str(), &there) == 0;
    if (exists && S_ISLNK(there.st_mode) && ::stat(to.c_str(), &there) == 0 && S_ISDIR(there.st_mode)) {
      // A link to a directory keeps being one; resolved by the caller's root, not ours, so it is replaced instead of followed.
      return fail(Code::InvalidArgument, "{} is a link in the image, a directory in the source", to.filename().string());
    }
    if (exists && !S_ISDIR(there.st_mode)) {
      TRY_VOID(make_room(to));
      exists = false;
    }
    if (!exists && ::mkdir(to.c_str(), 0755) != 0) return sys::fail_errno("make directory " + to.string());
    TRY_VOID(copy_contents(from, to));
    return copy_attributes(from, info, to);
  }

  // What is not a directory gives way to what is copied.
  Result<void> make_room(const fs::path& to) {
    struct stat there{};
    if (::lstat(to.c_str(), &there) != 0) return {};
    if (S_ISDIR(there.st_mode)) return fail(Code::InvalidArgument, "a file cannot replace the directory {}", to.filename().string());
    if (::unlink(to.c_str()) != 0) return sys::fail_errno("replace " + to.string());
    return {};
  }

  Result<void> copy_bytes(const fs::path& from, const fs::path& to) {
    sys::Fd in(::open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!in) return sys::fail_errno("open " + from.string());
    sys::Fd out(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!out) return sys::fail_errno("create " + to.string());
    for (ssize_t count; (count = ::read(in.get(), buffer_.data(), buffer_.size())) != 0;) {
      if (count < 0) return sys::fail_errno("read " + from.string());
      TRY_VOID(stop_.check());
      for (ssize_t done = 0; done < count;) {
        auto written = ::write(out.get(), buffer_.data() + done, static_cast<std::size_t>(count - done));
        if (written < 0) return sys::fail_errno("write " + to.string());
        done += written;
      }
    }
    return {};
  }

  // File capabilities survive COPY --from; other attributes do not, as in BuildKit.
  static void copy_capabilities(const fs::path& from, const fs::path& to) {
    std::array<char, 256> value{};
    auto size = ::lgetxattr(from.c_str(), "security.capability", value.data(), value.size());
    if (size > 0) ::lsetxattr(to.c_str(), "security.capability", value.data(), static_cast<std::size_t>(size), 0);
  }

  const CopyOptions& options_;
  const StopSignal& stop_;
  std::vector<char> buffer_ = std::vector<char>(256 * 1024);
};

}  // namespace

Result<std::vector<Source>> find_sources(const fs::path& root, const std::vector<std::string>& patterns) {
  std::vector<Source> sources;
  for (const auto& pattern : patterns) {
    std::vector<std::string> found;
    TRY_VOID(match_parts(root, "", clean_parts(pattern), 0, found));
    if (found.empty()) return fail(Code::NotFound, "no file matches `{}`; it is relative to the context, less what .dockerignore leaves out", pattern);
    for (const auto& each : found) {
      TRY(auto real, resolve_in_root(root, each));
      auto path = real.empty() ? root : root / real;
      auto name = fs::path(each).filename().string();
      sources.push_back({path, name, fs::is_directory(path)});
    }
  }
  return sources;
}

Result<codec::Json> describe_sources(const std::vector<Source>& sources, bool owners, const StopSignal& stop) {
  codec::Json::Object files;
  for (const auto& source : sources) TRY_VOID(describe(source.path, source.directory ? "." : source.name, owners, stop, files));
  return codec::Json(std::move(files));
}

Result<void> copy_sources(const std::vector<Source>& sources, const fs::path& root, const CopyOptions& options, const StopSignal& stop) {
  Copier copier(options, stop);
  auto owner = options.owner.value_or(Owner{});
  bool into_directory = options.destination.ends_with('/') || options.destination.ends_with("/.");
  if (sources.size() > 1 && !into_directory)
    return fail(Code::InvalidArgument, "{} sources go to `{}`; end the destination with / to make it a directory", sources.size(), options.destination);
  for (const auto& source : sources) {
    auto there = resolve_in_root(root, clean_path(options.destination));
    bool is_directory = there && fs::is_directory(root / *there);
    if (source.directory) {
      // As BuildKit does it: the destination itself is made plainly, directories below it get what the source's have.
      TRY(auto target, make_directories_in_root(root, options.destination, owner));
      TRY_VOID(copier.copy_contents(source.path, root / target));
      continue;
    }
    auto parts = clean_parts(options.destination);
    std::string name = source.name;
    if (!into_directory && !is_directory) {
      if (parts.empty()) return fail(Code::InvalidArgument, "`{}` is no file name", options.destination);
      if (there && !there->empty()) parts = clean_parts(*there);  // an existing file, its links followed
      name = parts.back();
      parts.pop_back();
    }
    std::string directory;
    for (const auto& part : parts) directory += "/" + part;
    TRY(auto target, make_directories_in_root(root, directory, owner));
    TRY_VOID(copier.copy(source.path, root / target / name));
  }
  return {};
}

}  // namespace watari::builder
