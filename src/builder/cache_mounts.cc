#include "builder/cache_mounts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/id.h"
#include "base/log.h"
#include "codec/compress.h"
#include "oci/files.h"
#include "oci/layer_tar.h"
#include "sys/fd.h"
#include "sys/files.h"

namespace watari::builder {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kHalfMade = ".import-";

// 32 hexadecimal digits, and "-2" where private caches needed another.
bool is_name(const std::string& text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  auto name = text.substr(0, 32);
  bool number = text.size() == 32 || (text.size() > 33 && text.size() < 40 && text[32] == '-' && text.find_first_not_of("0123456789", 33) == text.npos);
  return name.size() == 32 && name.find_first_not_of(kHex) == name.npos && number;
}

// The caches of an unpacked archive, all or none.
Result<std::vector<std::string>> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory)) {
    auto name = entry.path().filename().string();
    bool id = entry.path().extension() == ".id" && entry.is_regular_file() && !entry.is_symlink();
    bool cache = fs::symlink_status(entry.path()).type() == fs::file_type::directory && fs::is_regular_file(fs::symlink_status(fs::path(entry.path()) += ".id"));
    if (!is_name(id ? entry.path().stem().string() : name) || (!id && !cache))
      return fail(Code::InvalidArgument, "{} is no cache of builds; expected a file that `watari images cache export` wrote", name);
    if (cache) names.push_back(name);
  }
  return names;
}

}  // namespace

Result<void> export_cache_mounts(const fs::path& directory, const codec::Sink& sink) {
  TRY_VOID(sys::make_directories(directory));
  return oci::write_layer_tar(directory, sink);
}

Result<std::vector<std::string>> import_cache_mounts(const fs::path& directory, const codec::Source& archive) try {
  TRY_VOID(sys::make_directories(directory));
  auto temporary = directory / (std::string(kHalfMade) + random_hex(12));
  TRY_VOID(sys::make_directories(temporary, 0700));
  struct Remove {
    fs::path path;
    ~Remove() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
  } remove{temporary};
  TRY_VOID(oci::unpack_layer_tar(codec::decompress(archive), temporary));
  TRY(auto names, names_in(temporary));
  std::vector<std::string> ids;
  for (const auto& name : names) {
    TRY(auto id, sys::read_file(temporary / (name + ".id")));
    ids.push_back(id);
    std::lock_guard lock(cache_mounts_mutex());
    TRY_VOID(sys::replace_file(directory / (name + ".id"), id));
    // The other way round when it is there: builds find one or the other at any time.
    auto from = temporary / name, to = directory / name;
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) != 0 && (errno != ENOENT || ::rename(from.c_str(), to.c_str()) != 0))
      return sys::fail_errno("place the cache " + id);
  }
  return ids;
} catch (const fs::filesystem_error& e) {
  return fail(Code::Internal, "import caches: {}", e.what());
}

namespace {

fs::path id_of(const fs::path& cache) { return fs::path(cache) += ".id"; }
fs::path notes_of(const fs::path& directory) { return fs::path(directory) += ".unflushed"; }
fs::path note_of(const fs::path& cache) { return notes_of(cache.parent_path()) / cache.filename(); }

// Guarded by cache_mounts_mutex().
std::multiset<fs::path>& in_use() {
  static std::multiset<fs::path> caches;
  return caches;
}

Time used_at(const fs::path& cache) {
  struct stat info{};
  if (::stat(id_of(cache).c_str(), &info) != 0 && ::stat(cache.c_str(), &info) != 0) return Time::max();
  return Time(std::chrono::duration_cast<Time::duration>(Seconds(info.st_mtim.tv_sec) + std::chrono::nanoseconds(info.st_mtim.tv_nsec)));
}

std::int64_t bytes_of(const fs::path& cache) {
  std::int64_t bytes = 0;
  std::error_code problem;
  for (fs::recursive_directory_iterator it(cache, problem), end; !problem && it != end; it.increment(problem)) {
    struct stat info{};
    if (::lstat(it->path().c_str(), &info) == 0 && !S_ISDIR(info.st_mode)) bytes += info.st_blocks * 512 / static_cast<std::int64_t>(info.st_nlink);
  }
  return bytes;
}

}  // namespace

std::mutex& cache_mounts_mutex() {
  static std::mutex mutex;
  return mutex;
}

CacheUse::CacheUse(fs::path cache) : cache_(std::move(cache)) {
  std::lock_guard lock(cache_mounts_mutex());
  in_use().insert(cache_);
  ::utimensat(AT_FDCWD, id_of(cache_).c_str(), nullptr, 0);
}

