#include "engine/local/host.h"

#include "oci/seccomp.h"

namespace watari::engine {

void Host::work(async::Job job) {
  {
    std::lock_guard lock(mutex_);
    ++working_;
  }
  options.pool->post([this, job = std::move(job)]() mutable {
    job();
    job = nullptr;  // what it holds must go before the engine does
    std::lock_guard lock(mutex_);
    if (--working_ == 0) idle_.notify_all();
  });
}

void Host::wait_for_work() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [&] { return working_ == 0; });
}

Result<codec::Json> Host::seccomp(const std::vector<std::string>& capabilities) {
  std::lock_guard lock(mutex_);
  if (auto found = seccomp_.find(capabilities); found != seccomp_.end()) return found->second;
  TRY(auto profile, oci::load_seccomp(capabilities));
  return seccomp_[capabilities] = std::move(profile);
}

}  // namespace watari::engine
