#pragma once
// Links, addresses, routes and neighbours of one network namespace, over one rtnetlink socket.
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

struct nl_sock;

namespace watari::sys {

struct VethPair {
  std::string name, mac;            // the end in this socket's namespace; empty mac: the kernel chooses
  std::string peer_name, peer_mac;  // the other end
};

struct Route {
  std::string destination;       // "172.31.5.9/32", "default"
  std::string gateway;           // empty: on link
  bool gateway_on_link = false;  // the gateway is reachable though no route says so
  std::string source;            // preferred source address, or empty
  std::string link;
  bool exclusive = false;  // AlreadyExists when there is a route to the destination, instead of replacing it
};

// Bound to the namespace that the creating thread was in, for good. One thread at a time. Every add replaces or accepts what is
// there already; every delete is fine when there is nothing.
class Netlink {
 public:
  static Result<Netlink> open();
  ~Netlink();
  Netlink(Netlink&&) noexcept;
  Netlink& operator=(Netlink&&) noexcept;

  // Both ends are made in place in one step: the first here and up, the second in the namespace `peer_netns` and down.
  // AlreadyExists when either name is taken.
  Result<void> add_veth(const VethPair& pair, const Fd& peer_netns);
  // A note that stays with the link; empty when there is none, or no such link.
  Result<void> set_alias(const std::string& link, const std::string& alias);
  Result<std::string> alias_of(const std::string& link);
  Result<bool> has_link(const std::string& name);
  Result<void> set_up(const std::string& link);
  // Returns when the link carries packets. One that was just brought up, or whose peer was, drops them until the kernel's link
  // watch has run: asking for the link makes it run since Linux 6.7, before it takes a moment. Unavailable after a second.
  Result<void> wait_until_up(const std::string& link);
  Result<void> delete_link(const std::string& name);
  Result<std::vector<std::string>> links();

  Result<void> add_address(const std::string& link, const std::string& address);  // with its prefix length: "172.31.5.9/32"
  Result<std::vector<std::string>> addresses(const std::string& link);            // IPv4, without prefix length
  Result<void> add_route(const Route& route);
  // Packets to `destination` that no longer route catches are answered "host unreachable".
  Result<void> add_unreachable(const std::string& destination);
  // Only the route by `link`, when one is named.
  Result<void> delete_route(const std::string& destination, const std::string& link = "");
  Result<void> add_neighbour(const std::string& link, const std::string& address, const std::string& mac);  // permanent

 private:
  explicit Netlink(nl_sock* socket);
  Result<int> index_of(const std::string& link);
  struct Close {
    void operator()(nl_sock* socket) const;
  };
  std::unique_ptr<nl_sock, Close> socket_;
};

}  // namespace watari::sys
