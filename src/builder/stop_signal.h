#pragma once
// One build's stop button. Pressed from any thread; loops ask stopped(), waits poll fd(), which stays readable once pressed.
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>

#include "base/result.h"
#include "sys/fd.h"

namespace watari::builder {

class StopSignal {
 public:
  StopSignal() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  void stop() {
    stopped_ = true;
    std::uint64_t one = 1;
    (void)!::write(event_.get(), &one, sizeof one);
  }
  bool stopped() const { return stopped_; }
  int fd() const { return event_.get(); }
  // Cancelled when pressed: TRY_VOID(stop.check()) between pieces of work.
  Result<void> check() const {
    if (stopped_) return fail(Code::Cancelled, "the build was stopped");
    return {};
  }

 private:
  sys::Fd event_;
  std::atomic<bool> stopped_ = false;
};

}  // namespace watari::builder
