#include "builder/copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <map>
#include <tuple>
#include <unordered_set>

#include "base/digest.h"
#include "base/strings.h"
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

// A file or directory below a source.
struct Item {
  std::string path;  // relative to the source; "" for a source that is a file
  fs::path from;
  struct stat info{};
};

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

Result<std::string> description(const Item& item, bool owners, const StopSignal& stop) {
  const auto& info = item.info;
  auto text = fmt::format("{:06o}", info.st_mode);
  if (owners) text += fmt::format(" {}:{}", info.st_uid, info.st_gid);
  if (S_ISREG(info.st_mode)) {
    TRY(auto digest, digest_of_file(item.from, stop));
    text += " " + digest;
  } else if (S_ISLNK(info.st_mode)) {
    text += " -> " + fs::read_symlink(item.from).string();
  } else if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) {
    text += fmt::format(" {}:{}", major(info.st_rdev), minor(info.st_rdev));
  }
  for (const auto& name : attribute_names(item.from)) text += " " + name + "=" + sha256_hex(attribute(item.from, name));
  return text;
}

// The context that holds the file, and the file's path in it.
std::optional<std::pair<const ContextIndex*, std::string>> place_in(const std::vector<Context>& contexts, const fs::path& path) {
  for (const auto& context : contexts) {
    const auto& root = context.files.native();
    if (!context.index || !path.native().starts_with(root)) continue;
    if (path.native().size() == root.size()) return std::pair(context.index.get(), "");
    if (path.native()[root.size()] == '/') return std::pair(context.index.get(), path.native().substr(root.size() + 1));
  }
  return std::nullopt;
}

class Copier {
 public:
  Copier(const CopyTarget& target, const CopyOptions& options, const StopSignal& stop) : target_(target), options_(options), stop_(stop) {}

  // Makes a directory and what is missing above it, following links that were there; returns where it is, relative to the root.
  Result<std::string> make_way(std::string_view path, Owner owner, std::uint32_t mode) {
    std::string at;
    for (const auto& part : clean_parts(path)) {
      auto next = at.empty() ? part : at + "/" + part;
      struct stat there{};
      if (::lstat((target_.upper / next).c_str(), &there) == 0 && S_ISDIR(there.st_mode)) {
        at = next;
        continue;
      }
      auto found = resolve_in_root(target_.view, next);
      if (!found && found.error().code != Code::NotFound) return found;
      if (found) {
        at = *found;
        continue;
      }
      if (find(next)) return fail(Code::InvalidArgument, "/{} is a link that leads nowhere", next);
      TRY_VOID(make_new(next));
      auto full = target_.upper / next;
      ::chmod(full.c_str(), mode);
      if (owner != Owner{} && ::chown(full.c_str(), owner.uid, owner.gid) != 0) return sys::fail_errno("set owner of /" + next);
      at = next;
    }
    auto there = find(at);
    if (!at.empty() && (!there || !S_ISDIR(there->st_mode))) return fail(Code::InvalidArgument, "/{} is no directory", at);
    return at;
  }

  // Copies one source to `to`, relative to the root: a file becomes it, a directory's contents go into it.
  Result<void> copy(const Source& source, const std::string& to) {
    TRY(auto items, Lister(source, stop_).list());
    copies_.clear();
    own_.clear();
    index_ = nullptr;
    if (options_.contexts)
      if (auto found = place_in(*options_.contexts, source.path)) std::tie(index_, place_) = *found;
    owner_ = source.archive && !options_.chown ? std::nullopt : options_.owner;
    mode_ = source.archive ? std::nullopt : options_.mode;
    bool keep_existing = source.selection.include.has_value();
    std::vector<const Item*> directories;  // their attributes come last: what is put into them changes their times
    for (const auto& item : items) {
      TRY_VOID(stop_.check());
      auto place = item.path.empty() ? to : below(to, item.path);
      if (!S_ISDIR(item.info.st_mode)) {
        TRY_VOID(copy_file(item, place));
        continue;
      }
      TRY(bool made, make_directory(place));
      if (!made && keep_existing) continue;
      TRY_VOID(bring_up(place));
      directories.push_back(&item);
    }
    for (std::size_t i = directories.size(); i-- > 0;)
      TRY_VOID(copy_attributes(*directories[i], target_.upper / below(to, directories[i]->path)));
    return {};
  }

 private:
  static std::string below(const std::string& directory, const std::string& name) { return directory.empty() ? name : directory + "/" + name; }

