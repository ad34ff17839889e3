#pragma once
// The private networks of one server: VPCs as router namespaces, tasks attached to them, security groups enforced between.
//
//   task namespace                     VPC namespace (router)                        host
//   eth0 172.31.5.9/32  <--veth-->  t<hash>, route 172.31.5.9/32      HAProxy opens its connections in here,
//   default via 169.254.1.1          nft `inet watari`: default drop   from the node address (first of the VPC's range + 1)
//
// Owned by the local engine. Keeps nothing that matters in memory: the namespaces and tables are the state, so a new daemon
// (or a new Network with the same root id) goes on where the former one was killed. Every call is idempotent, and repeating it
// after a crash at any point heals what was half done.
//
// Thread: every function blocks (milliseconds) and may be called from any thread at the same time; only calls for one task, or
// for one VPC, must not overlap each other. Needs CAP_NET_ADMIN and CAP_SYS_ADMIN.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "model/network.h"

namespace watari::sys {
class Fd;
}

namespace watari::engine {

class Network {
 public:
  // `root_id` (8 hexadecimal digits) names everything: /run/netns/watari-<root id>-<vpc id> and watari-<root id>-t-<task id>.
  explicit Network(std::string root_id);
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  // Makes the VPC's router namespace; returns its name below /run/netns. Until set_security() everything is dropped.
  // InvalidArgument when `cidr` is no IPv4 range; Unavailable when the host refuses (the message says which right is missing).
  Result<std::string> ensure_vpc(const std::string& vpc, const std::string& cidr);

  // Makes the task's namespace with lo and eth0 and the route to it, and the VPC when missing; returns the path of the namespace
  // (/run/netns/…), ready for an OCI bundle. The first task of a VPC that may reach the outside brings the VPC its uplink
  // (engine/local/uplink.h); it stays until remove_vpc(). An attached task stays as it is. Traffic needs set_security() to know the address.
  // Target: below 10 ms.
  Result<std::string> attach(const std::string& task, const NetworkSpec& spec);

  // Takes the address off the network at once and removes the namespace's name. Processes that still live in it keep an
  // unconnected namespace. Fine when the task is unknown.
  Result<void> detach(const std::string& task);

  // Replaces the VPC's rules in one transaction: `groups` with their permissions, `groups_of_address` says which address (of a
  // task, or the node address for load balancers) is a member of which groups. Connections that are established go on, as on AWS.
  // NotFound when the VPC has no namespace yet.
  Result<void> set_security(const std::string& vpc, const std::vector<model::SecurityGroup>& groups,
                            const std::map<std::string, std::vector<std::string>>& groups_of_address);

  // Removes the VPC's namespace and tables; the links of tasks that are still attached go with it.
  Result<void> remove_vpc(const std::string& vpc);
  // Removes everything that carries this root id, whoever made it.
  Result<void> remove_all();

  // What exists, from the host itself: for recovery and for finding leaks.
  struct Existing {
    std::vector<std::string> vpcs, tasks;  // ids
  };
  Result<Existing> list() const;

  std::string vpc_namespace_name(const std::string& vpc) const;
  std::string task_namespace_path(const std::string& task) const;

  // The address that the router itself has in a VPC: base + 1, which AWS reserves for the VPC router. Load balancers connect from it.
  static Result<std::string> node_address(const std::string& cidr);

 private:
  Result<void> ensure_uplink(const std::string& vpc, const sys::Fd& netns);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace watari::engine
