#include "logs/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/id.h"
#include "base/log.h"
#include "base/strings.h"
#include "logs/appender.h"
#include "logs/group_file.h"

namespace watari::logs {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kDeleted = "%deleted-";  // no encoded name begins like this
constexpr std::size_t kMaxNameBytes = 255;          // of a folder (NAME_MAX)
constexpr std::size_t kMaxCached = 1024;

auto missing(std::string_view what) { return fail(Code::NotFound, "The specified log {} does not exist.", what); }

Time created(const std::string& path) {
  struct statx status{};
  if (::statx(AT_FDCWD, path.c_str(), 0, STATX_BTIME | STATX_MTIME, &status) != 0) return {};
  const auto& time = status.stx_mask & STATX_BTIME ? status.stx_btime : status.stx_mtime;
  return Time(Millis(time.tv_sec * 1000 + time.tv_nsec / 1'000'000));
}

Time modified(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return {};
  return Time(Millis(status.st_mtim.tv_sec * 1000 + status.st_mtim.tv_nsec / 1'000'000));
}

std::int64_t bytes_in(const std::string& stream) {
  std::int64_t total = 0;
  struct stat status{};
  for (auto sequence : segments_in(stream))
    if (::stat((stream + "/" + segment_name(sequence)).c_str(), &status) == 0) total += status.st_size;
  return total;
}

// The decoded names of the folders in a folder, sorted.
std::vector<std::string> names_in(const std::string& path) {
  std::vector<std::string> out;
  std::error_code error;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    auto file = it->path().filename().string();
    auto name = percent_decode(file);
    if (name && encode_name(*name) == file && it->is_directory()) out.push_back(*name);
  }
  std::ranges::sort(out);
  return out;
}

// The file is open nowhere else: a lease is refused while another process (a shim) has it.
bool nobody_writes(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool alone = ::fcntl(fd, F_SETLEASE, F_WRLCK) == 0;
  if (alone) ::fcntl(fd, F_SETLEASE, F_UNLCK);
  ::close(fd);
  return alone;
}

}  // namespace

std::string encode_name(std::string_view name) {
  if (!name.empty() && name.find_first_not_of('.') == std::string_view::npos) return percent_encode(name, "-_~");
  return percent_encode(name);
}

LogStore::LogStore(std::string directory) : directory_(std::move(directory)) {}
LogStore::~LogStore() = default;

Result<std::unique_ptr<LogStore>> LogStore::open(std::string directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) return fail(Code::Unavailable, "create {}: {}", directory, error.message());
  std::vector<fs::path> leftovers;
  for (fs::recursive_directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (it.depth() >= 3) it.disable_recursion_pending();
    if (it->path().filename().string().starts_with(kDeleted)) leftovers.push_back(it->path());
  }
  for (const auto& path : leftovers) fs::remove_all(path, error);
  return std::unique_ptr<LogStore>(new LogStore(std::move(directory)));
}

std::string LogStore::group_path(const std::string& scope, const std::string& group) const {
  return directory_ + "/" + scope + "/" + encode_name(group);
}

Result<std::string> LogStore::existing_group(const std::string& scope, const std::string& group) const {
  auto path = group_path(scope, group);
  if (!fs::is_directory(path)) return missing("group");
  return path;
}

Result<std::string> LogStore::existing_stream(const std::string& scope, const std::string& group, const std::string& stream) const {
  TRY(auto path, existing_group(scope, group));
  path += "/" + encode_name(stream);
  if (!fs::is_directory(path)) return missing("stream");
  return path;
}

Result<void> LogStore::create_group(const std::string& scope, const std::string& group, const std::map<std::string, std::string>& tags) {
  if (encode_name(group).size() > kMaxNameBytes) return fail(Code::InvalidArgument, "the log group name {} is too long to be a folder", group);
  auto path = group_path(scope, group);
  std::lock_guard lock(mutex_);
  std::error_code error;
  fs::create_directories(fs::path(path).parent_path(), error);
  if (::mkdir(path.c_str(), 0755) != 0) {
    if (errno == EEXIST) return fail(Code::AlreadyExists, "The specified log group already exists");
    return fail(Code::Unavailable, "create {}: {}", path, std::strerror(errno));
  }
  return tags.empty() ? Result<void>{} : write_group_file(path, {{}, tags});
}

Result<void> LogStore::create_stream(const std::string& scope, const std::string& group, const std::string& stream) {
  TRY(auto path, existing_group(scope, group));
  if (encode_name(stream).size() > kMaxNameBytes) return fail(Code::InvalidArgument, "the log stream name {} is too long to be a folder", stream);
  path += "/" + encode_name(stream);
  if (::mkdir(path.c_str(), 0755) == 0) return {};
  if (errno == EEXIST) return fail(Code::AlreadyExists, "The specified log stream already exists");
  return fail(Code::Unavailable, "create {}: {}", path, std::strerror(errno));
}

// Renamed first, so that it is gone at once and whole, and no new appender can open a segment in it.
Result<void> LogStore::remove_folder(const std::string& path) {
  auto grave = fs::path(path).parent_path() / (std::string(kDeleted) + random_hex(16));
  std::error_code error;
  fs::rename(path, grave, error);
  if (error) return fail(Code::Unavailable, "delete {}: {}", path, error.message());
  {
    std::lock_guard lock(mutex_);
    auto within = [&](const auto& entry) { return entry.first == path || entry.first.starts_with(path + "/"); };
    std::erase_if(indexes_, within);
    std::erase_if(appenders_, within);
  }
  fs::remove_all(grave, error);
  return {};
}

Result<void> LogStore::delete_group(const std::string& scope, const std::string& group) {
  TRY(auto path, existing_group(scope, group));
  return remove_folder(path);
}

