#pragma once
// The shim's one thread: descriptors, timers and ended children, one callback at a time.
#include <sys/epoll.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace watari::shim {

class EventLoop {
 public:
  using OnReady = std::function<void()>;
  using OnEnd = std::function<void(int wait_status)>;

  // Blocks SIGCHLD, which it reads from a descriptor; ignores SIGPIPE.
  static Result<std::unique_ptr<EventLoop>> create();

  void watch(int fd, std::uint32_t events, OnReady callback);  // EPOLLIN, EPOLLOUT; also called on hang-up; replaces
  void forget(int fd);                                         // before the descriptor is closed
  std::uint64_t after(Millis delay, OnReady callback);
  void cancel(std::uint64_t timer);

  Result<sys::Child> spawn(const sys::SpawnOptions& options, OnEnd on_end);
  // A process that becomes our child as orphan of another (we are its subreaper). It may have ended already.
  void adopt(pid_t pid, OnEnd on_end);
  // Statuses of unknown children are kept only while somebody may still adopt() them.
  void keep_orphans(bool keep);

  void run();
  void stop() { running_ = false; }

 private:
  EventLoop() = default;
  void reap();
  int milliseconds_to_next_timer() const;
  void fire_timers();

  using Steady = std::chrono::steady_clock;
  sys::Fd epoll_, signals_;
  std::map<int, OnReady> ready_;
  std::map<std::pair<Steady::time_point, std::uint64_t>, OnReady> timers_;
  std::uint64_t next_timer_ = 1;
  std::map<pid_t, OnEnd> children_;
  std::map<pid_t, int> orphans_;
  int keepers_ = 0;
  bool running_ = true;
};

}  // namespace watari::shim
