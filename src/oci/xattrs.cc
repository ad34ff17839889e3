#include "oci/xattrs.h"

#include <sys/xattr.h>

#include <cerrno>
#include <cstring>
#include <string_view>

namespace watari::oci {

namespace {

template <class List, class Get>
Result<Xattrs> read_all(List list, Get get, const std::string& shown_as) {
  Xattrs out;
  std::string names(256, '\0'), value;
  auto length = list(names.data(), names.size());
  if (length < 0 && errno == ERANGE) {
    names.resize(65536);  // XATTR_LIST_MAX
    length = list(names.data(), names.size());
  }
  if (length < 0 && (errno == ENOTSUP || errno == EOPNOTSUPP)) return out;
  if (length < 0) return fail(Code::Internal, "listxattr {}: {}", shown_as, std::strerror(errno));
  std::string_view rest(names.data(), static_cast<std::size_t>(length));
  while (!rest.empty()) {
    const std::string name(rest.substr(0, rest.find('\0')));
    rest.remove_prefix(name.size() + 1);
    value.resize(65536);  // XATTR_SIZE_MAX
    const auto size = get(name.c_str(), value.data(), value.size());
    if (size < 0) return fail(Code::Internal, "getxattr {} {}: {}", shown_as, name, std::strerror(errno));
    out.emplace(name, value.substr(0, static_cast<std::size_t>(size)));
  }
  return out;
}

}  // namespace

Result<Xattrs> read_xattrs(int fd, const std::string& shown_as) {
  return read_all([&](char* into, std::size_t size) { return ::flistxattr(fd, into, size); },
                  [&](const char* name, char* into, std::size_t size) { return ::fgetxattr(fd, name, into, size); }, shown_as);
}

Result<Xattrs> read_xattrs_of_path(const std::string& path, const std::string& shown_as) {
  return read_all([&](char* into, std::size_t size) { return ::llistxattr(path.c_str(), into, size); },
                  [&](const char* name, char* into, std::size_t size) { return ::lgetxattr(path.c_str(), name, into, size); }, shown_as);
}

}  // namespace watari::oci
