#include "sys/netlink.h"

#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <netlink/socket.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace watari::sys {

namespace {

template <class T, void (*release)(T*)>
struct Released {
  void operator()(T* object) const { release(object); }
};
using Link = std::unique_ptr<rtnl_link, Released<rtnl_link, rtnl_link_put>>;
using RtAddr = std::unique_ptr<rtnl_addr, Released<rtnl_addr, rtnl_addr_put>>;
using RtRoute = std::unique_ptr<rtnl_route, Released<rtnl_route, rtnl_route_put>>;
using Neighbour = std::unique_ptr<rtnl_neigh, Released<rtnl_neigh, rtnl_neigh_put>>;
using Addr = std::unique_ptr<nl_addr, Released<nl_addr, nl_addr_put>>;
using Cache = std::unique_ptr<nl_cache, Released<nl_cache, nl_cache_free>>;

Error netlink_error(int code, const std::string& what) {
  auto kind = [&] {
    switch (-code) {
      case NLE_NODEV: case NLE_OBJ_NOTFOUND: case NLE_NOADDR: return Code::NotFound;
      case NLE_EXIST: return Code::AlreadyExists;
      case NLE_PERM: case NLE_NOACCESS: return Code::PermissionDenied;
      case NLE_NOMEM: return Code::ResourceExhausted;
      case NLE_BUSY: case NLE_AGAIN: case NLE_INTR: case NLE_DUMP_INTR: return Code::Unavailable;
      default: return Code::Internal;
    }
  }();
  return Error{kind, what + ": " + nl_geterror(code)};
}

Result<void> check(int code, const std::string& what) {
  if (code < 0) return fail(netlink_error(code, what));
  return {};
}

// Deleting what is not there is what was wanted.
Result<void> check_gone(int code, const std::string& what) {
  if (code == -NLE_OBJ_NOTFOUND || code == -NLE_NODEV || code == -NLE_NOADDR) return {};
  return check(code, what);
}

Result<Addr> parse(const std::string& text, int family) {
  nl_addr* parsed = nullptr;
  if (nl_addr_parse(text.c_str(), family, &parsed) < 0)
    return fail(Code::InvalidArgument, "'{}' is no {} address", text, family == AF_LLC ? "hardware" : "IPv4");
  return Addr(parsed);
}

Result<void> describe(rtnl_link* link, const std::string& name, const std::string& mac) {
  rtnl_link_set_name(link, name.c_str());
  if (mac.empty()) return {};
  TRY(auto address, parse(mac, AF_LLC));
  rtnl_link_set_addr(link, address.get());
  return {};
}

}  // namespace

void Netlink::Close::operator()(nl_sock* socket) const { nl_socket_free(socket); }
Netlink::Netlink(nl_sock* socket) : socket_(socket) {}
Netlink::~Netlink() = default;
Netlink::Netlink(Netlink&&) noexcept = default;
Netlink& Netlink::operator=(Netlink&&) noexcept = default;

Result<Netlink> Netlink::open() {
  Netlink netlink(nl_socket_alloc());
  if (!netlink.socket_) return fail(Code::ResourceExhausted, "no memory for a netlink socket");
  TRY_VOID(check(nl_connect(netlink.socket_.get(), NETLINK_ROUTE), "open a netlink socket"));
  return netlink;
}

Result<void> Netlink::add_veth(const VethPair& pair, const Fd& peer_netns) {
  Link link(rtnl_link_veth_alloc());
  if (!link) return fail(Code::ResourceExhausted, "no memory for a link");
  TRY_VOID(describe(link.get(), pair.name, pair.mac));
  rtnl_link_set_flags(link.get(), IFF_UP);  // of the peer the kernel refuses it: it is made before its other end
  auto* peer = rtnl_link_veth_get_peer(link.get());
  auto described = describe(peer, pair.peer_name, pair.peer_mac);
  if (described) rtnl_link_set_ns_fd(peer, peer_netns.get());
  rtnl_link_put(peer);  // veth_get_peer took a reference
  TRY_VOID(described);
  return check(rtnl_link_add(socket_.get(), link.get(), NLM_F_CREATE | NLM_F_EXCL),
               "make the link pair " + pair.name + "/" + pair.peer_name);
}

