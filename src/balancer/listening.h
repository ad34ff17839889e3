#pragma once
// The sockets on which load balancers accept connections. The daemon opens them, hands them to each HAProxy process, and keeps
// them: what connects while a HAProxy that was killed is being replaced waits in the kernel and is served by the next one.
// HAProxy keeps its copies too, so that a daemon that was killed takes them over again. Owner: the balancer thread.
//
// A place is an address of the host ("127.0.0.1", "[::1]") or one inside a namespace ("172.31.0.1@<name> <identity>"): the VPC's
// node address, at which its tasks reach its load balancers.
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace watari::balancer {

using Place = std::string;
using ListeningAt = std::set<std::pair<int, Place>>;  // ports and places

class ListeningSockets {
 public:
  explicit ListeningSockets(std::vector<std::string> addresses) : addresses_(std::move(addresses)) {}

  // Copies of the sockets on which the process listens at addresses of the host that are ours, or inside a namespace (pidfd_getfd).
  void adopt(int pidfd);
  // Opens those that are missing; AlreadyExists names who holds the port.
  Result<void> open(const ListeningAt& wanted);
  // Closes all others. New connections to them are refused when HAProxy has let go of them as well.
  void keep(const ListeningAt& wanted);
  bool holds(int port) const;  // at all addresses of the host
  std::set<int> ports() const;

  // For a new process that listens there: environment variables, as in `bind "fd@${NAME}"`, with the sockets they stand for. It
  // gets no other: it would hold it open, and who connects would wait for nobody.
  std::vector<std::pair<std::string, int>> inherited(const ListeningAt& wanted) const;

 private:
  std::vector<std::string> addresses_;
  std::map<std::pair<int, Place>, sys::Fd> sockets_;
};

// Name of the environment variable of a port at that place.
std::string listening_variable(int port, const Place& place);

// "<name> <device>:<inode>" of a namespace below /run/netns: one that was removed and made again is another one. Empty: there is none.
std::string identity_of_namespace(const std::string& name);
// The place inside the namespace, given as its identity, at which tasks reach load balancers: the address beside 127.0.0.1 that its
// loopback has. Empty when there is none.
Place place_inside(const std::string& identity);

}  // namespace watari::balancer
