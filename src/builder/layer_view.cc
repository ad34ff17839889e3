#include "builder/layer_view.h"

#include <sys/stat.h>
#include <sys/xattr.h>

namespace watari::builder {

namespace {
std::string parent_of(const std::string& path) {
  auto slash = path.rfind('/');
  return slash == path.npos ? "" : path.substr(0, slash);
}
}  // namespace

LayerView::Seen LayerView::directory(const std::string& path) {
  if (path.empty()) return Seen::Found;
  if (auto known = directories_.find(path); known != directories_.end()) return known->second;
  auto above = directory(parent_of(path));
  auto seen = above;
  if (above == Seen::Found) {
    const bool hides = opaque_[parent_of(path)];
    const auto full = layer_ / path;
    struct stat info{};
    if (::lstat(full.c_str(), &info) != 0) {
      seen = hides ? Seen::Gone : Seen::Below;
    } else if (!S_ISDIR(info.st_mode)) {
      seen = Seen::Gone;  // a whiteout, or a link, which no package manager has on its way
    } else {
      char opaque = 0;
      opaque_[path] = hides || (::lgetxattr(full.c_str(), "trusted.overlay.opaque", &opaque, 1) == 1 && opaque == 'y');
    }
  }
  return directories_[path] = seen;
}

LayerView::Seen LayerView::look_up(const std::string& path) {
  const auto parent = parent_of(path);
  if (auto seen = directory(parent); seen != Seen::Found) return seen;
  struct stat info{};
  if (::lstat((layer_ / path).c_str(), &info) != 0) return opaque_[parent] ? Seen::Gone : Seen::Below;
  return S_ISREG(info.st_mode) ? Seen::Found : Seen::Gone;
}

}  // namespace watari::builder
