#pragma once
// Layers mounted for a build step. A build thread calls own_mounts() before it mounts anything: what it mounts then exists for this thread
// and its children only, and is gone with the process, however that ends.
#include <filesystem>
#include <utility>
#include <vector>

#include "base/result.h"

namespace watari::builder {

// Gives the calling thread a private mount namespace (and a working directory of its own), once. A copy of all mounts of the host takes a
// while: a build whose steps are all in the cache does without.
Result<void> own_mounts();

// An overlay of layers, mounted until it is destroyed. On the thread that made it, which gets its own_mounts().
class MountedLayers {
 public:
  struct Options {
    std::vector<std::filesystem::path> lower;  // lowest first; may be empty
    std::filesystem::path scratch;             // a name for a directory of this mount's own; removed with it
    std::filesystem::path skeletons;           // where the directories and files below are kept for others that ask for the same
    std::filesystem::path upper, work;         // empty: read-only
    std::vector<std::string> directories;      // that exist below everything, so that mounting on them leaves no trace in `upper`
    std::vector<std::string> files;            // the same, empty files
  };
  static Result<MountedLayers> mount(const Options& options);
  ~MountedLayers();
  MountedLayers(MountedLayers&& other) noexcept : scratch_(std::exchange(other.scratch_, {})) {}
  MountedLayers& operator=(MountedLayers&&) = delete;

  std::filesystem::path root() const { return scratch_ / "root"; }

 private:
  explicit MountedLayers(std::filesystem::path scratch) : scratch_(std::move(scratch)) {}
  std::filesystem::path scratch_;
};

// Takes a mount of this thread's down again; nothing when `target` is empty.
struct UnmountAtEnd {
  std::filesystem::path target;
  ~UnmountAtEnd();
};

}  // namespace watari::builder
