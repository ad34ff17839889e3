#pragma once
// The way from a VPC's router to the outside: a veth pair to the host, masqueraded on both sides.
//
//   task --> VPC namespace, `uplink` 169.254.64.0/18 address --> host, w<root id>-<hash> --> the host's own routes
//
// The address is masqueraded in the VPC, as VPC ranges may overlap, and again on the host, in a table of the server's own
// (`ip watari-<root id>`) which also keeps the VPCs from the host itself and from link-local services such as a cloud's
// instance metadata. Only addresses that were admitted may use it. The host forwards only while a VPC of any server needs it.
//
// Made for one call, on the thread whose network namespace is the host's. Every call is idempotent.
#include <string>

#include "base/result.h"
#include "sys/fd.h"

namespace watari::sys {
class Netlink;
}

namespace watari::engine {

class Uplink {
 public:
  explicit Uplink(std::string root_id);

  Result<void> connect(const std::string& vpc, const sys::Fd& vpc_netns);
  Result<void> disconnect(const std::string& vpc);
  // Says whether an address may use the uplink; nobody may before. Runs inside the namespace of a connected VPC.
  static Result<void> admit(const std::string& address, bool admitted);
  // Disconnects what is left and removes the host's table; stops forwarding when the server began it and nobody else needs it.
  Result<void> remove_host_table();

 private:
  std::string link_of(const std::string& vpc) const;
  Result<std::string> address_of(const std::string& vpc, sys::Netlink& host, const sys::Fd& vpc_netns) const;

  std::string root_id_;
};

}  // namespace watari::engine
