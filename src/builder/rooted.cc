#include "builder/rooted.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>

#include "base/strings.h"

namespace watari::builder {

namespace fs = std::filesystem;

std::vector<std::string> clean_parts(std::string_view path) {
  std::vector<std::string> parts;
  for (auto& part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else {
      parts.push_back(std::move(part));
    }
  }
  return parts;
}

std::string clean_path(std::string_view path) { return join(clean_parts(path), "/"); }

Result<sys::Fd> open_in_root(const fs::path& root, std::string_view path, int flags) {
  sys::Fd base(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!base) return sys::fail_errno("open " + root.string());
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  std::string name = path.empty() ? "." : std::string(path);
  sys::Fd fd(static_cast<int>(::syscall(SYS_openat2, base.get(), name.c_str(), &how, sizeof how)));
  if (!fd) return sys::fail_errno("open " + std::string(path));
  return fd;
}

namespace {
Result<std::string> path_of(int fd) {
  std::array<char, 8192> buffer{};
  auto link = "/proc/self/fd/" + std::to_string(fd);
  auto length = ::readlink(link.c_str(), buffer.data(), buffer.size());
  if (length < 0) return sys::fail_errno("read " + link);
  return std::string(buffer.data(), static_cast<std::size_t>(length));
}
}  // namespace

Result<std::string> resolve_in_root(const fs::path& root, std::string_view path) {
  TRY(auto fd, open_in_root(root, path, O_PATH));
  TRY(auto base, open_in_root(root, "", O_PATH));
  TRY(auto full, path_of(fd.get()));
  TRY(auto prefix, path_of(base.get()));
  return clean_path(full.substr(prefix.size()));
}

Result<std::string> where_it_leads(const fs::path& root, std::string_view path) {
  auto parts = clean_parts(path);
  std::string at;  // without links
  int links = 0;
  for (std::size_t i = 0; i < parts.size();) {
    auto next = at.empty() ? parts[i] : at + "/" + parts[i];
    struct stat info{};
    if (::lstat((root / next).c_str(), &info) != 0 || !S_ISLNK(info.st_mode)) {
      at = std::move(next);
      ++i;
      continue;
    }
    if (++links > 40) return fail(Code::InvalidArgument, "/{} is a link that leads in circles", next);
    auto to = fs::read_symlink(root / next);
    auto rest = std::vector(parts.begin() + static_cast<std::ptrdiff_t>(i) + 1, parts.end());
    parts = clean_parts(to.is_absolute() ? to.string() : at + "/" + to.string());
    parts.insert(parts.end(), rest.begin(), rest.end());
    at.clear();
    i = 0;
  }
  return at;
}

std::optional<std::string> read_in_root(const fs::path& root, std::string_view path) {
  auto fd = open_in_root(root, path, O_RDONLY | O_NONBLOCK);
  struct stat info{};
  if (!fd || ::fstat(fd->get(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  std::string text;
  std::array<char, 16384> buffer{};
  for (ssize_t count; (count = ::read(fd->get(), buffer.data(), buffer.size())) > 0;)
    text.append(buffer.data(), static_cast<std::size_t>(count));
  return text;
}

Result<std::string> make_directories_in_root(const fs::path& root, std::string_view path, Owner owner, std::uint32_t mode) {
  std::string at;
  TRY(auto real, where_it_leads(root, path));
  for (const auto& part : clean_parts(real)) {
    auto next = at.empty() ? part : at + "/" + part;
    auto found = resolve_in_root(root, next);
    if (found) {
      at = *found;
      continue;
    }
    if (found.error().code != Code::NotFound) return found;
    auto full = root / next;
    if (::mkdir(full.c_str(), 0755) != 0) return sys::fail_errno("make directory /" + next);
    ::chmod(full.c_str(), mode);
    if (owner != Owner{} && ::chown(full.c_str(), owner.uid, owner.gid) != 0) return sys::fail_errno("set owner of /" + next);
    at = next;
  }
  if (!fs::is_directory(root / at)) return fail(Code::InvalidArgument, "/{} is no directory", at);
  return at;
}

namespace {

// The fields of the line in a passwd or group file whose field `column` is `key`.
std::optional<std::vector<std::string>> entry(const std::optional<std::string>& text, std::size_t column, std::string_view key) {
  if (!text) return std::nullopt;
  for (const auto& line : split(*text, '\n')) {
    auto fields = split(line, ':');
    if (fields.size() > column + 1 && fields[column] == key && fields.size() >= 3) return fields;
  }
  return std::nullopt;
}

Result<std::uint32_t> id_of(const std::optional<std::string>& text, std::string_view file, std::string_view name) {
  auto number = parse_number<std::uint32_t>(name);
  if (auto fields = entry(text, 0, name)) number = parse_number<std::uint32_t>((*fields)[2]);
  if (!number) return fail(Code::InvalidArgument, "`{}` is not in the image's {}; create it with a RUN first, or give its number", name, file);
  return *number;
}

std::vector<std::uint32_t> groups_of(const std::optional<std::string>& groups, std::string_view name) {
  std::vector<std::uint32_t> ids;
  for (const auto& line : split(groups.value_or(""), '\n')) {
    auto fields = split(line, ':');
    if (fields.size() < 4) continue;
    auto members = split(fields[3], ',');
    if (std::ranges::find(members, name) == members.end()) continue;
    if (auto id = parse_number<std::uint32_t>(fields[2])) ids.push_back(*id);
  }
  return ids;
}

}  // namespace

Result<Owner> find_owner(const fs::path& root, std::string_view user) {
  if (auto number = parse_number<std::uint32_t>(user)) return Owner{*number, *number};
  return find_user(root, user).map([](const User& found) { return found.owner; });
}

Result<User> find_user(const fs::path& root, std::string_view user) {
  User found;
  auto colon = user.find(':');
  auto name = user.substr(0, colon);
  auto passwd = read_in_root(root, "etc/passwd");
  auto groups = read_in_root(root, "etc/group");
  TRY(found.owner.uid, id_of(passwd, "/etc/passwd", name.empty() ? "0" : name));
  if (auto fields = entry(passwd, 2, std::to_string(found.owner.uid)); fields && fields->size() >= 6) {
    found.owner.gid = parse_number<std::uint32_t>((*fields)[3]).value_or(0);
    if (!(*fields)[5].empty()) found.home = (*fields)[5];
    if (colon == std::string_view::npos) found.groups = groups_of(groups, (*fields)[0]);
  }
  if (colon != std::string_view::npos) {
    TRY(found.owner.gid, id_of(groups, "/etc/group", user.substr(colon + 1)));
  }
  return found;
}

}  // namespace watari::builder
