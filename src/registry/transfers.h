#pragma once
// Pulls and pushes that run: each on a thread of its own, so that a request can start one and others can ask how far it is. Owned by the
// registry; thread-safe. Nothing of it is stored: a transfer that a crash ends is started again, and finds the blobs that it had finished.
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "registry/transfer.h"

namespace watari::registry {

class Transfers {
 public:
  using Job = std::function<Result<std::string>(Progress&)>;  // gives a digest
  struct View {
    bool running = false;
    std::int64_t bytes_done = 0, bytes_total = 0;
    Result<std::string> result;  // when it no longer runs
  };

  ~Transfers();  // cancels and waits
  // Its id. ResourceExhausted when too many run.
  Result<std::string> start(Job job);
  std::optional<View> find(const std::string& id) const;  // of the last hundred

 private:
  struct Running {
    Progress progress;
    std::atomic<bool> done{false};
    Result<std::string> result;  // written before `done`
    std::jthread thread;
  };
  mutable std::mutex mutex_;
  std::map<std::uint64_t, std::unique_ptr<Running>> all_;
  std::uint64_t next_ = 1;
};

}  // namespace watari::registry
