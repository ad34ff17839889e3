#pragma once
// Time comes only through a Clock, so that tests and compressed deployments can move it.
#include <chrono>
#include <string>

namespace watari {

using Millis = std::chrono::milliseconds;
using Seconds = std::chrono::seconds;
// Wall-clock time, milliseconds since the epoch: what is stored and shown.
using Time = std::chrono::sys_time<Millis>;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Time now() const = 0;
};

class SystemClock final : public Clock {
 public:
  Time now() const override { return std::chrono::floor<Millis>(std::chrono::system_clock::now()); }
};

// Moves only when told to.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(Time start = Time{}) : now_(start) {}
  Time now() const override { return now_; }
  void advance(Millis by) { now_ += by; }

 private:
  Time now_;
};

std::string iso8601(Time time);  // 2026-11-22T17:04:33.120Z

}  // namespace watari