Result<int> Netlink::index_of(const std::string& name) {
  rtnl_link* found = nullptr;
  TRY_VOID(check(rtnl_link_get_kernel(socket_.get(), 0, name.c_str(), &found), "find the link " + name));
  Link link(found);
  return rtnl_link_get_ifindex(link.get());
}

Result<void> Netlink::set_alias(const std::string& name, const std::string& alias) {
  TRY(int index, index_of(name));
  Link change(rtnl_link_alloc());
  rtnl_link_set_ifindex(change.get(), index);
  rtnl_link_set_ifalias(change.get(), alias.c_str());
  return check(rtnl_link_change(socket_.get(), change.get(), change.get(), 0), "note '" + alias + "' on " + name);
}

Result<std::string> Netlink::alias_of(const std::string& name) {
  rtnl_link* found = nullptr;
  int code = rtnl_link_get_kernel(socket_.get(), 0, name.c_str(), &found);
  if (code == -NLE_NODEV || code == -NLE_OBJ_NOTFOUND) return "";
  TRY_VOID(check(code, "find the link " + name));
  Link link(found);
  auto* alias = rtnl_link_get_ifalias(link.get());
  return std::string(alias ? alias : "");
}

Result<bool> Netlink::has_link(const std::string& name) {
  auto index = index_of(name);
  if (index) return true;
  if (index.error().code == Code::NotFound) return false;
  return fail(std::move(index).error());
}

Result<void> Netlink::set_up(const std::string& name) {
  TRY(int index, index_of(name));
  Link change(rtnl_link_alloc());
  rtnl_link_set_ifindex(change.get(), index);
  rtnl_link_set_flags(change.get(), IFF_UP);
  return check(rtnl_link_change(socket_.get(), change.get(), change.get(), 0), "bring up " + name);
}

