#include "builder/copy_walk.h"

#include <sys/xattr.h>

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "sys/fd.h"

namespace watari::builder {

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

std::vector<std::string> all_attribute_names(const fs::path& path) {
  std::array<char, 4096> buffer{};
  auto size = ::llistxattr(path.c_str(), buffer.data(), buffer.size());
  if (size <= 0) return {};
  auto names = split(std::string_view(buffer.data(), static_cast<std::size_t>(size)), '\0');
  std::erase_if(names, [](const std::string& name) { return name.empty(); });
  return names;
}

std::vector<std::string> attribute_names(const fs::path& path) {
  auto names = all_attribute_names(path);
  std::erase_if(names, [](const std::string& name) { return !name.starts_with("user.") && name != "security.capability"; });
  std::ranges::sort(names);
  return names;
}

std::string attribute(const fs::path& path, const std::string& name) {
  std::string value(65536, '\0');
  auto size = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
  value.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return value;
}

std::optional<std::pair<const ContextIndex*, std::string>> place_in(const std::vector<Context>& contexts, const fs::path& path) {
  for (const auto& context : contexts) {
    const auto& root = context.files.native();
    if (!context.index || !path.native().starts_with(root)) continue;
    if (path.native().size() == root.size()) return std::pair(context.index.get(), "");
    if (path.native()[root.size()] == '/') return std::pair(context.index.get(), path.native().substr(root.size() + 1));
  }
  return std::nullopt;
}

namespace {

// Everything that a source gives, directories before what is in them. A directory that is not wanted itself comes along with the
// first thing below it that is.
class Lister {
 public:
  Lister(const Source& source, const StopSignal& stop) : source_(source), stop_(stop) {}

  Result<std::vector<Item>> list() {
    TRY(auto info, look(source_.path));
    if (!source_.directory) items_.push_back({"", source_.path, info});
    else TRY_VOID(below(source_.path, ""));
    return std::move(items_);
  }

 private:
  Result<void> below(const fs::path& directory, const std::string& prefix) {
    TRY_VOID(stop_.check());
    TRY(auto names, names_in(directory));
    for (const auto& name : names) {
      Item item{prefix.empty() ? name : prefix + "/" + name, directory / name};
      TRY(item.info, look(item.from));
      bool wanted = source_.selection.wants(item.path);
      if (!S_ISDIR(item.info.st_mode)) {
        if (wanted) add(std::move(item));
        continue;
      }
      auto [path, from] = std::pair(item.path, item.from);
      if (wanted) add(std::move(item));
      else waiting_.push_back(std::move(item));
      TRY_VOID(below(from, path));
      if (!waiting_.empty() && waiting_.back().path == path) waiting_.pop_back();
    }
    return {};
  }

  void add(Item item) {
    std::ranges::move(waiting_, std::back_inserter(items_));
    waiting_.clear();
    items_.push_back(std::move(item));
  }

  const Source& source_;
  const StopSignal& stop_;
  std::vector<Item> items_, waiting_;
};

}  // namespace

Result<std::vector<Item>> list_source(const Source& source, const StopSignal& stop) { return Lister(source, stop).list(); }

}  // namespace watari::builder
