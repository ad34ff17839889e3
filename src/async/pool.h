#pragma once
// Threads for blocking work: files, hashing, tar, mounts, child processes, outbound HTTP.
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "async/loop.h"

namespace watari::async {

class Pool {
 public:
  explicit Pool(std::size_t threads);
  ~Pool();  // stop()
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  void post(Job job);  // any thread; dropped after stop()
  void stop();         // finishes what was posted, then joins; again is fine

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace watari::async