Result<void> Netlink::wait_until_up(const std::string& name) {
  for (int round = 0; round < 1000; ++round) {
    rtnl_link* found = nullptr;
    TRY_VOID(check(rtnl_link_get_kernel(socket_.get(), 0, name.c_str(), &found), "find the link " + name));
    Link link(found);
    if (rtnl_link_get_operstate(link.get()) == IF_OPER_UP) return {};
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return fail(Code::Unavailable, "the link {} has been down for a second", name);
}

Result<void> Netlink::delete_link(const std::string& name) {
  Link link(rtnl_link_alloc());
  rtnl_link_set_name(link.get(), name.c_str());
  return check_gone(rtnl_link_delete(socket_.get(), link.get()), "delete the link " + name);
}

Result<std::vector<std::string>> Netlink::links() {
  nl_cache* filled = nullptr;
  TRY_VOID(check(rtnl_link_alloc_cache(socket_.get(), AF_UNSPEC, &filled), "list links"));
  Cache cache(filled);
  std::vector<std::string> names;
  for (auto* object = nl_cache_get_first(cache.get()); object; object = nl_cache_get_next(object))
    names.emplace_back(rtnl_link_get_name(reinterpret_cast<rtnl_link*>(object)));
  return names;
}

Result<void> Netlink::add_address(const std::string& link, const std::string& address) {
  TRY(int index, index_of(link));
  TRY(auto local, parse(address, AF_INET));
  RtAddr entry(rtnl_addr_alloc());
  rtnl_addr_set_ifindex(entry.get(), index);
  TRY_VOID(check(rtnl_addr_set_local(entry.get(), local.get()), "address " + address));
  return check(rtnl_addr_add(socket_.get(), entry.get(), NLM_F_REPLACE), "give " + link + " the address " + address);
}

Result<std::vector<std::string>> Netlink::addresses(const std::string& link) {
  TRY(int index, index_of(link));
  nl_cache* filled = nullptr;
  TRY_VOID(check(rtnl_addr_alloc_cache(socket_.get(), &filled), "list addresses"));
  Cache cache(filled);
  std::vector<std::string> found;
  for (auto* object = nl_cache_get_first(cache.get()); object; object = nl_cache_get_next(object)) {
    auto* entry = reinterpret_cast<rtnl_addr*>(object);
    if (rtnl_addr_get_ifindex(entry) != index || rtnl_addr_get_family(entry) != AF_INET) continue;
    char text[64];
    std::string address = nl_addr2str(rtnl_addr_get_local(entry), text, sizeof text);
    found.push_back(address.substr(0, address.find('/')));
  }
  return found;
}

Result<void> Netlink::add_route(const Route& route) {
  TRY(int index, index_of(route.link));
  TRY(auto destination, parse(route.destination, AF_INET));
  RtRoute entry(rtnl_route_alloc());
  rtnl_route_set_scope(entry.get(), route.gateway.empty() ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE);
  TRY_VOID(check(rtnl_route_set_dst(entry.get(), destination.get()), "route to " + route.destination));
  if (!route.source.empty()) {
    TRY(auto source, parse(route.source, AF_INET));
    TRY_VOID(check(rtnl_route_set_pref_src(entry.get(), source.get()), "source " + route.source));
  }
  auto* hop = rtnl_route_nh_alloc();
  rtnl_route_nh_set_ifindex(hop, index);
  rtnl_route_add_nexthop(entry.get(), hop);  // the route owns the hop from here on
  if (!route.gateway.empty()) {
    TRY(auto gateway, parse(route.gateway, AF_INET));
    rtnl_route_nh_set_gateway(hop, gateway.get());
    if (route.gateway_on_link) rtnl_route_nh_set_flags(hop, RTNH_F_ONLINK);
  }
  return check(rtnl_route_add(socket_.get(), entry.get(), NLM_F_CREATE | (route.exclusive ? NLM_F_EXCL : NLM_F_REPLACE)),
               "add the route to " + route.destination + " by " + route.link);
}

Result<void> Netlink::add_unreachable(const std::string& text) {
  TRY(auto destination, parse(text, AF_INET));
  RtRoute entry(rtnl_route_alloc());
  rtnl_route_set_type(entry.get(), RTN_UNREACHABLE);
  rtnl_route_set_scope(entry.get(), RT_SCOPE_UNIVERSE);
  TRY_VOID(check(rtnl_route_set_dst(entry.get(), destination.get()), "route to " + text));
  return check(rtnl_route_add(socket_.get(), entry.get(), NLM_F_CREATE | NLM_F_REPLACE), "make the rest of " + text + " unreachable");
}

Result<void> Netlink::delete_route(const std::string& text, const std::string& link) {
  TRY(auto destination, parse(text, AF_INET));
  RtRoute entry(rtnl_route_alloc());
  rtnl_route_set_scope(entry.get(), RT_SCOPE_NOWHERE);
  TRY_VOID(check(rtnl_route_set_dst(entry.get(), destination.get()), "route to " + text));
  if (!link.empty()) {
    auto index = index_of(link);
    if (!index && index.error().code == Code::NotFound) return {};
    if (!index) return fail(std::move(index).error());
    auto* hop = rtnl_route_nh_alloc();
    rtnl_route_nh_set_ifindex(hop, *index);
    rtnl_route_add_nexthop(entry.get(), hop);
  }
  int code = rtnl_route_delete(socket_.get(), entry.get(), 0);
  if (code == -NLE_FAILURE) code = 0;  // ESRCH, which libnl has no name for: no such route
  return check_gone(code, "delete the route to " + text);
}

Result<void> Netlink::add_neighbour(const std::string& link, const std::string& address, const std::string& mac) {
  TRY(int index, index_of(link));
  TRY(auto destination, parse(address, AF_INET));
  TRY(auto hardware, parse(mac, AF_LLC));
  Neighbour entry(rtnl_neigh_alloc());
  rtnl_neigh_set_ifindex(entry.get(), index);
  rtnl_neigh_set_state(entry.get(), NUD_PERMANENT);
  TRY_VOID(check(rtnl_neigh_set_dst(entry.get(), destination.get()), "neighbour " + address));
  rtnl_neigh_set_lladdr(entry.get(), hardware.get());
  return check(rtnl_neigh_add(socket_.get(), entry.get(), NLM_F_CREATE | NLM_F_REPLACE),
               "tell " + link + " the hardware address of " + address);
}

}  // namespace watari::sys
