#pragma once
// Paths inside a directory that is somebody else's root: links are followed as if the directory were "/", so nothing in an image or a
// context can lead the builder outside. Blocking; any thread.
// Source: https://man7.org/linux/man-pages/man2/openat2.2.html (RESOLVE_IN_ROOT)
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace watari::builder {

// "/a//b/./c/.." as {"a", "b"}; ".." never leads above the root.
std::vector<std::string> clean_parts(std::string_view path);
std::string clean_path(std::string_view path);  // "a/b"; "" for the root

// Opens `path` inside `root`. NotFound when it is not there.
Result<sys::Fd> open_in_root(const std::filesystem::path& root, std::string_view path, int flags);
// Where `path` really is, relative to `root`, links followed to the end. NotFound when it is not there.
Result<std::string> resolve_in_root(const std::filesystem::path& root, std::string_view path);
// Where `path` leads, also when it is not (all) there: links are followed, also to what is missing. InvalidArgument for a circle of links.
Result<std::string> where_it_leads(const std::filesystem::path& root, std::string_view path);
// The text of a small file inside the root; nothing when it is not there.
std::optional<std::string> read_in_root(const std::filesystem::path& root, std::string_view path);

struct Owner {
  std::uint32_t uid = 0, gid = 0;
  friend bool operator==(const Owner&, const Owner&) = default;
};
// Makes `path` and what is missing above it (`owner`, `mode`); links on the way are followed. Returns where it is, relative to `root`.
Result<std::string> make_directories_in_root(const std::filesystem::path& root, std::string_view path, Owner owner, std::uint32_t mode = 0755);

struct User {
  Owner owner;
  std::vector<std::uint32_t> groups;  // besides owner.gid
  std::string home = "/";
};
// "user", "user:group", "uid", "uid:gid" by the image's /etc/passwd and /etc/group. InvalidArgument for a name that is not there.
Result<User> find_user(const std::filesystem::path& root, std::string_view user);
// Whom --chown and the USER of a WORKDIR give files to: as find_user(), but a lone number is the group's number too.
Result<Owner> find_owner(const std::filesystem::path& root, std::string_view user);

}  // namespace watari::builder
