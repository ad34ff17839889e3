#include "builder/copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <map>
#include <tuple>
#include <unordered_set>

#include "builder/copy_walk.h"
#include "sys/fd.h"

namespace watari::builder {
namespace {

namespace fs = std::filesystem;

class Copier {
 public:
  Copier(const CopyTarget& target, const CopyOptions& options, const StopSignal& stop) : target_(target), options_(options), stop_(stop) {}

  // Makes a directory and what is missing above it, following links that were there, also to what is missing; returns where it is, relative to the root.
  Result<std::string> make_way(std::string_view path, Owner owner, std::uint32_t mode) {
    std::string at;
    TRY(auto real, where_it_leads(target_.view, path));
    for (const auto& part : clean_parts(real)) {
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
    TRY(auto items, list_source(source, stop_));
    copies_.clear();
    own_.clear();
    index_ = nullptr;
    if (options_.contexts)
      if (auto found = place_in(*options_.contexts, source.path)) std::tie(index_, place_) = *found;
    owner_ = source.archive && !options_.chown ? std::nullopt : options_.owner;
    mode_ = source.archive ? std::nullopt : options_.mode;
    archive_ = source.archive;
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
    if (there && archive_ && !S_ISDIR(there->st_mode)) {
      TRY_VOID(make_room(path));
      there.reset();
    }
    if (!there) {
      TRY_VOID(make_new(path));
      own_.insert(path);
      return true;
    }
    if (S_ISDIR(there->st_mode)) return false;
    return fail(Code::InvalidArgument, "a directory cannot replace {}, which is {}", fs::path(path).filename().string(), S_ISLNK(there->st_mode) ? "a link" : "no directory");
  }

  // What is not a directory gives way to what is copied; directories, too, to what an archive holds.
  Result<void> make_room(const std::string& path) {
    auto there = find(path);
    if (there && archive_ && S_ISDIR(there->st_mode)) {
      fs::remove_all(target_.upper / path);
      up_.erase(path);
      return {};
    }
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
  bool archive_ = false;
  std::map<std::pair<dev_t, ino_t>, fs::path> copies_;
  std::vector<char> buffer_;
};

}  // namespace

Result<void> copy_sources(const std::vector<Source>& sources, const CopyTarget& target, const CopyOptions& options, const StopSignal& stop) {
  Copier copier(target, options, stop);
  auto owner = options.owner.value_or(Owner{});
  // An octal --chmod is the mode of directories that the destination lacks too, as in BuildKit.
  auto mode = options.mode && options.mode->fixed() ? *options.mode->fixed() & 0777 : 0755;
  bool into_directory = options.destination.ends_with('/') || options.destination.ends_with("/.");
  auto place_now = resolve_in_root(target.view, clean_path(options.destination));
  if (sources.size() > 1 && !into_directory && !(place_now && fs::is_directory(target.view / *place_now)))
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
      TRY(auto real, where_it_leads(target.view, options.destination));
      parts = clean_parts(real);
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