Result<void> LogStore::delete_stream(const std::string& scope, const std::string& group, const std::string& stream) {
  TRY(auto path, existing_stream(scope, group, stream));
  return remove_folder(path);
}

Result<void> LogStore::set_retention(const std::string& scope, const std::string& group, std::optional<int> days) {
  TRY(auto path, existing_group(scope, group));
  std::lock_guard lock(mutex_);
  auto file = read_group_file(path);
  file.retention_days = days;
  return write_group_file(path, file);
}

Result<void> LogStore::set_tags(const std::string& scope, const std::string& group, std::map<std::string, std::string> tags) {
  TRY(auto path, existing_group(scope, group));
  std::lock_guard lock(mutex_);
  auto file = read_group_file(path);
  file.tags = std::move(tags);
  return write_group_file(path, file);
}

std::vector<std::string> LogStore::groups(const std::string& scope) const { return names_in(directory_ + "/" + scope); }

Result<GroupInfo> LogStore::group(const std::string& scope, const std::string& group) const {
  TRY(auto path, existing_group(scope, group));
  auto file = read_group_file(path);
  return GroupInfo{group, created(path), file.retention_days, std::move(file.tags)};
}

std::int64_t LogStore::stored_bytes(const std::string& scope, const std::string& group) const {
  auto path = group_path(scope, group);
  std::int64_t total = 0;
  for (const auto& stream : names_in(path)) total += bytes_in(path + "/" + encode_name(stream));
  return total;
}

Result<std::vector<std::string>> LogStore::streams(const std::string& scope, const std::string& group) const {
  TRY(auto path, existing_group(scope, group));
  return names_in(path);
}

Result<StreamInfo> LogStore::stream(const std::string& scope, const std::string& group, const std::string& stream) {
  TRY(auto path, existing_stream(scope, group, stream));
  StreamInfo out{.name = stream, .created = created(path), .stored_bytes = bytes_in(path)};
  auto to_time = [](std::int64_t ns) { return Time(std::chrono::floor<Millis>(std::chrono::nanoseconds(ns))); };
  for (const auto& block : index_of(path)->blocks()) {
    out.first_event = std::min(out.first_event.value_or(Time::max()), to_time(block.first_ns));
    out.last_event = std::max(out.last_event.value_or(Time::min()), to_time(block.last_ns));
  }
  return out;
}

Time LogStore::last_written(const std::string& scope, const std::string& group, const std::string& stream) const {
  auto path = group_path(scope, group) + "/" + encode_name(stream);
  auto segments = segments_in(path);
  return segments.empty() ? created(path) : modified(path + "/" + segment_name(segments.back()));
}

std::shared_ptr<StreamIndex> LogStore::index_of(const std::string& path) {
  std::lock_guard lock(mutex_);
  if (indexes_.size() > kMaxCached && !indexes_.contains(path)) indexes_.clear();
  auto& index = indexes_[path];
  if (!index) index = std::make_shared<StreamIndex>(path);
  return index;
}

std::shared_ptr<Appender> LogStore::appender_of(const std::string& path) {
  std::lock_guard lock(mutex_);
  if (appenders_.size() > kMaxCached / 4 && !appenders_.contains(path)) appenders_.clear();
  auto& appender = appenders_[path];
  if (!appender) appender = std::make_shared<Appender>(path);
  return appender;
}

Result<void> LogStore::append(const std::string& scope, const std::string& group, const std::string& stream,
                              std::span<const NewEvent> events) {
  TRY(auto path, existing_stream(scope, group, stream));
  std::string bytes;
  for (const auto& event : events)
    append_record(bytes, {std::chrono::nanoseconds(event.time.time_since_epoch()).count(), Stream::Stdout, 0, event.text});
  return appender_of(path)->append(bytes);
}

Result<EventPage> LogStore::read(const std::string& scope, const std::string& group, const std::vector<std::string>& streams, Query query,
                                 Time now) {
  TRY(auto info, this->group(scope, group));
  if (info.retention_days) {
    auto oldest = now - std::chrono::days(*info.retention_days);
    query.from_ns = std::max(query.from_ns, std::int64_t{std::chrono::nanoseconds(oldest.time_since_epoch()).count()});
  }
  std::vector<StreamSource> sources;
  for (const auto& stream : streams) {
    TRY(auto path, existing_stream(scope, group, stream));
    sources.push_back({stream, path, index_of(path)});
  }
  return run_query(sources, query);
}

void LogStore::sweep(Time now) {
  std::error_code error;
  for (fs::recursive_directory_iterator it(directory_, error), end; !error && it != end; it.increment(error)) {
    if (it.depth() < 2) continue;
    it.disable_recursion_pending();
    auto file = read_group_file(it->path().string());
    if (file.retention_days) sweep_group(it->path().string(), now - std::chrono::days(*file.retention_days));
  }
}

// A segment's last write is not before its last event, but for events that clients sent up to two hours early.
void LogStore::sweep_group(const std::string& path, Time oldest) {
  constexpr std::chrono::hours kEarly{3};
  for (const auto& stream : names_in(path)) {
    auto folder = path + "/" + encode_name(stream);
    auto segments = segments_in(folder);
    for (auto sequence : segments) {
      auto file = folder + "/" + segment_name(sequence);
      if (modified(file) + kEarly >= oldest) break;
      if (sequence == segments.back()) {
        // It may be a shim's, waiting for the next line of a quiet container.
        std::lock_guard lock(mutex_);
        if (appenders_.contains(folder) || !nobody_writes(file)) break;
      }
      if (::unlink(file.c_str()) == 0) log::info("log group {}: {} is beyond its retention", path, segment_name(sequence));
    }
  }
}

}  // namespace watari::logs
