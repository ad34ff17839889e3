#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <filesystem>

#include "base/strings.h"
#include "runtime/bundle.h"
#include "sys/files.h"

namespace watari::runtime {
namespace {

using Fields = std::vector<std::string>;

bool contains(const Fields& list, const std::string& word) { return std::ranges::find(list, word) != list.end(); }

// Lines of a passwd or group file, cut at colons.
std::vector<Fields> entries(const std::string& text, std::size_t fields) {
  std::vector<Fields> out;
  for (const auto& line : split(text, '\n'))
    if (auto words = split(line, ':'); words.size() >= fields) out.push_back(std::move(words));
  return out;
}

}  // namespace

Result<ImageUser> find_user(const std::string& user, const std::string& passwd, const std::string& group) {
  auto colon = user.find(':');
  auto name = user.substr(0, colon);
  auto group_name = colon == std::string::npos ? std::string() : user.substr(colon + 1);
  if (name.empty()) name = "0";
  ImageUser out;
  auto users = entries(passwd, 6);
  auto found = std::ranges::find_if(users, [&](const Fields& fields) { return fields[0] == name; });
  if (found == users.end()) found = std::ranges::find_if(users, [&](const Fields& fields) { return fields[2] == name; });
  if (found != users.end()) {
    out.uid = parse_number<std::uint32_t>((*found)[2]).value_or(0);
    out.gid = parse_number<std::uint32_t>((*found)[3]).value_or(0);
    if (!(*found)[5].empty()) out.home = (*found)[5];
    name = (*found)[0];
  } else if (auto number = parse_number<std::uint32_t>(name)) {
    out.uid = *number;
    if (*number == 0) out.home = "/root";
  } else {
    return fail(Code::InvalidArgument, "unable to find user {}: no matching entries in passwd file", name);
  }
  auto groups = entries(group, 4);
  if (!group_name.empty()) {
    auto entry = std::ranges::find_if(groups, [&](const Fields& fields) { return fields[0] == group_name; });
    auto number = entry != groups.end() ? parse_number<std::uint32_t>((*entry)[2]) : parse_number<std::uint32_t>(group_name);
    if (!number) return fail(Code::InvalidArgument, "unable to find group {}: no matching entries in group file", group_name);
    out.gid = *number;
    return out;
  }
  for (const auto& fields : groups)
    if (auto gid = parse_number<std::uint32_t>(fields[2]); gid && contains(split(fields[3], ','), name))
      out.groups.push_back(*gid);
  return out;
}

std::string read_image_file(const std::vector<std::string>& layers, const std::string& path) {
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    struct stat info{};
    auto file = *layer + "/" + path;
    if (::lstat(file.c_str(), &info) != 0) continue;
    if (S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0)) return "";  // whiteout
    if (S_ISREG(info.st_mode)) return sys::read_file(file).value_or("");
    std::error_code error;
    auto link = S_ISLNK(info.st_mode) ? std::filesystem::read_symlink(file, error).string() : "";
    if (link.empty() || link.contains("..")) return "";
    auto next = link.starts_with('/') ? link.substr(1) : (std::filesystem::path(path).parent_path() / link).string();
    return next == path ? "" : read_image_file({layers.begin(), layer.base()}, next);
  }
  return "";
}

}  // namespace watari::runtime
