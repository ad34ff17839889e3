#pragma once
// Load balancers keep serving while the daemon is down, also when HAProxy is killed then: a small process (watari-shim keep, apps/shim/keeper.cc)
// stands by the newest HAProxy with its listening sockets. While there is a daemon, it does nothing; without one it starts HAProxy
// again, with the configuration that the daemon keeps up to date for it (haproxy-N.now), under the same number, so that the next daemon
// adopts what it started. Whether there is a daemon it knows by a pipe. Owner: the balancer thread.
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "sys/process.h"

namespace watari::balancer {

class Keeper {
 public:
  Keeper(std::string directory, std::string haproxy);

  // Ends those that former daemons left, each after the start of a HAProxy that it may have begun.
  void end_former(const std::function<void(int pidfd)>& before);
  // Stands by this process from now on, by no other; nothing to do if it does so already.
  Result<void> stand_by(int number, int pidfd, const std::vector<std::pair<std::string, int>>& sockets);
  bool stands_by(int number) const;
  // Before HAProxy is ended on purpose.
  void end();

 private:
  std::string directory_, haproxy_, program_;
  int number_ = 0;
  sys::Child child_;
  sys::Fd alive_;  // the daemon's end of the pipe
};

}  // namespace watari::balancer