  // What is there now: what this copy made hides what was there before. Nothing is looked for below a directory that was made here and
  // had no forerunner.
  std::optional<struct stat> find(const std::string& path) {
    auto parent = parent_of(path);
    if (own_.contains(parent)) return std::nullopt;  // a source has every name once
    struct stat info{};
    if (::lstat((target_.upper / path).c_str(), &info) == 0) return info;
    if (target_.view == target_.upper || fresh_.contains(parent)) return std::nullopt;
    if (::lstat((target_.view / path).c_str(), &info) == 0) return info;
    return std::nullopt;
  }

  static std::string parent_of(const std::string& path) { return path.substr(0, std::max<std::size_t>(path.rfind('/') + 1, 1) - 1); }

  // A directory that was there before, as the overlay itself would bring it up when something is made in it: with owner, mode, attributes
  // and times.
  Result<void> bring_up(const std::string& path) {
    if (path.empty() || target_.view == target_.upper || !up_.insert(path).second) return {};
    TRY_VOID(bring_up(parent_of(path)));
    auto from = target_.view / path, to = target_.upper / path;
    TRY(auto info, look(from));
    if (!S_ISDIR(info.st_mode)) return fail(Code::InvalidArgument, "/{} is no directory", path);
    if (::mkdir(to.c_str(), 0755) != 0) return sys::fail_errno("make directory /" + path);
    if (::chown(to.c_str(), info.st_uid, info.st_gid) != 0 || ::chmod(to.c_str(), info.st_mode & 07777) != 0) return sys::fail_errno("set owner of /" + path);
    for (const auto& name : all_attribute_names(from)) {
      auto value = attribute(from, name);
      ::lsetxattr(to.c_str(), name.c_str(), value.data(), value.size(), 0);
    }
    std::array<timespec, 2> times{info.st_mtim, info.st_mtim};
    ::utimensat(AT_FDCWD, to.c_str(), times.data(), AT_SYMLINK_NOFOLLOW);
    return {};
  }

  Result<void> make_new(const std::string& path) {
    TRY_VOID(bring_up(parent_of(path)));
    if (::mkdir((target_.upper / path).c_str(), 0755) != 0) return sys::fail_errno("make directory /" + path);
    fresh_.insert(path);
    up_.insert(path);
    return {};
  }

  Result<bool> make_directory(const std::string& path) {
    auto there = find(path);
    if (!there) {
      TRY_VOID(make_new(path));
      own_.insert(path);
      return true;
    }
    if (S_ISDIR(there->st_mode)) return false;
    return fail(Code::InvalidArgument, "a directory cannot replace {}, which is {}", fs::path(path).filename().string(), S_ISLNK(there->st_mode) ? "a link" : "no directory");
  }

  // What is not a directory gives way to what is copied.
  Result<void> make_room(const std::string& path) {
    auto there = find(path);
    if (there && S_ISDIR(there->st_mode)) return fail(Code::InvalidArgument, "a file cannot replace the directory {}", fs::path(path).filename().string());
    if (there && ::unlink((target_.upper / path).c_str()) != 0 && errno != ENOENT) return sys::fail_errno("replace /" + path);
    return {};
  }

  // See CopyOptions::contexts.
  bool shared(const Item& item, const std::string& path) {
    const auto& info = item.info;
    if (!options_.contexts || (options_.epoch && info.st_mtime > *options_.epoch)) return false;
    auto to = target_.upper / path;
    const auto* known = index_ ? index_->find(item.path.empty() ? place_ : below(place_, item.path)) : nullptr;
    if (known && known->first_name) {
      auto owner = owner_.value_or(Owner{info.st_uid, info.st_gid});
      auto mode = mode_ ? mode_->of(info.st_mode) : info.st_mode & 07777;
      auto text = fmt::format("{:o} {}:{} {}{}", mode, owner.uid, owner.gid, info.st_mtime, known->content);
      if (options_.earlier && from_earlier(text, path)) return true;
      if (options_.made) options_.made->insert_or_assign(path, std::move(text));
    }
    bool same = index_ && !mode_ && owner_.value_or(Owner{info.st_uid, info.st_gid}) == Owner{info.st_uid, info.st_gid};
    struct stat now{};
    if (!same || info.st_nlink != 1 || ::link(item.from.c_str(), to.c_str()) != 0) return false;
    // Another stage may have had the same thought.
    if (::lstat(to.c_str(), &now) == 0 && now.st_nlink == 2) return true;
    ::unlink(to.c_str());
    return false;
  }

  // Layers never change: what their contents say of a file is so.
  bool from_earlier(const std::string& text, const std::string& path) {
    auto found = options_.earlier->contents.find(path);
    if (found == options_.earlier->contents.end() || found->second != text) return false;
    if (::link((options_.earlier->directory / path).c_str(), (target_.upper / path).c_str()) != 0) return false;
    if (options_.made) options_.made->insert_or_assign(path, text);
    return true;
  }

