#include "async/loop.h"

#include <pthread.h>

namespace watari::async {

Loop::~Loop() { stop(); }

void Loop::start() {
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "loop");
}

void Loop::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    timers_.clear();
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Loop::post(Job job) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    jobs_.push_back(std::move(job));
  }
  wake_.notify_all();
}

Loop::TimerId Loop::after(Millis delay, Job job) {
  std::lock_guard lock(mutex_);
  auto id = next_timer_++;
  if (!stopping_) timers_.emplace(std::pair(Steady::now() + delay, id), std::move(job));
  wake_.notify_all();
  return id;
}

void Loop::cancel(TimerId timer) {
  std::lock_guard lock(mutex_);
  std::erase_if(timers_, [&](const auto& entry) { return entry.first.second == timer; });
}

void Loop::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    if (!timers_.empty() && timers_.begin()->first.first <= Steady::now()) {
      jobs_.push_back(std::move(timers_.begin()->second));
      timers_.erase(timers_.begin());
    }
    if (!jobs_.empty()) {
      auto job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      job = nullptr;  // what it captured may post again when it is destroyed
      lock.lock();
      continue;
    }
    if (stopping_) return;
    if (timers_.empty()) {
      wake_.wait(lock);
    } else {
      auto due = timers_.begin()->first.first;
      wake_.wait_until(lock, due);
    }
  }
}

}  // namespace watari::async