CacheUse::~CacheUse() {
  std::lock_guard lock(cache_mounts_mutex());
  in_use().erase(in_use().find(cache_));
  ::utimensat(AT_FDCWD, id_of(cache_).c_str(), nullptr, 0);
}

Result<void> CacheUse::note_writing() const {
  if (sys::read_file(note_of(cache_)).value_or("") == oci::boot_id()) return {};
  TRY_VOID(sys::make_directories(notes_of(cache_.parent_path())));
  return sys::replace_file(note_of(cache_), oci::boot_id());
}

namespace {

struct FoundCache {
  fs::path path;
  Time used{};
  std::int64_t bytes = 0;
};

// Caches only change while they are used: each is walked once after every use.
std::int64_t known_bytes_of(const fs::path& cache, Time used) {
  static std::mutex mutex;
  static std::map<fs::path, std::pair<Time, std::int64_t>> known;
  std::lock_guard lock(mutex);
  auto& [at, bytes] = known[cache];
  if (at != used) bytes = bytes_of(cache), at = used;
  return bytes;
}

// Those that were used longest ago first.
std::vector<FoundCache> caches_in(const fs::path& directory) {
  std::vector<FoundCache> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory, ignored))
    if (is_name(entry.path().filename().string())) found.push_back({entry.path(), used_at(entry.path())});
  for (auto& each : found) each.bytes = known_bytes_of(each.path, each.used);
  std::ranges::sort(found, {}, &FoundCache::used);
  return found;
}

// False when a step uses it now, or has since it was looked at.
bool take_away(const FoundCache& cache, const fs::path& gone, bool dry_run, CollectedCaches& out) {
  std::lock_guard lock(cache_mounts_mutex());
  if (in_use().contains(cache.path) || used_at(cache.path) != cache.used) return false;
  auto id = sys::read_file(id_of(cache.path)).value_or(cache.path.filename().string());
  if (!dry_run && ::rename(cache.path.c_str(), gone.c_str()) != 0) return false;
  out.ids.push_back(std::move(id));
  out.bytes += cache.bytes;
  if (dry_run) return true;
  std::error_code ignored;
  fs::remove(id_of(cache.path), ignored);
  fs::remove(note_of(cache.path), ignored);
  return true;
}

}  // namespace

CollectedCaches collect_cache_mounts(const fs::path& directory, const fs::path& bin, const CacheLimits& limits, Time now) {
  CollectedCaches out;
  const auto found = caches_in(directory);
  std::int64_t all = 0;
  for (const auto& each : found) all += each.bytes;
  for (const auto& each : found) {
    if (now - each.used < limits.age && !(limits.bytes && all > *limits.bytes)) continue;
    const auto gone = bin / ("cache-" + random_hex(12));
    if (!take_away(each, gone, limits.dry_run, out)) continue;
    all -= each.bytes;
    if (limits.dry_run) continue;
    if (auto removed = sys::remove_tree(gone); !removed) log::warn("remove a build's cache: {}", removed.error().message);
  }
  return out;
}

Result<void> flush_cache_mounts(const fs::path& directory) {
  const auto started = SystemClock().now();
  std::error_code ignored;
  if (fs::directory_iterator(notes_of(directory), ignored) == fs::directory_iterator()) return {};
  sys::Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::syncfs(fd.get()) != 0) return sys::fail_errno("flush " + directory.string());
  for (const auto& note : fs::directory_iterator(notes_of(directory), ignored)) {
    const auto cache = directory / note.path().filename();
    std::lock_guard lock(cache_mounts_mutex());
    if (!in_use().contains(cache) && used_at(cache) < started) fs::remove(note.path(), ignored);
  }
  return {};
}

void sweep_cache_mounts(const fs::path& directory) {
  std::error_code ignored;
  for (const auto& note : fs::directory_iterator(notes_of(directory), ignored)) {
    if (sys::read_file(note.path()).value_or("") == oci::boot_id()) continue;
    const auto cache = directory / note.path().filename();
    const auto id = sys::read_file(id_of(cache)).value_or("");
    if (auto removed = sys::remove_tree(cache); !removed) log::warn("remove a build's cache: {}", removed.error().message);
    log::warn("the build cache {} was not on the disk yet when the machine stopped; removed", id);
    fs::remove(note.path(), ignored);
  }
  for (const auto& entry : fs::directory_iterator(directory, ignored)) {
    auto name = entry.path().filename().string();
    bool orphan = entry.path().extension() == ".id" && !fs::exists(directory / entry.path().stem());
    if (orphan || name.starts_with(kHalfMade) || name.ends_with(".new")) fs::remove_all(entry.path(), ignored);
  }
}

}  // namespace watari::builder
