#pragma once
// The directories of RUN --mount=type=cache: who uses them, when they go, and all of them as one archive, to carry them to another server.
// DIR/<name>/ is a cache, DIR/<name>.id the id that Dockerfiles give it, and when it was used last; the archive is a tar of just that.
// DIR.unflushed/<name> holds the id of the machine's start in which the cache was written without being flushed yet. Blocking; any thread.
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "codec/stream.h"

namespace watari::builder {

// Conflict when a build changes a file while it is read: export again.
Result<void> export_cache_mounts(const std::filesystem::path& directory, const codec::Sink& sink);
// Takes a tar (plain, gzip or zstd). A cache that is here already is replaced, in one step each; steps that run keep what they have mounted.
// Returns the ids. InvalidArgument for what is no such archive; nothing is changed then.
Result<std::vector<std::string>> import_cache_mounts(const std::filesystem::path& directory, const codec::Source& archive);
// What a crash left of an import, and the caches that the machine's end found unflushed: what is in them is not known.
void sweep_cache_mounts(const std::filesystem::path& directory);

// A step's hold on a cache: it is not collected meanwhile, and counts as used at both ends.
class CacheUse {
 public:
  explicit CacheUse(std::filesystem::path cache);
  ~CacheUse();
  CacheUse(const CacheUse&) = delete;
  CacheUse& operator=(const CacheUse&) = delete;
  // To be called before anything is written: notes on the disk that the cache is not flushed.
  Result<void> note_writing() const;

 private:
  std::filesystem::path cache_;
};
// Held by who makes, replaces or removes a cache.
std::mutex& cache_mounts_mutex();

struct CollectedCaches {
  std::vector<std::string> ids;
  std::int64_t bytes = 0;
};
struct CacheLimits {
  Seconds age{};
  std::optional<std::int64_t> bytes = {};  // of all caches together
  bool dry_run = false;
};
// Removes the caches that nobody has used for `limits.age`, and while the others take more than `limits.bytes` the one of them that was used
// longest ago. They go to `bin` by rename and are erased there. Safe beside steps: what one uses counts and stays.
CollectedCaches collect_cache_mounts(const std::filesystem::path& directory, const std::filesystem::path& bin, const CacheLimits& limits, Time now);
// Flushes what was written and is not used now, so that it outlasts a power cut.
Result<void> flush_cache_mounts(const std::filesystem::path& directory);

}  // namespace watari::builder
