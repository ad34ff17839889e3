#pragma once
// Log groups and streams below ROOT/logs. The directory tree is the truth; shims add to it while the daemon may be down.
// Owner: apps/watari. Any thread; everything blocks on files, so call it on the pool. `scope` is "<account>/<region>".
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "logs/query.h"

namespace watari::logs {

// A group's or stream's folder name. Source: docs/formats/log-group.md
std::string encode_name(std::string_view name);

struct GroupInfo {
  std::string name;
  Time created{};
  std::optional<int> retention_days;
  std::map<std::string, std::string> tags;
};

struct StreamInfo {
  std::string name;
  Time created{};
  std::optional<Time> first_event, last_event;
  std::int64_t stored_bytes = 0;
};

struct NewEvent {
  Time time;
  std::string_view text;  // at most kMaxLine bytes
};

class Appender;

class LogStore {
 public:
  // Creates the folder; finishes deletions that were interrupted.
  static Result<std::unique_ptr<LogStore>> open(std::string directory);
  ~LogStore();
  LogStore(const LogStore&) = delete;
  LogStore& operator=(const LogStore&) = delete;

  // NotFound says whether the group or the stream is missing; AlreadyExists; InvalidArgument when a name is too long for a folder.
  Result<void> create_group(const std::string& scope, const std::string& group, const std::map<std::string, std::string>& tags);
  Result<void> create_stream(const std::string& scope, const std::string& group, const std::string& stream);
  Result<void> delete_group(const std::string& scope, const std::string& group);
  Result<void> delete_stream(const std::string& scope, const std::string& group, const std::string& stream);
  Result<void> set_retention(const std::string& scope, const std::string& group, std::optional<int> days);
  Result<void> set_tags(const std::string& scope, const std::string& group, std::map<std::string, std::string> tags);

  std::vector<std::string> groups(const std::string& scope) const;  // sorted
  Result<GroupInfo> group(const std::string& scope, const std::string& group) const;
  std::int64_t stored_bytes(const std::string& scope, const std::string& group) const;
  Result<std::vector<std::string>> streams(const std::string& scope, const std::string& group) const;  // sorted
  Result<StreamInfo> stream(const std::string& scope, const std::string& group, const std::string& stream);
  // When the stream was last written to, cheaply; its creation when it is empty.
  Time last_written(const std::string& scope, const std::string& group, const std::string& stream) const;

  // All of them or none. They survive the death of the process, like what shims write.
  Result<void> append(const std::string& scope, const std::string& group, const std::string& stream, std::span<const NewEvent> events);

  // Events beyond the group's retention are left out. NotFound when the group or one of the streams is missing.
  Result<EventPage> read(const std::string& scope, const std::string& group, const std::vector<std::string>& streams, Query query, Time now);

  // Deletes segments that hold nothing but events beyond their group's retention.
  void sweep(Time now);

 private:
  explicit LogStore(std::string directory);
  std::string group_path(const std::string& scope, const std::string& group) const;
  Result<std::string> existing_group(const std::string& scope, const std::string& group) const;
  Result<std::string> existing_stream(const std::string& scope, const std::string& group, const std::string& stream) const;
  Result<void> remove_folder(const std::string& path);
  std::shared_ptr<StreamIndex> index_of(const std::string& path);
  std::shared_ptr<Appender> appender_of(const std::string& path);
  void sweep_group(const std::string& path, Time oldest);

  std::string directory_;
  std::mutex mutex_;  // of the maps and of group files
  std::map<std::string, std::shared_ptr<StreamIndex>> indexes_;    // by the stream's folder
  std::map<std::string, std::shared_ptr<Appender>> appenders_;
};

}  // namespace watari::logs