  Result<void> copy_file(const Item& item, const std::string& path) {
    const auto& info = item.info;
    if (S_ISSOCK(info.st_mode)) return {};
    TRY_VOID(make_room(path));
    TRY_VOID(bring_up(parent_of(path)));
    auto to = target_.upper / path;
    if (S_ISREG(info.st_mode)) {
      TRY(bool linked, link_to_copy(info, to));
      if (linked || shared(item, path)) return {};
      TRY_VOID(copy_bytes(item.from, to));
    } else if (S_ISLNK(info.st_mode)) {
      if (::symlink(fs::read_symlink(item.from).c_str(), to.c_str()) != 0) return sys::fail_errno("link " + to.string());
    } else if (::mknod(to.c_str(), info.st_mode, info.st_rdev) != 0) {
      return sys::fail_errno("make node " + to.string());
    }
    return copy_attributes(item, to);
  }

  // Names of one file stay names of one file. False when this is the first of them.
  Result<bool> link_to_copy(const struct stat& info, const fs::path& to) {
    if (info.st_nlink < 2) return false;
    auto [found, first] = copies_.try_emplace({info.st_dev, info.st_ino}, to);
    if (first) return false;
    if (::link(found->second.c_str(), to.c_str()) != 0) return sys::fail_errno("link " + to.string());
    return true;
  }

  Result<void> copy_attributes(const Item& item, const fs::path& to) {
    const auto& info = item.info;
    auto owner = owner_.value_or(Owner{info.st_uid, info.st_gid});
    if (::lchown(to.c_str(), owner.uid, owner.gid) != 0) return sys::fail_errno("set owner of " + to.string());
    auto mode = mode_ ? mode_->of(info.st_mode) : info.st_mode & 07777;
    if (!S_ISLNK(info.st_mode) && ::chmod(to.c_str(), mode) != 0) return sys::fail_errno("set mode of " + to.string());
    for (const auto& name : attribute_names(item.from)) {
      auto value = attribute(item.from, name);
      ::lsetxattr(to.c_str(), name.c_str(), value.data(), value.size(), 0);
    }
    std::array<timespec, 2> times{info.st_mtim, info.st_mtim};
    ::utimensat(AT_FDCWD, to.c_str(), times.data(), AT_SYMLINK_NOFOLLOW);
    return {};
  }

  // The kernel copies; where it cannot (EXDEV, EINVAL on odd file systems), this process does.
  Result<void> copy_bytes(const fs::path& from, const fs::path& to) {
    sys::Fd in(::open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!in) return sys::fail_errno("open " + from.string());
    sys::Fd out(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!out) return sys::fail_errno("create " + to.string());
    bool some = false;
    for (ssize_t count; (count = ::copy_file_range(in.get(), nullptr, out.get(), nullptr, 16 << 20, 0)) != 0; some = true) {
      if (count < 0 && !some) return copy_by_hand(in.get(), out.get(), from);
      if (count < 0) return sys::fail_errno("copy " + from.string());
      TRY_VOID(stop_.check());
    }
    return {};
  }

  Result<void> copy_by_hand(int in, int out, const fs::path& from) {
    buffer_.resize(256 * 1024);
    for (ssize_t count; (count = ::read(in, buffer_.data(), buffer_.size())) != 0;) {
      if (count < 0) return sys::fail_errno("read " + from.string());
      TRY_VOID(stop_.check());
      for (ssize_t done = 0; done < count;) {
        auto written = ::write(out, buffer_.data() + done, static_cast<std::size_t>(count - done));
        if (written < 0) return sys::fail_errno("write a copy of " + from.string());
        done += written;
      }
    }
    return {};
  }

  const CopyTarget& target_;
  const CopyOptions& options_;
  const StopSignal& stop_;
  // Directories: that were not there before this copy; that are in `upper`; that the source at hand made.
  std::unordered_set<std::string> fresh_, up_, own_;
  const ContextIndex* index_ = nullptr;  // of the context that the source is in
  std::string place_;                    // the source in it
  std::optional<Owner> owner_;
  std::optional<FileMode> mode_;
  std::map<std::pair<dev_t, ino_t>, fs::path> copies_;
  std::vector<char> buffer_;
};

}  // namespace

