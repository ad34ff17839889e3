#pragma once
// What Control runs on: a real async::Loop in the server, a virtual clock in the simulation (tests/sim).
#include "async/loop.h"

namespace watari::control {

class Scheduler {
 public:
  using TimerId = std::uint64_t;
  virtual ~Scheduler() = default;
  virtual void post(async::Job job) = 0;                     // any thread
  virtual TimerId after(Millis delay, async::Job job) = 0;
  virtual void cancel(TimerId timer) = 0;
};

class LoopScheduler final : public Scheduler {
 public:
  explicit LoopScheduler(async::Loop& loop) : loop_(loop) {}
  void post(async::Job job) override { loop_.post(std::move(job)); }
  TimerId after(Millis delay, async::Job job) override { return loop_.after(delay, std::move(job)); }
  void cancel(TimerId timer) override { loop_.cancel(timer); }

 private:
  async::Loop& loop_;
};

}  // namespace watari::control
