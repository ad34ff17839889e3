#pragma once
// The sockets on which load balancers accept connections. The daemon opens them, hands them to each HAProxy process, and keeps
// them: what connects while a HAProxy that was killed is being replaced waits in the kernel and is served by the next one.
// HAProxy keeps its copies too, so that a daemon that was killed takes them over again. Owner: the balancer thread.
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace watari::balancer {

class ListeningSockets {
 public:
  explicit ListeningSockets(std::vector<std::string> addresses) : addresses_(std::move(addresses)) {}

  // Copies of the sockets on which the process listens at our addresses (pidfd_getfd).
  void adopt(int pidfd);
  // Opens those that are missing; AlreadyExists names who holds the port.
  Result<void> open(const std::set<int>& ports);
  // Closes all others. New connections to them are refused when HAProxy has let go of them as well.
  void keep(const std::set<int>& ports);
  bool holds(int port) const;
  std::set<int> ports() const;

  // For a new process that listens on these ports: environment variables, as in `bind "fd@${NAME}"`, with the sockets they stand for. It
  // gets no other: it would hold it open, and who connects would wait for nobody.
  std::vector<std::pair<std::string, int>> inherited(const std::set<int>& ports) const;

 private:
  std::vector<std::string> addresses_;
  std::map<std::pair<int, std::size_t>, sys::Fd> sockets_;  // port, index of the address
};

// Name of the environment variable of a port at the address of that index.
std::string listening_variable(int port, std::size_t address);

}  // namespace watari::balancer