Result<std::vector<Source>> find_sources(const fs::path& root, const std::vector<std::string>& patterns) {
  std::vector<Source> sources;
  for (const auto& pattern : patterns) {
    std::vector<std::string> found;
    TRY_VOID(match_parts(root, "", clean_parts(pattern), 0, found));
    if (found.empty() && !has_wildcard(pattern))
      return fail(Code::NotFound, "no file `{}`; it is relative to the context, less what .dockerignore leaves out", pattern);
    for (const auto& each : found) {
      TRY(auto real, resolve_in_root(root, each));
      auto path = real.empty() ? root : root / real;
      auto name = fs::path(each).filename().string();
      sources.push_back({path, name, fs::is_directory(path)});
    }
  }
  return sources;
}

Result<std::vector<Source>> find_with_parents(const fs::path& root, const std::string& pattern) {
  auto pivot = pattern.find("/./");
  auto below = clean_path(pivot == std::string::npos ? pattern : pattern.substr(pivot + 3));
  TRY(auto bases, find_sources(root, {pivot == std::string::npos ? "/" : pattern.substr(0, pivot)}));
  std::erase_if(bases, [](const Source& base) { return !base.directory; });
  for (auto& base : bases) {
    if (!has_wildcard(below) && !resolve_in_root(base.path, below))
      return fail(Code::NotFound, "no file `{}`; it is relative to the context, less what .dockerignore leaves out", pattern);
    if (below.empty()) continue;
    TRY(base.selection.include, codec::IgnoreRules::parse(below, "--parents"));
  }
  return bases;
}

namespace {

using Described = std::vector<std::pair<std::string, std::string>>;

// As Lister and description() together, from an index.
void describe_from(const ContextIndex& index, const std::string& place, const Source& source, bool owners, Described& out) {
  auto text = [&](const ContextIndex::Entry& entry) { return entry.mode + (owners ? " " + entry.owner : "") + entry.content; };
  if (!source.directory) {
    if (const auto* entry = index.find(place)) out.emplace_back(source.name, text(*entry));
    return;
  }
  Described waiting;  // directories that are not wanted themselves
  auto prefix = place.empty() ? 0 : place.size() + 1;
  index.below(place, [&](const std::string& full, const ContextIndex::Entry& entry) {
    auto path = full.substr(prefix);
    std::erase_if(waiting, [&](const auto& each) { return !path.starts_with(each.first + "/"); });
    bool wanted = source.selection.wants(path);
    if (!wanted && entry.directory) waiting.emplace_back(path, text(entry));
    if (!wanted) return;
    std::ranges::move(waiting, std::back_inserter(out));
    waiting.clear();
    out.emplace_back(std::move(path), text(entry));
  });
}

}  // namespace

Result<codec::Json> describe_sources(const std::vector<Source>& sources, bool owners, const StopSignal& stop, const std::vector<Context>& contexts) {
  codec::Json::Object files;
  for (const auto& source : sources) {
    if (source.directory) files.emplace_back(".", codec::Json("directory"));
    if (auto place = place_in(contexts, source.path)) {
      Described described;
      describe_from(*place->first, place->second, source, owners, described);
      for (auto& [path, text] : described) files.emplace_back(std::move(path), codec::Json(std::move(text)));
      continue;
    }
    TRY(auto items, Lister(source, stop).list());
    for (const auto& item : items) {
      TRY(auto text, description(item, owners, stop));
      files.emplace_back(item.path.empty() ? source.name : item.path, codec::Json(std::move(text)));
    }
  }
  return codec::Json(std::move(files));
}

Result<void> copy_sources(const std::vector<Source>& sources, const CopyTarget& target, const CopyOptions& options, const StopSignal& stop) {
  Copier copier(target, options, stop);
  auto owner = options.owner.value_or(Owner{});
  // An octal --chmod is the mode of directories that the destination lacks too, as in BuildKit.
  auto mode = options.mode && options.mode->fixed() ? *options.mode->fixed() & 0777 : 0755;
  bool into_directory = options.destination.ends_with('/') || options.destination.ends_with("/.");
  if (sources.size() > 1 && !into_directory)
    return fail(Code::InvalidArgument, "{} sources go to `{}`; end the destination with / to make it a directory", sources.size(), options.destination);
  for (const auto& source : sources) {
    auto there = resolve_in_root(target.view, clean_path(options.destination));
    bool is_directory = there && fs::is_directory(target.view / *there);
    if (source.directory) {
      // As BuildKit does it: the destination itself is made plainly, directories below it get what the source's have.
      TRY(auto place, copier.make_way(options.destination, owner, source.archive ? 0755 : mode));
      TRY_VOID(copier.copy(source, place));
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
    TRY(auto place, copier.make_way(directory, owner, mode));
    TRY_VOID(copier.copy(source, place.empty() ? name : place + "/" + name));
  }
  return {};
}

}  // namespace watari::builder
