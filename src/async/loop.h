#pragma once
// A thread that runs posted jobs and timers one at a time, in order. The control state lives on one such loop, and so
// needs no mutexes. Asio is not involved: sockets belong to net/.
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <deque>

#include "base/clock.h"

namespace watari::async {

using Job = std::move_only_function<void()>;

class Loop {
 public:
  using TimerId = std::uint64_t;

  Loop() = default;
  ~Loop();  // stop() and join
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void start();  // begins running jobs on a thread of its own
  // Runs what was posted before the call, drops timers, then ends the thread. Jobs posted later are dropped.
  void stop();

  void post(Job job);                     // any thread
  TimerId after(Millis delay, Job job);   // any thread; runs on the loop, not before `delay` (steady clock)
  void cancel(TimerId timer);             // any thread; a timer that has fired is ignored
  bool on_loop() const { return std::this_thread::get_id() == thread_.get_id(); }

  // Runs `work` on the loop and waits for its value. Must not be called on the loop.
  template <class F>
  auto call(F&& work) -> decltype(work());

 private:
  using Steady = std::chrono::steady_clock;
  void run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;
  std::map<std::pair<Steady::time_point, TimerId>, Job> timers_;
  TimerId next_timer_ = 1;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace watari::async

#include <future>

namespace watari::async {

template <class F>
auto Loop::call(F&& work) -> decltype(work()) {
  std::packaged_task<decltype(work())()> task(std::forward<F>(work));
  auto answer = task.get_future();
  post([&task] { task(); });
  return answer.get();
}

}  // namespace watari::async
